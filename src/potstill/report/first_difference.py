"""The steps in which a teacher's and a student's answer first differ, by numbers or by wording.

Two answers may say the same in other words, in another order or in more steps, so steps are not
compared by place where there are numbers to go by. In each answer the first step is marked that has
a number found neither in the other answer nor in the question::

    teacher   8 boxes of 4 cards are 32 cards. With 9 loose ones that is 41.
    student   There are 8 * 4 = 36 cards. Then 36 + 9 = 45.
                      ^^^^^^^^^^^^^^ 36

Where no answer has such a number, steps are compared by place, case and punctuation aside.
"""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

from potstill.grading.answers.number_spans import numbers
from potstill.text.steps import step_kind, step_spans

Basis = Literal["numbers", "wording"]

_MARKER = re.compile(r"\s*(?:step\s*)?\d+\s*[.):]\s", re.IGNORECASE)
"""The number of a step itself, as in ``2. Then ...``."""


class FirstDifference(NamedTuple):
    """The steps in which two answers first differ."""

    spans: Mapping[str, tuple[int, int]]
    """The start and end of that step in each text, by system; without texts that have none."""

    by: Basis


def first_difference(texts: Mapping[str, str], question: str) -> FirstDifference:
    """Returns the steps in which two answers first differ.

    Args:
        texts: Two texts by the systems that wrote them.
        question: The text of the question, with its options; its numbers part nothing.
    """
    kind = step_kind([*texts.values()])
    spans = {name: list(step_spans(text, kind)) for name, text in texts.items()}
    steps = {name: [texts[name][start:end] for start, end in spans[name]] for name in texts}
    own = {name: [_numbers(step) for step in listed] for name, listed in steps.items()}
    asked = _numbers(question)
    known = {name: set().union(*listed) - asked for name, listed in own.items()}
    if not any(known.values()):
        return FirstDifference(_by_wording(steps, spans), "wording")
    found = {}
    for name in texts:
        others = set().union(*(known[other] for other in texts if other != name), asked)
        places = (place for place, values in enumerate(own[name]) if values - others)
        if (place := next(places, None)) is not None:
            found[name] = spans[name][place]
    return FirstDifference(found, "numbers")


def _numbers(text: str) -> set[Fraction]:
    """Returns the numbers of a text as grading reads them, so that 1,200 and 1200.0 are one."""
    marker = _MARKER.match(text)
    return {number.value for number in numbers(text, marker.end() if marker else 0)}


def _by_wording(
    steps: Mapping[str, Sequence[str]], spans: Mapping[str, Sequence[tuple[int, int]]]
) -> dict[str, tuple[int, int]]:
    worded = [[re.findall(r"\w+", step.casefold()) for step in own] for own in steps.values()]
    same = 0
    while all(same < len(own) for own in worded) and all(
        own[same] == worded[0][same] for own in worded
    ):
        same += 1
    return {name: own[same] for name, own in spans.items() if same < len(own)}
