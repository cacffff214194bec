"""Why a difference is not shown although its interval leaves out 0, in words for any reader."""

from potstill.statistics import SHOWN

BY_TEST = "the exact test, which decides, does not rule out chance"


def leaves_out_0(ends: tuple[float, float]) -> bool:
    """Whether an interval, by its lower and upper end, leaves out 0."""
    low, high = ends
    return not low <= 0 <= high


def interval_note(ends: tuple[float, float], p_value: float, tested: int, what: str) -> str:
    """Returns a sentence for a difference that is not shown; empty where its interval holds 0.

    Args:
        ends: The lower and upper end of its 95% interval.
        p_value: Its own, not adjusted.
        tested: How many differences were tested together.
        what: The noun for these, such as ``tasks``.
    """
    if not leaves_out_0(ends):
        return ""
    if tested > 1 and p_value < SHOWN:
        return (
            "Its interval leaves out 0, but that looks at this difference alone: among "
            f"{tested:,} {what} tested together one like it can come by chance, so it does not "
            "count as shown."
        )
    return f"Its interval leaves out 0, but narrowly: {BY_TEST}."


def several_note(count: int, tested: int) -> str:
    """Returns the same sentence for so many of the differences that were tested together."""
    if not count:
        return ""
    if tested == 1:
        return f"The interval leaves out 0, but narrowly: {BY_TEST}."
    one = count == 1
    return (
        f"{count:,} {'difference' if one else 'differences'} whose interval leaves out 0 "
        f"{'does' if one else 'do'} not count as shown: an interval looks at one difference alone, "
        f"and among {tested:,} tested together some like {'it' if one else 'them'} can come by "
        "chance."
    )
