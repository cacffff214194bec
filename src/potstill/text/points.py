"""Shares in percent, and differences with their sign, written alike wherever they are shown."""

MINUS = "\N{MINUS SIGN}"


def points(difference: float, digits: int = 1) -> str:
    """A difference of two shares in percentage points, with its sign: ``+41.3``."""
    text = f"{difference * 100:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", MINUS)


def interval_in_points(low: float, high: float) -> str:
    """Returns an interval of a difference of two shares in percentage points: ``+3 to +8``.

    It is in whole points; in tenths where an end that is not 0 would be rounded to 0.
    """
    digits = 1 if any(end and abs(100 * end) <= 0.5 for end in (low, high)) else 0
    return f"{points(low, digits)} to {points(high, digits)}"


def signed(count: int) -> str:
    """A difference of two counts with its sign: ``+1,200``."""
    return f"{count:+,}".replace("-", MINUS) if count else "0"


def percent_with_interval(share: float, low: float, high: float) -> str:
    """A share between 0 and 1 with its interval, in percent: ``86.0 [81.6, 89.5]``."""
    return f"{share * 100:.1f} [{low * 100:.1f}, {high * 100:.1f}]"
