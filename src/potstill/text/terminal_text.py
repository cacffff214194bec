"""Texts of others made fit for a terminal, which some characters steer."""

import re

_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls but tab and line feed: ESC begins most commands
    "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"  # turn the direction of writing
    "\ud800-\udfff]"  # halves of a pair, which no terminal's encoding has
)


def terminal_text(text: str) -> str:
    r"""Returns a text in which what steers a terminal is written out, such as ``\x1b``.

    A file's name, a server's message or a model's answer could else colour, move or hide what is
    shown beside it, or set the window's title.
    """
    return _STEERING.sub(lambda at: _written(ord(at[0])), text)


def _written(number: int) -> str:
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
