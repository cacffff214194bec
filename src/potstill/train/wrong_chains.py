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
from collections.abc import Iterator, Sequence
from pathlib import Path
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
    encoded: "EncodedExamples", unlikelihood: UnlikelihoodSettings, folder: Path | None = None
) -> "EncodedExamples":
    """Returns a student's examples with the wrong ones as :func:`departing` leaves them.

    Args:
        encoded: The student's examples, right and wrong.
        unlikelihood: The tokens of the wrong ones that count, and how much.
        folder: They are kept on its disk; None: in memory.

    Raises:
        DataError: None of the wrong ones shows where it goes wrong.
    """
    from potstill.train.spooled_examples import SpooledExamples, facts_of

    kept = departing(encoded.examples, unlikelihood)
    made = list(kept) if folder is None else SpooledExamples(kept, folder)
    placed = int(facts_of(made).unlikely.sum())
    unplaced = len(encoded.examples) - len(made)
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
) -> Iterator["Encoded"]:
    """Yields examples whose wrong ones have a loss from where they leave the right ones on.

    Right ones stay as they are; wrong ones that do not show where they go wrong are left out.

    Args:
        examples: The examples of one student, right and wrong.
        unlikelihood: The tokens of the wrong ones that count, and how much.
    """
    from potstill.train.spooled_examples import facts_of

    facts = facts_of(examples)
    with_wrong = {*facts.questions[facts.unlikely].tolist()}
    right: defaultdict[int, list[int]] = defaultdict(list)
    for place, (question, unlikely) in enumerate(zip(facts.questions, facts.unlikely, strict=True)):
        if not unlikely and int(question) in with_wrong:
            right[int(question)].append(place)
    for number, example in enumerate(examples):
        if not example.unlikely:
            yield example
            continue
        others = (examples[place].target for place in right[int(facts.questions[number])])
        place = max((common_prefix_items(example.target, other) for other in others), default=0)
        if place in (0, len(example.target)):
            continue
        end = place + 1 if unlikelihood.tokens == "first" else len(example.target)
        yield example._replace(target=example.target[:end], skip=place, weight=unlikelihood.weight)
