"""Counts of things in words: the noun in the singular or the plural."""


def number_of(count: int, one: str, several: str = "") -> str:
    """Returns a count with its noun: ``1 step``, ``2,400 steps``.

    Args:
        count: The number of things.
        one: The noun in the singular.
        several: The noun in the plural; by default the singular with an ``s``.
    """
    return f"{count:,} {one if count == 1 else several or one + 's'}"
