"""Settings of a run's store."""

from potstill.settings import Settings
from potstill.store.probability_codec import KeptPositions, ProbabilityForm


class StoreSettings(Settings):
    """How a run keeps what it is answered."""

    probabilities: ProbabilityForm = "exact"
    """``exact`` keeps the bits of every log-probability; ``compact`` every probability within
    0.00025, in about 60% of the space. No token's name is changed by either."""

    positions: KeptPositions = "all"
    """``trained`` keeps the likeliest tokens of an on-policy student's scores only at the tokens
    that ``on_policy.score.share`` chooses, and elsewhere the probability of the text's own token.
    Another choice on the same text is then scored again."""
