"""Debating: asking a teacher again, with what the others answered in sight."""

from collections.abc import Sequence

from potstill.asking import AskCounts, ask_requests
from potstill.debating import AskedTeacher, further_requests, read_rounds
from potstill.models.base import Model
from potstill.progress import Meter
from potstill.records import Task
from potstill.store import Store


def answer_again(
    task: Task,
    teacher: Model,
    asked: Sequence[AskedTeacher],
    store: Store,
    meter: Meter,
    *,
    who: AskedTeacher,
    round_: int,
) -> AskCounts:
    """Ask one teacher for its answers of one further round of a debate.

    They are requests like any other: what is in the store is not asked for again. Everybody's
    answers of the round before should be there; what is not is not shown.

    Args:
        task: Its training questions are debated.
        teacher: Whom to ask.
        asked: Everybody who takes part.
        store: Holds the answers of the rounds before, takes the new ones.
        meter: Shown the progress.
        who: The teacher, as one of ``asked``.
        round_: Counted from 1.

    Returns:
        Counts of the first step, where a prompt style has two.
    """
    requests = [
        request
        for question in task.splits["train"]
        for request in further_requests(
            question, who, read_rounds(store, question, asked, round_ - 1)[-1]
        )
    ]
    label = f"rationales of {who.name}, debate round {round_}"
    return ask_requests(teacher, store, requests, who.asking, meter, label=label, stage="generate")
