"""Candidates: each student and each pair at every checkpoint, with its development scores.

A checkpoint is chosen by development scores; :class:`DevScorer` measures them, after a training or,
where training may end early, while it is under way. For the one rule that chooses on test, see
:attr:`CandidateScores.test`.
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
    MeasuredSystem,
    further_ways,
    start_system,
    student_system,
)
from potstill.models import Model
from potstill.prompts.formats import format_named
from potstill.records import Checkpoint, Score, Split, System


class CheckpointCandidate(NamedTuple):
    """A student or a pair at one moment of its training."""

    system: MeasuredSystem
    """The student or pair in its own way of answering."""

    step: int
    """Optimiser steps behind it; the later of two candidates has more."""

    checkpoint: Checkpoint | None
    """The student's; None for a pair."""

    further: tuple[MeasuredSystem, ...] = ()
    """The further ways in which it is measured, should it be taken."""


def candidates(
    checkpoints: Sequence[Checkpoint],
    models: EvalModels,
    settings: EvaluateSettings,
    *,
    seed: int,
) -> Iterator[list[CheckpointCandidate]]:
    """Yields what there is to choose from: each student that answers alone, then each pair.

    Args:
        checkpoints: The checkpoints of all students, student by student, oldest first.
        models: Opens the models, and says how the teacher is asked.
        settings: How systems are measured, and which pairs there are.
        seed: Seeds the samples that students vote over.

    Raises:
        ConfigError: A pair's student has no checkpoint.
    """
    for _, trained in groupby(checkpoints, key=lambda checkpoint: checkpoint.system):
        alone = [
            _student_candidate(checkpoint, models, settings, seed)
            for checkpoint in trained
            if format_named(checkpoint.data_format).states_answer
        ]
        if alone:
            yield alone
    for name, pair_settings in settings.socratic.items():
        offered = []
        for pair in pair_checkpoints(name, pair_settings, checkpoints):
            system = pair_system(name, pair, models, settings)
            taught = pair_system(name, pair, models, settings, teacher_asks=True)
            asks_teacher = pair_settings.teacher_questions and settings.teacher
            further = (taught,) if asks_teacher else ()
            offered.append(CheckpointCandidate(system, pair.step, None, further))
        yield offered


def _student_candidate(
    checkpoint: Checkpoint, models: EvalModels, settings: EvaluateSettings, seed: int
) -> CheckpointCandidate:
    system = student_system(checkpoint, models, settings)
    further = tuple(further_ways(system, checkpoint, models, settings, seed=seed))
    return CheckpointCandidate(system, checkpoint.step, checkpoint, further)


TaskScores = Mapping[str, Score]
"""A system's development scores, by the name of the task."""


class CandidateScores(NamedTuple):
    """The scores by which a checkpoint is chosen."""

    development: TaskScores
    test: Score | None
    """The score on the test questions of the task trained for, where ``best_on_test`` is the
    recipe's rule; else None: nobody looks at them before the choice."""


class DevScorer:
    """Measures on development questions; what was measured before is remembered.

    Answers go to the store, so that what was asked while training was under way is not asked for
    again afterwards.

    Args:
        entries: The tasks; the one trained for leads, and those that are not followed are left out.
        models: Opens the models.
        settings: How systems are asked.
        context: The run that they are measured in.
    """

    def __init__(
        self,
        entries: Sequence[EvalTask],
        models: EvalModels,
        settings: EvaluateSettings,
        context: EvalContext,
    ) -> None:
        self._entries = [entry for entry in entries if entry.followed]
        self._models, self._settings, self._context = models, settings, context
        self._known: dict[System, TaskScores] = {}
        self._tested: dict[System, Score] = {}

    def score_checkpoint(self, checkpoint: Checkpoint) -> TaskScores:
        """Returns a checkpoint's scores."""
        return self.score_system(student_system(checkpoint, self._models, self._settings))

    def score_system(self, system: MeasuredSystem) -> TaskScores:
        """Returns the scores of a student, a pair or a start, on all that it can be asked."""
        if system.system not in self._known:
            self._measure(system, on_test=False)
        return self._known[system.system]

    def score_candidate(self, system: MeasuredSystem) -> CandidateScores:
        """Returns the scores by which the recipe's rule chooses, on test where it says so."""
        if self._settings.select != "best_on_test":
            return CandidateScores(self.score_system(system), None)
        if system.system not in self._tested:
            self._measure(system, on_test=True)
        return CandidateScores(self._known[system.system], self._tested[system.system])

    def score_start(self, system: System) -> TaskScores:
        """Returns the scores of a start, asked to reason where nothing else is said."""
        start = next(start for start in self._models.starts if start.system == system)
        return self.score_system(start_system(start, self._settings))

    def standing(self, scores: TaskScores, test: Score | None = None) -> CheckpointScores:
        """Returns what choices are made by; graders beside the first are no part of it.

        Args:
            scores: A system's development scores.
            test: Its score on test, where the rule chooses by it.
        """
        by_role: dict[str, list[Fraction]] = {}
        for entry in self._entries:
            if entry.name in scores:
                score = scores[entry.name]
                by_role.setdefault(entry.role, []).append(Fraction(score.correct, score.total))
        return CheckpointScores(
            step=next(iter(scores.values())).step or 0,
            in_distribution=by_role["target"][0],
            out_of_distribution=tuple(by_role.get("out_of_distribution", ())),
            generic=tuple(by_role.get("generic", ())),
            on_test=None if test is None else Fraction(test.correct, test.total),
        )

    def ends(
        self,
        checkpoints: Sequence[Checkpoint],
        *,
        start: System,
        patience: int | None = None,
        generic_loss: float | None = None,
    ) -> bool:
        """Returns whether a student's training ends at its newest checkpoint.

        See :func:`potstill.evaluate.selection.should_stop`.

        Args:
            checkpoints: All of the student's checkpoints so far, oldest first; those of an
                interrupted training included, so that it ends where an undisturbed one does.
            start: The start that it was trained from.
            patience: Checkpoints without a rise of the accuracy on the task trained for.
            generic_loss: How far generic accuracy may fall below the start's; needs generic tasks.
        """
        begin = None if generic_loss is None else self.standing(self.score_start(start))
        history = [self.standing(self.score_checkpoint(taken)) for taken in checkpoints]
        return should_stop(history, begin, patience=patience, generic_loss=generic_loss)

    def _measure(self, system: MeasuredSystem, *, on_test: bool) -> None:
        """Measure a system that is opened once, on test as well where a rule chooses by that."""
        model, scores = self._context.opened(system), dict[str, Score]()
        for entry in filter(system.answers, self._entries):
            scores[entry.name] = self._score(system, model, entry, "dev")
        self._known[system.system] = scores
        if on_test:
            self._tested[system.system] = self._score(system, model, self._entries[0], "test")

    def _score(self, system: MeasuredSystem, model: Model, entry: EvalTask, split: Split) -> Score:
        measured = self._context.measure(system, model, entry, split)
        assert measured is not None, "a local model answers every question"
        return measured.score
