"""Counting votes: which answers of several samples are one and the same."""

from collections.abc import Callable, Iterable
from operator import eq

from potstill.grading.answers import READERS
from potstill.records import Task

Same = Callable[[str, str], bool]
"""Whether two answers, as read, are one."""


def same_answers(task: Task) -> Same:
    """When two answers as read are one; the published rules compare what they read as it is."""
    if task.rule != "potstill":
        return eq
    same = READERS[task.answer_type].same
    return lambda one, other: same(one, other) is True  # None: no verdict in time


def ballot(answers: Iterable[str | None], same: Same) -> list[str | None]:
    """Every answer in the words of the first that is the same; None stays None."""
    known: list[str] = []
    found: list[str | None] = []
    for answer in answers:
        if answer is not None and answer not in known:
            first = next((each for each in known if same(each, answer)), None)
            if first is None:
                known.append(answer)
            else:
                answer = first
        found.append(answer)
    return found


def count_votes(answers: Iterable[str | None], same: Same) -> dict[str, int]:
    """Votes by answer, in the order in which they first come; None is no vote."""
    votes: dict[str, int] = {}
    for answer in ballot(answers, same):
        if answer is not None:
            votes[answer] = votes.get(answer, 0) + 1
    return votes
