"""Reads finished runs to be compared: what each measured, by whom it was graded, what it took.

Answers are known by the question itself, not by its id: two runs of one file may have numbered it
otherwise. Where a run asks one text twice, its first stands for the other's first.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from potstill.errors import ConfigError, PotstillError
from potstill.grading.rules import is_named_by_rule
from potstill.pipeline.chosen_student import best_checkpoint, offered_checkpoints
from potstill.pipeline.cost_lines import unpriced_models
from potstill.pipeline.recipe import Recipe
from potstill.records import Amount, Prediction, StageRecord, System, SystemEngine
from potstill.runtime.spending import spent_in_all
from potstill.settings import build
from potstill.start_comparison import StartComparison, start_comparisons
from potstill.store import Stage, Store
from potstill.text.chosen_on_test import is_chosen_on_test
from potstill.yaml_text import parse_yaml

STAGES: tuple[Stage, ...] = ("train", "evaluate")
"""The stages whose inputs are compared; the last one's recipe is that of the results."""

Verdicts = Mapping[str, bool]
"""Whether a system's answer is right, by what stands for the question."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """One run of a comparison."""

    folder: Path
    name: str
    """The run's name in tables, which no other run of the comparison has."""

    values: Mapping[str, Any]
    """The recipe that its results are of, with its defaults; empty where it cannot be read."""

    given: Mapping[str, Any]
    """The recipe without the values that it leaves to the defaults."""

    answers: Mapping[str, Mapping[System, Verdicts]]
    """The test answers by task and system; without checkpoints that were not taken."""

    chosen: System | None
    """The student in ``model/``; None where none was chosen."""

    against_start: StartComparison | None
    """The chosen student against its start on the task trained for; None where it is not known."""

    chosen_on_test: bool
    graders: Sequence[str]
    """The versions of the grader behind its test verdicts; mostly one."""

    engines: Sequence[SystemEngine]
    inputs: Mapping[str, Any]
    """The inputs of its students and scores, by name; empty where they were not kept."""

    stages: Sequence[StageRecord]
    spent: Amount
    unpriced: Sequence[str]
    """Models that were paid for and whose prices are not known."""

    @property
    def seed(self) -> int:
        """The recipe's seed."""
        return int(self.values.get("seed", 0))

    @property
    def tasks(self) -> list[str]:
        """The tasks with test answers, in the order of evaluation."""
        return list(self.answers)

    @property
    def seconds(self) -> float:
        """The time that its stages took in all, in seconds."""
        return sum(stage.seconds for stage in self.stages)

    def system(self, label: str, task: str) -> System | None:
        """Returns the system of this label that answered a task's questions."""
        systems = self.answers.get(task, {})
        return next((system for system in systems if system.label == label), None)


def read_runs(folders: Sequence[Path]) -> list[RunRecord]:
    """Read runs, each beside whoever works on it.

    Raises:
        ConfigError: There are fewer than two, one of them is none, or one is given twice.
        StoreError: A store cannot be read by this potstill.
    """
    if len(folders) < 2:
        raise ConfigError("one run alone compares with nothing. Give two or more runs.")
    places: dict[Path, Path] = {}
    for folder in folders:
        if not (folder / "run.sqlite").is_file():
            raise ConfigError(f"{folder} is no run: it holds no run.sqlite. Give a run's folder.")
        former = places.setdefault(folder.resolve(), folder)
        if former is not folder:
            raise ConfigError(f"{folder} is given twice ({former} is the same run); give it once.")
    return [_read(folder, name) for folder, name in zip(folders, _names(folders), strict=True)]


def _names(folders: Sequence[Path]) -> list[str]:
    """Returns the folders' own names, with as many of those above as tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(own[-depth:]) for own in parts]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("no two folders are the same")


def _read(folder: Path, name: str) -> RunRecord:
    with Store(folder / "run.sqlite", read_only=True, untouched=True) as store:
        made = [one for stage in STAGES if (one := store.provenance(stage)) is not None]
        values, recipe = _recipe(made[-1].recipe if made else "", folder)
        offered = offered_checkpoints(store)
        chosen = best_checkpoint(store, _leading(values), offered).system if offered else None
        return RunRecord(
            folder=folder,
            name=name,
            values=values,
            given=_plain(recipe, exclude_defaults=True) if recipe else values,
            answers=_answers(store.predictions()),
            chosen=chosen,
            against_start=_against_start(store, chosen, values) if chosen else None,
            chosen_on_test=is_chosen_on_test(store.choices()),
            graders=store.graders("predictions"),
            engines=store.engines(),
            inputs={name: value for one in made for name, value in one.inputs.items()},
            stages=store.stages(),
            spent=spent_in_all(folder / "spending.jsonl", store.spent()),
            unpriced=unpriced_models(recipe) if recipe else (),
        )


def _recipe(text: str, folder: Path) -> tuple[Mapping[str, Any], Recipe | None]:
    """Returns the recipe of a run's results as values with all defaults, and whole if it can be.

    Args:
        text: The recipe as the store keeps it; where it is empty, the folder's recipe counts.
        folder: The run's folder.
    """
    file = folder / "recipe.yaml"
    if not text and file.is_file():
        text = file.read_text(encoding="utf-8", errors="replace")
    try:
        values = parse_yaml(text)
    except ValueError:
        return {}, None
    if not isinstance(values, dict):
        return {}, None
    try:
        recipe = build(Recipe, values, at=str(file))
    except PotstillError:
        return values, None  # of a run of potstill merge, or of another version
    return _plain(recipe), recipe


def _plain(recipe: Recipe, *, exclude_defaults: bool = False) -> dict[str, Any]:
    """Returns a recipe as plain values, without what names the run."""
    without = {"run", "reuse"}
    return recipe.model_dump(mode="json", exclude=without, exclude_defaults=exclude_defaults)


def _against_start(
    store: Store, chosen: System, values: Mapping[str, Any]
) -> StartComparison | None:
    """Returns the chosen student against its start on the task trained for, as the report does."""
    generic = (values.get("evaluate") or {}).get("generic") or {}
    others = generic.get("rules", ())[1:]  # their tasks hold the same answers once more
    comparisons = [
        one
        for one in store.comparisons()
        if not any(is_named_by_rule(one.task, rule) for rule in others)
    ]
    starts = {one.second.start for one in comparisons if one.second.model == "start"}
    named = chosen.start or chosen.model
    start = System("start", named if named in starts else None)
    return start_comparisons(comparisons, chosen, start).get(_leading(values))


def _leading(values: Mapping[str, Any]) -> str:
    """Returns the name of the task trained for."""
    task = values.get("task")
    if isinstance(task, Mapping):
        return str(task.get("name") or Path(str(task.get("file", ""))).stem)
    return str(task)


def _answers(
    predictions: Sequence[Prediction],
) -> dict[str, dict[System, dict[str, bool]]]:
    """Returns test answers by task, system and question."""
    found: dict[str, dict[System, dict[str, bool]]] = defaultdict(lambda: defaultdict(dict))
    for prediction, question in _with_questions(predictions):
        system = prediction.system.as_shown
        found[prediction.task][system][question] = prediction.correct
    return {task: dict(systems) for task, systems in found.items()}


def _with_questions(predictions: Sequence[Prediction]) -> Iterator[tuple[Prediction, str]]:
    """Yields the answers of systems that were taken, with what stands for each question."""
    times = Counter[tuple[System, str, str]]()
    for prediction in predictions:
        if not prediction.system.taken:
            continue
        # An older potstill kept the question's id alone.
        key = prediction.question_digest or f"id {prediction.question_id}"
        at = prediction.system, prediction.task, key
        times[at] += 1
        yield prediction, key if times[at] == 1 else f"{key} {times[at]}"
