"""Progress of long work: how far, how fast, at what cost, with which faults, how long still."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Event, Thread

from rich.console import Console, Group
from rich.constrain import Constrain
from rich.live import Live

from potstill.runtime import Runtime
from potstill.runtime.events import EventLog
from potstill.runtime.live_view import ECHO, WIDEST, Board, view_lines
from potstill.runtime.server_traffic import ServerTraffic
from potstill.runtime.stage_tally import StageOrder, StageTally
from potstill.runtime.tally import Tally
from potstill.runtime.terminal_console import TerminalConsole
from potstill.text.short_paths import fit_words

FIRST_SECONDS = 2.0
"""Seconds until the first line where there is no terminal, so that work is seen to begin."""

LINE_SECONDS = 10.0
"""How often a line is written to the log, whose first one stands at the beginning."""

LINE_GROWTH = 1.5
"""The factor by which the time of each further line grows where there is no terminal."""

TICK_SECONDS = 0.25
"""How often the view is brought up to date."""

Advance = Callable[[int, int, float], None]
"""Called with how many more are done, their tokens, and their cost in US dollars."""


class Meter:
    """Shows how far long work has come.

    On a terminal there is one live view, of a stage of a run or else of a piece of work, of which a
    line stays. Elsewhere it is a line after two seconds, further ones more and more seldom, and one
    at the end. The run's log gets the counts of each piece of work every ten seconds.

    Args:
        console: The console to show it on; None shows nothing.
        runtime: The run's budget, log and stop signal, which are shown beside the progress.
        board: The work that several meters show in one view, if they do.
    """

    def __init__(
        self, console: Console | None, runtime: Runtime | None = None, board: Board | None = None
    ) -> None:
        self._console, self._board = console, board or Board()
        self.runtime = runtime or Runtime()
        if console is not None:
            self.runtime.events.show = self.say

    def say(self, line: str) -> None:
        """Show a line, above the live view where there is one."""
        if self._console is not None:
            wide = not self._console.is_terminal
            text = line if wide else fit_words([line], self._console.width)[0]
            self._console.print(text, highlight=False, markup=False, soft_wrap=wide)

    def of(self, runtime: Runtime) -> "Meter":
        """Returns the same meter, showing the budget and the log of this runtime."""
        return Meter(self._console, runtime, self._board)

    @classmethod
    def on_stderr(cls) -> "Meter":
        """A meter on standard error."""
        return cls(TerminalConsole(file=sys.stderr))

    def all_stages(self, names: Sequence[str]) -> None:
        """Show from now on how far a run is that does these stages one after the other."""
        self._board.order = StageOrder(names)

    @contextmanager
    def run_stage(self, name: str) -> Iterator[None]:
        """Show one stage of a run while the block runs: all its pieces of work as one."""
        board, console, traffic = self._board, self._console, ServerTraffic(self.runtime)
        board.stage = stage = StageTally(name)

        def line() -> str:
            pieces = [] if stage.ended else board.pieces
            named = [f"{tally.label}  {tally.pace().counts}".rstrip() for tally in pieces]
            cost = board.pieces[0].cost if board.pieces else 0.0
            words = f"{name}: {'; '.join([stage.pace().words(), *named])}"
            return "  ".join(filter(None, [words, traffic.describe(cost), traffic.faults]))

        with ExitStack() as views:
            board.stage_views = views
            views.callback(board.end_stage)
            if console is not None and not console.is_terminal:
                views.enter_context(_Ticker(line, traffic, self.say))
            yield
            stage.ended = True

    def expect(self, total: int, unit: str) -> None:
        """Say how much the stage at work does in all, by :meth:`part`, and in which unit."""
        if self._board.stage is not None:
            self._board.stage.expect(total, unit)

    def part(self, size: int) -> AbstractContextManager[None]:
        """Count all pieces of work in the block as so much of what the stage does in all."""
        return (self._board.stage or StageTally("")).part(size)

    @contextmanager
    def stage(
        self,
        label: str,
        *,
        total: int | None,
        done: int = 0,
        unit: str = "",
        tokens: int | None = None,
    ) -> Iterator[Advance]:
        """Show one piece of work while the block runs.

        Args:
            label: The work being done, in a few words.
            total: How many there are; None for work whose length is not known, such as loading.
            done: How many were there before.
            unit: The thing counted, e.g. ``steps``.
            tokens: The tokens of what is not done, where that is known: the time that is left goes
                by them, as few large steps say little.
        """
        events, stage, board = self.runtime.events, self._board.stage, self._board
        tally = Tally(label, total, done, unit, tokens=tokens, writing=lambda: events.writing)
        if stage is not None and not board.pieces and total is not None:
            stage.add(tally)
        if total is not None and done >= total:
            yield tally.add
            return
        traffic = ServerTraffic(self.runtime)

        def line() -> str:
            parts = tally.describe(), traffic.describe(tally.cost), traffic.faults
            return f"{tally.label}: {'  '.join(filter(None, parts))}"

        with ExitStack() as views:
            board.pieces.append(tally)
            views.callback(board.pieces.remove, tally)
            self._begin_view(views, traffic)
            terminal = self._console is not None and self._console.is_terminal
            say = None if stage is not None or terminal else self.say
            if say is not None or events.logs:
                log = _Log(tally, self.runtime.events, stage)
                views.enter_context(_Ticker(line, traffic, say, log, ends=total is not None))
            yield tally.add

    def _begin_view(self, views: ExitStack, traffic: ServerTraffic) -> None:
        """Begin the live view on a terminal, unless it is there; a stage's stays to its end."""
        board, console = self._board, self._console
        if console is None or not console.is_terminal or board.is_shown:
            return

        def view() -> Constrain:
            width = min(console.width, WIDEST) - len(ECHO)
            return Constrain(Group(*view_lines(board, traffic, width)), width)

        holder = views if board.stage is None else board.stage_views
        live = Live(
            get_renderable=view,
            console=console,
            refresh_per_second=1 / TICK_SECONDS,
            # Output to a file or a pipe has to arrive there.
            redirect_stdout=sys.stdout.isatty(),
            transient=board.stage is None and board.pieces[0].total is None,
        )
        board.is_shown = True
        holder.callback(board.end_view)
        holder.enter_context(live)


def next_line(seconds: float) -> float:
    """Returns after how many seconds of work the line behind one after ``seconds`` is written."""
    return max(seconds + LINE_SECONDS, LINE_GROWTH * seconds)


class _Ticker:
    """Writes lines: to the log every ten seconds, to a console that is no terminal more seldom.

    Args:
        line: Returns the line that says how far the work is.
        traffic: The servers' state.
        say: Shows a line; None: none is shown.
        log: Writes the counts to the log.
        ends: Whether a line is due at the end of what took a while.
    """

    def __init__(
        self,
        line: Callable[[], str],
        traffic: ServerTraffic,
        say: Callable[[str], None] | None,
        log: Callable[[], None] = lambda: None,
        *,
        ends: bool = True,
    ) -> None:
        self._line, self._traffic, self._say, self._log = line, traffic, say, log
        self._ends, self._shown = ends, False
        self._begin = time.monotonic()
        self._ended = Event()
        self._thread = Thread(target=self._tick, name="potstill-progress", daemon=True)

    def __enter__(self) -> None:
        self._log()
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._log()
        # Work that was over in a moment and was never shown needs no line of its own: most of a
        # run's pieces of work are so short, and the command tells their results.
        moment = min(FIRST_SECONDS, LINE_SECONDS)
        shown = self._shown or time.monotonic() - self._begin >= moment
        if kind is None and self._ends and shown:
            self._print()

    def _tick(self) -> None:
        begin = last = time.monotonic()
        pause = due = min(FIRST_SECONDS, LINE_SECONDS)
        announced = False
        while not self._ended.wait(TICK_SECONDS):
            if (stopping := self._traffic.stopping) and not announced and self._say is not None:
                announced = True
                self._say(stopping)
            if time.monotonic() - last >= pause:
                last, pause = time.monotonic(), LINE_SECONDS
                self._log()
                if last - begin >= due:
                    due = next_line(last - begin)
                    self._print()

    def _print(self) -> None:
        self._shown = True
        if self._say is not None:
            self._say(self._line())


class _Log:
    """Writes the counts of a piece of work to the run's log.

    Args:
        tally: The work.
        events: The log.
        stage: The stage that it is a piece of; None: of none.
    """

    def __init__(self, tally: Tally, events: EventLog, stage: StageTally | None) -> None:
        self._tally, self._events, self._stage = tally, events, stage

    def __call__(self) -> None:
        tally, events = self._tally, self._events
        events.record(
            "progress",
            label=tally.label,
            done=tally.done,
            total=tally.total,
            stage_left=self._stage.left_with(tally) if self._stage else None,
            new=tally.new,
            seconds=round(tally.seconds, 3),
            tokens=tally.tokens,
            writing=events.writing,
            usd=tally.cost,
            in_flight=events.in_flight,
            limit=events.limit,
            retries=dict(events.retries),
            given_up=dict(events.given_up),
        )


def printable(text: str) -> str:
    """The text of a model on one line, without characters that would steer a terminal."""
    return "".join(
        char if char.isprintable() else " " if char.isspace() else f"\\x{ord(char):02x}"
        for char in text
    )
