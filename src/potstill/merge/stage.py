"""``potstill merge``: students of finished runs → merged models, measured on all their tasks.

A merge has a folder like a run's::

    FOLDER/
      recipe.yaml       the members and the methods; written before any work
      run.sqlite        the answers and results, as in any run
      grams/            RegMean's Gram matrices: all that it takes of the members' training data
      fisher_diagonals/ the same of the Fisher-weighted mean
      average/          merged models, as ``hf:`` loads them, each with its model card
      fisher/
      regmean/
      regmean-0.1/      where several values of alpha are tried, one each
      report.html, summary.json
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path
from typing import Self, get_args

import yaml

from potstill.errors import ConfigError
from potstill.evaluate.measure import EvalContext
from potstill.merge.evaluate import (
    MergeSystem,
    evaluate_merged,
    mean_accuracy,
    measure_on_tasks,
    merged_model_card,
)
from potstill.merge.members import MergeMember, read_members
from potstill.merge.merge import ModelMerger
from potstill.merge.settings import MergeSettings, Method
from potstill.models import Model, open_model
from potstill.models.local.ensemble import EnsembleModel
from potstill.models.local.model import HFModel
from potstill.pipeline.names import RESERVED, check_name
from potstill.pipeline.settings_file import change_setting
from potstill.records import Choice, Score, Task
from potstill.report import ReportFiles, write_report
from potstill.runtime.context import RunContext
from potstill.runtime.progress import Meter
from potstill.runtime.stage_machine import stage_machine
from potstill.sampling.ask import PromptConfig
from potstill.settings import build
from potstill.store import Store
from potstill.tasks.overlap import overlaps
from potstill.text.chosen_on_test import BEST_ON_TEST
from potstill.whole_files import write_whole

TRIAL = "regmean-{}"
"""The name of the student that RegMean makes with one of several values of alpha."""


class MergeRun:
    """Finished runs whose students are merged and measured.

    Use as a context manager; every method can be stopped and repeated.

    Args:
        runs: Folders of two or more finished runs.
        folder: Takes the merged models, the answers and the report.
        settings: How to merge and to measure.
        meter: Shows how far the work is.

    Raises:
        ConfigError: A run is not finished, the students cannot be merged, or the folder is another
            run's.
    """

    def __init__(
        self, runs: Sequence[Path], folder: Path, settings: MergeSettings, meter: Meter
    ) -> None:
        self.folder, self.settings, self.meter = folder, settings, meter
        self.members = read_members(runs, meter)
        _check_names(self.members)
        _check_reading(self.members)
        if settings.methods != ("ensemble",):
            _check_starts(self.members)
        _check_folder(folder)
        _ = self.tasks
        self._merger = ModelMerger(self.members, folder, settings, meter)
        self.store = Store(folder / "run.sqlite")
        context = RunContext(store=self.store, folder=folder, progress=meter)
        self._eval_context = EvalContext(context, left_out=[])
        self._write_recipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.store.close()

    @cached_property
    def tasks(self) -> list[Task]:
        """The members' tasks, each once."""
        return [owner.task for owner in self._owners.values()]

    @cached_property
    def _owners(self) -> dict[str, MergeMember]:
        """The first member that was trained for each task.

        Raises:
            ConfigError: Two tasks have one name and different test questions.
        """
        owners: dict[str, MergeMember] = {}
        for member in self.members:
            owner = owners.setdefault(member.task.name, member)
            if owner.task.splits["test"] != member.task.splits["test"]:
                raise ConfigError(
                    f"{owner.folder} and {member.folder} measure {member.task.name} on different "
                    "test questions. Merge runs that share them: give both the same task settings."
                )
        return owners

    def merge(self) -> dict[str, Path]:
        """Merge the weights; what is there already is not made again.

        Returns:
            The folder of each merged model, by method.
        """
        with self._timed("merge"):
            folders = {}
            if "average" in self.settings.methods:
                folders["average"] = self._merger.average("average")
            if "fisher" in self.settings.methods:
                folders["fisher"] = self._merger.fisher("fisher")
            if "regmean" in self.settings.methods:
                folders["regmean"] = self._merger.regmean("regmean", self.alpha)
        return folders

    @cached_property
    def alpha(self) -> float:
        """RegMean's alpha: of several, the first with the best mean development accuracy."""
        return max(self._dev_accuracies, key=lambda alpha: self._dev_accuracies[alpha])

    @cached_property
    def _dev_accuracies(self) -> dict[float, Fraction]:
        """The mean development accuracy over the tasks, by alpha; a single alpha is not measured.

        Test questions choose nothing.
        """
        if len(self.settings.alpha) == 1:
            return {self.settings.alpha[0]: Fraction(0)}
        accuracies = {}
        for alpha in self.settings.alpha:
            name = TRIAL.format(f"{alpha:g}")
            folder = self._merger.regmean(name, alpha)
            system = MergeSystem(name, partial(self._open_merged, folder), self._asking)
            results = measure_on_tasks(system, self.tasks, self._eval_context, "dev")
            accuracies[alpha] = mean_accuracy(results)
        return accuracies

    def evaluate(self) -> list[Score]:
        """Measure the members, the merged models and the ensemble on all test questions."""
        folders = self.merge()
        with self._timed("evaluate"):
            scores = evaluate_merged(
                self._member_systems(),
                self._merged_systems(folders),
                self.tasks,
                self._eval_context,
                bootstrap=self.settings.bootstrap,
                seed=self.settings.seed,
                choices=self._choices_on_test(),
            )
        members = {
            member.name: f"{member.task.name}, asked in `{member.checkpoint.data_format}`"
            for member in self.members
        }
        start = self.members[0].start.model
        for method, folder in folders.items():
            how = self._describe_method(method)
            on_test = any(member.on_test for member in self.members)
            card = merged_model_card(method, how, members, scores, start=start, on_test=on_test)
            write_whole(folder / "README.md", card)
        return scores

    def _choices_on_test(self) -> list[Choice]:
        """The members whose checkpoints were chosen on test, for all that shows their figures."""
        return [
            Choice(student=member.name, rule=BEST_ON_TEST, step=member.checkpoint.step, used=True)
            for member in self.members
            if member.on_test
        ]

    def _member_systems(self) -> list[MergeSystem]:
        return [
            MergeSystem(member.name, partial(self._open, member), self._own_asking(member))
            for member in self.members
        ]

    def _merged_systems(self, folders: Mapping[str, Path]) -> list[MergeSystem]:
        systems = [
            MergeSystem(method, partial(self._open_merged, folder), self._asking)
            for method, folder in folders.items()
        ]
        if "ensemble" in self.settings.methods:
            systems.append(MergeSystem("ensemble", self._open_ensemble, self._asking))
        return systems

    def report(self) -> ReportFiles:
        """Write report.html and summary.json."""
        return write_report(self.store, self.tasks, self.folder, notes=list(self._notes()))

    # asking --------------------------------------------------------------------------------------

    def _open(self, member: MergeMember, folder: Path | None = None) -> Model:
        """Opens a member, or another model in its place, with the settings it was trained with."""
        # Members are put together in this process, and measured where they are.
        place = {"model": f"hf:{folder or member.model}", "revision": None, "serve": None}
        return open_model(member.start.model_copy(update=place))

    def _open_merged(self, folder: Path) -> Model:
        return self._open(self.members[0], folder)

    def _open_ensemble(self) -> Model:
        models = [self._open(member) for member in self.members]
        return EnsembleModel([model for model in models if isinstance(model, HFModel)])

    def _asking(self, task: Task) -> PromptConfig:
        """How a merged model is asked: as the member that was trained for the task."""
        return self._up_to_length(self._owners[task.name].asking)

    def _own_asking(self, member: MergeMember) -> Callable[[Task], PromptConfig]:
        """How a member is asked, whatever the task: as it was trained."""
        return lambda _: self._up_to_length(member.asking)

    def _up_to_length(self, asking: PromptConfig) -> PromptConfig:
        """Returns the same way of asking, with the longest answer that all systems may give."""
        longest = max(member.asking.sampling.max_tokens for member in self.members)
        length = self.settings.max_tokens or longest
        return replace(asking, sampling=replace(asking.sampling, max_tokens=length))

    # describing ----------------------------------------------------------------------------------

    def _describe_method(self, method: str) -> str:
        """How a model was merged, in a sentence."""
        if method == "average":
            return "Each weight is the mean of the members'."
        if method == "fisher":
            return (
                "Each weight is the mean of the members', weighted by the diagonal of their Fisher "
                f"information (arXiv 2111.09832) on at most {self.settings.fisher_examples:,} "
                "training examples of each, with their own predictions as labels."
            )
        return (
            f"RegMean (arXiv 2212.09849) with alpha {self.alpha:g}, from at most "
            f"{self.settings.gram_examples:,} training examples of each member."
        )

    def _notes(self) -> Iterator[str]:
        """The notes for a reader of the report, a sentence each."""
        members = (f"{member.name}, trained for {member.task.name}" for member in self.members)
        yield f"Merged: {'; '.join(members)}."
        if "fisher" in self.settings.methods:
            yield self._describe_method("fisher")
        if "regmean" in self.settings.methods:
            yield from self._regmean_notes()
        for member in self.members:
            others = [task for task in self.tasks if task.name != member.task.name]
            for overlap in overlaps(member.task, others, member.recipe.overlap):
                if overlap.training and overlap.split == "test":
                    yield (
                        f"{overlap.training:,} training questions of {member.name} overlap with "
                        f"the test questions of {overlap.task}."
                    )

    def _regmean_notes(self) -> Iterator[str]:
        yield self._describe_method("regmean")
        if len(self._dev_accuracies) > 1:
            tried = ", ".join(
                f"{alpha:g}: {float(accuracy):.1%}"
                for alpha, accuracy in self._dev_accuracies.items()
            )
            yield (
                f"Alpha was chosen by the mean accuracy on development questions ({tried}); "
                "test questions chose nothing."
            )
        ridged = self._merger.ridged("regmean")
        if ridged:
            yield (
                f"The Grams of {len(ridged)} linear layers were singular and got a small ridge "
                f"on the diagonal: {', '.join(ridged)}."
            )

    def _write_recipe(self) -> None:
        values = {
            "merge": self.settings.model_dump(mode="json"),
            "members": {member.name: str(member.folder) for member in self.members},
            "student": self.members[0].start.model_dump(mode="json"),
        }
        write_whole(
            self.folder / "recipe.yaml",
            yaml.safe_dump(values, sort_keys=False, allow_unicode=True),
        )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.store.add_stage_time(stage, time.monotonic() - start)
            self.store.keep_machine(stage_machine(stage))


def merge_settings(methods: Sequence[str] = (), changes: Sequence[str] = ()) -> MergeSettings:
    """The settings of a merge.

    Args:
        methods: The names of the methods; none takes the default ones.
        changes: Settings, each as ``alpha=0.1``.

    Raises:
        ConfigError: A setting is unknown or out of bounds.
    """
    raw: dict[str, object] = {"methods": list(methods)} if methods else {}
    for change in changes:
        change_setting(raw, change)
    return build(MergeSettings, raw, at="merge")


RESERVED_NAMES = RESERVED | dict.fromkeys(get_args(Method), "a method of merging has this name")
"""Names that no run to be merged can have: results go by the runs' names."""


def _check_names(members: Sequence[MergeMember]) -> None:
    for member in members:
        name = member.name
        if name.startswith(TRIAL.format("")):
            raise ConfigError(f"{member.folder} is named like a trial of RegMean. Rename it.")
        for part in name.split("/"):  # folders before the last tell two of one name apart
            reserved = RESERVED_NAMES if part == name else {}
            check_name(part, at="names of merged runs", reserved=reserved)


def _check_reading(members: Sequence[MergeMember]) -> None:
    """Members that read control tokens in texts, and others that do not, make no one model."""
    by_reading = {member.start.control_tokens: member for member in members}
    if len(by_reading) > 1:
        raise ConfigError(
            f"{by_reading[True].folder} was trained with control_tokens, and "
            f"{by_reading[False].folder} without. What comes of both would read texts as one of "
            "the two did. Merge runs that agree in it."
        )


def _check_starts(members: Sequence[MergeMember]) -> None:
    """Weights can be averaged only where they grew from the same ones."""
    first = members[0]
    for other in members[1:]:
        starts = [(member.start.model, member.start.revision) for member in (first, other)]
        if starts[0] != starts[1]:
            names = [f"{model} @ {revision}" if revision else model for model, revision in starts]
            raise ConfigError(
                f"{first.folder} started from {names[0]}, {other.folder} from {names[1]}; weights "
                "can be merged only where they grew from one checkpoint. Take runs of one start, "
                "or --method ensemble alone."
            )


def _check_folder(folder: Path) -> None:
    """Refuse the folder of a run that is no merge; one of ``potstill fuse`` has another heading."""
    file = folder / "recipe.yaml"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else ["merge:"]
    if "merge:" not in lines and "fuse:" not in lines:
        raise ConfigError(f"{folder} is the folder of another run. Give another one as --out.")
