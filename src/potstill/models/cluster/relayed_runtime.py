"""The account and the log of a worker: both are kept by the process that stores its answers.

A try is sent once that process has set it aside, so that a budget holds over all workers, and what
was in flight when a worker or the process is lost counts at its most.
"""

from collections.abc import Callable
from threading import Condition

from potstill.models.cluster.messages import EndedTry, LoggedEvent, WantedTry, WorkerReport
from potstill.records import Amount
from potstill.runtime.budget import Budget
from potstill.runtime.events import EventLog


class WorkerOutbox:
    """The news of a worker that was not fetched yet. Thread-safe."""

    def __init__(self) -> None:
        self.changed = Condition()
        """Held while :attr:`report` is changed, and notified of the change."""

        self.report = WorkerReport()

    def take(self, seconds: float) -> WorkerReport:
        """Returns what there is to say, waiting for it at most so long."""
        with self.changed:
            self.changed.wait_for(lambda: not self.report.is_empty, seconds)
            report, self.report = self.report, WorkerReport()
            return report

    def add(self, change: Callable[[WorkerReport], None]) -> None:
        """Say something more."""
        with self.changed:
            change(self.report)
            self.changed.notify_all()


class RelayedBudget(Budget):
    """The account of a worker: each try is set aside and settled where the run's account is."""

    def __init__(self, outbox: WorkerOutbox) -> None:
        super().__init__()
        self._outbox = outbox
        self._keys: dict[Callable[[], object], int] = {}
        """The tries that wait to be granted, by what wakes whoever waits."""

        self._granted = set[int]()
        self._given_up = set[int]()
        self._next = 0

    def begin(
        self, most: Amount, *, label: str = "", wake: Callable[[], object] | None = None
    ) -> int | None:
        """Ask for a try to be set aside; see :meth:`potstill.runtime.budget.Budget.begin`.

        Returns:
            Its number once it is granted; None before, ``wake`` is then called.
        """
        assert wake is not None and not label, "workers send no batches"
        with self._lock:
            key = self._keys.get(wake)
            if key is None:
                self._next += 1
                self._keys[wake] = key = self._next
                self._outbox.add(lambda report: report.wanted.append(WantedTry(key, most)))
                return None
            if key not in self._granted:
                return None
            self._granted.remove(key)
            del self._keys[wake]
            return key

    def end(self, number: int, paid: Amount | None) -> None:
        """Settle a try."""
        self._outbox.add(lambda report: report.ended.append(EndedTry(number, paid)))

    def grant(self, keys: list[int]) -> None:
        """Let tries be sent that were set aside.

        One that nobody waits for any more is given back.
        """
        with self._lock:
            unwanted = [key for key in keys if key in self._given_up]
            self._granted.update(key for key in keys if key not in self._given_up)
            waking = [wake for wake, key in self._keys.items() if key in self._granted]
        for key in unwanted:
            self.end(key, Amount())
        for wake in waking:
            wake()

    def give_up(self) -> None:
        """Count the tries that were waited for as wanted no more."""
        with self._lock:
            unused = [*self._granted]
            self._given_up.update(key for key in self._keys.values() if key not in self._granted)
            self._keys.clear()
            self._granted.clear()
        for key in unused:
            self.end(key, Amount())


class RelayedEvents(EventLog):
    """The log of a worker: every event goes to the run's log."""

    def __init__(self, outbox: WorkerOutbox) -> None:
        super().__init__()
        self._outbox = outbox

    def record(self, name: str, **fields: object) -> None:
        """Have one event written."""
        self._relay("record", name, fields=fields)

    def announce(self, name: str, line: str, **fields: object) -> None:
        """Have one event written and shown."""
        self._relay("announce", name, line, fields=fields)

    def retried(self, kind: str, *, wait: float, message: str) -> None:
        """Have a try counted that failed and will be repeated."""
        self._relay("retried", kind, fields={"wait": wait, "message": message})

    def failed(self, kind: str, *, message: str) -> None:
        """Have a request counted that failed for good."""
        self._relay("failed", kind, fields={"message": message})

    def _relay(self, how: str, *words: str, fields: dict[str, object]) -> None:
        self._outbox.add(lambda report: report.events.append(LoggedEvent(how, words, fields)))
