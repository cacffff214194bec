"""Differences with their sign, written alike wherever they are shown."""

MINUS = "\N{MINUS SIGN}"


def points(difference: float, digits: int = 1) -> str:
    """A difference of two shares in percentage points, with its sign: ``+41.3``."""
    text = f"{difference * 100:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", MINUS)


def signed(count: int) -> str:
    """A difference of two counts with its sign: ``+1,200``."""
    return f"{count:+,}".replace("-", MINUS) if count else "0"
