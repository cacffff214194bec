"""Watches the rounds of a training: measures each, keeps it, and ends what collapses.

A round is looked at three times: before it is written (how old its answers will be), before it is
scored (what the answers tell by themselves), and once it is scored. Of the first round a few
answers are scored first, so that a teacher that cannot read the student is found out before the
rest is paid for.
"""

from collections.abc import Sequence
from dataclasses import asdict

from potstill.records import Collapse, Completion, Question, TokenLogprobs, TrainingRound
from potstill.train.on_policy.collapse import Verdict, breaches, verdict
from potstill.train.on_policy.collapse_words import ADVICE, round_line, told
from potstill.train.on_policy.round_figures import (
    OwnFigures,
    ScoredCounts,
    TeacherFigures,
    own_figures,
    teacher_figures,
)
from potstill.train.on_policy.work import OnPolicyWork, RoundPlan
from potstill.train.on_policy.written_answers import WrittenAnswer

PROBE = 8
"""Answers of the first round that are scored before the others."""

SHOWN = 1.5
"""A line is shown when there are so many times as many rounds as at the line before."""


class TrainingCollapsed(Exception):
    """Ends a training inside its loop; it is caught where the student is trained."""

    def __init__(self, collapse: Collapse, *, patience: int, unlearned: int) -> None:
        super().__init__(collapse.message)
        self.collapse, self.patience, self.unlearned = collapse, patience, unlearned
        """The limit; the rounds that it was given; the planned answers that the student which is
        kept has not learned."""


class RoundWatch:
    """Measures the rounds of one training, and raises where one passes a limit.

    For each round, in this order: :meth:`begins`, :meth:`written`, :meth:`probed` in the first one,
    :meth:`scored`. Each of them raises :class:`TrainingCollapsed` where a limit ends the training.

    Args:
        work: The parts that the rounds are made of; its store takes each round.
        plan: The sizes of rounds and steps.
        training: Stands for the training; its rounds are stored by it.
    """

    def __init__(self, work: OnPolicyWork, plan: RoundPlan, training: str) -> None:
        self._work, self._plan, self._training = work, plan, training
        self._rounds: list[TrainingRound] = []
        self._number = self._shown = 0
        self._own = OwnFigures()

    @property
    def is_well(self) -> bool:
        """Whether the last round has passed no limit, so that its student may be kept as good."""
        return bool(self._rounds) and self._is_well(self._rounds[-1])

    def begins(self, number: int) -> None:
        """Look at a round before it is written: how old will its answers be?

        Args:
            number: The round, from 0.
        """
        self._number, self._own = number, OwnFigures()
        stored = self._work.context.store.rounds_of(self._training)
        self._rounds = [one for one in stored if one.number < number]
        self._judge(ScoredCounts(), TeacherFigures())

    def written(
        self,
        written: Sequence[tuple[Question, Completion]],
        answers: Sequence[WrittenAnswer],
    ) -> None:
        """Look at a round before anything is paid for it.

        Args:
            written: All its answers with their questions.
            answers: The parts of them that are to be scored.
        """
        whole = self._work.settings.score.first_tokens is None
        self._own = own_figures(written, answers, self._work.right if whole else None)
        self._judge(ScoredCounts(), TeacherFigures())

    def probed(
        self,
        counts: ScoredCounts,
        answers: Sequence[WrittenAnswer],
        scores: Sequence[TokenLogprobs | None],
    ) -> None:
        """Look at the first scores of the first round.

        Args:
            counts: The cost of the scores, and what can be learned of their answers.
            answers: The answers that were scored.
            scores: By bytes; None where there are none.
        """
        unlearned = None if counts.learned else self._own.answers  # of all, then, as of these
        counts = counts._replace(unlearned=unlearned, places=0, learned=0)
        self._judge(counts, teacher_figures(answers, scores))

    def scored(
        self,
        counts: ScoredCounts,
        answers: Sequence[WrittenAnswer],
        scores: Sequence[TokenLogprobs | None],
    ) -> None:
        """Keep a round, show it, and look at it.

        Args:
            counts: The cost of its scores, and what is learned of it.
            answers: See :meth:`probed`.
            scores: See there.
        """
        figures = teacher_figures(answers, scores)
        self._judge(counts, figures)
        own = self._record(counts, figures)
        self._rounds.append(own)
        self._keep(own)
        line = round_line(own, self._work.label, self._work.settings.top)
        events = self._work.context.events
        events.notes[self._work.note] = line
        if own.number + 1 >= SHOWN * self._shown:
            events.show(line)
            self._shown = own.number + 1

    def _judge(self, counts: ScoredCounts, figures: TeacherFigures) -> None:
        """Hold what is known of the round against the limits.

        Raises:
            TrainingCollapsed: It passes one of them.
        """
        limits = self._work.settings.limits
        if limits is None:
            return
        own = self._record(counts, figures)
        found = verdict([*self._rounds, own], limits, self._work.settings)
        if found is not None:
            self._keep(own)
            collapse = self._collapse(found, own)
            unlearned = self._plan.answers_from(collapse.step // self._plan.steps_per_round)
            raise TrainingCollapsed(collapse, patience=limits.patience, unlearned=unlearned)

    def _collapse(self, found: Verdict, own: TrainingRound) -> Collapse:
        good = [one.step for one in self._rounds if self._is_well(one)]
        return Collapse(
            student=own.student,
            start=own.start,
            sign=found.sign,
            value=found.breach.value,
            bound=found.breach.bound,
            setting=found.limit,
            number=own.number,
            reached=own.step,
            step=good[-1] if good else 0,
            message=told(found, own, self._work.settings),
            advice=ADVICE[found.sign],
        )

    def _is_well(self, own: TrainingRound) -> bool:
        settings = self._work.settings
        limits = settings.limits
        return limits is None or not breaches(self._rounds[0], own, limits, settings)

    def _keep(self, own: TrainingRound) -> None:
        context = self._work.context
        context.store.keep_round(own, training=self._training)
        fields = asdict(own) | {"student": self._work.label, "round": own.number + 1}
        context.events.record("on_policy_round", **fields)

    def _record(self, counts: ScoredCounts, figures: TeacherFigures) -> TrainingRound:
        return TrainingRound(
            student=self._work.system.model,
            start=self._work.system.start,
            number=self._number,
            rounds=self._plan.rounds,
            step=self._number * self._plan.steps_per_round,
            oldest=self._plan.steps_of(self._number) - 1,
            **self._own._asdict(),
            **counts._asdict(),
            **figures._asdict(),
        )
