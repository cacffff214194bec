"""Guided decoding: one answer, written step by step by the student and its teacher.

The decoder is a generator without input or output of its own: it yields a :class:`ModelCall` and is
sent the completions, until it returns the :class:`GuidedAnswer`. So the experiment can drive the
decoders of a whole split in rounds from the store, and the server one for each request, and both
decode alike. Under the policy ``first`` one answer takes two calls::

    decoder = guided_answer(student, teacher, PolicySettings(when="first"), GuidanceConfig())
    call = next(decoder)                  # the teacher is asked for a step, up to ". " or 64 tokens
    call = decoder.send(step)             # the student is asked to go on from it; call.last is True
    decoder.send(ending)                  # StopIteration, whose value is the answer

Under ``any_step`` (arXiv 2601.05110) the student is asked for the first token of each step. Where
it is unsure of that token, the teacher writes the step; where it is not, the step is taken from the
rest of the answer as the student writes it, which is asked for once and again behind each step of
the teacher's. So an answer that is never handed over is the student's own to the letter.
"""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from potstill.guide.types import (
    GuidanceConfig,
    GuidedAnswer,
    GuidedDecoder,
    ModelCall,
    Participant,
    PolicySettings,
    Usage,
    Who,
)
from potstill.guide.uncertainty import Gate, Signals, signals_of
from potstill.records import Completion, Request
from potstill.records.policy import ANY_STEP, ROUTE
from potstill.text.steps import STOPS, StepKind, closed, hint_of, is_whole, joined, split_steps

TOP_LOGPROBS = 5
"""Likeliest tokens that the student's entropy is read from."""


def guided_answer(
    student: Participant,
    teacher: Participant,
    policy: PolicySettings,
    config: GuidanceConfig,
    gate: Gate | None = None,
) -> GuidedDecoder:
    """Write one answer under a policy.

    Args:
        student: Answers.
        teacher: Steps in; for guidance by questions it is asked for questions.
        policy: When the teacher steps in.
        config: Shape and length of its step.
        gate: Whether the student's signals call for the teacher, where the policy is conditional.
    """
    return _Draft(student, teacher, config).decode(policy, gate)


@dataclass(slots=True)
class _Draft:
    """An answer being written."""

    student: Participant
    teacher: Participant
    config: GuidanceConfig
    steps: list[str] = field(default_factory=list)
    cut: str = ""
    """A step that its limit cut off, after the whole ones."""

    guidance: list[str] = field(default_factory=list)
    silent: bool = False
    signals: Signals | None = None
    usage: dict[Who, Usage] = field(
        default_factory=lambda: {"student": Usage(), "teacher": Usage()}
    )

    @property
    def prefix(self) -> str:
        """The text of the answer so far."""
        whole = joined(self.steps, self.config.steps)
        gap = " " if whole and self.cut and self.config.steps == "sentences" else ""
        return whole + gap + self.cut

    def decode(self, policy: PolicySettings, gate: Gate | None) -> GuidedDecoder:
        """Write the whole answer."""
        if policy.when == ANY_STEP:
            return (yield from self._decode_any_step(policy.steps, gate))
        if policy.when == ROUTE:
            return (yield from self._decode_routed(gate))
        places = policy.places
        if policy.is_conditional:
            assert gate is not None, "a conditional policy is given its gate"
            if not (yield from self._needs_teacher(gate)):
                places = range(0)
        elif places and places[0]:
            whole = yield from self._ask("student", self.student.continue_from(""))
            own = self._own_steps(whole)
            if len(own) <= places[0]:  # the answer has ended before the teacher's turn
                return self._finish(whole)
            self.steps = own[: places[0]]
        for _ in places:
            if not (yield from self._guide()):
                break
        rest = self.student.continue_from(self.prefix)
        endings = yield from self._ask("student", rest, last=True)
        return self._finish(endings)

    def _decode_any_step(self, most: int, gate: Gate | None) -> GuidedDecoder:
        """Write an answer of which the teacher writes the steps that the student is unsure of.

        Args:
            most: Steps of the teacher's at which it ends to be asked.
            gate: Whether the signals of a step's first token call for the teacher.
        """
        assert gate is not None, "a conditional policy is given its gate"
        rest: _OwnRest | None = None
        while len(self.guidance) < most and self._room() > 0:
            if rest is not None and not rest.left:
                return self._end_with(rest)
            if self.cut:
                rest = yield from self._write_rest()
                continue
            if (yield from self._is_unsure(gate)):
                if not (yield from self._guide()):
                    rest = None  # the steps so far may have been shown as they stand
                    break
                rest = None
                continue
            if rest is None:
                rest = yield from self._write_rest()
                if not rest.left:
                    return self._end_with(rest)
            self.steps.append(rest.left.pop(0))
        if rest is not None:
            return self._end_with(rest)
        endings = yield from self._ask(
            "student", self.student.continue_from(self.prefix), last=True
        )
        return self._finish(endings)

    def _is_unsure(self, gate: Gate) -> Generator[ModelCall, Sequence[Completion], bool]:
        """Whether the first token of the student's next step calls for the teacher."""
        glimpse = self.student.next_step(self.prefix, (), 1)
        glimpsed = yield from self._ask("student", replace(glimpse, top_logprobs=TOP_LOGPROBS))
        if not _answered(glimpsed):
            return True
        if glimpsed[0].logprobs is None and not glimpsed[0].text:
            return False  # there was no room for a further word
        return gate(signals_of(glimpsed[0], tokens=1))

    def _write_rest(self) -> Generator[ModelCall, Sequence[Completion], "_OwnRest"]:
        """Have the student write the rest of the answer; what was cut off becomes a whole step."""
        begun, steps, cut = self.prefix, list(self.steps), self.cut
        endings = yield from self._ask("student", self.student.continue_from(begun))
        own = []
        if _answered(endings):
            text = endings[0].text if begun else self.student.without_lead(endings[0].text)
            own = split_steps(cut + text, self.config.steps)
        if cut and own:  # the step that was begun is not to be looked at
            self.cut = ""
            self.steps.append(own.pop(0))
        return _OwnRest(steps, cut, endings, own)

    def _end_with(self, rest: "_OwnRest") -> GuidedAnswer:
        """The answer that ends with a rest that the student has written."""
        self.steps, self.cut = rest.steps, rest.cut
        return self._finish(rest.endings)

    def _decode_routed(self, gate: Gate | None) -> GuidedDecoder:
        """Write an answer that is the teacher's where the student is unsure of its first step."""
        assert gate is not None, "a conditional policy is given its gate"
        own = self.student.continue_from("")
        if (yield from self._needs_teacher(gate)):
            whole = replace(
                self.teacher.request,
                samples=own.samples,
                temperature=own.temperature,
                top_p=own.top_p,
                seed=own.seed,
            )
            endings = yield from self._ask("teacher", whole, last=True)
            if _answered(endings) and endings[0].text.strip():
                self.guidance = [endings[0].text.strip()]
                return replace(self._finish(endings), routed=True)
            self.silent = True
        return self._finish((yield from self._ask("student", own, last=True)))

    def _own_steps(self, whole: Sequence[Completion]) -> list[str]:
        if not _answered(whole):
            return []
        return split_steps(self.student.without_lead(whole[0].text), self.config.steps)

    def _needs_teacher(self, gate: Gate) -> Generator[ModelCall, Sequence[Completion], bool]:
        """Whether the student's own first step calls for the teacher.

        The step is then dropped: without the teacher the student answers as it does alone.
        """
        signals, drafts = yield from _draft_first_step(self.student, self.config)
        for completions in drafts:
            self.usage["student"].add(completions)
        self.signals = signals
        return signals is None or gate(signals)

    def _guide(self) -> Generator[ModelCall, Sequence[Completion], bool]:
        """Have the teacher write the next step; False where it has none or is not to be had."""
        config, text = self.config, ""
        state: State = "more"
        if self.cut:
            return False
        for _ in range(PIECES):
            limit = self._room()
            if limit < 1:
                break
            stop = ("?", "\n") if config.kind == "question" else STOPS[config.steps]
            before = self.prefix + (self._gap() if text.strip() else "") + text
            completions = yield from self._ask(
                "teacher", self.teacher.next_step(before, stop, limit)
            )
            if not _answered(completions):
                self.silent = True
                return False
            text, state = extend_step(
                text, completions[0], config.steps, question=config.kind == "question"
            )
            if state != "more" or self.teacher.whole_steps:
                break
        step = self._keep(text, cut=state == "cut")
        self.guidance += [step] if step else []
        return bool(step)

    def _room(self) -> int:
        """Tokens that the teacher may write next."""
        limit, budget = self.config.step_tokens, self.config.budget
        if budget is None:
            return limit
        return min(limit, budget - self.usage["teacher"].completion_tokens)

    def _gap(self) -> str:
        """The white space between the steps so far and the next."""
        return " " if self.steps and self.config.steps == "sentences" else ""

    def _keep(self, text: str, *, cut: bool) -> str:
        """Take a text as the next step, and return how it stands in the answer."""
        text = text.strip()
        if self.config.kind == "hint":
            text = hint_of(text)
        elif cut:
            self.cut = text
            return text
        self.steps += [text] if text else []
        return text

    def _ask(
        self, who: Who, request: Request, last: bool = False
    ) -> Generator[ModelCall, Sequence[Completion], Sequence[Completion]]:
        """Ask, and count the tokens."""
        completions = yield ModelCall(who, request, last, self.prefix)
        self.usage[who].add(completions)
        return completions

    def _finish(self, endings: Sequence[Completion]) -> GuidedAnswer:
        """The answer as it stands, with the student's last words."""
        return GuidedAnswer(
            prefix=self.prefix,
            endings=tuple(endings),
            guidance=tuple(self.guidance),
            silent=self.silent,
            signals=self.signals,
            student=self.usage["student"],
            teacher=self.usage["teacher"],
        )


class _OwnRest(NamedTuple):
    """The rest of an answer as the student writes it, from some place on."""

    steps: list[str]
    """The whole steps before it."""

    cut: str
    """The step before it that was cut off, if one was."""

    endings: Sequence[Completion]
    left: list[str]
    """The steps whose first tokens were not looked at yet."""


DraftedStep = Generator[
    ModelCall, Sequence[Completion], tuple[Signals | None, tuple[Sequence[Completion], ...]]
]


def own_draft(
    student: Participant, config: GuidanceConfig
) -> Generator[ModelCall, Sequence[Completion], tuple[Signals | None, Usage]]:
    """Have a student write its own first step, and read how sure it is and what that has taken.

    Returns:
        No signals where the student did not answer.
    """
    signals, drafts = yield from _draft_first_step(student, config)
    usage = Usage()
    for completions in drafts:
        usage.add(completions)
    return signals, usage


def _draft_first_step(student: Participant, config: GuidanceConfig) -> DraftedStep:
    """A student's signals, and all completions that were written for them."""
    step = student.next_step("", STOPS[config.steps], config.step_tokens)
    greedy = yield ModelCall("student", replace(step, top_logprobs=TOP_LOGPROBS))
    if not _answered(greedy):
        return None, (greedy,)
    drawn: Sequence[Completion] = ()
    if config.draws:
        samples = tuple(range(config.draws))
        draws = replace(step, samples=samples, temperature=config.temperature)
        drawn = yield ModelCall("student", draws)
    return signals_of(greedy[0], [sample.text for sample in drawn]), (greedy, drawn)


def _answered(completions: Sequence[Completion]) -> bool:
    return bool(completions) and completions[0].finish_reason != "error"


State = Literal["more", "over", "cut"]
"""Whether a step goes on, is over, or was cut off by its limit."""

ENDED = {"stop", "content_filter"}
"""Reasons of a text that is not cut; one that is not known may be."""

PIECES = 3
"""Most requests for one step: a stop string may end it before it has begun, or after "1."."""

_ASKS = re.compile(
    r"(?:so |then |now |first,? )?"
    r"(?:how (?:many|much|long|far|old|often|fast)|what (?:is|are|was|were|do|does|did)|why|where"
    r"|who|is|are|do|does|did|can)\b",
    re.IGNORECASE,
)
"""The beginning of a question; servers leave out the stop string that ended a text, be it ``?``."""


def _is_stopped_at_once(written: Completion) -> bool:
    """Whether a server took the end of what it was given for the beginning of a stop string.

    ``transformers serve`` does: behind "... step." it stops for ". " after the first token. A text
    of one word may be one that it broke off; asked again, a whole one has no more to say.
    """
    given, text = written.request.answer_prefix, written.text
    return len(text.split()) == 1 and any(
        given.endswith(stop[:length]) and text.startswith(stop[length:])
        for stop in written.request.stop
        for length in range(1, len(stop))
    )


def extend_step(
    begun: str, written: Completion, layout: StepKind, *, question: bool
) -> tuple[str, State]:
    """Add to a step that was begun the text that a model went on with.

    A stop string may fall at a wrong place, as after "1." or in front of the first word, so a step
    can take several completions.

    Args:
        begun: The part of the step that is there.
        written: Its continuation, up to a stop string, its limit or its own end.
        layout: The layout that tells where a step ends.
        question: Whether a question is asked for in place of a step.
    """
    if not written.text.strip():  # a stop string came first, or there is nothing more to say
        return f"{closed(begun, layout)}\n", "over" if begun else "more"
    text = (begun + written.text).strip()
    steps = split_steps(text, layout)
    if question:
        asked, mark, _ = text.partition("?")  # it need not have stopped there
        if not mark and written.finish_reason not in ENDED:
            return text, "cut"
        return f"{asked}?", "over"
    if len(steps) > 1:  # it did not stop where it was told to
        return steps[0], "over"
    if written.finish_reason not in ENDED:
        return text, "cut"
    if _is_stopped_at_once(written):
        return text, "more"
    end = "?" if _ASKS.match(split_steps(text, "sentences")[-1]) else "."
    ended = closed(text, layout, end)
    if is_whole(ended, layout):
        return ended, "over"
    return (ended if ended != text else f"{text}\n"), "more"
