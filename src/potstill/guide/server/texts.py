"""The text of an answer as its client sees it, put together from both sides' words."""

from collections.abc import Mapping, Sequence

from potstill.guide.decoding import Ask, Guided, Who
from potstill.guide.server.upstreams import Emit
from potstill.records import FinishReason


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

    def rest(self) -> str:
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
        leads: What each side is given between prompt and first step.
        lead: What a client is shown there.
        stops: Strings that end a text.
        samples: How many texts.
        out: Takes each piece that is certain.
    """

    def __init__(
        self, leads: Mapping[Who, str], lead: str, stops: Sequence[str], samples: int, out: Emit
    ) -> None:
        self._leads, self._lead, self._out = leads, lead, out
        self._cutters = [Cutter(stops) for _ in range(samples)]
        self._told = 0
        """Characters of the steps that were shown."""

    async def fixed(self, ask: Ask) -> bool:
        """Show the steps that stand before what is asked; False where they end the answer."""
        steps = ask.request.answer_prefix.removeprefix(self._leads[ask.who])
        new = steps[self._told :]
        if new and not self._told:
            new = self._lead + new
        self._told = len(steps)
        for place in range(len(self._cutters)):
            await self.piece(place, new)
        return not self._cutters[0].stopped

    async def piece(self, place: int, text: str) -> None:
        """Show a piece of one sample's text."""
        certain = self._cutters[place].feed(text)
        if certain:
            await self._out(place, certain)

    async def end(self, guided: Guided, *, written: bool) -> list[FinishReason]:
        """Show what is left, and say why each text ends.

        Args:
            guided: The answer.
            written: Whether the student's last words were shown already.
        """
        reasons: list[FinishReason] = []
        for place, ending in enumerate(guided.endings):
            if not written:
                await self.piece(place, ending.text)
            if rest := self._cutters[place].rest():
                await self._out(place, rest)
            reasons.append("stop" if self._cutters[place].stopped else ending.finish_reason)
        return reasons
