"""Fusing the students of finished runs, and measuring what comes of it on all their tasks.

FOLDER/
  recipe.yaml       what is fused and how; written before any work
  run.sqlite        the answers and results, as of any run
  grams/            RegMean's Gram matrices: all that it takes of the members' training data
  average/          fused models, as ``hf:`` loads them, each with its model card
  regmean/
  regmean-0.1/      where several values of alpha are tried, one each
  report.html, summary.json
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path
from typing import Self

import yaml

from potstill.errors import ConfigError, extra
from potstill.evaluate.measure import EvalContext
from potstill.merge.evaluate import Contestant, evaluate_fused, mean_accuracy, measure, model_card
from potstill.merge.members import Member, read_members
from potstill.merge.merge import MergedModels
from potstill.merge.settings import MergeSettings
from potstill.models import Model, open_model
from potstill.pipeline.recipe import change_setting
from potstill.records import Score, Task
from potstill.report import ReportFiles, write_report
from potstill.runtime.progress import Meter
from potstill.sampling.ask import PromptConfig
from potstill.settings import build
from potstill.store import Store
from potstill.tasks.overlap import overlaps


class MergeRun:
    """Finished runs at work on one another. Use as a context manager; may be stopped and repeated.

    Args:
        runs: Folders of two or more finished runs.
        folder: Takes the fused models, the answers and the report.
        settings: How to fuse and to measure.
        meter: Shown the progress.

    Raises:
        ConfigError: A run is not finished, the students cannot be fused, or the folder is a run's.
    """

    def __init__(
        self, runs: Sequence[Path], folder: Path, settings: MergeSettings, meter: Meter
    ) -> None:
        with extra("local", needed_for="potstill fuse"):
            import torch  # noqa: F401
        self.folder, self.settings, self.meter = folder, settings, meter
        self.members = read_members(runs, meter)
        _check_names(self.members)
        if settings.methods != ("ensemble",):
            _check_starts(self.members)
        _check_folder(folder)
        _ = self.tasks
        self._models = MergedModels(self.members, folder, settings, meter)
        self.store = Store(folder / "run.sqlite")
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
    def _owners(self) -> dict[str, Member]:
        """The first member that was trained for each task.

        Raises:
            ConfigError: Two tasks have one name and different test questions.
        """
        owners: dict[str, Member] = {}
        for member in self.members:
            owner = owners.setdefault(member.task.name, member)
            if owner.task.splits["test"] != member.task.splits["test"]:
                raise ConfigError(
                    f"{owner.folder} and {member.folder} measure {member.task.name} on different "
                    "test questions. Fuse runs that share them: give both the same task settings."
                )
        return owners

    def fuse(self) -> dict[str, Path]:
        """Fuse the weights; what is there already is not made again.

        Returns:
            The folder of each fused model, by method.
        """
        with self._timed("fuse"):
            made = {}
            if "average" in self.settings.methods:
                made["average"] = self._models.average("average")
            if "regmean" in self.settings.methods:
                made["regmean"] = self._models.regmean("regmean", self.alpha)
        return made

    @cached_property
    def alpha(self) -> float:
        """RegMean's alpha: of several, the one with the best development accuracy.

        That is the mean over the tasks; of equals, the first.
        """
        return max(self._alphas, key=lambda alpha: self._alphas[alpha])

    @cached_property
    def _alphas(self) -> dict[float, Fraction]:
        """The mean development accuracy of each alpha; where there is one alone, it is not asked.

        Test questions choose nothing.
        """
        if len(self.settings.alpha) == 1:
            return {self.settings.alpha[0]: Fraction(0)}
        bench = EvalContext(self.store, self.meter, left_out=[])
        found = {}
        for alpha in self.settings.alpha:
            name = f"regmean-{alpha:g}"
            folder = self._models.regmean(name, alpha)
            contestant = Contestant(name, partial(self._open, folder), self._asking)
            found[alpha] = mean_accuracy(measure(contestant, self.tasks, bench, "dev"))
        return found

    def evaluate(self) -> list[Score]:
        """Measure the members, the fused models and the ensemble on all test questions."""
        made = self.fuse()
        with self._timed("evaluate"):
            bench = EvalContext(self.store, self.meter, left_out=[])
            members = [
                Contestant(member.name, partial(self._open, member.model), self._own_asking(member))
                for member in self.members
            ]
            opened: dict[str, Callable[[], Model]] = {
                name: partial(self._open, folder) for name, folder in made.items()
            }
            if "ensemble" in self.settings.methods:
                opened["ensemble"] = self._open_ensemble
            fused = [Contestant(name, open_, self._asking) for name, open_ in opened.items()]
            settings = self.settings
            scores = evaluate_fused(
                members,
                fused,
                self.tasks,
                bench,
                bootstrap=settings.bootstrap,
                seed=settings.seed,
            )
        told = {
            member.name: f"{member.task.name}, asked in `{member.checkpoint.data_format}`"
            for member in self.members
        }
        for method, folder in made.items():
            card = model_card(
                method, self._how(method), told, scores, start=self.members[0].start.model
            )
            (folder / "README.md").write_text(card, encoding="utf-8")
        return scores

    def report(self) -> ReportFiles:
        """Write report.html and summary.json."""
        return write_report(self.store, self.tasks, self.folder, notes=list(self._notes()))

    # asking --------------------------------------------------------------------------------------

    def _open(self, folder: Path) -> Model:
        place = {"model": f"hf:{folder}", "revision": None}
        return open_model(self.members[0].recipe.student.model_copy(update=place))

    def _open_ensemble(self) -> Model:
        from potstill.models.local.ensemble import EnsembleModel
        from potstill.models.local.model import HFModel

        opened = [self._open(member.model) for member in self.members]
        return EnsembleModel([model for model in opened if isinstance(model, HFModel)])

    def _asking(self, task: Task) -> PromptConfig:
        """How a fused model is asked: as the member that was trained for the task."""
        return self._up_to_length(self._owners[task.name].asking)

    def _own_asking(self, member: Member) -> Callable[[Task], PromptConfig]:
        """How a member is asked, whatever the task: as it was trained."""
        return lambda _: self._up_to_length(member.asking)

    def _up_to_length(self, asking: PromptConfig) -> PromptConfig:
        """The longest answer is the same for all systems."""
        longest = max(member.asking.sampling.max_tokens for member in self.members)
        length = self.settings.max_tokens or longest
        return replace(asking, sampling=replace(asking.sampling, max_tokens=length))

    # telling -------------------------------------------------------------------------------------

    def _how(self, method: str) -> str:
        """How a model was fused, in a sentence."""
        if method == "average":
            return "Each weight is the mean of the members'."
        return (
            f"RegMean (arXiv 2212.09849) with alpha {self.alpha:g}, from at most "
            f"{self.settings.gram_examples:,} training examples of each member."
        )

    def _notes(self) -> Iterator[str]:
        """What a reader of the report should know."""
        yield (
            "Fused: "
            + "; ".join(f"{member.name}, trained for {member.task.name}" for member in self.members)
            + "."
        )
        if "regmean" in self.settings.methods:
            yield self._how("regmean")
            if len(self._alphas) > 1:
                tried = ", ".join(f"{a:g}: {float(share):.1%}" for a, share in self._alphas.items())
                yield (
                    f"Alpha was chosen by the mean accuracy on development questions ({tried}); "
                    "test questions chose nothing."
                )
            ridged = self._models.ridged("regmean")
            if ridged:
                yield (
                    f"The Grams of {len(ridged)} linear layers were singular and got a small ridge "
                    f"on the diagonal: {', '.join(ridged)}."
                )
        for member in self.members:
            others = [task for task in self.tasks if task.name != member.task.name]
            for found in overlaps(member.task, others, member.recipe.overlap):
                if found.training and found.split == "test":
                    yield (
                        f"{found.training:,} training questions of {member.name} overlap with the "
                        f"test questions of {found.task}."
                    )

    def _write_recipe(self) -> None:
        values = {
            "fuse": self.settings.model_dump(mode="json"),
            "members": {member.name: str(member.folder) for member in self.members},
            "student": self.members[0].start.model_dump(mode="json"),
        }
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        (self.folder / "recipe.yaml").write_text(text, encoding="utf-8")

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.store.add_stage_time(stage, time.monotonic() - start)


def fuse_settings(methods: Sequence[str] = (), changes: Sequence[str] = ()) -> MergeSettings:
    """The settings of fusing.

    Args:
        methods: By name; none takes the default ones.
        changes: Settings as ``alpha=0.1``.

    Raises:
        ConfigError: A setting is unknown or out of bounds.
    """
    raw: dict[str, object] = {"methods": list(methods)} if methods else {}
    for change in changes:
        change_setting(raw, change)
    return build(MergeSettings, raw, at="fuse")


def _check_names(members: Sequence[Member]) -> None:
    for member in members:
        if member.name in ("average", "regmean", "ensemble"):
            raise ConfigError(
                f"{member.folder} is named like a method, and results go by name. Rename it."
            )


def _check_starts(members: Sequence[Member]) -> None:
    """Weights can be averaged only where they grew from the same ones."""
    first = members[0]
    for other in members[1:]:
        starts = [(each.start.model, each.start.revision) for each in (first, other)]
        if starts[0] != starts[1]:
            told = [f"{model} @ {at}" if at else model for model, at in starts]
            raise ConfigError(
                f"{first.folder} started from {told[0]}, {other.folder} from {told[1]}; weights "
                "can be fused only where they grew from one checkpoint. Take runs of one start, or "
                "--method ensemble alone."
            )


def _check_folder(folder: Path) -> None:
    file = folder / "recipe.yaml"
    if file.is_file() and "fuse:" not in file.read_text(encoding="utf-8").splitlines():
        raise ConfigError(f"{folder} is the folder of another run. Give another one as --out.")
