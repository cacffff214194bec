"""Guided decoding: who is asked for what, step by step, and what comes of it.

An answer is written by a generator that yields what is to be asked and is sent what came. The
experiment goes through a whole split's generators in rounds, from the store; the server drives one
a request. Nothing here opens a model or reads a clock.

A teacher's step from what it wrote up to a stop string, which may fall at a wrong place.
"""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from potstill.guide.types import (
    GuidanceConfig,
    GuidedAnswer,
    GuidedDecoder,
    ModelCall,
    Participant,
    Policy,
    Usage,
    Who,
)
from potstill.guide.uncertainty import Gate, Signals, signals_of
from potstill.records import Completion, Request
from potstill.text.steps import STOPS, StepKind, closed, hint_of, is_whole, joined, split_steps

TOP = 5
"""Likeliest tokens that the student's entropy is read from."""


def guided_answer(
    student: Participant,
    teacher: Participant,
    policy: Policy,
    manner: GuidanceConfig,
    judge: Gate | None = None,
) -> GuidedDecoder:
    """Write one answer under a policy.

    Args:
        student: Who answers.
        teacher: Who steps in; for guidance by questions it is asked for questions.
        policy: When the teacher steps in.
        manner: What it writes there.
        judge: Whether the student's signals call for the teacher, where the policy is conditional.
    """
    return _Writing(student, teacher, manner).under(policy, judge)


@dataclass(slots=True)
class _Writing:
    """An answer being written."""

    student: Participant
    teacher: Participant
    manner: GuidanceConfig
    steps: list[str] = field(default_factory=list)
    cut: str = ""
    """A step that its limit cut off, after the whole ones."""

    guidance: list[str] = field(default_factory=list)
    silent: bool = False
    signals: Signals | None = None
    spent: dict[Who, Usage] = field(
        default_factory=lambda: {"student": Usage(), "teacher": Usage()}
    )

    @property
    def prefix(self) -> str:
        """What the answer says so far."""
        whole = joined(self.steps, self.manner.steps)
        gap = " " if whole and self.cut and self.manner.steps == "sentences" else ""
        return whole + gap + self.cut

    def under(self, policy: Policy, judge: Gate | None) -> GuidedDecoder:
        """The whole answer."""
        places = policy.places
        if policy.conditional:
            assert judge is not None, "a conditional policy is given its judge"
            if not (yield from self._wanted(judge)):
                places = range(0)
        elif places and places[0]:
            whole = yield from self._ask("student", self.student.at(""))
            own = self._own_steps(whole)
            if len(own) <= places[0]:  # the answer has ended before the teacher's turn
                return self._done(whole)
            self.steps = own[: places[0]]
        for _ in places:
            if not (yield from self._guide()):
                break
        return self._done((yield from self._ask("student", self.student.at(self.prefix), True)))

    def _own_steps(self, whole: Sequence[Completion]) -> list[str]:
        if not _answered(whole):
            return []
        return split_steps(self.student.own(whole[0].text), self.manner.steps)

    def _wanted(self, judge: Gate) -> Generator[ModelCall, Sequence[Completion], bool]:
        """Whether the student's own first step calls for the teacher.

        The step is then dropped: without the teacher the student answers as it does alone.
        """
        signals, drafts = yield from _doubts(self.student, self.manner)
        for written in drafts:
            self.spent["student"].add(written)
        self.signals = signals
        return signals is None or judge(signals)

    def _guide(self) -> Generator[ModelCall, Sequence[Completion], bool]:
        """Have the teacher write the next step; False where it has none or is not to be had."""
        manner, text = self.manner, ""
        state: State = "more"
        if self.cut:
            return False
        for _ in range(PIECES):
            limit = self._room()
            if limit < 1:
                break
            stop = ("?", "\n") if manner.kind == "question" else STOPS[manner.steps]
            before = self.prefix + (self._gap() if text.strip() else "") + text
            written = yield from self._ask("teacher", self.teacher.step(before, stop, limit))
            if not _answered(written):
                self.silent = True
                return False
            text, state = with_piece(
                text, written[0], manner.steps, question=manner.kind == "question"
            )
            if state != "more":
                break
        told = self._keep(text, cut=state == "cut")
        self.guidance += [told] if told else []
        return bool(told)

    def _room(self) -> int:
        """Tokens that the teacher may write next."""
        limit, budget = self.manner.step_tokens, self.manner.budget
        if budget is None:
            return limit
        return min(limit, budget - self.spent["teacher"].completion_tokens)

    def _gap(self) -> str:
        """What stands between the steps so far and the next."""
        return " " if self.steps and self.manner.steps == "sentences" else ""

    def _keep(self, text: str, *, cut: bool) -> str:
        """Take what was written as the next step, and return how it stands in the answer."""
        text = text.strip()
        if self.manner.kind == "hint":
            text = hint_of(text)
        elif cut:
            self.cut = text
            return text
        self.steps += [text] if text else []
        return text

    def _ask(
        self, who: Who, request: Request, last: bool = False
    ) -> Generator[ModelCall, Sequence[Completion], Sequence[Completion]]:
        """Ask, and count what it took."""
        completions = yield ModelCall(who, request, last, self.prefix)
        self.spent[who].add(completions)
        return completions

    def _done(self, endings: Sequence[Completion]) -> GuidedAnswer:
        """The answer as it stands, with the student's last words."""
        return GuidedAnswer(
            prefix=self.prefix,
            endings=tuple(endings),
            guidance=tuple(self.guidance),
            silent=self.silent,
            signals=self.signals,
            student=self.spent["student"],
            teacher=self.spent["teacher"],
        )


Doubts = Generator[
    ModelCall, Sequence[Completion], tuple[Signals | None, tuple[Sequence[Completion], ...]]
]


def own_signals(
    student: Participant, manner: GuidanceConfig
) -> Generator[ModelCall, Sequence[Completion], Signals | None]:
    """Have a student write its own first step, and read how sure it is.

    Args:
        student: Who writes.
        manner: How long a step is, and how often it is drawn again.

    Returns:
        None where the student did not answer.
    """
    signals, _ = yield from _doubts(student, manner)
    return signals


def _doubts(student: Participant, manner: GuidanceConfig) -> Doubts:
    """A student's signals, and all that was written for them."""
    one = student.step("", STOPS[manner.steps], manner.step_tokens)
    written = yield ModelCall("student", replace(one, top_logprobs=TOP))
    if not _answered(written):
        return None, (written,)
    drawn: Sequence[Completion] = ()
    if manner.draws:
        samples = tuple(range(manner.draws))
        draws = replace(one, samples=samples, temperature=manner.temperature)
        drawn = yield ModelCall("student", draws)
    return signals_of(written[0], [each.text for each in drawn]), (written, drawn)


def _answered(completions: Sequence[Completion]) -> bool:
    return bool(completions) and completions[0].finish_reason != "error"


State = Literal["more", "over", "cut"]
"""Whether a step goes on, is over, or was cut off by its limit."""

PIECES = 3
"""Most requests for one step: a stop string may end it before it has begun, or after "1."."""

_ASKS = re.compile(
    r"(?:so |then |now |first,? )?"
    r"(?:how (?:many|much|long|far|old|often|fast)|what (?:is|are|was|were|do|does|did)|why|where"
    r"|who|is|are|do|does|did|can)\b",
    re.IGNORECASE,
)
"""How a question begins: the mark at which its writer stopped is not told."""


def with_piece(
    begun: str, written: Completion, layout: StepKind, *, question: bool
) -> tuple[str, State]:
    """A step that was begun, with what was written of it.

    Args:
        begun: What of the step is there.
        written: What a model went on with, up to a stop string, its limit or its own end.
        layout: Where a step ends.
        question: Whether a question is asked for in place of a step.
    """
    if not written.text.strip():  # a stop string came first, or there is nothing more to say
        return f"{begun}\n", "over" if begun else "more"
    text = (begun + written.text).strip()
    steps = split_steps(text, layout)
    if question:
        if written.finish_reason == "length":
            return text, "cut"
        return (text if text.endswith("?") else f"{text}?"), "over"
    if len(steps) > 1:  # it did not stop where it was told to
        return steps[0], "over"
    if written.finish_reason == "length":
        return text, "cut"
    end = "?" if _ASKS.match(split_steps(text, "sentences")[-1]) else "."
    ended = closed(text, layout, end)
    if is_whole(ended, layout):
        return ended, "over"
    return (ended if ended != text else f"{text}\n"), "more"
