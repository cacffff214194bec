"""Figures as tables: medians over rounds, with the number of rounds and every failure."""

import statistics
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

HIDDEN = {"round", "case", "peer", "scale", "load", "at", "versions", "took_seconds", "error"}


def tables(rows: Sequence[Row]) -> str:
    """One table a case, its systems in the order in which they were measured."""
    return "\n\n".join(
        table(case, [row for row in rows if row["case"] == case])
        for case in dict.fromkeys(row["case"] for row in rows)
    )


def table(case: str, rows: Sequence[Row]) -> str:
    """The medians of one case in Markdown."""
    names = list(dict.fromkeys(name for row in rows for name in row if name not in HIDDEN))
    lines = [f"| {case} | rounds | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for peer in dict.fromkeys(row["peer"] for row in rows):
        rounds = [row for row in rows if row["peer"] == peer]
        measured = [row for row in rounds if "error" not in row]
        if measured:
            cells = [_median([row.get(name) for row in measured]) for name in names]
            lines.append(f"| {peer} | {len(measured)} | {' | '.join(cells)} |")
        for error in dict.fromkeys(row["error"] for row in rounds if "error" in row):
            count = sum(row.get("error") == error for row in rounds)
            lines.append(f"| {peer} | {count} failed: {error} |" + " |" * len(names))
    return "\n".join(lines)


def _median(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    middle = statistics.median(known)
    return f"{middle:,.0f}" if abs(middle) >= 100 else f"{middle:.3g}"
