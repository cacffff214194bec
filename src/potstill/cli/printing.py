"""Tables on the terminal: none is cut, however narrow it is."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from potstill.cli.documents import wants_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table


def print_table(table: object) -> None:
    """Show a table or page of rich's; a table wider than the terminal row by row."""
    from rich.table import Table

    from potstill.runtime.terminal_console import TerminalConsole

    console = TerminalConsole(highlight=False, stderr=wants_json())
    if isinstance(table, Table) and _is_too_wide(table, console):
        for line in _row_by_row(table):
            console.print(line)
    else:
        console.print(table)


def _is_too_wide(table: "Table", console: "Console") -> bool:
    """Whether a table would be cut; what may be wrapped is not."""
    from rich.measure import Measurement

    room = console.options.update(max_width=100_000)
    needed = 0
    for column in table.columns:
        measured = [Measurement.get(console, room, cell) for cell in (column.header, *column.cells)]
        widths = [one.maximum if column.no_wrap else one.minimum for one in measured]
        needed += max(widths, default=0) + table.padding[1] + table.padding[3]
    return needed > console.width


def _row_by_row(table: "Table") -> Iterator["RenderableType"]:
    """Yields each row of a table: its first cell on a line, below it the others with headings."""
    from rich.padding import Padding
    from rich.text import Text

    if table.title:
        yield table.title
    heads = [_plain(column.header) for column in table.columns]
    for first, *others in zip(*(column.cells for column in table.columns), strict=True):
        yield Text(_plain(first), style="bold")
        for head, cell in zip(heads[1:], others, strict=True):
            if value := " ".join(_plain(cell).split()):
                yield Padding(Text(f"{head}  {value}" if head else value), (0, 0, 0, 2))


def _plain(cell: "RenderableType") -> str:
    from rich.text import Text

    return cell.plain if isinstance(cell, Text) else str(cell)
