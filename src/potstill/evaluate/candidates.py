"""Candidates: what a student, or a pair of them, was at each checkpoint, to choose one from."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from potstill.evaluate.pairs import pair_checkpoints, pair_system
from potstill.evaluate.settings import EvaluateSettings
from potstill.evaluate.systems import Contenders, System, further_ways, student_system
from potstill.prompts.formats import format_named
from potstill.records import Checkpoint


class Candidate(NamedTuple):
    """A student or a pair at one moment of its training."""

    system: System
    """How it answers."""

    step: int
    """Optimiser steps behind it; the later of two candidates has more."""

    checkpoint: Checkpoint | None
    """The student's; None for a pair."""

    further: tuple[System, ...] = ()
    """The further ways in which it is measured, should it be taken."""


def candidates(
    checkpoints: Sequence[Checkpoint],
    contenders: Contenders,
    settings: EvaluateSettings,
    *,
    seed: int,
) -> Iterator[list[Candidate]]:
    """What there is to choose from: of each student that answers alone, then of each pair.

    Args:
        checkpoints: Of all students, student by student, oldest first.
        contenders: How models are opened, and how the teacher is asked.
        settings: Of the evaluate stage.
        seed: Of the samples that students vote over.

    Raises:
        ConfigError: A pair's student has no checkpoint.
    """
    for _, of_student in groupby(checkpoints, key=lambda each: each.student):
        alone = [
            _of_student(each, contenders, settings, seed)
            for each in of_student
            if format_named(each.data_format).states_answer
        ]
        if alone:
            yield alone
    for name, of_pair in settings.socratic.items():
        found = []
        for pair in pair_checkpoints(name, of_pair, checkpoints):
            system = pair_system(name, pair, contenders, settings)
            given = pair_system(name, pair, contenders, settings, given=True)
            further = (given,) if of_pair.teacher_questions else ()
            found.append(Candidate(system, pair.step, None, further))
        yield found


def _of_student(
    checkpoint: Checkpoint, contenders: Contenders, settings: EvaluateSettings, seed: int
) -> Candidate:
    system = student_system(checkpoint, contenders, settings)
    further = tuple(further_ways(system, checkpoint, contenders, settings, seed=seed))
    return Candidate(system, checkpoint.step, checkpoint, further)
