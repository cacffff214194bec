"""Candidates: what a student, or a pair of them, was at each checkpoint, to choose one from.

Development scores of checkpoints and starts, the only ones that a choice is made by.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import groupby
from typing import NamedTuple

from potstill.evaluate.measure import EvalContext
from potstill.evaluate.selection import CheckpointScores, should_stop
from potstill.evaluate.settings import EvaluateSettings
from potstill.evaluate.socratic import pair_checkpoints, pair_system
from potstill.evaluate.systems import (
    EvalModels,
    EvalTask,
    System,
    further_ways,
    start_system,
    student_system,
)
from potstill.prompts.formats import format_named
from potstill.records import Checkpoint, Score


class CheckpointCandidate(NamedTuple):
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
    contenders: EvalModels,
    settings: EvaluateSettings,
    *,
    seed: int,
) -> Iterator[list[CheckpointCandidate]]:
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
            found.append(CheckpointCandidate(system, pair.step, None, further))
        yield found


def _of_student(
    checkpoint: Checkpoint, contenders: EvalModels, settings: EvaluateSettings, seed: int
) -> CheckpointCandidate:
    system = student_system(checkpoint, contenders, settings)
    further = tuple(further_ways(system, checkpoint, contenders, settings, seed=seed))
    return CheckpointCandidate(system, checkpoint.step, checkpoint, further)


Scores = Mapping[str, Score]
"""By the name of what was measured."""


class DevScorer:
    """Measures on development questions; what was measured before is remembered.

    Answers go to the store, so that what was asked while training was under way is not asked for
    again afterwards.

    Args:
        entries: What is measured on; the task trained for leads.
        contenders: Opens the models.
        settings: Of the evaluate stage.
        bench: Where it is measured.
    """

    def __init__(
        self,
        entries: Sequence[EvalTask],
        contenders: EvalModels,
        settings: EvaluateSettings,
        bench: EvalContext,
    ) -> None:
        self._entries = [entry for entry in entries if entry.followed]
        self._contenders, self._settings, self._bench = contenders, settings, bench
        self._known: dict[tuple[str, int | None], Scores] = {}

    def of(self, checkpoint: Checkpoint) -> Scores:
        """A checkpoint's scores."""
        return self.of_system(student_system(checkpoint, self._contenders, self._settings))

    def of_system(self, system: System) -> Scores:
        """The scores of a student, a pair or a start, on all that it can be asked."""
        known = (system.name, system.step)
        if known not in self._known:
            self._known[known] = self._measured(system)
        return self._known[known]

    def of_start(self, name: str) -> Scores:
        """The scores of a start, asked by Zero-shot-CoT where nothing else is said."""
        start = next(each for each in self._contenders.starts if each.name == name)
        return self.of_system(start_system(start, self._settings))

    def standing(self, scores: Scores) -> CheckpointScores:
        """What choices are made by; graders that stand beside the first are no part of it."""
        by_role: dict[str, list[Fraction]] = {}
        for entry in (each for each in self._entries if each.name in scores):
            score = scores[entry.name]
            by_role.setdefault(entry.role, []).append(Fraction(score.correct, score.total))
        return CheckpointScores(
            step=next(iter(scores.values())).step or 0,
            in_distribution=by_role["target"][0],
            out_of_distribution=tuple(by_role.get("out_of_distribution", ())),
            generic=tuple(by_role.get("generic", ())),
        )

    def ends(
        self,
        checkpoints: Sequence[Checkpoint],
        *,
        start: str = "start",
        patience: int | None = None,
        generic_loss: float | None = None,
    ) -> bool:
        """Whether a student's training ends at its newest checkpoint; see :func:`should_stop`.

        Args:
            checkpoints: All of the student's checkpoints so far, oldest first; those of an
                interrupted training included, so that it ends where an undisturbed one does.
            start: The name of the start it was trained from.
            patience: Checkpoints without a rise of the accuracy on the task trained for.
            generic_loss: How far generic accuracy may fall below the start's; needs generic tasks.
        """
        begin = None if generic_loss is None else self.standing(self.of_start(start))
        history = [self.standing(self.of(each)) for each in checkpoints]
        return should_stop(history, begin, patience=patience, generic_loss=generic_loss)

    def _measured(self, system: System) -> Scores:
        model, scores = system.open(), dict[str, Score]()
        for entry in filter(system.answers, self._entries):
            measured = self._bench.measure(system, model, entry, "dev")
            assert measured is not None, "a local model answers every question"
            scores[entry.name] = measured.score
        return scores
