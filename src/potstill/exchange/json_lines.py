"""One value as a line of JSON that every reader takes for one line."""

import orjson

LINE_ENDS = {
    "\u0085".encode(): rb"\u0085",
    "\u2028".encode(): rb"\u2028",
    "\u2029".encode(): rb"\u2029",
}
"""Characters that JSON allows in texts but ``str.splitlines`` ends lines at, with their escapes."""


def json_line(value: object, option: int = 0) -> bytes:
    """Returns a value as JSON with a line break behind it and none in it.

    Args:
        value: Any value that ``orjson.dumps`` takes.
        option: The options of ``orjson.dumps``.
    """
    line = orjson.dumps(value, option=option | orjson.OPT_APPEND_NEWLINE)
    for raw, escaped in LINE_ENDS.items():
        line = line.replace(raw, escaped)
    return line
