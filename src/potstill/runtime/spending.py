"""The journal of a run's spending: a line for each sum set aside and each sum paid.

{"spent": true, "tokens": 1200, "usd": 0.0031}                 the sums so far; the first line
{"left": true, "label": "batch_7", "tokens": 900, "usd": 0.01}  a batch that runs on
{"begin": 1, "tokens": 300, "usd": 0.001}                      set aside before a try is sent
{"end": 1, "tokens": 120, "usd": 0.0002}                       what it cost
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from potstill.errors import ConfigError, shortened
from potstill.records import Amount

KINDS = ("spent", "left", "begin", "resume", "end")
"""The kinds of a journal's lines; each line has a field of its kind's name."""


class Spending(NamedTuple):
    """The contents of a journal."""

    spent: Amount
    """Paid, and tries without an end at their most."""

    left: dict[str, Amount]
    """Tries that were left open, by label; they are part of ``spent``."""

    faults: tuple[str, ...]
    """The lines that cannot be read, in words: what they say is not counted."""


def read_spending(journal: Path) -> Spending:
    """Returns what an earlier command's journal says; nothing was spent where there is none.

    The last line may have been cut off by the end of the process, before its try was sent.

    Raises:
        ConfigError: The file cannot be read at all.
    """
    try:
        content = journal.read_bytes()
    except FileNotFoundError:
        return Spending(Amount(), {}, ())
    except OSError as error:
        raise ConfigError(f"cannot read {journal}: {error.strerror}.") from error
    spent, faults = Amount(), list[str]()
    open_ = dict[int | str, Amount]()  # by label where there is one: numbers change
    labels = dict[int, str]()
    *lines, _cut_off = content.split(b"\n")
    if not lines:
        faults.append("it has no line")
    for place, line in enumerate(lines, start=1):
        try:
            kind, entry = _entry(line)
        except ValueError as error:
            faults.append(f"line {place}: {error}")
            continue
        amount, number = Amount(entry["tokens"], entry["usd"]), entry[kind]
        if "label" in entry:
            labels[number] = entry["label"]
        if kind in ("begin", "resume", "left"):
            open_[labels.get(number, number)] = amount
        else:
            open_.pop(labels.get(number, number), None)
            spent = spent.plus(amount)
    for most in open_.values():
        spent = spent.plus(most)
    left = {label: most for label, most in open_.items() if isinstance(label, str)}
    return Spending(spent, left, tuple(faults))


def _entry(line: bytes) -> tuple[str, dict[str, Any]]:
    """Returns which kind of line it is, and its fields.

    Raises:
        ValueError: It is none of the journal's.
    """
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise ValueError(f"no JSON: {shortened(line)}") from None
    kinds = [kind for kind in KINDS if isinstance(entry, dict) and kind in entry]
    if len(kinds) != 1:
        raise ValueError(f"it says nothing of spending: {shortened(entry)}")
    (kind,) = kinds
    number, tokens, usd = entry[kind], entry.get("tokens"), entry.get("usd")
    is_mark = kind in ("spent", "left")
    if is_mark is not (number is True) or not isinstance(number, int):
        raise ValueError(f"{kind} is {shortened(number)}")
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
        raise ValueError(f"tokens is {shortened(tokens)}")
    if not isinstance(usd, int | float) or isinstance(usd, bool) or not 0 <= usd < math.inf:
        raise ValueError(f"usd is {shortened(usd)}")
    if not isinstance(entry.get("label", ""), str) or (kind == "left" and "label" not in entry):
        raise ValueError(f"label is {shortened(entry.get('label'))}")
    return kind, entry


def spent_in_all(journal: Path, stored: Amount) -> Amount:
    """Returns what a run has spent, whichever of its two accounts knows of more.

    Args:
        journal: The run's, which counts lost tries at their most.
        stored: The sum paid according to the store.

    Raises:
        ConfigError: The journal cannot be read at all.
    """
    known = read_spending(journal).spent
    return Amount(max(known.tokens, stored.tokens), max(known.usd, stored.usd))
