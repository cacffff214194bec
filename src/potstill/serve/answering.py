"""One answer while it is served: the decoder calls, the upstreams answer, the client is shown.

:class:`GuidedSession` drives the decoder of guide/decoder.py with the two upstreams.
:class:`Shown` gives the client the texts as they grow: steps once they stand for good, the
student's last words while it writes them, and nothing behind a stop string (:class:`Cutter`).
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from potstill.guide.types import GuidedAnswer, GuidedDecoder, ModelCall, Usage
from potstill.records import Completion, FinishReason, Request
from potstill.serve.teacher_limits import TeacherGuard
from potstill.serve.upstreams import PLAIN, Emit, StudentOptions, Upstream


@dataclass(kw_only=True, slots=True)
class GuidedSession:
    """Answers the calls of one answer's decoder."""

    student: Upstream
    teacher: TeacherGuard | None
    deadline: float
    """The time at which the answer is due, by the event loop's clock."""

    student_usage: Usage
    teacher_usage: Usage
    """Both usages grow while the answer is written, so that they hold even where it fails."""

    longest: int
    """Most tokens of the answer, in the student's tokens."""

    show_steps: Callable[[ModelCall], Awaitable[bool]]
    """Called with a call once the steps before it stand; gives False where these end the answer,
    because they hold a stop string."""

    emit: Emit | None = None
    """The function that takes the student's last words while they are written."""

    options: StudentOptions = PLAIN
    """The client's further wishes for the student."""

    ending_asked: bool = False
    """Whether the last words were asked for, and so went to ``emit``."""

    _drafted_tokens: int = 0
    """Tokens of the steps and drafts so far."""

    _drafted_characters: int = 0
    """Their length."""

    async def run(self, decoder: GuidedDecoder) -> GuidedAnswer:
        """Drive a decoder to its end.

        Raises:
            UpstreamError: The student does not answer.
        """
        call = next(decoder)
        try:
            while True:
                completions: list[Completion] = []
                if call.who == "student" and call.last:
                    completions = await self._write_ending(call)
                elif call.who == "student":
                    completions = await self._ask_student(call.request, None)
                    self._count_draft(completions)
                elif self.teacher is not None:
                    await self.show_steps(call)
                    completions = await self.teacher.ask(
                        call.request, self.deadline, whole=call.last
                    )
                    self.teacher_usage.add(completions)
                    self._count_draft(completions)
                call = decoder.send(completions)
        except StopIteration as end:
            answer: GuidedAnswer = end.value
            return answer

    async def _write_ending(self, call: ModelCall) -> list[Completion]:
        """The student's last words, unless the answer is at its end already."""
        self.ending_asked = True
        if not await self.show_steps(call):
            return _empty(call.request, "stop")
        return await self._ask_student(call.request, self.emit)

    async def _ask_student(self, request: Request, emit: Emit | None) -> list[Completion]:
        """The student's completions, within what the steps before leave of its longest answer."""
        room = self.longest - self._tokens(request.answer_prefix)
        if request.answer_prefix and room < 1:
            return _empty(request, "length")
        request = replace(request, max_tokens=min(request.max_tokens, room))
        completions = await self.student.answer(request, emit, self.options)
        self.student_usage.add(completions)
        return completions

    def _count_draft(self, completions: Sequence[Completion]) -> None:
        for completion in completions[:1]:
            self._drafted_tokens += completion.completion_tokens
            self._drafted_characters += len(completion.text)

    def _tokens(self, prefix: str) -> int:
        """About how many tokens the steps before the last words have.

        Only whole drafts are counted by their models, so a part has its share of their tokens.
        """
        if not prefix or not self._drafted_characters:
            return 0
        share = min(1.0, len(prefix) / self._drafted_characters)
        return math.ceil(self._drafted_tokens * share)


def _empty(request: Request, reason: FinishReason) -> list[Completion]:
    """Completions without any further words."""
    return [
        Completion(request=request, sample=sample, text="", finish_reason=reason)
        for sample in request.samples
    ]


class Cutter:
    """Ends a text before the first stop string, wherever its pieces meet.

    The student's own words end there by themselves; a step that stands before them may hold a stop
    string, or the beginning of one.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.stopped = False
        """Whether a stop string was found; there is no text after it."""

    def feed(self, piece: str) -> str:
        """Returns the part that is certain; the beginning of a stop string is held back."""
        if self.stopped:
            return ""
        text = self._held + piece
        # The one that is complete first, whether or not more was known when it was.
        matches = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if matches:
            self.stopped, self._held = True, ""
            return text[: min(matches)[1]]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def release(self) -> str:
        """Returns the characters that were held back, at the end of the text."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of a text with which a stop string begins."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)


class Shown:
    """The texts of an answer's samples: the same steps before each, then its own words.

    Args:
        lead: Shown to a client before the first step; None: texts begin with no white space, as
            those of a chat do whose student was trained to begin with some.
        stops: Strings that end a text.
        samples: How many texts.
        out: Takes each piece that is certain.
    """

    def __init__(self, lead: str | None, stops: Sequence[str], samples: int, out: Emit) -> None:
        self._lead, self._out = lead or "", out
        self._trimmed = [lead is not None] * samples
        self._cutters = [Cutter(stops) for _ in range(samples)]
        self._shown_characters = 0
        """Characters of the steps that were shown."""

    async def steps(self, call: ModelCall) -> bool:
        """Show the steps that stand before a call; False where they end the answer."""
        await self._settle(call.settled)
        return not self._cutters[0].stopped

    async def _settle(self, steps: str) -> None:
        """Show what of the steps was not shown yet."""
        new = steps[self._shown_characters :]
        if new and not self._shown_characters:
            new = self._lead + new
        self._shown_characters = len(steps)
        for place in range(len(self._cutters)):
            await self.piece(place, new)

    async def piece(self, place: int, text: str) -> None:
        """Show a piece of one sample's text."""
        if not self._trimmed[place]:
            text = text.lstrip()
            self._trimmed[place] = bool(text)
        certain = self._cutters[place].feed(text)
        if certain:
            await self._out(place, certain)

    async def end(self, answer: GuidedAnswer, *, written: bool) -> list[FinishReason]:
        """Show the rest, and return why each text ends.

        Args:
            answer: The whole answer.
            written: Whether the student's last words were shown already.
        """
        reasons: list[FinishReason] = []
        if not written:
            await self._settle(answer.prefix)
        for place, ending in enumerate(answer.endings):
            if not written:
                await self.piece(place, ending.text)
            if rest := self._cutters[place].release():
                await self._out(place, rest)
            reasons.append("stop" if self._cutters[place].stopped else ending.finish_reason)
        return reasons
