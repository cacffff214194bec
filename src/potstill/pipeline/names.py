"""The names that a recipe gives: how they may look, and that no two systems read the same.

Every measured system has one label, made of the names of its model and its start and of the way it
is asked (:attr:`potstill.records.System.label`). Since names may hold the ``_`` that joins them,
two systems can come out alike, and a recipe in which they do is refused before anything is asked::

    students rationales and rationales_vote, evaluate.vote   both rationales_vote
    students a and a_b, starts b_c and c                     a from b_c, a_b from c: both a_b_c
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from potstill.errors import ConfigError, shortened
from potstill.evaluate.settings import EvaluateSettings
from potstill.models.settings import LocalSettings
from potstill.prompts.formats import format_named
from potstill.records import System
from potstill.train.settings import TrainSettings

LONGEST = 64
"""Most characters of a name; several make up the name of a folder."""

RESERVED = {
    "teacher": "every run measures a system called teacher",
    "start": "every run measures a system called start",
}
"""Names that no system of a recipe can have, and by what they are taken."""

_NAME = re.compile(r"\w([\w .+=(),-]*[\w)+-])?")

NAME_PATTERN = (
    r"^(?!.*(\.\.|  ))(?![ .+=(),-])[^\x00-\x1f!-'*/:;<>-@\x5b-\x5e\x60\x7b-\x7f]"
    rf"{{1,{LONGEST}}}(?<![ .=(,])$"
)
"""The pattern of a name for JSON schemas, in whose regular expressions ``\\w`` is ASCII alone: all
signs of ASCII are left out but letters, digits and those that a name may hold."""


def check_name(name: object, *, at: str, reserved: Mapping[str, str] = RESERVED) -> None:
    """Refuse a name that could not stand in a table or be a folder's.

    Args:
        name: The name as the recipe gives it.
        at: Its place in the recipe, e.g. ``train.students``.
        reserved: Names that are taken, and by what.

    Raises:
        ConfigError: It is not made of letters, digits and a few signs, or it is taken.
    """
    text = str(name)
    if text in reserved:
        raise ConfigError(f"{at}.{text}: {text} is taken: {reserved[text]}. Take another name.")
    if not _NAME.fullmatch(text) or ".." in text or "  " in text or len(text) > LONGEST:
        raise ConfigError(
            f"{at} names {shortened(text)}. Take letters, digits, - and _, with single spaces or "
            f". + = ( ) , inside, and {LONGEST} characters at most."
        )


class NamedStart(NamedTuple):
    """A model that students start from, with the system that it is measured as."""

    system: System
    """``start``, of which the recipe's student is the one without a name."""

    settings: LocalSettings


def named_starts(train: TrainSettings, recipes_own: LocalSettings) -> dict[System, NamedStart]:
    """Returns the model that each student starts from.

    Args:
        train: The students and starts.
        recipes_own: The recipe's student, from which those start that name no other.
    """
    starts: dict[System, NamedStart] = {}
    for student, settings in train.sweep().items():
        start = settings.start or recipes_own
        listed = (name for name, known in train.starts.items() if known == start)
        # A start of the student's own has the student's name.
        name = None if start == recipes_own else next(listed, student.model)
        starts[student] = NamedStart(System("start", name), start)
    return starts


def check_systems(
    train: TrainSettings,
    evaluate: EvaluateSettings,
    starts: Mapping[System, NamedStart],
    *,
    few_shot: bool,
) -> None:
    """Refuse names that are none, and systems that would read the same.

    Args:
        train: The students and starts.
        evaluate: The pairs, and the further ways in which systems are asked.
        starts: The model that each student starts from; see :func:`named_starts`.
        few_shot: Whether starts are also asked with the recipe's worked questions.

    Raises:
        ConfigError: A name is refused, or two systems would have one label; says which.
    """
    for at, names in (
        ("train.students", train.students),
        ("train.starts", train.starts),
        ("evaluate.socratic", evaluate.socratic),
    ):
        for name in names:
            check_name(name, at=at)
    owners: dict[str, str] = {}
    for system, owner in all_systems(train, evaluate, starts, few_shot=few_shot):
        other = owners.setdefault(system.label, owner)
        if other != owner:
            raise ConfigError(
                f"{other} and {owner} would both be called {system.label}. Rename one of them."
            )


def all_systems(
    train: TrainSettings,
    evaluate: EvaluateSettings,
    starts: Mapping[System, NamedStart],
    *,
    few_shot: bool,
) -> Iterator[tuple[System, str]]:
    """Yields every system that a recipe measures, with what in the recipe makes it one."""
    formats = [format_named(name).name for name in evaluate.asked_in]
    yield System("teacher"), "teacher"
    for start in dict.fromkeys(start.system for start in starts.values()):
        at = f"the start {start.start}" if start.start else "the recipe's student"
        yield start, at
        shown = ["few_shot"] if few_shot else []
        for variant in dict.fromkeys(["zero_shot", *shown, *formats]):
            yield System("start", start.start, variant), f"{at} asked in {variant}"
    for student, settings in train.sweep().items():
        at = f"train.students.{student.model}"
        at += f" from train.starts.{student.start}" if student.start else ""
        yield student, at
        if not settings.answers_alone:
            continue
        if evaluate.vote is not None:
            yield System(student.model, student.start, "vote"), f"{at} by evaluate.vote"
        for variant in dict.fromkeys(formats):
            own_way = settings.is_settled and variant == settings.asked_in
            if not own_way:  # which has its own name
                yield System(student.model, student.start, variant), f"{at} asked in {variant}"
    for name, pair in evaluate.socratic.items():
        at = f"evaluate.socratic.{name}"
        yield System(name), at
        if pair.teacher_questions:
            yield System(name, variant="teacher_questions"), f"{at} by teacher_questions"
