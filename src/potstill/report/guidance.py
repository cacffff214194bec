"""What guidance bought: the guided scores of a task by what they are for, and what they come to.

What guidance brings by how long the way to the answer is.

Answers that guidance turned, with the teacher's words in them.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from potstill.records import GuidedPrediction, GuidedScore
from potstill.report.accuracy import Results
from potstill.report.questions import clipped

RANDOM = "random"
"""The signal of whole questions that are routed without looking at any."""

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
    """What the student reaches by questioning itself, or in several samples."""

    development: int
    """Development questions that thresholds were chosen on; 0 where there are none."""

    @property
    def best(self) -> GuidedScore | None:
        """The policy of the highest accuracy; of equals the one with the fewest teacher tokens."""
        return max(self.policies, key=lambda s: (s.accuracy, -s.teacher_tokens), default=None)

    @property
    def always(self) -> GuidedScore | None:
        """Guiding the first step of every answer."""
        return named(self.policies, "first", "first_n_1", "at_1")

    @property
    def conditional(self) -> list[GuidedScore]:
        """The policies in which the student's own first step decides."""
        return [each for each in self.policies if is_conditional(each)]

    @property
    def priced(self) -> bool:
        """Whether any answer had a price."""
        scores = (*self.policies, *self.routing, *self.controls, *self.unaided)
        return any(each.cost > 0 for each in (*scores, *self.ends))

    @property
    def ends(self) -> list[GuidedScore]:
        """The student alone and the teacher alone, as far as they were measured."""
        return [each for each in (self.alone, self.teacher) if each is not None]

    @property
    def curves(self) -> dict[str, list[GuidedScore]]:
        """Routing of whole questions by each signal, by ascending teacher tokens."""
        found: dict[str, list[GuidedScore]] = defaultdict(list)
        for each in sorted(self.routing, key=lambda score: score.teacher_tokens):
            found[signal_of(each)].append(each)
        return found

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
        found = {RANDOM: along(_curve(self.ends), tokens)}
        if self.hardest:
            found[self.hardest] = along(_curve([*self.ends, *self.curves[self.hardest]]), tokens)
        return {signal: value for signal, value in found.items() if value is not None}


def guidance(results: Results) -> list[GuidanceSection]:
    """The guided scores of every task that has any on test questions, the leading task first."""
    tested = dict.fromkeys(each.task for each in results.guided_scores if each.split == "test")
    tasks = sorted(tested, key=lambda task: task != results.leading.name)
    return [_guidance(results, task) for task in tasks]


def signal_of(score: GuidedScore) -> str:
    """What whole questions were routed by, from a policy such as ``routing_entropy_0.25``."""
    return re.sub(r"^rout(e|ing)_|_[\d.]+$", "", score.policy)


def is_conditional(score: GuidedScore) -> bool:
    """Whether the student's own first step decides about the teacher."""
    return score.policy == "learned" or score.policy.startswith("when_unsure")


def named(scores: Sequence[GuidedScore], *policies: str) -> GuidedScore | None:
    """The score of the first of some policies that was measured."""
    by_name = {each.policy: each for each in scores}
    return next((by_name[name] for name in policies if name in by_name), None)


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


def kept(found: GuidanceSection, score: GuidedScore) -> tuple[float, float] | None:
    """What a policy keeps of always guiding the first step.

    Returns:
        The share of its gain and the share of its teacher tokens; None where always guiding shows
        no gain that could be kept.
    """
    always = found.always
    if always is None or not gains(always) or not always.difference or not always.teacher_tokens:
        return None
    if score.difference is None:
        return None
    return score.difference / always.difference, score.teacher_tokens / always.teacher_tokens


def _curve(scores: Iterable[GuidedScore]) -> Curve:
    return sorted((each.teacher_tokens, each.accuracy) for each in scores)


def _guidance(results: Results, task: str) -> GuidanceSection:
    scores = [each for each in results.guided_scores if each.task == task]
    tested = [each for each in scores if each.split == "test"]
    ends = [each for each in tested if each.kind == "alone"]
    alone = named(tested, "never", *(s.policy for s in ends if not s.teacher_tokens))
    return GuidanceSection(
        task=task,
        alone=alone,
        teacher=next((each for each in ends if each is not alone), None),
        policies=[s for s in tested if s.kind == "policy" and s is not alone],
        routing=[s for s in tested if s.kind == "routing"],
        controls=[s for s in tested if s.kind == "control"],
        unaided=[s for s in tested if s.kind in ("self", "sampled")],
        development=max((s.total for s in scores if s.split == "dev"), default=0),
    )


LONGEST = 6
"""From this number of steps on, questions are taken together."""


class Cell(NamedTuple):
    """A policy's answers to the questions of one length."""

    right: int
    total: int


class LengthTable(NamedTuple):
    """Right answers by the number of steps of the teacher's own chain."""

    steps: list[str]
    """The heads of the columns, e.g. ``2`` and ``6 or more``."""

    rows: dict[str, list[Cell]]
    """By policy, a cell for each column; the student alone first."""


def lengths(results: Results, found: GuidanceSection) -> LengthTable | None:
    """Accuracy by length; None where lengths are unknown or all the same."""
    policies = [score.policy for score in (*found.ends[:1], *found.policies)]
    counted: dict[str, dict[int, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for each in results.guided_predictions:
        tested = each.task == found.task and each.split == "test" and each.policy in policies
        if tested and each.steps is not None:
            counted[each.policy][min(each.steps, LONGEST)].append(each.correct)
    columns = sorted({steps for of_policy in counted.values() for steps in of_policy})
    if len(columns) < 2:
        return None
    rows = {
        name: [_cell(counted[name][steps]) for steps in columns]
        for name in policies
        if name in counted
    }
    heads = [f"{steps} or more" if steps == LONGEST else str(steps) for steps in columns]
    return LengthTable(heads, rows)


def _cell(answers: Sequence[bool]) -> Cell:
    return Cell(sum(answers), len(answers))


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
    """What the student wrote alone."""

    pieces: Sequence[Piece]
    """What it wrote under the policy."""

    told: str
    """The teacher's words where they do not stand in the answer as they were written."""

    leaked: bool


class Turned(NamedTuple):
    """The answers that a policy turned from wrong to right, or the reverse."""

    answers: int
    total: int
    """Questions answered both under the policy and alone."""

    examples: Sequence[GuidedExample]


def turned(results: Results, found: GuidanceSection, *, right: bool) -> Turned | None:
    """The answers that the best policy turned right, or wrong.

    Examples without the gold answer in the guidance go first.

    Returns:
        None where no answers of the policy and of the student alone are stored.
    """
    both = _both(results, found)
    if not both:
        return None
    pairs = [pair for pair in both if pair[1].correct == right and pair[0].correct != right]
    tasks = (task for task in results.tasks if task.name == found.task)
    asked = {question.id: question for task in tasks for question in task.splits["test"]}
    known = [pair for pair in pairs if pair[1].question_id in asked and pair[1].guidance]
    shown = sorted(known, key=lambda pair: pair[1].leaked)[:MOST_EXAMPLES]
    examples = []
    for own, guided in shown:
        parts = pieces(clipped(guided.text, MOST_CHARACTERS), guided.guidance)
        marked = any(part.guided for part in parts)
        examples.append(
            GuidedExample(
                guided.question_id,
                asked[guided.question_id].text,
                asked[guided.question_id].answer,
                clipped(own.text, MOST_CHARACTERS),
                parts,
                "" if marked else clipped(guided.guidance, MOST_CHARACTERS),
                guided.leaked,
            )
        )
    return Turned(len(pairs), len(both), examples)


def pieces(text: str, told: str) -> list[Piece]:
    """An answer in its parts; all of it in one where the teacher's words do not stand in it.

    Args:
        text: The answer.
        told: What the teacher wrote of it; its white space is of no account.
    """
    sought = r"\s+".join(re.escape(word) for word in told.split())
    found = re.search(sought, text) if sought else None
    if found is None:
        return [Piece(text, False)]
    start, end = found.span()
    parts = [Piece(text[:start], False), Piece(text[start:end], True), Piece(text[end:], False)]
    return [part for part in parts if part.text]


def _both(
    results: Results, found: GuidanceSection
) -> list[tuple[GuidedPrediction, GuidedPrediction]]:
    """The answers of the student alone and of the best policy to the same questions."""
    if found.best is None or found.alone is None:
        return []
    here = (found.task, "test")
    answers = [each for each in results.guided_predictions if (each.task, each.split) == here]
    alone = {each.question_id: each for each in answers if each.policy == found.alone.policy}
    return [
        (alone[each.question_id], each)
        for each in answers
        if each.policy == found.best.policy and each.question_id in alone
    ]
