"""Names that are too long for one line of a figure, as several lines; none is cut."""

import re

_PIECE = re.compile(r"[^\s_,/.-]*[\s_,/.-]*")
"""A part of a name with the marks behind it, after which a line may end."""


def wrapped(name: str, most: int) -> list[str]:
    """Returns a name as lines, broken behind spaces and marks where there are any.

    Args:
        name: The name.
        most: Characters of a line, at least 1.
    """
    lines = [""]
    for piece in _PIECE.findall(name):
        if len(lines[-1] + piece.rstrip()) > most and lines[-1]:
            lines.append("")
        lines[-1] += piece
        while len(lines[-1].rstrip()) > most:
            lines[-1:] = [lines[-1][:most], lines[-1][most:]]
    return [line.strip() for line in lines if line.strip()] or [""]
