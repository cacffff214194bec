"""The program that a worker of :mod:`potstill.grading.math_pool` runs; it imports nothing of ours.

It writes ``"ready"`` once math-verify is imported, or the import error in its place. Then it reads
one JSON array ``[gold, answer]`` a line and writes ``true`` or ``false`` a line. A comparison that
takes more processor time than ``SECONDS`` ends the process.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

SECONDS = 2.0
"""Processor time of one comparison: unlike time on the wall it is the same on a busy machine."""

MEMORY = 2 * 1024**3
"""Bytes of address space."""


def main() -> None:
    """Answers line by line until there is no more input."""
    with suppress(ValueError, OSError):  # not every system can limit it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what a library prints is no answer
        try:
            compare = _load_comparison()
        except ImportError as error:
            _write(answers, str(error))
            return
        _write(answers, "ready")
        for line in sys.stdin.buffer:
            gold, answer = json.loads(line)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its signal ends the process
            verdict = compare(gold, answer)
            signal.setitimer(signal.ITIMER_PROF, 0)
            _write(answers, verdict)


def _load_comparison() -> Callable[[str, str], bool]:
    """Imports math-verify and returns what compares a gold answer and an answer, as LaTeX."""
    from math_verify import LatexExtractionConfig, parse, verify

    # Its reader of plain expressions is left out: it ends in an eval of the text.
    config = (LatexExtractionConfig(),)

    def compare(gold: str, answer: str) -> bool:
        first, second = (
            parse(f"${text}$", extraction_config=config, parsing_timeout=None)
            for text in (gold, answer)
        )
        return bool(verify(first, second, timeout_seconds=None))

    compare("\\frac{1}{2}", "0.5")  # builds the tables that the first comparison waits for
    return compare


def _write(answers: BinaryIO, value: object) -> None:
    answers.write(json.dumps(value).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
