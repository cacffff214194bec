"""``potstill status``: how far a run is, also while another process works on it.

:func:`run_status` reads the recipe, the store beside its writer, the account and the end of the
log. No model is opened, nobody is asked and nothing is written.
"""

import os
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from potstill.errors import PotstillError, repeat_commands
from potstill.pipeline.cost_lines import unpriced_models
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.recipe_changes import changed_settings
from potstill.pipeline.run import Run, stored_run
from potstill.pipeline.stale import outdated_students, stale_stages, unknown_note
from potstill.plan.needs import Ledger, Need
from potstill.plan.plan import asked_teacher, only_recorded
from potstill.plan.stage_needs import run_needs
from potstill.plan.training_status import (
    BegunTraining,
    NewestCheckpoint,
    begun_trainings,
    newest_checkpoint,
)
from potstill.records import Amount
from potstill.runtime.budget import BudgetSettings
from potstill.runtime.progress import Meter
from potstill.runtime.run_activity import CommandActivity, last_activity
from potstill.runtime.spending import read_spending, spent_in_all
from potstill.store import Store, lock_holder
from potstill.text.chosen_on_test import CHOSEN_ON_TEST, is_chosen_on_test
from potstill.text.number_of import number_of

RunStage = Literal["generate", "curate", "train", "evaluate", "guide", "report"]
"""The stages of a run, in their order."""

StageState = Literal["done", "at work", "begun", "missing", "stale"]
"""``begun``: a part is there; ``stale``: all is, and today's recipe would give something else."""

DEEPEST = 4
"""Folders below each other in which runs are looked for."""


class StageStatus(NamedTuple):
    """How far one stage is."""

    stage: RunStage
    state: StageState
    done: int | None
    """Samples, rationales, students, scores or policies that are there, by the stage; the final
    answers of samples are no samples of their own."""

    missing: int | None
    """How many are missing, at most; None where that is not known before they are there."""

    detail: str
    """How far the stage is, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStatus:
    """How far a run is."""

    folder: Path
    task: str
    teacher: str
    student: str
    holder: str | None
    """The process that writes the run now; None where none does."""

    activity: CommandActivity | None
    """The last command by the run's log."""

    stages: Sequence[StageStatus]
    failures: Mapping[str, int]
    """How many samples failed and were never answered, by reason."""

    spent: Amount
    """The spending by the run's account; requests in flight count at their most."""

    limit: BudgetSettings
    unpriced: Sequence[str]
    """Models whose prices are not known."""

    seconds: float
    """Time that the stages have taken, without the one at work."""

    newest: NewestCheckpoint | None
    notes: Sequence[str]
    """Further facts that a reader should know, a sentence each."""

    next: str
    """The command that goes on."""

    @property
    def is_killed(self) -> bool:
        """Whether the last command did not come to its end, and works no more."""
        return self.holder is None and self.activity is not None and not self.activity.ended

    @property
    def reached(self) -> StageStatus:
        """The stage at work, else the first that is not done, else the last."""
        at_work = (one for one in self.stages if one.state == "at work")
        undone = (one for one in self.stages if one.state != "done")
        return next(at_work, None) or next(undone, self.stages[-1])


def runs_below(folder: Path) -> list[Path]:
    """Returns the folders of the runs in a folder, by name; a run in a run is none of its own."""
    found = []
    for place, folders, files in os.walk(folder):
        here = Path(place)
        if "run.sqlite" in files:
            found.append(here)
        if "run.sqlite" in files or len(here.relative_to(folder).parts) >= DEEPEST:
            folders.clear()
        folders.sort()
    return sorted(found)


def run_status(folder: Path, *, recipe: Path | None = None, counted: bool = True) -> RunStatus:
    """Returns how far a run is.

    Args:
        folder: The run's.
        recipe: A file by which it was named; where it is not the run's any more, a note says so.
        counted: Whether the task is read too, to count which answers are missing and to see what
            is stale. Without, it takes a moment.

    Raises:
        ConfigError: The folder holds no run.
        PotstillError: Its recipe or store cannot be read.
    """
    holder = lock_holder(folder / "run.sqlite")  # first: what was done by then is seen below
    with stored_run(folder, Meter(None), read_only=True, untouched=True) as run:
        notes: list[str] = []
        counts = _counts(run, notes) if counted else {}
        stale = _stale(run, notes) if counted else set()
        activity = last_activity(folder / "log.jsonl")
        works = activity.stage if holder and activity and not activity.ended else ""
        outdated = outdated_students(run) if "train" in stale else set()
        begun = begun_trainings(run)
        trained = _trained(run, begun, outdated)
        stages = [_shown(one, works, stale) for one in _stages(run, counts, activity, trained)]
        store = run.store
        if recipe is not None and (changes := changed_settings(load_recipe(recipe), store)):
            notes.append(
                f"told of the run as it is; {recipe} changes it: {changes}. See: potstill plan "
                f"{shlex.quote(str(recipe))}"
            )
        if is_chosen_on_test(store.choices()):
            notes.append(CHOSEN_ON_TEST)
        journal = folder / "spending.jsonl"
        faults = read_spending(journal).faults
        notes += [f"spending.jsonl cannot be read whole: {fault}" for fault in faults[:1]]
        return RunStatus(
            folder=folder,
            task=run.recipe.task.shown_name,
            teacher=run.recipe.teacher.model,
            student=run.recipe.student.model,
            holder=holder,
            activity=activity,
            stages=stages,
            failures=store.failures(),
            spent=spent_in_all(journal, store.spent()),
            limit=run.recipe.budget or BudgetSettings(),
            unpriced=unpriced_models(run.recipe),
            seconds=sum(stage.seconds for stage in store.stages()),
            newest=newest_checkpoint(folder, begun.values()),
            notes=notes,
            next=_next(folder, stages, holder),
        )


class _Counted(NamedTuple):
    """The samples that a stage asks teachers for."""

    there: int
    missing: int
    is_most: bool
    """Whether ``missing`` is a bound, as some depends on answers still to come."""

    final_missing: int
    """Final answers that are to be asked for after rationales, at most; ``missing`` has none."""


def _counts(run: Run, notes: list[str]) -> dict[str, _Counted]:
    """Returns the samples of each stage that asks teachers; empty where they cannot be counted.

    A teacher that the store does not know has answered nothing, and is not opened for its name.
    """
    try:
        if run.teachers.unknown:
            return {}
        teachers = run.recipe.named_teachers
        asked = [asked_teacher(run, name, settings) for name, settings in teachers.items()]
        needs = run_needs(run, Ledger(run.store), asked)
        only_recorded(needs, teachers)
    except PotstillError as error:
        notes.append(f"what is missing is not known: {error}")
        return {}
    by_stage: dict[str, list[Need]] = {}
    for need in needs:
        by_stage.setdefault(need.stage, []).append(need)
    return {
        stage: _Counted(
            sum(need.there for need in own if not need.second),
            sum(need.missing for need in own if not need.second),
            any(need.later for need in own if not need.second),
            sum(need.missing for need in own if need.second),
        )
        for stage, own in by_stage.items()
    }


def _stale(run: Run, notes: list[str]) -> set[str]:
    """Returns the stages whose results are not of today's recipe, and notes each."""
    try:
        stale = stale_stages(run)
    except PotstillError as error:
        notes.append(f"what is stale is not known: {error}")
        return set()
    notes += [one.note(_quoted(run.folder)) for one in stale]
    notes += filter(None, [unknown_note(run.store)])
    return {one.stage for one in stale}


def _stages(
    run: Run,
    counts: Mapping[str, _Counted],
    activity: CommandActivity | None,
    trained: StageStatus,
) -> Iterator[StageStatus]:
    """Yields how far each stage of the recipe is, by what it has left."""
    store = run.store
    verdicts = store.verdicts()
    total = sum(verdicts.values())
    yield _generated(store, counts, is_curated=total > 0)
    kept = f"{verdicts.get('kept', 0):,} of {total:,} rationales kept" if total else ""
    yield StageStatus("curate", "done" if total else "missing", total, None, kept)
    yield trained
    scores = [score for score in store.scores() if score.split == "test"]
    systems = len({score.system.as_shown for score in scores})
    tasks = len({score.task for score in scores})
    yield _measured(
        store, "evaluate", len(scores), f"{systems:,} systems on {number_of(tasks, 'task')}"
    )
    if run.recipe.guide is not None:
        policies = len({score.policy for score in store.guided_scores()})
        yield _measured(store, "guide", policies, number_of(policies, "policy", "policies"))
    yield _reported(run.folder, activity)


def _generated(store: Store, counts: Mapping[str, _Counted], *, is_curated: bool) -> StageStatus:
    """Returns the state of the samples; where they are not counted, what was curated is all.

    What is stored holds the final answers of two steps too, so it is named answers, not samples.
    """
    counted = counts.get("generate")
    if counted is None:
        there = store.pool_size(("generate", "import"))
        state: StageState = "done" if is_curated else "begun" if there else "missing"
        return StageStatus(
            "generate", state, there, None, number_of(there, "answer") if there else ""
        )
    state = "begun" if counted.there else "missing"
    detail = f"{counted.there:,} samples"
    if counted.missing:
        detail += f", {'at most ' if counted.is_most else ''}{counted.missing:,} missing"
    if counted.final_missing:
        detail += f", {number_of(counted.final_missing, 'final answer')} missing"
    missing = counted.missing + counted.final_missing
    state = state if missing else "done"
    return StageStatus("generate", state, counted.there, missing, detail)


def _measured(
    store: Store, stage: Literal["evaluate", "guide"], there: int, detail: str
) -> StageStatus:
    """Returns the state of a stage whose results come at its end, all at once."""
    if there:
        return StageStatus(stage, "done", there, 0, detail)
    asked = store.pool_size((stage,))
    if asked:
        return StageStatus(stage, "begun", 0, None, f"{asked:,} answers so far")
    return StageStatus(stage, "missing", 0, None, "")


def _reported(folder: Path, activity: CommandActivity | None) -> StageStatus:
    page = folder / "report.html"
    if not page.is_file():
        return StageStatus("report", "missing", 0, 1, "")
    ended = activity.stage_ended if activity else None
    if ended is not None and page.stat().st_mtime < ended:
        return StageStatus("report", "stale", 1, 0, "older than the results")
    return StageStatus("report", "done", 1, 0, page.name)


def _shown(status: StageStatus, works: str, stale: set[str]) -> StageStatus:
    """Returns a stage as one that is worked on, or stale, where it is."""
    if status.stage == works:
        return status._replace(state="at work")
    return status._replace(state="stale") if status.stage in stale else status


def _trained(
    run: Run, begun: Mapping[str, BegunTraining | None], outdated: Collection[str]
) -> StageStatus:
    """Returns how many students of the recipe are trained, and how far the next one is."""
    stored = {checkpoint.system.label for checkpoint in run.store.checkpoints()} - set(outdated)
    done = stored.intersection(begun) | {label for label, one in begun.items()
                                         if one is not None and one.is_finished}  # fmt: skip
    detail = f"{len(done):,} of {number_of(len(begun), 'student')}"
    missing = len(begun) - len(done)
    if not missing and stored:
        return StageStatus("train", "done", len(done), 0, detail)
    part = [one for label, one in begun.items() if one and label not in done]
    for training in part[-1:]:
        of = f" of {training.steps:,}" if training.steps else ""
        detail += f"; checkpoint of {training.label} at step {training.step:,}{of}"
    state: StageState = "begun" if done or part else "missing"
    return StageStatus("train", state, len(done), missing, detail if done or part else "")


# what to do --------------------------------------------------------------------------------------


def _next(folder: Path, stages: Sequence[StageStatus], holder: str | None) -> str:
    """Returns the command that goes on: where several stages are missing, that of them all."""
    place = _quoted(folder)
    if holder is not None:
        return f"potstill status {place}"
    missing = [one.stage for one in stages if one.state != "done"]
    if missing:
        return repeat_commands([missing[0] if len(missing) == 1 else "run"], place)
    if (folder / "model").is_dir():
        return f'potstill ask {place} "QUESTION"'
    return f"potstill check {place}"


def _quoted(folder: Path) -> str:
    return shlex.quote(str(folder))
