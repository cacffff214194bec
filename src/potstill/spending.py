"""What a run has paid servers, what it may have paid, and the limit that it keeps to."""

import os
from pathlib import Path
from threading import Lock
from typing import NamedTuple, Self

import orjson
from pydantic import Field

from potstill.errors import BudgetError
from potstill.settings import Settings


class BudgetSettings(Settings):
    """The most that a run may spend on servers; what is in flight counts at its most."""

    usd: float | None = Field(default=None, gt=0)
    """US dollars, by the model's prices; null sets no limit."""

    tokens: int | None = Field(default=None, gt=0)
    """Tokens, those of prompts included; null sets no limit."""


class Amount(NamedTuple):
    """Tokens, those of prompts included, and US dollars."""

    tokens: int = 0
    usd: float = 0.0

    def plus(self, other: "Amount") -> "Amount":
        """The sum."""
        return Amount(self.tokens + other.tokens, self.usd + other.usd)

    def minus(self, other: "Amount") -> "Amount":
        """The difference."""
        return Amount(self.tokens - other.tokens, self.usd - other.usd)


class Spending:
    """The account of a run. Thread-safe.

    A try is set aside at its most before it is sent, and settled when its answer says what it was.
    One whose answer never came may have been billed all the same, and stays at its most. Every
    entry is written to the journal before the try is sent: after kill -9 the tries that were in
    flight count at their most.

    Args:
        budget: The limit.
        journal: The file that keeps the account from one command to the next; None keeps none.
        before: What the store says was paid, should the journal know of less.
    """

    def __init__(
        self,
        budget: BudgetSettings | None = None,
        *,
        journal: Path | None = None,
        before: Amount | None = None,
    ) -> None:
        self.budget = budget or BudgetSettings()
        self._lock = Lock()
        self._open: dict[int, Amount] = {}
        self._in_flight = Amount()
        self._last = 0
        self._journal = journal
        self._file: int | None = None
        known = _replay(journal) if journal is not None else Amount()
        stored = before or Amount()
        self.spent = Amount(max(known.tokens, stored.tokens), max(known.usd, stored.usd))
        """Paid, and lost tries at their most."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the journal; what is open stays counted at its most."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    @property
    def in_flight(self) -> Amount:
        """What the tries that are open come to at their most."""
        return self._in_flight

    def begin(self, most: Amount) -> int | None:
        """Set aside what a try can cost at its most.

        Returns:
            Its number; None while what is in flight has to be settled first.

        Raises:
            BudgetError: Nothing is in flight, and the try does not fit.
        """
        with self._lock:
            sum_ = self.spent.plus(self._in_flight).plus(most)
            if self._passes(sum_):
                if self._open:
                    return None
                raise BudgetError(self._refusal(most))
            self._last += 1
            self._open[self._last] = most
            self._in_flight = self._in_flight.plus(most)
            self._write({"begin": self._last, "tokens": most.tokens, "usd": most.usd})
            return self._last

    def end(self, number: int, paid: Amount | None) -> None:
        """Settle a try.

        Args:
            number: From :meth:`begin`.
            paid: What the server says it was; None where it may have been anything up to its most.
        """
        with self._lock:
            most = self._open.pop(number)
            paid = most if paid is None else paid
            self._in_flight = self._in_flight.minus(most) if self._open else Amount()
            self.spent = self.spent.plus(paid)
            self._write({"end": number, "tokens": paid.tokens, "usd": paid.usd})

    def _passes(self, amount: Amount) -> bool:
        tokens, usd = self.budget.tokens, self.budget.usd
        return (tokens is not None and amount.tokens > tokens) or (
            usd is not None and amount.usd > usd
        )

    def _refusal(self, most: Amount) -> str:
        limits = [f"{self.budget.tokens:,} tokens"] if self.budget.tokens is not None else []
        limits += [f"${self.budget.usd:,.2f}"] if self.budget.usd is not None else []
        return (
            f"the budget of {' and '.join(limits)} is spent: {self.spent.tokens:,} tokens and "
            f"${self.spent.usd:,.4f} so far, and the next request may take {most.tokens:,} tokens "
            f"and ${most.usd:,.4f}. What was answered is kept; raise budget and repeat the "
            "command, or go on to the next stage with what there is."
        )

    def _write(self, entry: dict[str, object]) -> None:
        if self._journal is None:
            return
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            partial = self._journal.with_suffix(".partial")
            self._file = os.open(partial, flags, 0o644)
            line = {"spent": True, "tokens": self.spent.tokens, "usd": self.spent.usd}
            os.write(self._file, orjson.dumps(line) + b"\n")
            os.replace(partial, self._journal)
        os.write(self._file, orjson.dumps(entry) + b"\n")


def _replay(journal: Path) -> Amount:
    """What the journal of an earlier command comes to; tries without an end count at their most."""
    if not journal.exists():
        return Amount()
    spent, open_ = Amount(), dict[int, Amount]()
    for line in journal.read_bytes().splitlines():
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # cut off by the end of the process, before its try was sent
        amount = Amount(entry["tokens"], entry["usd"])
        if "begin" in entry:
            open_[entry["begin"]] = amount
            continue
        open_.pop(entry.get("end"), None)
        spent = spent.plus(amount)
    for most in open_.values():
        spent = spent.plus(most)
    return spent
