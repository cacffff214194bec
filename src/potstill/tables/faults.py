"""Faults of a file, told all at once, and values that stand where a text should."""

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from potstill.errors import DataError, shortened

SHOWN = 20
"""Faults of one file that are told; the others are counted."""

_WRITTEN_LIST = re.compile(r"""\s*\[\s*\{\s*["']""")
_WRITTEN_ROLE = re.compile(r"""["']role["']\s*:\s*["'](?:system|developer|user|assistant)["']""")
_WRITTEN_CONTENT = re.compile(r"""["']content["']\s*:""")


def listed_faults(path: Path, faults: Sequence[str], *, way_out: str = "") -> DataError:
    """Returns the error that tells the faults of a file, one a line.

    Args:
        path: The file.
        faults: The faults, each with its line or row, in the file's order.
        way_out: Advice that mends them all, if there is any.
    """
    lines = list(faults[:SHOWN])
    if more := len(faults) - len(lines):
        lines.append(f"{path}: {more:,} more {'fault' if more == 1 else 'faults'}.")
    if way_out:
        lines.append(f"{path}: {way_out}" if len(faults) > 1 else way_out)
    return DataError((" " if len(faults) == 1 else "\n").join(lines))


def own_text(value: object) -> str | None:
    """Returns a value as text without spaces around it; None for nothing, spaces and NaN.

    Whole numbers lose their ``.0``.

    Raises:
        ValueError: It is a list or a mapping, which has no text of its own, or chat messages
            written out, as tables of text hold them.
    """
    if isinstance(value, list | tuple | dict) or _spells_turns(value):
        raise ValueError(_no_text(value))
    if isinstance(value, float | Decimal):
        if math.isnan(value):
            return None
        if math.isfinite(value) and value == int(value):
            return str(int(value))
    return str(value).strip() or None if value is not None else None


def _spells_turns(value: object) -> bool:
    """Tells whether a text is a list of chat messages as JSON, Python or numpy writes it."""
    return (
        isinstance(value, str)
        and _WRITTEN_LIST.match(value) is not None
        and value.rstrip().endswith("]")
        and _WRITTEN_ROLE.search(value) is not None
        and _WRITTEN_CONTENT.search(value) is not None
    )


def _no_text(value: object) -> str:
    """Returns why a list or a mapping cannot stand for a text, and the way out."""
    turns = value if isinstance(value, list | tuple) else ()
    spelt = _spells_turns(value)
    if spelt or (turns and all(isinstance(turn, dict) and "role" in turn for turn in turns)):
        return (
            f"holds chat messages ({shortened(value, longest=60)}). Give the text of the user's "
            "message alone"
        )
    kind = "a mapping" if isinstance(value, dict) else "a list"
    inside = next(iter(value.values() if isinstance(value, dict) else turns), None)
    example = f", such as {shortened(inside, longest=40)}" if isinstance(inside, str | int) else ""
    return f"is {kind} ({shortened(value, longest=60)}). Give a text or a number{example}"
