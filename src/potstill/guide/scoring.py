"""What policies reach: graded answers, and scores held against the student alone.

Leakage: whether guidance holds the gold answer, token by token and not as a part of one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from potstill.errors import DataError
from potstill.grading.answers import READERS
from potstill.grading.grade import grade, plain_gold
from potstill.guide.types import GuidedAnswer
from potstill.records import GuidedKind, GuidedPrediction, GuidedScore, Question, Split, Task
from potstill.statistics import Interval, accuracy_interval, mean_interval, paired_comparison

Graded = Mapping[str, GuidedPrediction]
"""Answers under one policy, by question."""


class Taken(NamedTuple):
    """What one answer has taken."""

    student_tokens: int = 0
    teacher_tokens: int = 0
    cost: float = 0.0
    """US dollars, of both."""


class Expected(NamedTuple):
    """What is expected of one question, where its answer is drawn in one way or another."""

    correct: float
    """Chance of a right answer, or for pass@k of one among k."""

    guided: float = 0.0
    """Chance that the teacher's words stand in it."""

    student_tokens: float = 0.0
    teacher_tokens: float = 0.0
    cost: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Grader:
    """Grades answers to one split."""

    task: Task
    split: Split
    steps: Mapping[str, int] = field(default_factory=dict)
    """Steps of the teacher's own chains, by question, where they are known."""

    def guided(self, policy: str, question: Question, guided: GuidedAnswer) -> GuidedPrediction:
        """Grade an answer written under a policy; one that the student failed on is wrong."""
        return self.told(
            policy,
            question,
            next(iter(guided.texts), None),
            guidance="\n".join(guided.guidance),
            taken=Taken(
                student_tokens=guided.student.completion_tokens,
                teacher_tokens=guided.teacher.completion_tokens,
                cost=guided.student.cost + guided.teacher.cost,
            ),
        )

    def told(
        self, policy: str, question: Question, text: str | None, *, guidance: str, taken: Taken
    ) -> GuidedPrediction:
        """Grade a text.

        Args:
            policy: Under which it was written.
            question: What was asked.
            text: The whole answer; None where there is none.
            guidance: What the teacher wrote of it.
            taken: Its tokens and cost.
        """
        verdict = None if text is None else grade(self.task, text, question)
        return GuidedPrediction(
            policy=policy,
            task=self.task.name,
            split=self.split,
            question_id=question.id,
            text=text or "",
            guidance=guidance,
            answer=verdict.answer if verdict else None,
            correct=verdict.correct if verdict else False,
            leaked=leaks(self.task, question, guidance),
            student_tokens=taken.student_tokens,
            teacher_tokens=taken.teacher_tokens,
            cost=taken.cost,
            steps=self.steps.get(question.id),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Scorer:
    """Scores what was answered to one split, each policy against the student alone."""

    task: str
    split: Split
    alone: Graded
    """The student's own answers."""

    resamples: int
    seed: int

    def of(self, policy: str, kind: GuidedKind, answers: Graded) -> GuidedScore:
        """The score of graded answers, on their questions; on all others nothing is known."""
        values = list(answers.values())
        total, correct = len(values), sum(each.correct for each in values)
        unleaked = [each.correct for each in values if not each.leaked]
        difference, ends, p_value = self._paired(policy, answers)
        interval = accuracy_interval(correct, total)
        return GuidedScore(
            policy=policy,
            kind=kind,
            task=self.task,
            split=self.split,
            accuracy=correct / total,
            low=interval.low,
            high=interval.high,
            total=total,
            guided=sum(bool(each.guidance) for each in values),
            teacher_tokens=sum(each.teacher_tokens for each in values) / total,
            student_tokens=sum(each.student_tokens for each in values) / total,
            cost=sum(each.cost for each in values) / total,
            leaked=sum(each.leaked for each in values),
            unleaked_accuracy=sum(unleaked) / len(unleaked) if unleaked else None,
            difference=difference,
            difference_low=ends.low if ends else None,
            difference_high=ends.high if ends else None,
            p_value=p_value,
        )

    def _paired(
        self, policy: str, answers: Graded
    ) -> tuple[float | None, Interval | None, float | None]:
        if policy == "never":
            return None, None, None
        pairs = [(each.correct, self.alone[id_].correct) for id_, each in answers.items()]
        first, second = [a for a, _ in pairs], [b for _, b in pairs]
        found = paired_comparison(first, second, resamples=self.resamples, seed=self.seed)
        return found.difference, found.interval, found.p_value

    def expected(
        self, policy: str, kind: GuidedKind, answers: Mapping[str, Expected]
    ) -> GuidedScore:
        """The score of chances of right answers; intervals by the bootstrap, and no test."""
        values, total = list(answers.values()), len(answers)
        accuracy = sum(each.correct for each in values) / total
        gains = [each.correct - self.alone[id_].correct for id_, each in answers.items()]
        interval = self._interval([each.correct for each in values])
        ends = self._interval(gains)
        return GuidedScore(
            policy=policy,
            kind=kind,
            task=self.task,
            split=self.split,
            accuracy=accuracy,
            low=interval.low,
            high=interval.high,
            total=total,
            guided=round(sum(each.guided for each in values)),
            teacher_tokens=sum(each.teacher_tokens for each in values) / total,
            student_tokens=sum(each.student_tokens for each in values) / total,
            cost=sum(each.cost for each in values) / total,
            leaked=0,
            unleaked_accuracy=accuracy,
            difference=sum(gains) / total,
            difference_low=ends.low,
            difference_high=ends.high,
            p_value=None,
        )

    def _interval(self, values: Sequence[float]) -> Interval:
        return mean_interval(values, resamples=self.resamples, seed=self.seed)


_NUMBER = re.compile(r"(?<![\w.,])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\d.,]*\d)")
_WORDS = re.compile(r"[^\W_]+|[^\w\s]")
_MARKED_OPTION = r"(?:\(\s*{0}\s*\)|\b{0}\)|\b(?:option|choice|answer)(?:\s+is)?:?\s+\(?{0}\b)"
_BARE_OPTION = r"|(?<![\w'’]){0}(?![\w'’])"  # noqa: RUF001


def leaks(task: Task, question: Question, guidance: str) -> bool:
    """Whether guidance holds a question's gold answer.

    A number does by its value, so that 12 holds no 1 and 1,200 is 1200; an option by its letter or
    its text; everything else by its words, one after the other, in any case.

    Args:
        task: Says what an answer is.
        question: Its gold answer may be a worked solution that marks one.
        guidance: What the teacher wrote.
    """
    if not guidance:
        return False
    try:
        question, gold = plain_gold(READERS[task.answer_type], question)
    except DataError:  # a task under a published rule may have gold answers of another form
        gold = question.answer
    if task.answer_type == "choice":
        return _names_option(question, gold, guidance)
    value = _value(gold)
    if value is not None:
        return any(_value(found) == value for found in _NUMBER.findall(guidance))
    return _says(gold, guidance)


def _names_option(question: Question, letter: str, guidance: str) -> bool:
    """Whether an option is named; A and I alone are words of English."""
    letter = letter.strip("() ").upper()
    pattern = _MARKED_OPTION + ("" if letter in ("A", "I") else _BARE_OPTION)
    if re.search(pattern.format(re.escape(letter)), guidance):
        return True
    place = ord(letter) - ord("A") if len(letter) == 1 else -1
    return 0 <= place < len(question.choices) and _says(question.choices[place], guidance)


def _value(text: str) -> Decimal | None:
    try:
        value = Decimal(text.replace(",", "").strip("$€£% "))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def _says(wanted: str, text: str) -> bool:
    """Whether the tokens of one text stand in another, one after the other."""
    sought, words = (_WORDS.findall(each.casefold()) for each in (wanted, text))
    span = len(sought)
    return bool(span) and any(
        words[place : place + span] == sought for place in range(len(words) - span + 1)
    )
