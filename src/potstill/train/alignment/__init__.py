"""A teacher's token probabilities, carried to the tokens of a student with another tokenizer."""

from potstill.train.alignment.align import align, soft_targets
from potstill.train.alignment.vocabulary import Vocabulary, named_by_bytes

__all__ = ["Vocabulary", "align", "named_by_bytes", "soft_targets"]
