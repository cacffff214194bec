"""Where a target repeats the teacher's own text."""

import numpy as np

from potstill.records import TeacherSpan, TokenLogprobs


def teacher_span(
    target: str, at: int, rationale: str, written: tuple[str, TokenLogprobs] | None
) -> TeacherSpan | None:
    """The stretch of a target that the teacher wrote, around its rationale.

    It reaches beyond the rationale as far as the teacher's text goes on like the target, which is
    often up to the answer, but takes no part of a teacher's token there: a teacher that wrote 180
    says nothing of 18.

    Args:
        target: What the student learns to write.
        at: Where the rationale begins in it, in characters.
        rationale: The rationale, as it stands in the target.
        written: The completion's text and token probabilities.

    Returns:
        None where the completion is unknown or does not hold the rationale.
    """
    if written is None or not rationale:
        return None
    text, tokens = written
    found = text.find(rationale)
    if found < 0 or tokens.lengths is None:
        return None
    whole, full = target.encode(), text.encode()
    start, begin = len(target[:at].encode()), len(text[:found].encode())
    size = len(rationale.encode())
    shift = begin - start
    after = size + _common(whole[start + size :], full[begin + size :])
    before = _common(whole[:start][::-1], full[:begin][::-1])
    edges = np.append(0, tokens.lengths[:, 0].cumsum(dtype=np.int64))
    first = edges[np.searchsorted(edges, begin - before)]
    last = edges[np.searchsorted(edges, begin + after, side="right") - 1]
    return TeacherSpan(
        tokens=tokens,
        start=min(int(first), begin) - shift,
        end=max(int(last), begin + size) - shift,
        shift=shift,
    )


def _common(one: bytes, two: bytes) -> int:
    """How many bytes two texts begin with alike."""
    pairs = zip(one, two, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(two)))
