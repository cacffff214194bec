"""What the models of a run are doing: counts for the live view, and the run's structured log."""

import os
import time
from collections import Counter
from pathlib import Path
from threading import Lock

import orjson


class Watch:
    """Counts what happens while models are asked. Thread-safe.

    Args:
        log: Takes one JSON object a line for every event; None writes none. Texts and keys never
            go there.
    """

    def __init__(self, log: Path | None = None) -> None:
        self.in_flight = 0
        """Tries that wait for their answers."""

        self.limit = 0
        """How many may be in flight at once by now; 0 before any was sent."""

        self.retries: Counter[str] = Counter()
        """Tries that failed and were repeated, by kind of fault, such as ``429`` or ``timeout``."""

        self.given_up: Counter[str] = Counter()
        """Requests that failed for good, by kind of fault."""

        self._log = log
        self._file: int | None = None
        self._lock = Lock()

    def event(self, name: str, **fields: object) -> None:
        """Write one event to the log."""
        if self._log is None:
            return
        line = orjson.dumps({"time": round(time.time(), 3), "event": name, **fields}) + b"\n"
        with self._lock:
            if self._file is None:
                self._log.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                self._file = os.open(self._log, flags, 0o644)
            os.write(self._file, line)

    def retried(self, kind: str, *, wait: float, message: str) -> None:
        """A try failed and will be repeated after so many seconds."""
        self.retries[kind] += 1
        self.event("retry", kind=kind, wait=round(wait, 3), message=message)

    def failed(self, kind: str, *, message: str) -> None:
        """A request failed for good."""
        self.given_up[kind] += 1
        self.event("failed", kind=kind, message=message)

    def close(self) -> None:
        """Close the log."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
