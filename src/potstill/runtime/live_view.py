"""The view of work on a terminal: the stage, what it works on, the servers, a bar for all of it.

The time stands at the end of a line and is never cut: where the terminal is narrow, the bar goes
first, then tokens a second, then the rate::

    evaluate  1,320/2,900 answers  10.6/s  289 tokens/s  2:29 left
      rationales step 300 on two_step_arithmetic dev  45/100
      $0.31 of $2.00  48 of 64 in flight
    run ━━━━━━━━━━━━━━━━━━╸━━━━━━━━━━  stage 4 of 5  12:41 so far, over 2:29 left
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from rich.console import RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from potstill.runtime.server_traffic import ServerTraffic
from potstill.runtime.stage_tally import StageOrder, StageTally
from potstill.runtime.tally import Pace, Tally
from potstill.text.short_paths import fit_words

WIDEST = 120
"""Columns that the view fills at most."""

NARROWEST_BAR = 10
"""Columns of the bar beside its label; where less is left, the label has a line of its own."""

ECHO = "^C "
"""Text a terminal may write behind the view; on a line of its own it would shift the view."""


@dataclass(slots=True)
class Board:
    """The work that is going on now, shared by all meters of a command."""

    pieces: list[Tally] = field(default_factory=list)
    """Pieces of work, the outermost first."""

    stage: StageTally | None = None
    order: StageOrder | None = None
    """The stages of a run that does one after the other."""

    stage_views: ExitStack = field(default_factory=ExitStack)
    """Holds what is shown until the stage's end."""

    is_shown: bool = False
    """Whether there is a live view."""

    def end_stage(self) -> None:
        """No stage is at work any more."""
        self.stage = None

    def end_view(self) -> None:
        """There is no live view any more."""
        self.is_shown = False


def view_lines(board: Board, traffic: ServerTraffic, width: int) -> Iterator[RenderableType]:
    """Yields the lines that show what is at work.

    Args:
        board: The work that is going on.
        traffic: The servers' state.
        width: Columns that may be filled.
    """
    stage, pieces = board.stage, tuple(board.pieces)
    cost = pieces[0].cost if pieces else 0.0
    if stage is None:
        for tally in pieces[:1]:
            share = None if tally.total is None else (tally.done, tally.total)
            yield from _barred(tally.label, tally.pace(), share, width)
        yield from _details(pieces[1:], traffic, cost, 0, width)
        return
    order = board.order if board.order and stage.name in board.order.names else None
    if order is None and not stage.ended:
        yield from _barred(stage.name, stage.pace(), _promille(stage.share), width)
    else:
        yield Text(f"{stage.name}  {_fitted(stage.pace(), width - len(stage.name) - 2)}")
    if stage.ended:
        return
    yield from _details(pieces, traffic, cost, 2, width)
    if order is not None:
        words = Pace(order.place(stage), "", "", order.time(stage))
        yield from _barred("run", words, _promille(order.share(stage)), width)


def _promille(share: float) -> tuple[int, int]:
    return round(1000 * share), 1000


def _details(
    pieces: Sequence[Tally], traffic: ServerTraffic, cost: float, indent: int, width: int
) -> Iterator[RenderableType]:
    """Yields the pieces that a line above counts, and the servers' state."""
    lines = [f"{tally.label}  {tally.pace().counts}".rstrip() for tally in pieces]
    lines += [traffic.describe(cost), traffic.faults, traffic.stopping]
    for line in fit_words(list(filter(None, lines)), width - indent):
        yield Padding(Text(line), (0, 0, 0, indent))


def _barred(
    label: str, pace: Pace, share: tuple[int, int] | None, width: int
) -> Iterator[RenderableType]:
    """Yields a label, a bar and the pace, on one line where there is room for them.

    Args:
        label: The work, in a few words.
        pace: How far it is.
        share: How much is done, of how much; None: not known.
        width: Columns that may be filled.
    """
    beside = [
        words for words in _shorter(pace) if len(label) + NARROWEST_BAR + len(words) + 2 <= width
    ]
    words = beside[0] if beside else _fitted(pace, width)
    done, total = share or (0, None)
    bar = ProgressBar(total=total, completed=done, pulse=share is None)
    table = Table.grid(expand=True, padding=(0, 1))
    if beside:
        table.add_column(no_wrap=True)
    else:
        yield Text(label)
    room = width - len(words) - 1
    table.add_column(ratio=1, min_width=min(NARROWEST_BAR, max(0, room)))
    table.add_column(no_wrap=room >= 0)
    table.add_row(*([Text(label)] if beside else []), bar, Text(words))
    yield table


def _fitted(pace: Pace, width: int) -> str:
    """Returns as much of the pace as fits, the time at any rate."""
    shorter = list(_shorter(pace))
    return next((words for words in shorter if len(words) <= width), shorter[-1])


def _shorter(pace: Pace) -> Iterator[str]:
    """Yields the pace shorter and shorter: without tokens a second, the rate, the counts."""
    for narrowed in (
        pace,
        pace._replace(token_rate=""),
        pace._replace(token_rate="", rate=""),
        Pace("", "", "", pace.time),
    ):
        yield narrowed.words()
