"""Progress of long work: how far, how fast, at what cost, with which faults, how long still."""

import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Event, Thread
from typing import NamedTuple

from rich.console import Console, Group
from rich.constrain import Constrain
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from potstill.runtime import Runtime
from potstill.runtime.cost_words import cost_words, dollars
from potstill.runtime.terminal_console import TerminalConsole

FIRST_SECONDS = 2.0
"""When the first line is written where there is no terminal, so that work is seen to begin."""

LINE_SECONDS = 10.0
"""How often a line is written to the log, whose first one stands at the beginning."""

LINE_GROWTH = 1.5
"""Where there is no terminal, each further line comes when the work has taken so many times as long
as at the line before."""

TICK_SECONDS = 0.25
"""How often the view is brought up to date."""

RATE_SECONDS = 60.0
"""How far back the rate looks; a server is asked faster and slower as it allows."""

WIDEST = 120
"""Columns that the view fills at most."""

NARROWEST_BAR = 10
"""Columns of the bar beside its label; where less is left, the label has a line of its own."""

ECHO = "^C "
"""Text a terminal may write behind the view; on a line of its own it would shift the view."""

Advance = Callable[[int, int, float], None]
"""Called with how many more are done, their tokens, and their cost in US dollars."""


class Meter:
    """Shows how far long work has come.

    On a terminal each stage has a live view; elsewhere a line after two seconds, further ones more
    and more seldom, and one at its end. The run's log gets the same counts every ten seconds.

    Args:
        console: Where to show it; None shows nothing.
        runtime: The run's budget, log and stop signal, which are shown beside the progress.
    """

    def __init__(self, console: Console | None, runtime: Runtime | None = None) -> None:
        self._console = console
        self.runtime = runtime or Runtime()
        if console is not None:
            self.runtime.events.show = self.say

    def say(self, line: str) -> None:
        """Show a line, above the live view where there is one."""
        if self._console is not None:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def of(self, runtime: Runtime) -> "Meter":
        """Returns the same meter, showing the budget and the log of this runtime."""
        return Meter(self._console, runtime)

    @classmethod
    def on_stderr(cls) -> "Meter":
        """A meter on standard error."""
        return cls(TerminalConsole(file=sys.stderr))

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
        """Show one stage of work while the block runs.

        Args:
            label: The work being done, in a few words.
            total: How many there are; None for work whose length is not known, such as loading.
            done: How many were there before.
            unit: The thing counted, e.g. ``steps``.
            tokens: The tokens of what is not done, where that is known: the time that is left goes
                by them, as few large steps say little.
        """
        events = self.runtime.events
        tally = Tally(label, total, done, unit, tokens=tokens, writing=lambda: events.writing)
        console = self._console
        if total is not None and done >= total:
            yield tally.add
            return
        traffic = _Traffic(self.runtime)
        with ExitStack() as views:
            if console is not None and console.is_terminal:
                views.enter_context(_live(tally, traffic, console))
                console = None
            if console is not None or self.runtime.events.logs:
                views.enter_context(_Ticker(tally, traffic, console))
            yield tally.add


class Tally:
    """Counts of one stage, and their description.

    Args:
        label: The work being done, in a few words.
        total: How many there are; None where that is not known.
        done: How many were there before; they do not count for the rate.
        unit: The thing counted.
        tokens: The tokens of all that is not done, where that is known.
        writing: Returns the tokens of what has begun and is not done.
    """

    def __init__(
        self,
        label: str,
        total: int | None,
        done: int,
        unit: str,
        *,
        tokens: int | None = None,
        writing: Callable[[], int] = lambda: 0,
    ) -> None:
        self.label, self.total, self.done, self.unit = label, total, done, unit
        self.tokens, self.cost = 0, 0.0
        self._all_tokens, self._writing = tokens, writing
        self._start = _Point(time.monotonic(), done, 0)
        self._points = deque([self._start])

    @property
    def new(self) -> int:
        """How many were done since it began."""
        return self.done - self._start.done

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._start.time

    @property
    def written(self) -> int:
        """Tokens so far, those of what is not done among them."""
        return self.tokens + self._writing()

    @property
    def ended(self) -> bool:
        """Whether all of it is done."""
        return self.total is not None and self.done >= self.total

    def add(self, count: int, tokens: int, cost: float) -> None:
        """Count more."""
        self.done += count
        self.tokens += tokens
        self.cost += cost

    def describe(self) -> str:
        """How far, how fast and how long still; at the end how long it took."""
        if self.total is None:
            return f"{clock(self.seconds)} so far"
        unit = f" {self.unit}" if self.unit else ""
        parts = [f"{self.done:,}/{self.total:,}{unit}"]
        now = _Point(time.monotonic(), self.done, self.written)
        since = self._start if self.ended else self._earlier(now)
        seconds = max(now.time - since.time, 1e-6)
        rate = (now.done - since.done) / seconds
        token_rate = max(now.tokens - since.tokens, 0) / seconds
        if rate:
            parts.append(rate_words(rate))
        if token_rate:
            parts.append(f"{token_rate:,.0f} tokens/s")
        if self.ended:
            parts.append(f"in {clock(self.seconds)}")
        elif token_rate and self._all_tokens is not None:
            parts.append(f"{clock(max(self._all_tokens - now.tokens, 0) / token_rate)} left")
        elif rate:
            parts.append(f"{clock((self.total - self.done) / rate)} left")
        else:
            parts.append(f"{clock(self.seconds)} so far")
        return "  ".join(parts)

    def _earlier(self, now: "_Point") -> "_Point":
        """Where the work was a while ago; remembers where it is now."""
        if now.time - self._points[-1].time >= 1:
            self._points.append(now)
        while now.time - self._points[0].time > RATE_SECONDS and len(self._points) > 2:
            self._points.popleft()
        return self._points[0]


class _Point(NamedTuple):
    time: float
    done: int
    tokens: int


class _Traffic:
    """A line about the servers' state during one stage.

    Args:
        runtime: The run's, whose budget and log are read.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._retries = runtime.events.retries.copy()
        self._given_up = runtime.events.given_up.copy()
        self._asks = False

    def describe(self, cost: float) -> str:
        """Spending, tries in flight, answers being written, and what is waited for.

        Args:
            cost: US dollars of the stage's answers, which an account without prices misses.
        """
        events = self.runtime.events
        parts = [spent] if (spent := self._spent(cost)) else []
        # The limit stays when a stage that asked is over: one that asks nobody has none in flight.
        self._asks = self._asks or events.in_flight > 0
        if events.limit and self._asks:
            parts.append(f"{events.in_flight:,} of {events.limit:,} in flight")
        if events.writing:
            parts.append(f"{events.writing:,} tokens of unfinished answers")
        parts += list(events.notes.values())
        return "  ".join(parts)

    @property
    def faults(self) -> str:
        """The counts of requests repeated and given up in this stage, by kind."""
        events = self.runtime.events
        # Copies: a model's thread may count another kind meanwhile.
        faults = {
            "retried": events.retries.copy() - self._retries,
            "failed": events.given_up.copy() - self._given_up,
        }
        return "  ".join(
            f"{what} {counts.total():,} ({_by_kind(counts)})"
            for what, counts in faults.items()
            if counts
        )

    @property
    def stopping(self) -> str:
        """The notice shown once the run is to stop; empty before."""
        if not self.runtime.stop.is_set():
            return ""
        flying = self.runtime.events.in_flight
        what = f"{flying:,} requests in flight are" if flying > 1 else "what has begun is"
        return f"Stopping: {what} awaited and kept. Ctrl-C again drops them."

    def _spent(self, cost: float) -> str:
        budget = self.runtime.budget
        limit, usd = budget.limit, max(budget.spent.usd, cost)
        parts = []
        if limit.usd is not None:
            parts.append(f"{dollars(usd)} of {dollars(limit.usd)}")
        elif usd or (budget.unpriced and budget.spent.tokens):
            parts.append(cost_words(usd, budget.unpriced))
        if limit.tokens is not None:
            parts.append(f"{budget.spent.tokens:,} of {limit.tokens:,} tokens")
        return ", ".join(parts)


KINDS = {
    "answer": "unreadable answer",
    "page": "web page",
    "error": "error in place of an answer",
    "connection": "no connection",
    "reset": "connection lost",
}
"""Kinds of faults in words; statuses and the others stand for themselves."""


def _by_kind(counts: Counter[str]) -> str:
    named = {kind: f"HTTP {kind}" if kind.isdecimal() else KINDS.get(kind, kind) for kind in counts}
    return ", ".join(f"{named[kind]} ×{count:,}" for kind, count in counts.most_common())  # noqa: RUF001


def _live(tally: Tally, traffic: _Traffic, console: Console) -> AbstractContextManager[object]:
    """The view on a terminal, brought up to date by a thread of its own."""

    def view() -> Constrain:
        width = min(console.width, WIDEST) - len(ECHO)
        described = tally.describe()
        bar = ProgressBar(total=tally.total, completed=tally.done, pulse=tally.total is None)
        room = width - len(described) - 1
        beside = len(tally.label) + 1 + NARROWEST_BAR <= room
        table = Table.grid(expand=True, padding=(0, 1))
        if beside:
            table.add_column(no_wrap=True)
        table.add_column(ratio=1, min_width=min(NARROWEST_BAR, max(0, room)))
        table.add_column(no_wrap=room >= 0)
        table.add_row(*([Text(tally.label)] if beside else []), bar, Text(described))
        further = (traffic.describe(tally.cost), traffic.faults, traffic.stopping)
        above = [] if beside else [Text(tally.label)]
        lines = Group(*above, table, *(Text(line) for line in further if line))
        return Constrain(lines, width)

    return Live(get_renderable=view, console=console, refresh_per_second=1 / TICK_SECONDS)


def next_line(seconds: float) -> float:
    """Returns after how many seconds of work the line behind one after ``seconds`` is written."""
    return max(seconds + LINE_SECONDS, LINE_GROWTH * seconds)


class _Ticker:
    """Writes lines: to the log every ten seconds, to a console that is no terminal more seldom."""

    def __init__(self, tally: Tally, traffic: _Traffic, console: Console | None) -> None:
        self._tally, self._traffic, self._console = tally, traffic, console
        self._shown = False
        self._ended = Event()
        self._thread = Thread(target=self._tick, name="potstill-progress", daemon=True)

    def __enter__(self) -> None:
        self._log()
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._log()
        # What was over in a moment and was never shown needs no line of its own: most of a run's
        # pieces of work are so short, and what came of them is told by the command.
        moment = min(FIRST_SECONDS, LINE_SECONDS)
        shown = self._shown or self._tally.seconds >= moment
        if kind is None and self._tally.total is not None and shown:
            self._print()

    def _tick(self) -> None:
        begin = last = time.monotonic()
        pause = due = min(FIRST_SECONDS, LINE_SECONDS)
        announced = False
        while not self._ended.wait(TICK_SECONDS):
            if (stopping := self._traffic.stopping) and not announced:
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
        tally, traffic = self._tally, self._traffic
        parts = tally.describe(), traffic.describe(tally.cost), traffic.faults
        self._say(f"{tally.label}: {'  '.join(part for part in parts if part)}")

    def _say(self, line: str) -> None:
        if self._console is not None:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _log(self) -> None:
        tally, events = self._tally, self._traffic.runtime.events
        events.record(
            "progress",
            label=tally.label,
            done=tally.done,
            total=tally.total,
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


def rate_words(rate: float) -> str:
    """How many a second; where they are few, how many a minute."""
    return f"{rate:,.1f}/s" if rate >= 0.1 else f"{60 * rate:,.1f}/min"


def clock(seconds: float) -> str:
    """A duration as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def printable(text: str) -> str:
    """The text of a model on one line, without characters that would steer a terminal."""
    return "".join(
        char if char.isprintable() else " " if char.isspace() else f"\\x{ord(char):02x}"
        for char in text
    )
