"""Reads what several seeded runs measured, and compares systems over the runs."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from potstill.experiment.seeded_runs import SeededRun
from potstill.records import System
from potstill.statistics import (
    Interval,
    PairedResult,
    RunsComparison,
    accuracy_interval,
    compare_runs,
    paired_comparison,
    runs_interval,
)
from potstill.store import Store
from potstill.text.chosen_on_test import BEST_ON_TEST, is_chosen_on_test
from potstill.text.points import points

RESAMPLES = 10_000
"""Bootstrap resamples behind the intervals over questions."""

HONEST = "in_distribution"
"""The rule that chooses a checkpoint by its development accuracy on the same task."""

Answers = Mapping[str, bool]
"""Whether a system's answer is right, by the question's id."""

StepCounts = dict[int, tuple[int, int]]
"""Right and asked questions, by training step."""


class SystemComparison(NamedTuple):
    """Two systems that answered the same questions under the same seeds."""

    over_runs: RunsComparison | None
    """The comparison over runs; None for one run."""

    over_questions: PairedResult
    """All pairs of answers; what it says holds for these trainings and no others."""


@dataclass(frozen=True, kw_only=True)
class SystemResults:
    """One system on one task, in all runs."""

    name: str
    by_seed: Mapping[int, Answers]

    @property
    def right(self) -> int:
        """Right answers of all runs."""
        return sum(sum(answers.values()) for answers in self.by_seed.values())

    @property
    def total(self) -> int:
        """Answers of all runs."""
        return sum(len(answers) for answers in self.by_seed.values())

    @property
    def accuracies(self) -> dict[int, float]:
        """The accuracy of each run, by its seed."""
        return {seed: sum(some.values()) / len(some) for seed, some in self.by_seed.items()}

    @property
    def over_runs(self) -> Interval | None:
        """The 95% interval of the mean accuracy over runs; None for one run, or equal ones."""
        accuracies = list(self.accuracies.values())
        return runs_interval(accuracies) if len(accuracies) > 1 else None

    @property
    def over_questions(self) -> Interval:
        """The 95% interval over the pooled questions, as if all were answered by one training."""
        return accuracy_interval(self.right, self.total)

    def compared_with(self, other: "SystemResults") -> SystemComparison | None:
        """Returns the comparison with another; None where either lacks a question of the other."""
        if {seed: set(answers) for seed, answers in self.by_seed.items()} != {
            seed: set(answers) for seed, answers in other.by_seed.items()
        }:
            return None
        pairs = [
            (right, other.by_seed[seed][question])
            for seed, answers in self.by_seed.items()
            for question, right in answers.items()
        ]
        ours, theirs = zip(*pairs, strict=True)
        mine, others = self.accuracies, other.accuracies
        over_runs = None
        if len(mine) > 1:
            over_runs = compare_runs(list(mine.values()), [others[seed] for seed in mine])
        return SystemComparison(
            over_runs, paired_comparison(ours, theirs, resamples=RESAMPLES, seed=0)
        )


def results_on_tests(runs: Sequence[SeededRun]) -> dict[str, list[SystemResults]]:
    """Returns the test answers of the systems of some runs, by task.

    A system of a variant is named ``VARIANT/SYSTEM``.
    """
    found: dict[str, dict[str, dict[int, dict[str, bool]]]] = {}
    for run in runs:
        with Store(run.folder / "run.sqlite", read_only=True) as store:
            for prediction in store.predictions():
                if not prediction.system.taken:  # see results_by_rule
                    continue
                name = _name(run.variant, prediction.system.label)
                by_seed = found.setdefault(prediction.task, {}).setdefault(name, defaultdict(dict))
                by_seed[run.seed][prediction.question_id] = prediction.correct
    return _as_results(found)


def results_by_rule(runs: Sequence[SeededRun]) -> dict[str, list[SystemResults]]:
    """Returns the test answers of the checkpoints that each rule of selection chooses, by task.

    The step that a rule chooses differs from seed to seed, so these are systems of their own.
    """
    found: dict[str, dict[str, dict[int, dict[str, bool]]]] = {}
    for run in runs:
        with Store(run.folder / "run.sqlite", read_only=True) as store:
            answers: dict[tuple[System, str], dict[str, bool]] = defaultdict(dict)
            for prediction in store.predictions():
                at = replace(prediction.system, taken=True), prediction.task
                answers[at][prediction.question_id] = prediction.correct
            for choice in store.choices():
                chosen = replace(choice.system, step=choice.step)
                name = _name(run.variant, choice.system.label, choice.rule)
                for (system, task), verdicts in answers.items():
                    if system == chosen:
                        found.setdefault(task, {}).setdefault(name, {})[run.seed] = verdicts
    return _as_results(found)


def chosen_on_test(runs: Sequence[SeededRun]) -> bool:
    """Whether any run's students are checkpoints that were chosen on test questions."""
    for run in runs:
        with Store(run.folder / "run.sqlite", read_only=True) as store:
            if is_chosen_on_test(store.choices()):
                return True
    return False


def inflation(by_rule: Sequence[SystemResults]) -> dict[str, tuple[SystemResults, SystemResults]]:
    """Returns each student as test and as development questions choose its checkpoint.

    Args:
        by_rule: The results of one task, from :func:`results_by_rule`; the difference of the two is
            how much the choice on test makes an accuracy too high.
    """
    named = {system.name: system for system in by_rule}
    pairs = {
        name.removesuffix(f"/{BEST_ON_TEST}"): (
            system,
            f"{name.removesuffix(BEST_ON_TEST)}{HONEST}",
        )
        for name, system in named.items()
        if name.endswith(f"/{BEST_ON_TEST}")
    }
    return {
        student: (system, named[honest])
        for student, (system, honest) in pairs.items()
        if honest in named
    }


def development_curves(runs: Sequence[SeededRun]) -> dict[str, dict[str, StepCounts]]:
    """Returns right and asked development questions of all runs, by task, system and step."""
    found: dict[str, dict[str, StepCounts]] = {}
    for run in runs:
        with Store(run.folder / "run.sqlite", read_only=True) as store:
            for score in store.scores():
                if score.split == "dev":
                    name = _name(run.variant, score.system.bare.label)
                    steps = found.setdefault(score.task, {}).setdefault(name, {})
                    right, total = steps.get(score.step or 0, (0, 0))
                    steps[score.step or 0] = (right + score.correct, total + score.total)
    return found


def shared_questions(systems: Sequence[SystemResults]) -> tuple[int, int]:
    """Returns how many questions were asked under several seeds, and how many there are."""
    seeds_of: dict[str, set[int]] = defaultdict(set)
    for system in systems:
        for seed, answers in system.by_seed.items():
            for question in answers:
                seeds_of[question].add(seed)
    return sum(len(seeds) > 1 for seeds in seeds_of.values()), len(seeds_of)


def difference_cells(compared: SystemComparison | None) -> tuple[str, str, str]:
    """Returns a difference in points, its 95% interval and its p-value as a table shows them.

    They are over runs; for a single run over its questions. Empty where nothing was compared.
    """
    if compared is None:
        return "", "", ""
    shown = compared.over_runs or compared.over_questions
    difference, interval, p_value = shown.difference, shown.interval, shown.p_value
    ends = "-" if interval is None else " to ".join(map(points, interval))
    return points(difference), ends, "-" if p_value is None else f"{p_value:.2g}"


def system_figures(system: SystemResults) -> dict[str, object]:
    """Returns one system's accuracy with its intervals and counts as plain values."""
    return {
        "right": system.right,
        "total": system.total,
        "mean": statistics.fmean(system.accuracies.values()),
        "over_runs": system.over_runs,
        "over_questions": system.over_questions,
        "by_seed": {
            seed: [sum(answers.values()), len(answers)] for seed, answers in system.by_seed.items()
        },
    }


def comparison_figures(compared: SystemComparison | None) -> dict[str, object] | None:
    """Returns a comparison as plain values; None where nothing was compared."""
    if compared is None:
        return None
    over_runs, over_questions = compared
    return {
        "over_runs": over_runs._asdict() if over_runs else None,
        "over_questions": over_questions._asdict(),
    }


def _name(*parts: str) -> str:
    return "/".join(filter(None, parts))


def _as_results(
    found: Mapping[str, Mapping[str, Mapping[int, Answers]]],
) -> dict[str, list[SystemResults]]:
    return {
        task: [SystemResults(name=name, by_seed=by_seed) for name, by_seed in systems.items()]
        for task, systems in found.items()
    }
