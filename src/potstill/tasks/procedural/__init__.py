"""Procedural question families: unlimited questions with gold answers and gold rationales.

``problems("two_step_arithmetic", "train", 2, seed=0)`` draws two word problems of two operations,
each with its answer and with rationales of one step a sentence. The families are of our own making.
They need no download, their difficulty is known, and their splits cannot overlap; the bundled pair
was trained on them, and the demonstration and the tests run on them.
"""

from potstill.errors import ConfigError
from potstill.records import Question, Split
from potstill.tasks.procedural.arithmetic import draw_multi_step, draw_two_step
from potstill.tasks.procedural.chains import draw_fact_chain
from potstill.tasks.procedural.family import Draft, Family, Problem
from potstill.tasks.procedural.probes import draw_coin_toss, draw_last_letters

__all__ = ["FAMILIES", "FAMILY_COUNTS", "Draft", "Family", "Problem", "problems", "questions"]

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(name="two_step_arithmetic", answer_type="number", draw=draw_two_step),
        Family(name="multi_step_arithmetic", answer_type="number", draw=draw_multi_step),
        Family(name="fact_chain", answer_type="number", draw=draw_fact_chain),
        Family(name="coin_toss", key="coin_flip", answer_type="yes_no", draw=draw_coin_toss),
        Family(name="last_letters", answer_type="text", draw=draw_last_letters),
    )
}

FAMILY_COUNTS: dict[Split, int] = {"train": 500, "dev": 200, "test": 300}
"""Questions of a family, where a task's settings name no counts."""


def problems(family: str, split: Split, count: int, seed: int) -> tuple[Problem, ...]:
    """Draws questions of one family together with their gold rationales.

    Args:
        family: A name in ``FAMILIES``.
        split: The split. About 80% of all questions are ``train``, 10% ``dev`` and 10% ``test``;
            the one a question belongs to is a property of its content, the same for every seed.
        count: The number of questions; all differ.
        seed: The same seed gives the same questions; a larger count only adds to them.

    Raises:
        ConfigError: There is no such family.
        DataError: The family has fewer questions than asked for.
    """
    return family_named(family).problems(split, count, seed)


def questions(family: str, split: Split, count: int, seed: int) -> tuple[Question, ...]:
    """Draws questions of one family; arguments and errors as for :func:`problems`."""
    return tuple(problem.question for problem in problems(family, split, count, seed))


def family_named(name: str) -> Family:
    """Returns the family of this name.

    Raises:
        ConfigError: There is none.
    """
    if name not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise ConfigError(f"there is no procedural family {name!r}; known: {known}.")
    return FAMILIES[name]
