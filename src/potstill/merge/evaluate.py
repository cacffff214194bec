"""Measuring models that were trained in other runs, and what was fused of them.

The model card of a fused student.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from typing import NamedTuple

from potstill.evaluate.measure import EvalContext, Measured, compared
from potstill.evaluate.systems import EvalTask, System
from potstill.grading.grade import GRADER_VERSION
from potstill.keys import settings_hash
from potstill.models import Model
from potstill.records import Score, Split, Task
from potstill.sampling.ask import PromptConfig


class Contestant(NamedTuple):
    """A model that is asked in a way of its own on each task."""

    name: str
    open: Callable[[], Model]
    """Loads the model; called only when it is measured."""

    asking: Callable[[Task], PromptConfig]
    """How it is asked on a task."""


def measure(
    contestant: Contestant, tasks: Sequence[Task], bench: EvalContext, split: Split
) -> list[Measured]:
    """A contestant's results on one split of each task."""
    model, name = contestant.open(), contestant.name
    found = []
    for task in tasks:
        system = System(name, None, contestant.open, contestant.asking(task), name)
        measured = bench.measure(system, model, EvalTask(task, "target"), split)
        assert measured is not None, "a local model answers every question"
        found.append(measured)
    return found


def mean_accuracy(measured: Sequence[Measured]) -> Fraction:
    """The mean of the accuracies, in which every task counts the same."""
    shares = [Fraction(each.score.correct, each.score.total) for each in measured]
    return sum(shares, Fraction(0)) / len(shares)


def evaluate_fused(
    members: Sequence[Contestant],
    fused: Sequence[Contestant],
    tasks: Sequence[Task],
    bench: EvalContext,
    *,
    bootstrap: int,
    seed: int,
) -> list[Score]:
    """Measure members and what was fused of them on the test questions of all tasks.

    Args:
        members: The students that were fused.
        fused: What came of them; each is compared with every other system.
        tasks: The members' tasks, each once.
        bench: Where they are measured; its store takes the results.
        bootstrap: Resamples behind the interval of a difference.
        seed: Of the bootstrap.
    """
    results = {
        contestant.name: measure(contestant, tasks, bench, "test")
        for contestant in (*members, *fused)
    }
    # What was fused stands first in a comparison; of two fused ones, the later.
    pairs = list(combinations(reversed(results), 2))
    comparisons = [
        compared(first, second, resamples=bootstrap, seed=seed)
        for one, two in pairs
        if one in {each.name for each in fused}
        for first, second in zip(results[one], results[two], strict=True)
    ]
    measured = [result for of_one in results.values() for result in of_one]
    scores = [result.score for result in measured]
    bench.store.replace_evaluation(
        scores,
        [prediction for result in measured for prediction in result.predictions],
        comparisons,
        grader=GRADER_VERSION,
        settings_hash=settings_hash([task.rule for task in tasks], GRADER_VERSION, bootstrap, seed),
    )
    return scores


CARD = """---
base_model: {start}
tags: [potstill, model-fusion, chain-of-thought]
---
# {name} of {count} students

Fused with potstill from students that were each specialised from `{start}`:

{members}

{how}

## How to ask it

On each task in the data format of the student that was trained for it, which stands above and in
the model card of that student's run.

## Accuracy on test questions

| system | task | right | accuracy | 95% interval |
|---|---|---|---|---|
{rows}

Intervals are Wilson's. Fusing students of different tasks can destroy what one of them had learned:
compare the fused model with each member.
"""


def model_card(
    name: str,
    how: str,
    members: Mapping[str, str],
    scores: Sequence[Score],
    *,
    start: str,
) -> str:
    """The model card's text.

    Args:
        name: The fused model's.
        how: How it was fused, in a sentence.
        members: By name, what each was trained for.
        scores: Of all systems on the test questions of all tasks.
        start: What the members started from.
    """
    rows = [
        f"| {score.system} | {score.task} | {score.correct}/{score.total} "
        f"| {score.correct / score.total:.1%} | {score.low:.1%} to {score.high:.1%} |"
        for score in scores
    ]
    return CARD.format(
        start=start,
        name=name,
        count=len(members),
        members="\n".join(f"- `{member}`: {told}" for member, told in members.items()),
        how=how,
        rows="\n".join(rows),
    )
