"""The probabilities of a student's tokens in the answers that training has changed."""

from collections.abc import Iterator, Sequence

from potstill.evaluate.measure import Measured
from potstill.evaluate.systems import EvalTask
from potstill.models import Model
from potstill.records import Completion, Question
from potstill.runtime.context import RunContext
from potstill.sampling.answer_confidence import store_confidence


def keep_confidence(
    student: Measured,
    before: Sequence[Measured],
    entry: EvalTask,
    model: Model,
    context: RunContext,
    *,
    most: int,
) -> None:
    """Score a student's answers to test questions that its start answers rightly, or it alone.

    Args:
        student: The student on a task.
        before: The systems that were measured before, its start among them.
        entry: The task.
        model: The student's; one that is not on this machine is not asked.
        context: The run.
        most: Answers that are scored at most, the first of the task.
    """
    if student.system.answering is not None:
        return
    changed = list(_changed(student, before, entry))[:most]
    if not changed:
        return
    asking = entry.asking or student.system.asking
    store, answers = context.store, list[Completion]()
    for question in changed:
        request = asking.request(question, task=entry.task.name)
        answers += [one.completion for one in store.completions(model.name, request)][:1]
    label = f"token probabilities of {student.system.system.label} on {entry.task.name}"
    with context.progress.stage(label, total=None):
        store_confidence(model, answers, store, stops=context.runtime.stop.is_set)


def _changed(student: Measured, before: Sequence[Measured], entry: EvalTask) -> Iterator[Question]:
    """Yields the questions on which the student and a way of asking its start differ."""
    own, right = student.system.system, student.predictions.right
    starts = [
        former.predictions.right
        for former in before
        if former.score.task == entry.name
        and former.system.system.model == "start"
        and former.system.system.start == own.start
        and len(former.predictions.right) == len(right)
    ]
    for place, question in enumerate(entry.task.splits["test"]):
        if any(verdicts[place] != right[place] for verdicts in starts):
            yield question
