"""Facts for the terminal: a name and a text each, in lines of whole words."""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from potstill.text.short_paths import fit_words

NARROWEST = 30
"""Columns that a text has at least beside its name; else it stands below it."""


class FactLines:
    """Names in bold, and beside or below each its text.

    Args:
        facts: A name and a text each; a name that begins with spaces belongs to the one above.
    """

    def __init__(self, facts: Sequence[tuple[str, str]]) -> None:
        self._facts = facts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the lines."""
        width = options.max_width
        indent = max((len(name) for name, _ in self._facts), default=0) + 2
        is_below = width - indent < NARROWEST
        if is_below:
            indent = 2
        room = max(width - indent, 1)
        texts = fit_words([text for _, text in self._facts], room)
        for (name, _), text in zip(self._facts, texts, strict=True):
            lines = Text(text).wrap(console, room)
            if is_below:
                yield Text(name, style="bold")
            for number, line in enumerate(lines):
                line.rstrip()
                head = name if number == 0 and not is_below else ""
                yield Text.assemble((f"{head:<{indent}}", "bold"), line)


class ShortWords:
    """A text in lines of whole words, a path in it shortened where it is longer than a line."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the text."""
        yield Text(fit_words([self._text], options.max_width)[0])
