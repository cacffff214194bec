"""What training gives and takes: abilities along training, what each rule would choose, sizes."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from potstill.records import Score, Split
from potstill.report.accuracy import Results

ROLES = {"target": "Target", "out_of_distribution": "Out of distribution", "generic": "Generic"}
"""The purposes that abilities are measured for, and what readers call them."""


class Estimate(NamedTuple):
    """A share or a difference of shares, with its 95% interval."""

    value: float
    low: float
    high: float


Abilities = Mapping[str, Estimate]
"""By role; one is absent where it has no tasks, or where not all of them were measured."""


class Moment(NamedTuple):
    """A student at one step of its training; step 0 is the start."""

    step: int
    chosen: bool
    abilities: Abilities
    """On development questions."""


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
    """What models of several sizes share: a student's name, or ``start``."""

    system: str
    parameters: int
    score: Score


def mean_of(estimates: Iterable[tuple[int, Estimate]]) -> Estimate:
    """The mean of estimates, every one weighing alike, with an interval built from theirs.

    Errors on different questions are independent and add up in squares, separately below and
    above the mean (MOVER; Zou & Donner 2008). On the same questions, asked in several ways, they
    are taken to be one and the same error, which can only make the interval too wide. The mean of
    one estimate is that estimate.

    Args:
        estimates: At least one; each with the number of the set of questions that it is of.
    """
    below, above = defaultdict[int, float](float), defaultdict[int, float](float)
    total, count = 0.0, 0
    for questions, each in estimates:
        below[questions] += each.value - each.low
        above[questions] += each.high - each.value
        total, count = total + each.value, count + 1
    mean = total / count
    low, high = (math.hypot(*halves.values()) / count for halves in (below, above))
    return Estimate(mean, mean - low, mean + high)


def followed(results: Results) -> bool:
    """Whether anything beside the task trained for was scored at every checkpoint."""
    return any(
        results.dev_scores(student, task.name)
        for role in ROLES
        if role != "target"
        for task in results.with_role(role)
        for student in results.students
    )


def along_training(results: Results, student: str) -> list[Moment]:
    """A student's abilities from its start to its last checkpoint."""
    systems = (student, results.start_of(student))
    by_step: dict[int, list[Score]] = defaultdict(list)
    for score in results.scores:
        if score.split == "dev" and score.system in systems:
            by_step[score.step or 0].append(score)
    return [
        Moment(step, any(each.chosen for each in scores), _accuracies(results, scores, "dev"))
        for step, scores in sorted(by_step.items())
    ]


def candidates(results: Results, student: str) -> list[ChosenCheckpoint]:
    """What the selection rules choose for a student, each checkpoint once, the used one first."""
    rules: dict[int, list[str]] = defaultdict(list)
    for choice in results.choices:
        if choice.student == student:
            rules[choice.step].append(choice.rule)
    moments = {moment.step: moment for moment in along_training(results, student)}
    found = [
        _candidate(results, student, moments.get(step), step, chosen_by)
        for step, chosen_by in rules.items()
    ]
    return sorted(found, key=lambda each: (not each.used, each.step))


def sized(results: Results) -> list[Sized]:
    """Starts and students by size, a family after the other; empty unless sizes differ."""
    found: dict[str, Sized] = {}
    for last in results.last_checkpoints:
        start = results.start_of(last.student)
        named = {start: "start", last.student: results.family(last.student)[0]}
        for system, family in named.items():
            score = results.test_score(system, results.leading.name)
            if score is not None and last.parameters:
                found.setdefault(system, Sized(family, system, last.parameters, score))
    students = {each.parameters for each in found.values() if each.family != "start"}
    if len(students) < 2:
        return []
    first = results.family(results.subject or "")[0]

    def place(each: Sized) -> tuple[bool, bool, str, int]:
        return each.family == "start", each.family != first, each.family, each.parameters

    return sorted(found.values(), key=place)


def estimate(score: Score) -> Estimate:
    """A score's accuracy with its interval."""
    return Estimate(score.correct / score.total, score.low, score.high)


def _candidate(
    results: Results, student: str, moment: Moment | None, step: int, rules: Sequence[str]
) -> ChosenCheckpoint:
    system = results.checkpoint_system(student, step)
    tested = [score for score in results.scores if (score.system, score.split) == (system, "test")]
    against = {
        task.name: Estimate(found.difference, found.low, found.high)
        for task in results.tasks
        if (found := results.comparison(system, student, task.name)) is not None
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
    """The mean of each role whose tasks all have an estimate."""
    abilities, sets = {}, [task.splits[split] for task in results.tasks]
    for role in ROLES:
        tasks = results.with_role(role)
        if tasks and all(task.name in by_task for task in tasks):
            # One task in several ways has equal questions, whose first place names them all.
            numbered = [(sets.index(task.splits[split]), by_task[task.name]) for task in tasks]
            abilities[role] = mean_of(numbered)
    return abilities
