"""Counting votes: which answers of several samples are one and the same.

For self-consistency (arXiv 2203.11171) a model answers a question several times and the answer that
most samples reach wins. The answers "18", "$18.00" and "17" are two votes for "18" and one for
"17": votes go by the task's own comparison, in the words of the first answer of each kind.
"""

from collections.abc import Callable, Iterable
from operator import eq

from potstill.grading.answers import READERS
from potstill.grading.rules import JUDGE_RULE, OWN_RULE
from potstill.records import Task

Same = Callable[[str, str], bool]
"""Whether two answers, as read, are one."""


def same_answers(task: Task) -> Same:
    """Returns how a task compares two answers as read; the published rules do it as strings."""
    if task.rule not in (OWN_RULE, JUDGE_RULE):
        return eq
    same = READERS[task.answer_type].same
    return lambda one, other: same(one, other) is True  # None: no verdict in time


def ballot(answers: Iterable[str | None], same: Same) -> list[str | None]:
    """Returns every answer in the words of the first that is the same; None stays None."""
    known: list[str] = []
    votes: list[str | None] = []
    for answer in answers:
        if answer is not None and answer not in known:
            first = next((earlier for earlier in known if same(earlier, answer)), None)
            if first is None:
                known.append(answer)
            else:
                answer = first
        votes.append(answer)
    return votes


def count_votes(answers: Iterable[str | None], same: Same) -> dict[str, int]:
    """Returns the votes by answer, in the order in which they first come; None is no vote."""
    votes: dict[str, int] = {}
    for answer in ballot(answers, same):
        if answer is not None:
            votes[answer] = votes.get(answer, 0) + 1
    return votes
