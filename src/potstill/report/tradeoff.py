"""The trade-off of training: abilities along it, the choice of each rule, and models by size.

Specialising a small model raises the target ability and lowers generic ability (arXiv 2301.12726);
each ability is the mean accuracy over the tasks of one role, with an interval.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from potstill.records import Score, Split, System
from potstill.report.accuracy import Results

ROLES = {"target": "Target", "out_of_distribution": "Out of distribution", "generic": "Generic"}
"""The purposes that abilities are measured for, and what readers call them."""


class Estimate(NamedTuple):
    """A share or a difference of shares, with its 95% interval."""

    value: float
    low: float
    high: float


Abilities = Mapping[str, Estimate]
"""Accuracies by role; a role is absent without tasks, or where not all of them were measured."""


class Moment(NamedTuple):
    """A student at one step of its training; step 0 is the start."""

    step: int
    chosen: bool
    abilities: Abilities
    """The accuracies on development questions."""


class ChosenCheckpoint(NamedTuple):
    """A checkpoint that at least one selection rule chooses."""

    step: int
    rules: Sequence[str]
    used: bool
    """Whether the recipe's rule is among them: this checkpoint is the student."""

    development: Abilities
    test: Abilities
    gained: Abilities
    """Test accuracy less that of the checkpoint used, paired; empty for that one itself."""


class Sized(NamedTuple):
    """The accuracy on the leading task of one model of a known size."""

    family: str
    """The model's name in :class:`potstill.records.System`, which several sizes share."""

    system: System
    parameters: int
    score: Score


def mean_of(estimates: Iterable[tuple[int, Estimate]]) -> Estimate:
    """Returns the mean of estimates, every one weighing alike, with an interval from theirs.

    Errors on different questions are independent and add up in squares, separately below and
    above the mean (MOVER; Zou & Donner 2008). On the same questions, asked in several ways, they
    are taken to be one and the same error, which can only make the interval too wide. The mean of
    one estimate is that estimate.

    Args:
        estimates: At least one; each with the number of its set of questions.
    """
    below, above = defaultdict[int, float](float), defaultdict[int, float](float)
    total, count = 0.0, 0
    for questions, one in estimates:
        below[questions] += one.value - one.low
        above[questions] += one.high - one.value
        total, count = total + one.value, count + 1
    mean = total / count
    low, high = (math.hypot(*halves.values()) / count for halves in (below, above))
    return Estimate(mean, mean - low, mean + high)


def followed(results: Results) -> bool:
    """Returns whether anything beside the task trained for was scored at every checkpoint."""
    return any(
        results.dev_scores(student, task.name)
        for role in ROLES
        if role != "target"
        for task in results.with_role(role)
        for student in results.students
    )


def along_training(results: Results, student: System) -> list[Moment]:
    """Returns a student's abilities from its start to its last checkpoint."""
    systems = (student, results.start_of(student))
    by_step: dict[int, list[Score]] = defaultdict(list)
    for score in results.scores:
        if score.split == "dev" and score.system.bare in systems:
            by_step[score.step or 0].append(score)
    return [
        Moment(step, any(score.chosen for score in scores), _accuracies(results, scores, "dev"))
        for step, scores in sorted(by_step.items())
    ]


def candidates(results: Results, student: System) -> list[ChosenCheckpoint]:
    """Returns the checkpoints that the rules choose for a student, the one used first."""
    rules: dict[int, list[str]] = defaultdict(list)
    for choice in results.choices:
        if choice.system == student:
            rules[choice.step].append(choice.rule)
    moments = {moment.step: moment for moment in along_training(results, student)}
    chosen = [
        _candidate(results, student, moments.get(step), step, chosen_by)
        for step, chosen_by in rules.items()
    ]
    return sorted(chosen, key=lambda checkpoint: (not checkpoint.used, checkpoint.step))


def sized(results: Results) -> list[Sized]:
    """Returns starts and students by size, family by family; empty unless sizes differ."""
    by_system: dict[System, Sized] = {}
    for last in results.last_checkpoints:
        for system in (results.start_of(last.system), last.system):
            score = results.test_score(system, results.leading.name)
            if score is not None and last.parameters:
                sized_system = Sized(system.model, system, last.parameters, score)
                by_system.setdefault(system, sized_system)
    students = {known.parameters for known in by_system.values() if known.family != "start"}
    if len(students) < 2:
        return []
    first = results.chosen.model if results.chosen else ""

    def place(known: Sized) -> tuple[bool, bool, str, int]:
        return known.family == "start", known.family != first, known.family, known.parameters

    return sorted(by_system.values(), key=place)


def estimate(score: Score) -> Estimate:
    """Returns a score's accuracy with its interval."""
    return Estimate(score.correct / score.total, score.low, score.high)


def _candidate(
    results: Results, student: System, moment: Moment | None, step: int, rules: Sequence[str]
) -> ChosenCheckpoint:
    system = results.checkpoint_system(student, step)
    tested = [
        score
        for score in results.scores
        if (score.system.as_shown, score.split) == (system, "test")
    ]
    against = {
        task.name: Estimate(comparison.difference, comparison.low, comparison.high)
        for task in results.tasks
        if (comparison := results.comparison(system, student, task.name)) is not None
    }
    return ChosenCheckpoint(
        step=step,
        rules=rules,
        used=system == student,
        development=moment.abilities if moment else {},
        test=_accuracies(results, tested, "test"),
        gained=_means(results, against, "test"),
    )


def _accuracies(results: Results, scores: Iterable[Score], split: Split) -> Abilities:
    return _means(results, {score.task: estimate(score) for score in scores}, split)


def _means(results: Results, by_task: Mapping[str, Estimate], split: Split) -> Abilities:
    """Returns the mean of each role whose tasks all have an estimate."""
    abilities, sets = {}, [task.splits[split] for task in results.tasks]
    for role in ROLES:
        tasks = results.with_role(role)
        if tasks and all(task.name in by_task for task in tasks):
            # One task in several ways has equal questions, whose first place names them all.
            numbered = [(sets.index(task.splits[split]), by_task[task.name]) for task in tasks]
            abilities[role] = mean_of(numbered)
    return abilities
