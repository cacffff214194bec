"""Tables of HTML for notebooks, with every text in them escaped."""

from collections.abc import Iterable, Sequence
from html import escape


def html_table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    notes: Iterable[str] = (),
) -> str:
    """Returns a table as HTML; texts of users and of models are shown, never read as HTML.

    Args:
        head: The columns' names.
        rows: Their values; None is shown as nothing.
        title: Stands above the table.
        notes: Sentences below it.
    """
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    above = f"<p><b>{escape(title)}</b></p>" if title else ""
    below = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"{above}<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>{below}"


def _cell(value: object) -> str:
    return f"<td>{'' if value is None else escape(str(value))}</td>"


def html_text(text: str, *, title: str = "") -> str:
    """Returns a text as HTML that keeps its lines and spaces.

    Args:
        text: Shown as it is.
        title: Stands above it.
    """
    above = f"<p><b>{escape(title)}</b></p>" if title else ""
    return f"{above}<pre>{escape(text)}</pre>"


def shortened(text: str, most: int = 160) -> str:
    """Returns the beginning of a text on one line.

    Args:
        text: Any text.
        most: Characters that are kept.
    """
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
