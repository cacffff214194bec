"""Stopping in good order: the first signal lets what is in flight arrive, the second drops it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer, current_thread, main_thread
from types import FrameType

from potstill.runtime import Runtime

GRACE = 20.0
"""Seconds after SIGTERM in which answers are waited for; schedulers mostly kill after 30."""


class Terminated(KeyboardInterrupt):
    """SIGTERM ended the work, as schedulers send it before they take a machine away."""

    signal = signal.SIGTERM


def _raise_terminated(number: int, _: FrameType | None) -> None:
    raise Terminated


@contextmanager
def terminating() -> Iterator[None]:
    """Let SIGTERM in the block end it as Ctrl-C does, by :class:`Terminated`, and not at once.

    A handler that is there already is left alone. :func:`stoppable` inside takes its place.
    """
    own = current_thread() is main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if own:
        signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        yield
    finally:
        if own:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


ENDINGS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
"""The exception that each stopping signal ends the work with."""


@contextmanager
def stoppable(runtime: Runtime) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM in the block set ``runtime.stop``, and the second end it.

    The block is to send nothing more once ``runtime.stop`` is set, and to end when what was in
    flight has arrived. SIGTERM counts as sent twice after :data:`GRACE` seconds. The handlers are
    those of the main thread, where the signals have Python's own; a signal that is ignored, or for
    which the application has a handler, is left alone.

    Args:
        runtime: The run's; its ``stop`` event and its log are used.

    Raises:
        KeyboardInterrupt: ``runtime.stop`` was set, by a signal or by other code; for SIGTERM as
            :class:`Terminated`. What arrived before is the caller's.
    """
    signals = _Signals(runtime)
    signals.install()
    try:
        yield
        if runtime.stop.is_set():
            raise signals.ending
    finally:
        signals.restore()


class _Signals:
    """The handlers of one block, and what they caught."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._before: dict[signal.Signals, signal.Handlers | object] = {}
        self._caught: list[signal.Signals] = []
        self._in_flight = 0
        self._timer: Timer | None = None

    @property
    def ending(self) -> KeyboardInterrupt:
        """The exception that the first signal ends the block with."""
        return ENDINGS[self._caught[0]]() if self._caught else KeyboardInterrupt()

    def install(self) -> None:
        """Put the handlers in the place of Python's own."""
        if current_thread() is not main_thread():
            return
        plain = {
            signal.SIGINT: (signal.default_int_handler,),
            signal.SIGTERM: (signal.SIG_DFL, _raise_terminated),
        }
        for number, handlers in plain.items():
            handler = signal.getsignal(number)
            if handler in handlers:
                signal.signal(number, self._catch)
                self._before[number] = handler

    def restore(self) -> None:
        """Put the handlers back that were there; the run may be asked again."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if self._timer is not None:
            self._timer.cancel()
        if self._caught:
            dropped = len(self._caught) > 1
            name, in_flight = self._caught[0].name, self._in_flight
            self._runtime.events.record(
                "interrupted", signal=name, in_flight=in_flight, dropped=dropped
            )
            self._runtime.stop.clear()

    def _catch(self, number: int, _: FrameType | None) -> None:
        """Runs between any two steps of the main thread, so it takes no lock that one may hold."""
        self._caught.append(signal.Signals(number))
        if len(self._caught) > 1:
            raise ENDINGS[self._caught[-1]]
        self._in_flight = self._runtime.events.in_flight
        self._runtime.stop.set()
        if number == signal.SIGTERM:
            self._timer = Timer(GRACE, os.kill, (os.getpid(), number))
            self._timer.daemon = True
            self._timer.start()
