"""The cost of servers in words, which says what is not known of it."""

from collections.abc import Sequence


def dollars(amount: float) -> str:
    """US dollars, small amounts with four decimals."""
    return f"${amount:,.2f}" if amount >= 0.1 or not amount else f"${amount:.4f}"


def cost_words(usd: float, unpriced: Sequence[str]) -> str:
    """Returns a cost, which is not known where prices are not.

    Args:
        usd: US dollars, as far as prices and servers tell.
        unpriced: The models whose prices are not known.
    """
    if not unpriced:
        return dollars(usd)
    return f"{dollars(usd)} and more, not known" if usd else "cost not known"


def missing_prices(unpriced: Sequence[str]) -> str:
    """Returns a sentence on models whose prices are not known; empty where there is none."""
    if not unpriced:
        return ""
    return (
        f"The prices of {' and '.join(unpriced)} are not known: set prompt_price and "
        "completion_price, in US dollars a million tokens."
    )
