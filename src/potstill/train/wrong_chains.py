"""Wrong rationales as what a student learns not to write: unlikelihood (arXiv 1908.04319).

Most of a wrong rationale is right: it is wrong from some token on. That place is where it leaves
the right rationales of the same question, as far as they show it::

    right   5 + 3 = 8 . Then 8 - 2 = 6 .
    right   Step 1 : 5 + 3 = 8 .
    wrong   5 + 3 = 9 . Then 9 - 2 = 7 .
                    ^ the first token that no right rationale has there

Tokens before it are learned from the right ones, and nothing is learned against them. A rationale
that begins like no right one, or whose question has no right one, does not show where it goes
wrong, and is left out.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from potstill.errors import DataError
from potstill.settings import Settings
from potstill.text.common_prefix import common_prefix_items

if TYPE_CHECKING:
    from potstill.train.encoding import Encoded, EncodedExamples

logger = logging.getLogger(__name__)

WRONG_CHAINS = "wrong_chains"
"""``Example.data_format`` of rationales that are learned not to be written."""


class UnlikelihoodSettings(Settings):
    """Learn not to write what wrong rationales write where they leave the right ones."""

    share: float = Field(default=0.2, gt=0, lt=1)
    """Share of all examples that are wrong rationales."""

    weight: float = Field(default=1.0, gt=0, le=1)
    """Weight of a token that is learned not to be written, where one that is learned has 1."""

    tokens: Literal["first", "rest"] = "first"
    """``first``: the first token that no right rationale of the question has there; ``rest``: that
    one and all after it."""


def with_departures(
    encoded: "EncodedExamples", unlikelihood: UnlikelihoodSettings
) -> "EncodedExamples":
    """Returns a student's examples with the wrong ones as :func:`departing` leaves them.

    Raises:
        DataError: None of the wrong ones shows where it goes wrong.
    """
    made, unplaced = departing(encoded.examples, unlikelihood)
    placed = sum(example.unlikely for example in made)
    logger.warning(
        "%d of %d wrong rationales are learned not to be written; the others begin like no right "
        "one of their question",
        placed,
        placed + unplaced,
    )
    if not placed:
        raise DataError(
            f"none of {unplaced:,} wrong rationales begins like a right one of its question, so "
            "nothing shows where they go wrong. Draw more samples (generate.samples), or leave "
            "unlikelihood out."
        )
    return encoded._replace(examples=made)


def departing(
    examples: Sequence["Encoded"], unlikelihood: UnlikelihoodSettings
) -> tuple[list["Encoded"], int]:
    """Returns examples whose wrong ones have a loss from where they leave the right ones on.

    Args:
        examples: The examples of one student, right and wrong.
        unlikelihood: Which tokens of the wrong ones count, and how much.

    Returns:
        The right ones as they are and the wrong ones cut, and how many wrong ones were left out.
    """
    right: defaultdict[str, list[Sequence[int]]] = defaultdict(list)
    for example in examples:
        if not example.unlikely:
            right[example.question_id].append(example.target)
    made, unplaced = list["Encoded"](), 0
    for example in examples:
        if not example.unlikely:
            made.append(example)
            continue
        place = max(
            (common_prefix_items(example.target, other) for other in right[example.question_id]),
            default=0,
        )
        if place in (0, len(example.target)):
            unplaced += 1
            continue
        end = place + 1 if unlikelihood.tokens == "first" else len(example.target)
        made.append(
            example._replace(target=example.target[:end], skip=place, weight=unlikelihood.weight)
        )
    return made, unplaced
