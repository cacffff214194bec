"""Progress of long work: rate, tokens, cost and time left, on a terminal or as plain lines."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from potstill.control import Control

LINE_SECONDS = 10.0
"""How often a line is written where there is no terminal."""

Advance = Callable[[int, int, float], None]
"""Called with how many more are done, their tokens, and their cost in US dollars."""


class Meter:
    """Shows how far long work has come.

    On a terminal each stage has a live bar; elsewhere a line every ten seconds, and one at its end.

    Args:
        console: Where to show it; standard error by default. None shows nothing.
        control: Of the run, whose watch and account are shown beside the progress.
    """

    def __init__(self, console: Console | None, control: Control | None = None) -> None:
        self._console = console
        self.control = control or Control()

    def of(self, control: Control) -> "Meter":
        """The same meter for a run with its own control."""
        return Meter(self._console, control)

    @classmethod
    def on_stderr(cls) -> "Meter":
        """A meter on standard error."""
        return cls(Console(file=sys.stderr))

    @contextmanager
    def stage(self, label: str, *, total: int, done: int = 0, unit: str = "") -> Iterator[Advance]:
        """Show one stage of work while the block runs.

        Args:
            label: What is being done.
            total: How many there are.
            done: How many were there before.
            unit: What is counted, e.g. ``steps``.
        """
        tally = Tally(label, total, done, unit)
        if self._console is None or done >= total:
            yield tally.add
        elif self._console.is_terminal:
            yield from self._bar(tally)
        else:
            yield from self._lines(tally, self._console)

    def _bar(self, tally: "Tally") -> Iterator[Advance]:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), _TallyColumn(tally))
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(tally.label, total=tally.total, completed=tally.done)

            def advance(count: int, tokens: int, cost: float) -> None:
                tally.add(count, tokens, cost)
                progress.update(task, completed=tally.done)

            yield advance

    def _lines(self, tally: "Tally", console: Console) -> Iterator[Advance]:
        last = time.monotonic()

        def advance(count: int, tokens: int, cost: float) -> None:
            nonlocal last
            tally.add(count, tokens, cost)
            if time.monotonic() - last >= LINE_SECONDS:
                last = time.monotonic()
                _print(console, tally)

        yield advance
        _print(console, tally)


def _print(console: Console, tally: "Tally") -> None:
    console.print(f"{tally.label}: {tally.describe()}", highlight=False, soft_wrap=True)


class Tally:
    """Counts of one stage, and their description.

    Args:
        label: What is being done.
        total: How many there are.
        done: How many were there before; they do not count for the rate.
        unit: What is counted.
    """

    def __init__(self, label: str, total: int, done: int, unit: str) -> None:
        self.label, self.total, self.done, self.unit = label, total, done, unit
        self.tokens, self.cost = 0, 0.0
        self._before, self._start = done, time.monotonic()

    def add(self, count: int, tokens: int, cost: float) -> None:
        """Count more."""
        self.done += count
        self.tokens += tokens
        self.cost += cost

    def describe(self) -> str:
        """One line: how far, how fast, at what cost, how long still."""
        seconds = max(time.monotonic() - self._start, 1e-6)
        rate = (self.done - self._before) / seconds
        unit = f" {self.unit}" if self.unit else ""
        parts = [f"{self.done:,}/{self.total:,}{unit}"]
        if self.done > self._before:
            parts.append(f"{rate:,.1f}/s")
        if self.tokens:
            parts.append(f"{self.tokens / seconds:,.0f} tokens/s")
        if self.cost:
            parts.append(f"${self.cost:,.2f}")
        if self.done < self.total and rate:
            parts.append(f"{_clock((self.total - self.done) / rate)} left")
        else:
            parts.append(f"in {_clock(seconds)}")
        return "  ".join(parts)


class _TallyColumn(ProgressColumn):
    """The tally's description, as a column beside the bar."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: Task) -> Text:
        return Text(self._tally.describe())


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def printable(text: str) -> str:
    """The text of a model on one line, without characters that would steer a terminal."""
    return "".join(
        each if each.isprintable() else " " if each.isspace() else f"\\x{ord(each):02x}"
        for each in text
    )
