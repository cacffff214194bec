"""Traffic with servers during one piece of work: spending, tries in flight, faults."""

from collections import Counter

from potstill.runtime import Runtime
from potstill.runtime.cost_words import cost_words, dollars


class ServerTraffic:
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
