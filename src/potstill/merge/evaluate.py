"""Measuring the members of a merge beside what came of them, and the merged model's card.

Every system answers the test questions of all tasks, since merging students of different tasks can
destroy what one of them had learned.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from typing import NamedTuple

from potstill.evaluate.measure import EvalContext, Measured, compare_systems
from potstill.evaluate.systems import EvalTask, MeasuredSystem
from potstill.grading.grade import GRADER_VERSION
from potstill.keys import settings_hash
from potstill.models import Model
from potstill.records import Choice, Score, Split, System, Task
from potstill.sampling.ask import PromptConfig
from potstill.text.chosen_on_test import CHOSEN_ON_TEST


class MergeSystem(NamedTuple):
    """A member, a merged model or an ensemble, and how it is asked on each task."""

    name: str
    open: Callable[[], Model]
    """Loads the model; called only when it is measured."""

    asking: Callable[[Task], PromptConfig]
    """How it is asked on a task."""


def measure_on_tasks(
    system: MergeSystem, tasks: Sequence[Task], context: EvalContext, split: Split
) -> list[Measured]:
    """A system's results on one split of each task."""
    model = system.open()
    results = []
    for task in tasks:
        measured_system = MeasuredSystem(System(system.name), system.open, system.asking(task))
        result = context.measure(measured_system, model, EvalTask(task, "target"), split)
        assert result is not None, "a local model answers every question"
        results.append(result)
    return results


def mean_accuracy(results: Sequence[Measured]) -> Fraction:
    """The mean of the accuracies, in which every task counts the same."""
    accuracies = [Fraction(result.score.correct, result.score.total) for result in results]
    return sum(accuracies, Fraction(0)) / len(accuracies)


def evaluate_merged(
    members: Sequence[MergeSystem],
    merged: Sequence[MergeSystem],
    tasks: Sequence[Task],
    context: EvalContext,
    *,
    bootstrap: int,
    seed: int,
    choices: Sequence[Choice] = (),
) -> list[Score]:
    """Measure members and what was merged of them on the test questions of all tasks.

    Args:
        members: The students that were merged.
        merged: The models made of them; each is compared with every other system.
        tasks: The members' tasks, each once.
        context: The run that takes the results.
        bootstrap: Resamples behind the interval of a difference.
        seed: Seeds the bootstrap.
        choices: How the checkpoints of members were chosen, where that was on test questions.
    """
    results = {
        system.name: measure_on_tasks(system, tasks, context, "test")
        for system in (*members, *merged)
    }
    # A merged system stands first in a comparison; of two merged ones, the later.
    merged_names = {system.name for system in merged}
    comparisons = [
        compare_systems(first, second, resamples=bootstrap, seed=seed)
        for one, other in combinations(reversed(results), 2)
        if one in merged_names
        for first, second in zip(results[one], results[other], strict=True)
    ]
    flat = [result for by_task in results.values() for result in by_task]
    scores = [result.score for result in flat]
    context.run.store.replace_evaluation(
        scores,
        [prediction for result in flat for prediction in result.predictions],
        comparisons,
        choices,
        grader=GRADER_VERSION,
        settings_hash=settings_hash([task.rule for task in tasks], GRADER_VERSION, bootstrap, seed),
    )
    return scores


CARD = """---
base_model: {start}
tags: [potstill, merge, chain-of-thought]
---
# {name} of {count} students

Merged with potstill from students that were each specialised from `{start}`:

{members}

{how}

## How to ask it

On each task in the data format of the student that was trained for it, which stands above and in
the model card of that student's run.

## Accuracy on test questions
{on_test}
| system | task | right | accuracy | 95% interval |
|---|---|---|---|---|
{rows}

Intervals are Wilson's. Merging students of different tasks can destroy what one of them had
learned: compare the merged model with each member.
"""


def merged_model_card(
    name: str,
    how: str,
    members: Mapping[str, str],
    scores: Sequence[Score],
    *,
    start: str,
    on_test: bool = False,
) -> str:
    """The model card's text.

    Args:
        name: The merged model's name.
        how: How it was merged, in a sentence.
        members: The task that each member was trained for and how it is asked, by its name.
        scores: The scores of all systems on the test questions of all tasks.
        start: The model that the members started from.
        on_test: Whether a member's checkpoint was chosen on these questions.
    """
    rows = [
        f"| {score.system.label} | {score.task} | {score.correct}/{score.total} "
        f"| {score.correct / score.total:.1%} | {score.low:.1%} to {score.high:.1%} |"
        for score in scores
    ]
    return CARD.format(
        start=start,
        name=name,
        count=len(members),
        members="\n".join(f"- `{member}`: {training}" for member, training in members.items()),
        how=how,
        on_test=f"\n{CHOSEN_ON_TEST}\n" if on_test else "",
        rows="\n".join(rows),
    )
