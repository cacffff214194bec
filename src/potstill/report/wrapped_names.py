"""Names that are too long for one line of a figure, as several lines; none is cut."""

import re

_PIECE = re.compile(r"[^_,/.-]*[_,/.-]*")
"""A part of a word with the marks behind it, after which a line may end."""


def wrapped(name: str, most: int) -> list[str]:
    """Returns a name as lines, broken at spaces, and behind marks where a word is too long.

    Args:
        name: The name.
        most: Characters of a line, at least 1.
    """
    lines = [""]
    for word in name.split():
        pieces = [word] if len(word) <= most else _PIECE.findall(word)
        for place, piece in enumerate(pieces):
            space = " " if place == 0 and lines[-1] else ""
            if len(lines[-1] + space + piece) > most and lines[-1]:
                lines.append("")
                space = ""
            lines[-1] += space + piece
            while len(lines[-1]) > most:
                lines[-1:] = [lines[-1][:most], lines[-1][most:]]
    return lines
