"""Answers to a reader's first questions of a run: the gain, the cost, the trust, the next steps.

Values without words or layout, from which the terminal, the page and ``summary.json`` speak. All
are of the chosen student, the one in ``model/``, on test questions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from potstill.records import Score, System
from potstill.report.accuracy import Results
from potstill.report.cautions import TrustCaution, cautions
from potstill.report.next_steps import NextStep, next_steps
from potstill.start_comparison import StartComparison, start_comparisons

ANSWERS_ONLY = "answers_only"
"""The student of a normal run that learns answers without rationales."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """The time, tokens and cost that the stages of a run took."""

    seconds: float
    tokens: int
    """The tokens that models wrote or were trained on."""

    usd: float
    unpriced: Sequence[str]
    """Models that are paid for and whose prices are not known: then the cost is not, either."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswersAlone:
    """The result of a student from the same start that learns answers without rationales."""

    score: Score
    against_start: StartComparison | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """The answers to a reader's first questions."""

    student: System | None
    """The chosen student; None where none was measured."""

    score: Score | None
    """The chosen student's score on the leading task."""

    against_start: Mapping[str, StartComparison]
    """The student against its start by task, the leading one first; empty without a start."""

    answers_alone: AnswersAlone | None
    """The student of answers alone; None where none was measured, or it is the chosen one."""

    other_tasks: Sequence[str]
    """The tasks beside the leading one that student and start both answered."""

    spent: Spent
    cautions: Sequence[TrustCaution]
    """The reasons against trusting the figures, the worst first."""

    next_steps: Sequence[NextStep]
    """The steps worth taking next, the most pressing first."""

    gain: StartComparison | None
    """The student against its start on the leading task."""

    @property
    def losses(self) -> list[StartComparison]:
        """Every task on which the student is shown below its start, in the order of the tasks."""
        return [one for one in self.against_start.values() if one.is_loss]

    @property
    def lost_answers(self) -> int:
        """The answers that the start had right there and the student has wrong."""
        return sum(one.comparison.only_second for one in self.losses)


def findings(results: Results) -> Findings:
    """Returns the findings of a run, at any stage of it."""
    student, against = results.chosen, results.against_start
    leading = results.leading.name
    return Findings(
        student=student,
        score=results.test_score(student, leading) if student else None,
        against_start=against,
        answers_alone=_answers_alone(results, student) if student else None,
        other_tasks=[task for task in against if task != leading],
        spent=Spent(
            seconds=sum(stage.seconds for stage in results.stages),
            tokens=sum(stage.tokens for stage in results.stages),
            usd=sum(stage.cost for stage in results.stages),
            unpriced=results.facts.unpriced,
        ),
        cautions=cautions(results),
        next_steps=next_steps(results),
        gain=against.get(leading),
    )


def _answers_alone(results: Results, student: System) -> AnswersAlone | None:
    other = System(ANSWERS_ONLY, student.start)
    score = results.test_score(other, results.leading.name)
    if score is None or other == student:
        return None
    against = start_comparisons(
        results.comparisons, other, results.start_of(other), left_out=results.other_rule_tasks
    )
    return AnswersAlone(score=score, against_start=against.get(results.leading.name))
