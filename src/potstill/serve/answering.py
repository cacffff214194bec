"""One answer, driven: decoding asks, the two upstreams answer, and a client is shown the text."""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from potstill.guide.types import GuidedAnswer, GuidedDecoder, ModelCall, Usage
from potstill.records import Completion, FinishReason, Request
from potstill.serve.teacher_limits import TeacherGuard
from potstill.serve.upstreams import Emit, Upstream


@dataclass(kw_only=True, slots=True)
class GuidedSession:
    """Asks for one answer what its policy wants asked."""

    student: Upstream
    teacher: TeacherGuard | None
    until: float
    """When the answer is due, by the event loop's clock."""

    student_spent: Usage
    teacher_spent: Usage
    """Filled while the answer is written, so that they hold even where it fails."""

    fixed: Callable[[ModelCall], Awaitable[bool]]
    """Told what is asked once the steps before it stand; False where they end the answer, because
    they hold a stop string."""

    emit: Emit | None = None
    """Given the student's last words while they are written."""

    ended: bool = False
    """Whether the last words were asked for, and so went to ``emit``."""

    _drafted: int = 0
    """Tokens of the steps and drafts so far."""

    _characters: int = 0
    """Their length."""

    async def write(self, answering: GuidedDecoder) -> GuidedAnswer:
        """Drive a generator to its end.

        Raises:
            UpstreamError: The student does not answer.
        """
        ask = next(answering)
        try:
            while True:
                ask = answering.send(await self._answer(ask))
        except StopIteration as end:
            guided: GuidedAnswer = end.value
            return guided

    async def _answer(self, ask: ModelCall) -> list[Completion]:
        if ask.last:
            return await self._last(ask)
        if ask.who == "student":
            completions = await self.student.answer(ask.request)
            self.student_spent.add(completions)
        elif self.teacher is None:
            return []
        else:
            await self.fixed(ask)
            completions = await self.teacher.ask(ask.request, self.until)
            self.teacher_spent.add(completions)
        for completion in completions[:1]:
            self._drafted += completion.completion_tokens
            self._characters += len(completion.text)
        return completions

    async def _last(self, ask: ModelCall) -> list[Completion]:
        """The student's last words, unless the answer is at its end already."""
        self.ended, request = True, ask.request
        if not await self.fixed(ask):
            return _nothing(request, "stop")
        room = request.max_tokens - self._tokens(request.answer_prefix)
        if room < 1:
            return _nothing(request, "length")
        request = replace(request, max_tokens=room)
        completions = await self.student.answer(request, self.emit)
        self.student_spent.add(completions)
        return completions

    def _tokens(self, prefix: str) -> int:
        """About how many tokens the steps before the last words have.

        Only whole drafts are counted by their models, so a part has its share of their tokens.
        """
        if not prefix or not self._characters:
            return 0
        return math.ceil(self._drafted * min(1.0, len(prefix) / self._characters))


def _nothing(request: Request, reason: FinishReason) -> list[Completion]:
    """No further words."""
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
        """What is certain to belong to the text; the beginning of a stop string is held back."""
        if self.stopped:
            return ""
        text = self._held + piece
        # The one that is complete first, whether or not more was known when it was.
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)[1]]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def release(self) -> str:
        """What was held back, at the end of the text."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of a text with which a stop string begins."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)


class Shown:
    """The texts of an answer's samples: the same steps before each, then its own words.

    Args:
        lead: What a client is shown before the first step; None: texts begin with no white space,
            as those of a chat do whose student was trained to begin with some.
        stops: Strings that end a text.
        samples: How many texts.
        out: Takes each piece that is certain.
    """

    def __init__(self, lead: str | None, stops: Sequence[str], samples: int, out: Emit) -> None:
        self._lead, self._out = lead or "", out
        self._trimmed = [lead is not None] * samples
        self._cutters = [Cutter(stops) for _ in range(samples)]
        self._told = 0
        """Characters of the steps that were shown."""

    async def fixed(self, ask: ModelCall) -> bool:
        """Show the steps that stand before what is asked; False where they end the answer."""
        new = ask.said[self._told :]
        if new and not self._told:
            new = self._lead + new
        self._told = len(ask.said)
        for place in range(len(self._cutters)):
            await self.piece(place, new)
        return not self._cutters[0].stopped

    async def piece(self, place: int, text: str) -> None:
        """Show a piece of one sample's text."""
        if not self._trimmed[place]:
            text = text.lstrip()
            self._trimmed[place] = bool(text)
        certain = self._cutters[place].feed(text)
        if certain:
            await self._out(place, certain)

    async def end(self, guided: GuidedAnswer, *, written: bool) -> list[FinishReason]:
        """Show what is left, and say why each text ends.

        Args:
            guided: The answer.
            written: Whether the student's last words were shown already.
        """
        reasons: list[FinishReason] = []
        for place, ending in enumerate(guided.endings):
            if not written:
                await self.piece(place, ending.text)
            if rest := self._cutters[place].release():
                await self._out(place, rest)
            reasons.append("stop" if self._cutters[place].stopped else ending.finish_reason)
        return reasons
