"""One answer, driven: the generator of guided decoding asks, the two upstreams answer."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from potstill.guide.decoding import Answering, Ask, Guided, Spent
from potstill.guide.server.guard import Guard
from potstill.guide.server.upstreams import Emit, Upstream
from potstill.records import Completion, FinishReason, Request


@dataclass(kw_only=True, slots=True)
class Drive:
    """Asks for one answer what its policy wants asked."""

    student: Upstream
    teacher: Guard | None
    until: float
    """When the answer is due, by the event loop's clock."""

    student_spent: Spent
    teacher_spent: Spent
    """Filled while the answer is written, so that they hold even where it fails."""

    fixed: Callable[[Ask], Awaitable[bool]]
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

    async def write(self, answering: Answering) -> Guided:
        """Drive a generator to its end.

        Raises:
            UpstreamError: The student does not answer.
        """
        ask = next(answering)
        try:
            while True:
                ask = answering.send(await self._answer(ask))
        except StopIteration as end:
            guided: Guided = end.value
            return guided

    async def _answer(self, ask: Ask) -> list[Completion]:
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

    async def _last(self, ask: Ask) -> list[Completion]:
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
