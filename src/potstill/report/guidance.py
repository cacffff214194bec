"""The report's part on guidance: what the teacher's steps brought, and at what price.

The guided scores of a task are sorted by their policy's kind into a :class:`GuidanceSection`, from
which the charts, the tables and the sentences take their numbers. Two further readings stand
below: accuracy by the length of the way to the answer, and answers that guidance turned.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from potstill.records import GuidedKind, GuidedPrediction, GuidedScore, Policy, Question
from potstill.records.policy import RANDOM, ROUTE
from potstill.report.accuracy import Results
from potstill.report.clipped_text import clipped
from potstill.store.asked_questions import answers_question

Curve = Sequence[tuple[float, float]]
"""Teacher tokens a question and accuracy, by ascending tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuidanceSection:
    """The guided scores of one task's test questions, in the order they were stored in."""

    task: str
    alone: GuidedScore | None
    """The student without the teacher."""

    teacher: GuidedScore | None
    """The teacher without the student."""

    policies: Sequence[GuidedScore]
    routing: Sequence[GuidedScore]
    controls: Sequence[GuidedScore]
    unaided: Sequence[GuidedScore]
    """The student questioning itself, or in several samples."""

    development: int
    """Development questions that thresholds were chosen on; 0 where there are none."""

    @property
    def best(self) -> GuidedScore | None:
        """The policy of the highest accuracy; of equals the one with the fewest teacher tokens."""
        return max(self.policies, key=_merit, default=None)

    @property
    def best_of_steps(self) -> GuidedScore | None:
        """The best policy by which the teacher writes steps; None where it writes whole answers."""
        steps = [score for score in self.policies if score.policy.name != ROUTE]
        return max(steps, key=_merit, default=None)

    @property
    def always(self) -> GuidedScore | None:
        """The policy that guides the first step of every answer."""
        return next((score for score in self.policies if score.policy.is_first_step), None)

    @property
    def conditional(self) -> list[GuidedScore]:
        """The policies in which what the student writes by itself decides."""
        return [score for score in self.policies if score.policy.is_conditional]

    @property
    def sparing(self) -> list[GuidedScore]:
        """The policies by which the teacher writes the first step of some of the answers."""
        return [score for score in self.policies if score.policy.spares_first_step]

    @property
    def priced(self) -> bool:
        """Whether any answer had a price."""
        scores = (*self.policies, *self.routing, *self.controls, *self.unaided)
        return any(score.cost > 0 for score in (*scores, *self.ends))

    @property
    def ends(self) -> list[GuidedScore]:
        """The student alone and the teacher alone, as far as they were measured."""
        return [score for score in (self.alone, self.teacher) if score is not None]

    @property
    def curves(self) -> dict[str, list[GuidedScore]]:
        """Routing of whole questions by each signal, by ascending teacher tokens."""
        curves: dict[str, list[GuidedScore]] = defaultdict(list)
        for score in sorted(self.routing, key=lambda score: score.teacher_tokens):
            curves[score.policy.signal or RANDOM].append(score)
        return curves

    @property
    def hardest(self) -> str | None:
        """The signal of doubt whose routing is furthest above routing at random, on average."""
        line = _curve(self.ends)

        def lead(scores: Sequence[GuidedScore]) -> float:
            above = [s.accuracy - (along(line, s.teacher_tokens) or 0.0) for s in scores]
            return sum(above) / len(above)

        leads = {name: lead(scores) for name, scores in self.curves.items() if name != RANDOM}
        return max(leads, key=lambda name: leads[name], default=None)

    def routed(self, tokens: float) -> dict[str, float]:
        """The accuracy that routing whole questions reaches for so many teacher tokens.

        Args:
            tokens: The teacher's, a question.

        Returns:
            By signal: at random, and by the one that does best. Empty where no share of whole
            questions costs as much.
        """
        if len(self.ends) < 2:
            return {}
        reached = {RANDOM: along(_curve(self.ends), tokens)}
        if self.hardest:
            curve = _curve([*self.ends, *self.curves[self.hardest]])
            reached[self.hardest] = along(curve, tokens)
        return {signal: value for signal, value in reached.items() if value is not None}


def _merit(score: GuidedScore) -> tuple[float, float]:
    """Returns what a policy is best by: its accuracy, and of equals the fewest teacher tokens."""
    return score.accuracy, -score.teacher_tokens


def guidance(results: Results) -> list[GuidanceSection]:
    """The guided scores of every task that has any on test questions, the leading task first."""
    tested = dict.fromkeys(score.task for score in results.guided_scores if score.split == "test")
    tasks = sorted(tested, key=lambda task: task != results.leading.name)
    return [_section(results, task) for task in tasks]


def along(curve: Curve, tokens: float) -> float | None:
    """The accuracy of a curve at so many tokens, on straight lines; None beyond its ends."""
    for (before, low), (after, high) in pairwise(curve):
        if before <= tokens <= after and after > before:
            return low + (high - low) * (tokens - before) / (after - before)
    return None


def gains(score: GuidedScore) -> bool:
    """Whether a policy is above the student alone, by the interval of the difference."""
    return score.difference_low is not None and score.difference_low > 0


def per_100_tokens(score: GuidedScore) -> float | None:
    """Percentage points above the student alone for 100 teacher tokens."""
    if score.difference is None or not score.teacher_tokens:
        return None
    return score.difference * 100 / score.teacher_tokens * 100


def kept(section: GuidanceSection, score: GuidedScore) -> tuple[float, float] | None:
    """Returns the shares of always guiding the first step that a policy keeps.

    Returns:
        The share of its gain and the share of its teacher tokens; None where always guiding shows
        no gain that could be kept.
    """
    always = section.always
    if always is None or not gains(always) or not always.difference or not always.teacher_tokens:
        return None
    if score.difference is None:
        return None
    return score.difference / always.difference, score.teacher_tokens / always.teacher_tokens


def _curve(scores: Iterable[GuidedScore]) -> Curve:
    return sorted((score.teacher_tokens, score.accuracy) for score in scores)


def _section(results: Results, task: str) -> GuidanceSection:
    scores = [score for score in results.guided_scores if score.task == task]
    tested = [score for score in scores if score.split == "test"]

    def of_kind(*kinds: GuidedKind) -> list[GuidedScore]:
        return [score for score in tested if score.policy.kind in kinds]

    ends = {score.policy.name: score for score in of_kind("alone")}
    return GuidanceSection(
        task=task,
        alone=ends.get("never"),
        teacher=ends.get("teacher"),
        policies=of_kind("policy"),
        routing=of_kind("routing"),
        controls=of_kind("control"),
        unaided=of_kind("self", "sampled"),
        development=max((score.total for score in scores if score.split == "dev"), default=0),
    )


LONGEST = 6
"""The number of steps from which on questions share one column."""


class LengthCell(NamedTuple):
    """A policy's answers to the questions of one length."""

    right: int
    total: int


class LengthTable(NamedTuple):
    """Right answers by the number of steps of the teacher's own chain."""

    steps: list[str]
    """The heads of the columns, e.g. ``2`` and ``6 or more``."""

    rows: dict[Policy, list[LengthCell]]
    """A cell for each column, by policy; the student alone comes first."""


def lengths(results: Results, section: GuidanceSection) -> LengthTable | None:
    """Accuracy by length; None where lengths are unknown or all the same."""
    policies = [score.policy for score in (*section.ends[:1], *section.policies)]
    verdicts: dict[Policy, dict[int, list[bool]]] = {policy: {} for policy in policies}
    for prediction in results.guided_predictions:
        tested = prediction.task == section.task and prediction.split == "test"
        if tested and prediction.policy in verdicts and prediction.steps is not None:
            by_steps = verdicts[prediction.policy]
            by_steps.setdefault(min(prediction.steps, LONGEST), []).append(prediction.correct)
    columns = sorted({steps for by_steps in verdicts.values() for steps in by_steps})
    if len(columns) < 2:
        return None
    rows = {
        policy: [_cell(by_steps.get(steps, ())) for steps in columns]
        for policy, by_steps in verdicts.items()
        if by_steps
    }
    heads = [f"{steps} or more" if steps == LONGEST else str(steps) for steps in columns]
    return LengthTable(heads, rows)


def _cell(verdicts: Sequence[bool]) -> LengthCell:
    return LengthCell(sum(verdicts), len(verdicts))


MOST_EXAMPLES = 3
"""Answers shown that guidance turned right, and as many that it turned wrong."""

MOST_CHARACTERS = 1_200
"""Characters shown of each of their texts."""


class Piece(NamedTuple):
    """A part of an answer, and whether the teacher wrote it."""

    text: str
    guided: bool


class GuidedExample(NamedTuple):
    """A question whose answer guidance has turned."""

    id: str
    question: str
    gold: str
    alone: str
    """The student's own answer."""

    pieces: Sequence[Piece]
    """The student's answer under the policy, in pieces."""

    guidance: str
    """The teacher's words where they do not stand in the answer as they were written."""

    leaked: bool


class Turned(NamedTuple):
    """The answers that a policy turned from wrong to right, or the reverse."""

    answers: int
    total: int
    """Questions answered both under the policy and alone."""

    examples: Sequence[GuidedExample]


def turned(results: Results, section: GuidanceSection, *, right: bool) -> Turned | None:
    """The answers that the best policy turned right, or wrong.

    Examples without the gold answer in the guidance go first.

    Returns:
        None where no answers of the policy and of the student alone are stored.
    """
    pairs = _paired_answers(results, section)
    if not pairs:
        return None
    changed = [
        (alone, guided)
        for alone, guided in pairs
        if guided.correct == right and alone.correct != right
    ]
    questions = {
        question.id: question
        for task in results.tasks
        if task.name == section.task
        for question in task.splits["test"]
    }
    known = [
        (alone, guided)
        for alone, guided in changed
        if guided.guidance
        and (question := questions.get(guided.question_id)) is not None
        and answers_question(guided, question)
    ]
    shown = sorted(known, key=lambda pair: pair[1].leaked)[:MOST_EXAMPLES]
    examples = [_example(questions[guided.question_id], alone, guided) for alone, guided in shown]
    return Turned(len(changed), len(pairs), examples)


def _example(
    question: Question, alone: GuidedPrediction, guided: GuidedPrediction
) -> GuidedExample:
    parts = pieces(clipped(guided.text, most=MOST_CHARACTERS), guided.guidance)
    is_marked = any(part.guided for part in parts)
    return GuidedExample(
        question.id,
        question.text,
        question.answer,
        clipped(alone.text, most=MOST_CHARACTERS),
        parts,
        "" if is_marked else clipped(guided.guidance, most=MOST_CHARACTERS),
        guided.leaked,
    )


def pieces(text: str, guidance: str) -> list[Piece]:
    """An answer in its parts; all of it in one where the teacher's words do not stand in it.

    Args:
        text: The answer.
        guidance: The teacher's words, whose white space is of no account. Where they do not stand
            together, each of their lines is looked for, in order.
    """
    for steps in ([guidance], guidance.splitlines()):
        spans = _spans(text, steps)
        if spans:
            return _parted(text, spans)
    return [Piece(text, False)]


def _spans(text: str, steps: Sequence[str]) -> list[tuple[int, int]]:
    """Returns the spans of steps in a text, in their order; empty where one is not found."""
    spans, at = [], 0
    for step in steps:
        sought = r"\s+".join(re.escape(word) for word in step.split())
        match = re.compile(sought).search(text, at) if sought else None
        if match is None:
            return []
        spans.append(match.span())
        at = match.end()
    return spans


def _parted(text: str, spans: Sequence[tuple[int, int]]) -> list[Piece]:
    """A text in its parts, those within the spans being the teacher's."""
    parts, at = [], 0
    for start, end in spans:
        parts += [Piece(text[at:start], False), Piece(text[start:end], True)]
        at = end
    parts.append(Piece(text[at:], False))
    return [part for part in parts if part.text]


def _paired_answers(
    results: Results, section: GuidanceSection
) -> list[tuple[GuidedPrediction, GuidedPrediction]]:
    """The answers of the student alone and of the best policy to the same questions."""
    if section.best is None or section.alone is None:
        return []
    answers = [
        prediction
        for prediction in results.guided_predictions
        if (prediction.task, prediction.split) == (section.task, "test")
    ]
    alone = {
        prediction.question_id: prediction
        for prediction in answers
        if prediction.policy == section.alone.policy
    }
    return [
        (alone[guided.question_id], guided)
        for guided in answers
        if guided.policy == section.best.policy and guided.question_id in alone
    ]
