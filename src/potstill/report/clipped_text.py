"""Long texts by their beginning and their end, and what stands around the answer."""

MOST_CHARACTERS = 3_000
"""Characters shown of each text of a model, its beginning and its end by halves."""

AROUND_ANSWER = 200
"""Characters shown before and after an answer that stands between those halves."""


def clipped(text: str, span: tuple[int, int] | None = None, most: int = MOST_CHARACTERS) -> str:
    """Returns the beginning and the end of a text, and how much is left out where.

    Args:
        text: The text as a model wrote it.
        span: The place of the answer that was graded, which is shown with the text around it.
        most: Characters of beginning and end together.
    """
    if len(text) <= most:
        return text
    shown = [(0, most // 2), (len(text) - most // 2, len(text))]
    if span is not None:
        shown.append((max(span[0] - AROUND_ANSWER, 0), min(span[1] + AROUND_ANSWER, len(text))))
    parts, reached = [], 0
    for start, end in sorted(shown):
        if start > reached:
            parts.append(f" … [{start - reached:,} characters left out] … ")
        parts.append(text[max(start, reached) : end])
        reached = max(reached, end)
    return "".join(parts)
