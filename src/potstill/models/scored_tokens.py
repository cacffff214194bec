"""Reading the scores of a text: its tokens by their bytes, and the end of the answer among them.

Shape suffixes: T tokens of a text, K alternatives kept at each token.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from potstill.records import TokenLogprobs


def answer_ends(scores: TokenLogprobs) -> NDArray[np.bool_]:
    """Returns ``(T, 1 + K)``: whether an entry is the end of the answer.

    It has a probability and no bytes. Padding has neither; a first token whose probability is not
    known (NaN) has bytes.

    Args:
        scores: Named by bytes.
    """
    assert scores.lengths is not None, "tokens are named by bytes"
    ends: NDArray[np.bool_] = (scores.lengths == 0) & np.isfinite(scores.logprobs)
    return ends


def scores_by_bytes(
    scores: TokenLogprobs, text: str, names: Sequence[bytes | None]
) -> TokenLogprobs:
    """Returns the scores of a text with its tokens named by bytes, which spell the text.

    A space that the tokenizer puts before every text is no part of the first token, nor of the
    alternatives beside it.

    Args:
        scores: The scores of a model on this machine, by ids, or by bytes already.
        text: The text that was scored.
        names: The bytes of each token by id; None for one that adds nothing.
    """
    if scores.ids is None:
        return scores
    named = [_name(token, names) for token in scores.ids.ravel().tolist()]
    columns = scores.ids.shape[1]
    own = b"".join(named[::columns])
    if own == b" " + text.encode():
        named[:columns] = [name.removeprefix(b" ") for name in named[:columns]]
    lengths = np.array([len(name) for name in named], np.uint16).reshape(scores.ids.shape)
    return TokenLogprobs(logprobs=scores.logprobs, token_bytes=b"".join(named), lengths=lengths)


def _name(token: int, names: Sequence[bytes | None]) -> bytes:
    return (names[token] if 0 <= token < len(names) else None) or b""
