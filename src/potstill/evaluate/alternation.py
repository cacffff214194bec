"""The alternation: a questioner asks the next sub-question, a solver answers it, until it is done.

Socratic chains of thought at inference (arXiv 2212.00193, section 3): no teacher is asked. An
answer is written by a generator that yields whose turn it is and is sent what came. Nothing here
opens a model.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from potstill.prompts.decomposition import (
    Part,
    Role,
    asked_next,
    counted,
    to_solve,
    told,
    transcript,
)
from potstill.records import FinishReason, Question
from potstill.store import StoredCompletion


class Manner(NamedTuple):
    """How an answer is written by turns."""

    most: int = 8
    """Most sub-questions."""

    counts: bool = False
    """Whether the questioner first says how many sub-questions there will be."""


class Given(NamedTuple):
    """What another model's decomposition says of a question."""

    questions: tuple[str, ...] = ()
    """Sub-questions in the place of the questioner's; empty: it asks its own."""

    number: int | None = None
    """How many the questioner is told there are; None: it is not told."""


class Wanted(NamedTuple):
    """A turn that is wanted next."""

    role: Role
    question: Question
    """As it is put to the student."""


@dataclass(kw_only=True, slots=True)
class Written:
    """An answer written by turns."""

    parts: list[Part] = field(default_factory=list)
    finish_reason: FinishReason = "stop"
    """``length``: a turn was cut off, or the most sub-questions were not enough; ``error``: a turn
    failed."""

    completion_tokens: int = 0
    """Of all turns."""

    cost: float = 0.0
    """US dollars, of all turns."""

    completion_id: int = 0
    """The last turn's."""

    @property
    def text(self) -> str:
        """The decomposition as one text, which ends with the solver's last words."""
        return transcript(self.parts)


Alternating = Generator[Wanted, StoredCompletion | None, Written]
"""Yields turns and is sent what was said; None where the turn failed."""


def alternate(question: Question, manner: Manner, given: Given) -> Alternating:
    """Write the answer to one question by turns.

    It ends when the questioner writes its end mark or nothing, when the sub-questions that are
    given or counted have been solved, when ``manner.most`` have been, or when a turn is cut off.

    Args:
        question: The problem.
        manner: How it is answered.
        given: What another model says of it.
    """
    written = Written()
    count = given.number
    if manner.counts and count is None and not given.questions:
        said = yield from _turn(written, Wanted("counter", told(question, ())))
        if said is None:
            return written
        count = counted(said, most=manner.most)
    ends = len(given.questions) or count
    while len(written.parts) < min(manner.most, ends or manner.most):
        asked = yield from _next_question(question, written, given.questions, count)
        if asked is None:
            return written
        said = yield from _turn(written, Wanted("solver", to_solve(question, written.parts, asked)))
        if said is not None:
            written.parts.append(Part(asked, said.strip()))
        if written.finish_reason != "stop":
            return written
    if ends is None or ends > manner.most:
        written.finish_reason = "length"
    return written


def _next_question(
    question: Question, written: Written, known: Sequence[str], count: int | None
) -> Generator[Wanted, StoredCompletion | None, str | None]:
    """The next sub-question; None where there is none."""
    if known:
        return known[len(written.parts)]
    role: Role = "questioner" if count is None else "counted_questioner"
    said = yield from _turn(written, Wanted(role, told(question, written.parts, count=count)))
    return asked_next(said) if said is not None and written.finish_reason == "stop" else None


def _turn(
    written: Written, wanted: Wanted
) -> Generator[Wanted, StoredCompletion | None, str | None]:
    """Have a turn taken, and count what it took; None where it failed."""
    stored = yield wanted
    if stored is None:
        written.finish_reason = "error"
        return None
    completion = stored.completion
    written.completion_id = stored.id
    written.completion_tokens += completion.completion_tokens
    written.cost += completion.cost
    written.finish_reason = completion.finish_reason
    return completion.text
