"""A teacher's token probabilities, carried to the tokens of a student with another tokenizer.

Both tokenizers are known by the bytes that their tokens stand for (:mod:`.vocabulary`), so tokens
meet where they cover the same bytes of the text (:mod:`.align`). Where a tokenizer changes the text
that it reads, :mod:`.normalizer` finds the tokens' places in the text as it was given. Other
alignments, such as the published one by edit distances (arXiv 2301.12726), come in as an
:data:`.align.Alignment`.
"""

from potstill.train.alignment.align import align, soft_targets
from potstill.train.alignment.vocabulary import Vocabulary, named_by_bytes

__all__ = ["Vocabulary", "align", "named_by_bytes", "soft_targets"]
