"""A teacher's step from what it wrote up to a stop string, which may fall at a wrong place."""

import re
from typing import Literal

from potstill.records import Completion
from potstill.steps import StepKind, closed, is_whole, split_steps

State = Literal["more", "over", "cut"]
"""Whether a step goes on, is over, or was cut off by its limit."""

PIECES = 3
"""Most requests for one step: a stop string may end it before it has begun, or after "1."."""

_ASKS = re.compile(
    r"(?:so |then |now |first,? )?"
    r"(?:how (?:many|much|long|far|old|often|fast)|what (?:is|are|was|were|do|does|did)|why|where"
    r"|who|is|are|do|does|did|can)\b",
    re.IGNORECASE,
)
"""How a question begins: the mark at which its writer stopped is not told."""


def with_piece(
    begun: str, written: Completion, layout: StepKind, *, question: bool
) -> tuple[str, State]:
    """A step that was begun, with what was written of it.

    Args:
        begun: What of the step is there.
        written: What a model went on with, up to a stop string, its limit or its own end.
        layout: Where a step ends.
        question: Whether a question is asked for in place of a step.
    """
    if not written.text.strip():  # a stop string came first, or there is nothing more to say
        return f"{begun}\n", "over" if begun else "more"
    text = (begun + written.text).strip()
    steps = split_steps(text, layout)
    if question:
        if written.finish_reason == "length":
            return text, "cut"
        return (text if text.endswith("?") else f"{text}?"), "over"
    if len(steps) > 1:  # it did not stop where it was told to
        return steps[0], "over"
    if written.finish_reason == "length":
        return text, "cut"
    end = "?" if _ASKS.match(split_steps(text, "sentences")[-1]) else "."
    ended = closed(text, layout, end)
    if is_whole(ended, layout):
        return ended, "over"
    return (ended if ended != text else f"{text}\n"), "more"
