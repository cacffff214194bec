"""math-verify in processes of its own, with a hard deadline for each comparison.

math-verify (github.com/huggingface/Math-Verify) reads LaTeX into sympy and compares the results, so
that "(x+1)^2" is "x^2+2x+1". Some inputs, such as towers of powers, keep sympy busy for hours. The
package's own time limit is an alarm signal, which works in the main thread only; elsewhere it
raises, and the comparison counts as wrong. A process that hangs can be ended from any thread.
"""

import atexit
import json
import os
import select
import subprocess
import sys
from contextlib import suppress
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from queue import LifoQueue

from potstill.errors import MissingExtraError, extra

DEADLINE = 120.0
"""Seconds on the wall after which a comparison is given up, whatever its worker does.

A worker ends itself after 2 seconds of processor time, which a busy machine may take a minute to
give it: a deadline near to that would have the verdict hang on what else the machine does."""

START_DEADLINE = 120.0
"""Seconds on the wall in which a worker must have imported math-verify."""

WORKERS = min(4, os.cpu_count() or 1)
"""Most comparisons at the same time; further threads wait."""

LONGEST = 1000
"""Characters; what is longer is no answer to a problem, and no worker is asked."""

_PROGRAM = Path(__file__).with_name("math_worker.py")


@cache
def require() -> None:
    """Checks that math-verify is installed, without the second that importing it takes.

    Raises:
        MissingExtraError: It is not.
    """
    with extra("math", needed_for="grading mathematical answers"):
        for name in ("math_verify", "latex2sympy2_extended", "antlr4"):
            if find_spec(name) is None:
                raise ModuleNotFoundError(name=name)


@lru_cache(maxsize=10_000)
def same(gold: str, answer: str) -> bool | None:
    """Says whether math-verify finds two LaTeX expressions equal.

    It may be called from any thread. The same pair is compared once.

    Args:
        gold: The right answer, without the ``$`` around it.
        answer: The answer as read, likewise; math-verify does not treat the two alike.

    Returns:
        None where there was no verdict within the deadline or the memory allowed.

    Raises:
        MissingExtraError: math-verify is not installed, or does not start.
    """
    if max(len(gold), len(answer)) > LONGEST:
        return False
    return _pool.same(gold, answer)


class _Worker:
    """One process; it answers one question at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            # -P: the names of our own files shall not hide anyone's modules.
            [sys.executable, "-P", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        state = self._read(START_DEADLINE)
        if state != "ready":
            self.close()
            raise MissingExtraError(
                f"math-verify does not start: {state or 'its process ended or hung'}. "
                "Install it with: pip install 'potstill[math]'"
            )

    def same(self, gold: str, answer: str) -> bool | None:
        """Returns the verdict; None where there was none in time, which ends the worker's use."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps([gold, answer]).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        verdict = self._read(DEADLINE)
        return verdict if isinstance(verdict, bool) else None

    def close(self) -> None:
        """Ends the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # raised by a write that was never read
                pipe.close()

    def _read(self, seconds: float) -> object:
        """Returns the value of the next line; None where the process ended or was too slow."""
        assert self._process.stdout is not None
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        if not poll.poll(seconds * 1000):
            return None
        line = self._process.stdout.readline()  # short, so it comes whole
        return json.loads(line) if line.endswith(b"\n") else None


class _Pool:
    """Workers, each started when it is first needed and replaced when it was ended."""

    def __init__(self) -> None:
        self._idle: LifoQueue[_Worker | None] = LifoQueue()
        for _ in range(WORKERS):
            self._idle.put(None)

    def same(self, gold: str, answer: str) -> bool | None:
        """Returns a worker's verdict, once one is idle; a worker without a verdict is ended."""
        worker = self._idle.get()
        verdict = None
        try:
            worker = worker or _Worker()
            verdict = worker.same(gold, answer)
        finally:
            if worker and verdict is None:
                worker.close()
                worker = None
            self._idle.put(worker)
        return verdict

    def close(self) -> None:
        """Ends the workers that are idle; one that is busy ends when its pipe closes."""
        idle = [self._idle.get() for _ in range(self._idle.qsize())]
        for worker in idle:
            if worker:
                worker.close()
            self._idle.put(None)


_pool = _Pool()
_inherited: list[_Pool] = []


def _renew() -> None:
    """Leaves the workers to the parent of a forked process: two must not write to one pipe."""
    global _pool
    _inherited.append(_pool)  # collected, its workers would warn that they still run
    _pool = _Pool()


def close() -> None:
    """Ends the workers; the next comparison starts them again."""
    _pool.close()


atexit.register(close)
os.register_at_fork(after_in_child=_renew)
