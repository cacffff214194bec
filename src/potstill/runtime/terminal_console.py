"""The console that tables and progress are shown on: rich's, with texts of others made harmless."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from potstill.text.terminal_text import terminal_text


class TerminalConsole(Console):
    """A console whose own commands steer the terminal, and no text that is shown on it."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yields the segments of a thing to show, their texts made fit for a terminal."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(terminal_text(segment.text), segment.style)
