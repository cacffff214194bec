"""Grading of guided answers, and the score of each policy held against the student alone.

Every score is paired: the difference to the student alone on the same questions, with a 95%
interval by paired bootstrap and McNemar's exact test. Guidance that holds the gold answer has
leaked it, which is counted and scored apart::

    gold 12, guidance "She has 12 eggs."     leaked
    gold 1,  guidance "She has 12 eggs."     not leaked: 12 is another number
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from potstill.errors import DataError
from potstill.grading.answers import READERS, Reader
from potstill.grading.answers.base import NONE_GIVEN
from potstill.grading.grade import grade, plain_gold
from potstill.guide.types import GuidedAnswer, Who
from potstill.keys import question_digest
from potstill.records import GuidedPrediction, GuidedScore, Policy, Question, Split, Task
from potstill.records.policy import ALONE
from potstill.sampling.ask import Answer
from potstill.statistics import (
    CHANCES,
    DIFFERENCES,
    Interval,
    accuracy_interval,
    mean_interval,
    paired_comparison,
)

Graded = Mapping[str, GuidedPrediction]
"""Answers under one policy, by question."""


class AnswerCost(NamedTuple):
    """Tokens and dollars that one answer has taken."""

    student_tokens: int = 0
    teacher_tokens: int = 0
    cost: float = 0.0
    """US dollars, of both."""


class Expected(NamedTuple):
    """The expected outcome of one question, where its answer is drawn in one way or another."""

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

    def grade_guided(
        self, policy: Policy, question: Question, answer: GuidedAnswer
    ) -> GuidedPrediction:
        """Grade an answer written under a policy; one that the student failed on is wrong."""
        return self.grade_text(
            policy,
            question,
            next(iter(answer.texts), None),
            guidance="\n".join(answer.guidance),
            taken=AnswerCost(
                student_tokens=answer.student.completion_tokens,
                teacher_tokens=answer.teacher.completion_tokens,
                cost=answer.student.cost + answer.teacher.cost,
            ),
        )

    def grade_whole(
        self, policy: Policy, question: Question, answers: Sequence[Answer], *, writer: Who
    ) -> GuidedPrediction:
        """Grade the first of the whole answers that one of the two has written; none is wrong."""
        if not answers:
            return self.grade_text(policy, question, None, guidance="", taken=AnswerCost())
        answer = answers[0]
        if writer == "student":
            taken = AnswerCost(student_tokens=answer.completion_tokens, cost=answer.cost)
        else:
            taken = AnswerCost(teacher_tokens=answer.completion_tokens, cost=answer.cost)
        return self.grade_text(policy, question, answer.text, guidance="", taken=taken)

    def grade_text(
        self,
        policy: Policy,
        question: Question,
        text: str | None,
        *,
        guidance: str,
        taken: AnswerCost,
    ) -> GuidedPrediction:
        """Grade a text.

        Args:
            policy: The policy that it was written under.
            question: The question that was asked.
            text: The whole answer; None where there is none.
            guidance: The teacher's part of it.
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
            question_digest=question_digest(question),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Scorer:
    """Scores the answers to one split, each policy against the student alone."""

    task: str
    split: Split
    alone: Graded
    """The student's own answers."""

    resamples: int
    """Draws of the bootstrap."""

    seed: int

    def score(self, policy: Policy, graded: Graded) -> GuidedScore:
        """The score of graded answers, over the questions that they answer."""
        predictions = list(graded.values())
        total, correct = len(predictions), sum(p.correct for p in predictions)
        unleaked = [p.correct for p in predictions if not p.leaked]
        difference, ends, p_value = self._paired(policy, graded)
        interval = accuracy_interval(correct, total)
        return GuidedScore(
            policy=policy,
            task=self.task,
            split=self.split,
            accuracy=correct / total,
            low=interval.low,
            high=interval.high,
            total=total,
            guided=sum(bool(p.guidance) for p in predictions),
            teacher_tokens=sum(p.teacher_tokens for p in predictions) / total,
            student_tokens=sum(p.student_tokens for p in predictions) / total,
            cost=sum(p.cost for p in predictions) / total,
            leaked=sum(p.leaked for p in predictions),
            unleaked_accuracy=sum(unleaked) / len(unleaked) if unleaked else None,
            difference=difference,
            difference_low=ends.low if ends else None,
            difference_high=ends.high if ends else None,
            p_value=p_value,
        )

    def _paired(
        self, policy: Policy, graded: Graded
    ) -> tuple[float | None, Interval | None, float | None]:
        """The difference to the student alone, its interval and p; None for itself."""
        if policy == ALONE:
            return None, None, None
        guided = [prediction.correct for prediction in graded.values()]
        alone = [self.alone[id_].correct for id_ in graded]
        paired = paired_comparison(guided, alone, resamples=self.resamples, seed=self.seed)
        return paired.difference, paired.interval, paired.p_value

    def score_expected(self, policy: Policy, expected: Mapping[str, Expected]) -> GuidedScore:
        """The score of chances of right answers; intervals by the bootstrap, and no test."""
        outcomes, total = list(expected.values()), len(expected)
        accuracy = sum(outcome.correct for outcome in outcomes) / total
        gains = [outcome.correct - self.alone[id_].correct for id_, outcome in expected.items()]
        chances = [outcome.correct for outcome in outcomes]
        interval = self._interval(chances, within=CHANCES)
        ends = self._interval(gains, within=DIFFERENCES)
        return GuidedScore(
            policy=policy,
            task=self.task,
            split=self.split,
            accuracy=accuracy,
            low=interval.low,
            high=interval.high,
            total=total,
            guided=round(sum(outcome.guided for outcome in outcomes)),
            teacher_tokens=sum(outcome.teacher_tokens for outcome in outcomes) / total,
            student_tokens=sum(outcome.student_tokens for outcome in outcomes) / total,
            cost=sum(outcome.cost for outcome in outcomes) / total,
            leaked=0,
            unleaked_accuracy=accuracy,
            difference=sum(gains) / total,
            difference_low=ends.low,
            difference_high=ends.high,
            p_value=None,
        )

    def _interval(self, values: Sequence[float], *, within: Interval) -> Interval:
        return mean_interval(values, within=within, resamples=self.resamples, seed=self.seed)


_NUMBER = re.compile(r"(?<![\w.,])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\d.,]*\d)")
_WORDS = re.compile(r"[^\W_]+|[^\w\s]")
_MARKED_OPTION = r"(?:\(\s*{0}\s*\)|\b{0}\)|\b(?:option|choice|answer)(?:\s+is)?:?\s+\(?{0}\b)"
_BARE_OPTION = r"|(?<![\w'’]){0}(?![\w'’])"  # noqa: RUF001


def leaks(task: Task, question: Question, guidance: str) -> bool:
    """Whether guidance holds a question's gold answer.

    A number does by its value, so that 12 holds no 1 and 1,200 is 1200; an option by its letter or
    its text; everything else by its words, one after the other, in any case. Whatever the grader
    would read as an answer counts, too: "twelve", "1/2", "May 1, 2021".

    Args:
        task: Its answer type says how an answer is read.
        question: Its gold answer may be a worked solution that marks one.
        guidance: The teacher's words.
    """
    if not guidance:
        return False
    reader = READERS[task.answer_type]
    try:
        question, gold = plain_gold(reader, question)
    except DataError:  # a task under a published rule may have gold answers of another form
        return _is_in_words(question.answer, guidance)
    if task.answer_type == "choice":
        return _names_option(question, gold, guidance)
    if _is_in_words(gold, guidance) or any(
        reader.same(answer, gold) for answer in _readings(reader, question, guidance)
    ):
        return True
    return _value(gold) is None and _contains(question.answer, guidance)


def _is_in_words(gold: str, guidance: str) -> bool:
    """Whether a gold answer stands in guidance by its value, or by its words if it is no number."""
    value = _value(gold)
    if value is None:
        return _contains(gold, guidance)
    return any(_value(number) == value for number in _NUMBER.findall(guidance))


def _readings(reader: Reader, question: Question, text: str) -> Iterator[str]:
    """Yields everything in a text that fits the answer type, from its end on."""
    end = len(text)
    while end > 0:
        found = reader.last(text, end, question)
        if found is None or found is NONE_GIVEN or found.start >= end:
            return
        yield found.answer
        end = found.start


def _names_option(question: Question, letter: str, guidance: str) -> bool:
    """Whether an option is named; A and I alone are words of English."""
    letter = letter.strip("() ").upper()
    pattern = _MARKED_OPTION + ("" if letter in ("A", "I") else _BARE_OPTION)
    if re.search(pattern.format(re.escape(letter)), guidance):
        return True
    place = ord(letter) - ord("A") if len(letter) == 1 else -1
    return 0 <= place < len(question.choices) and _contains(question.choices[place], guidance)


def _value(text: str) -> Decimal | None:
    try:
        value = Decimal(text.replace(",", "").strip("$€£% "))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def _contains(wanted: str, text: str) -> bool:
    """Whether the tokens of one text stand in another, one after the other."""
    sought, words = _WORDS.findall(wanted.casefold()), _WORDS.findall(text.casefold())
    span = len(sought)
    return bool(span) and any(
        words[place : place + span] == sought for place in range(len(words) - span + 1)
    )
