"""Settings of a run's store."""

from potstill.settings import Settings
from potstill.store.probability_codec import ProbabilityForm


class StoreSettings(Settings):
    """How a run keeps what it is answered."""

    probabilities: ProbabilityForm = "exact"
    """``exact`` keeps the bits of every log-probability; ``compact`` every probability within
    0.00025, in about 60% of the space. No token's name is changed by either."""
