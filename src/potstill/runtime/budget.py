"""The money a run has paid servers, the money it may have paid, and the limit that it keeps to."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Self

import orjson
from pydantic import Field

from potstill.errors import BudgetError
from potstill.records import Amount
from potstill.runtime.spending import Spending, read_spending
from potstill.settings import Settings
from potstill.whole_files import write_whole

logger = logging.getLogger(__name__)


class BudgetSettings(Settings):
    """The most that a run may spend on servers; what is in flight counts at its most."""

    usd: float | None = Field(default=None, gt=0)
    """US dollars, by the model's prices; null sets no limit."""

    tokens: int | None = Field(default=None, gt=0)
    """Tokens, those of prompts included; null sets no limit."""


class Budget:
    """The account of a run. Thread-safe.

    A try is set aside at its most before it is sent, and settled when its answer says what it was.
    One whose answer never came may have been billed all the same, and stays at its most. Every
    entry is written to the journal before the try is sent: after kill -9 the tries that were in
    flight count at their most. One with a label, such as a batch that runs on at the server, can
    be taken up again by it and settled, in this command or a later one.

    Args:
        limit: The most that may be spent.
        journal: The file that keeps the account from one command to the next; None keeps none.
        before: The sum paid according to the store, should the journal know of less.
        unpriced: The models whose prices are not known, so that the dollars are without them.
    """

    def __init__(
        self,
        limit: BudgetSettings | None = None,
        *,
        journal: Path | None = None,
        before: Amount | None = None,
        unpriced: Sequence[str] = (),
    ) -> None:
        self.limit = limit or BudgetSettings()
        self.unpriced = tuple(unpriced)
        self._lock = Lock()
        self._open: dict[int, Amount] = {}
        self._labels: dict[int, str] = {}
        self._in_flight = Amount()
        self._last = 0
        self._journal = journal
        self._file: int | None = None
        self._held = b""
        known = read_spending(journal) if journal is not None else Spending(Amount(), {}, ())
        self._left = known.left
        stored = before or Amount()
        self._unknown = ""
        """The reason for which nothing may be spent."""

        if known.faults:
            self._tell_damage(known.faults, stored)
        self.spent = Amount(
            max(known.spent.tokens, stored.tokens), max(known.spent.usd, stored.usd)
        )
        """Paid, and lost tries at their most."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the journal; what is open stays counted at its most."""
        with self._lock:
            if self._file is not None:
                self._flush()
                os.close(self._file)
                self._file = None

    def _tell_damage(self, faults: tuple[str, ...], stored: Amount) -> None:
        """Say that the journal does not tell all that was paid; with a limit, nothing more is."""
        more = f", and {len(faults) - 1} further lines" if len(faults) > 1 else ""
        damage = f"{self._journal} is damaged ({faults[0]}{more})"
        if self.limit == BudgetSettings():
            logger.warning("%s; what those lines say is not counted", damage)
            return
        self._unknown = (
            f"{damage}, so what this run has spent is not known. By what is stored it is at least "
            f"{self._words(stored)}. Lower the budget by what else was "
            "spent, then remove the file: the account goes on from what is stored."
        )

    @property
    def in_flight(self) -> Amount:
        """The highest sum that the open tries can cost."""
        return self._in_flight

    @property
    def left(self) -> tuple[str, ...]:
        """The labels of the tries that were left open, each of which can be taken up again."""
        with self._lock:
            return tuple(self._left)

    def begin(
        self, most: Amount, *, label: str = "", wake: Callable[[], object] | None = None
    ) -> int | None:
        """Set aside what a try can cost at its most.

        Args:
            most: The highest sum it can cost.
            label: The name by which :meth:`resume` finds it.
            wake: Called from any thread by an account that is kept in another process, when it is
                worth asking again; it also identifies the try there. Here it is not called.

        Returns:
            Its number; None while what is in flight has to be settled first.

        Raises:
            BudgetError: Nothing is in flight, and the try does not fit; or the journal is damaged,
                so that nobody knows whether it would.
        """
        if self._unknown:
            raise BudgetError(self._unknown)
        with self._lock:
            sum_ = self.spent.plus(self._in_flight).plus(most)
            if self._passes(sum_):
                if self._open:
                    return None
                raise BudgetError(self._refusal(most))
            return self._set_aside("begin", most, label)

    def resume(self, label: str) -> int | None:
        """Take up a try that :meth:`leave` or the end of an earlier command left open.

        Returns:
            Its number, to be settled as any other; None where there is none of this label.
        """
        with self._lock:
            if label not in self._left:
                return None
            self._start_journal()
            most = self._left.pop(label)
            self.spent = self.spent.minus(most)
            return self._set_aside("resume", most, label)

    def leave(self, number: int) -> None:
        """Leave a try with a label open; it counts at its most until it is taken up again."""
        with self._lock:
            most = self._close(number)
            self.spent = self.spent.plus(most)
            self._left[self._labels.pop(number)] = most

    def end(self, number: int, paid: Amount | None) -> None:
        """Settle a try.

        Args:
            number: From :meth:`begin`.
            paid: The cost the server states; None where it may have been anything up to its most.
        """
        with self._lock:
            most = self._close(number)
            label = self._labels.pop(number, None)
            paid = most if paid is None else paid
            self.spent = self.spent.plus(paid)
            # Written with the next begin: an end that is lost leaves its try at its most.
            self._held += orjson.dumps({"end": number, **paid._asdict()}) + b"\n"
            if label is not None:
                self._flush()

    def _set_aside(self, what: str, most: Amount, label: str) -> int:
        self._start_journal()
        self._last += 1
        entry: dict[str, object] = {what: self._last, "tokens": most.tokens, "usd": most.usd}
        if label:
            self._labels[self._last] = entry["label"] = label
        self._open[self._last] = most
        self._in_flight = self._in_flight.plus(most)
        self._write(entry)
        return self._last

    def _close(self, number: int) -> Amount:
        most = self._open.pop(number)
        self._in_flight = self._in_flight.minus(most) if self._open else Amount()
        return most

    def _passes(self, amount: Amount) -> bool:
        tokens, usd = self.limit.tokens, self.limit.usd
        return (tokens is not None and amount.tokens > tokens) or (
            usd is not None and amount.usd > usd
        )

    def _refusal(self, most: Amount) -> str:
        limits = [f"{self.limit.tokens:,} tokens"] if self.limit.tokens is not None else []
        limits += [f"${self.limit.usd:,.2f}"] if self.limit.usd is not None else []
        return (
            f"the budget of {' and '.join(limits)} is spent: {self._words(self.spent)} so far, "
            f"and the next request may take {self._words(most)}. What was answered is kept; raise "
            "budget and repeat the command, or go on to the next stage with what there is."
        )

    def _words(self, amount: Amount) -> str:
        usd = "dollars that are not known" if self.unpriced else f"${amount.usd:,.4f}"
        return f"{amount.tokens:,} tokens and {usd}"

    def _start_journal(self) -> None:
        """Begin the journal anew with the sums so far, before anything is added to them."""
        if self._journal is None or self._file is not None:
            return
        left = list(self._left.items())
        spent = self.spent
        for _, most in left:
            spent = spent.minus(most)
        lines: list[dict[str, object]] = [{"spent": True, **spent._asdict()}]
        lines += [{"left": True, "label": label, **most._asdict()} for label, most in left]
        write_whole(self._journal, b"".join(orjson.dumps(line) + b"\n" for line in lines))
        self._file = os.open(self._journal, os.O_WRONLY | os.O_APPEND)

    def _write(self, entry: dict[str, object]) -> None:
        self._held += orjson.dumps(entry) + b"\n"
        self._flush()

    def _flush(self) -> None:
        held, self._held = self._held, b""
        if self._file is not None:
            os.write(self._file, held)
