"""The parts that every family shares: drafts, splits decided by content, distinct draws.

A family draws a :class:`Draft` from a random generator. The hash of the draft's content decides its
split, so that no question, however often it is drawn, stands in two; :class:`Problem` is what comes
out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from random import Random

from potstill.errors import DataError
from potstill.records import AnswerType, Question, Split

_NAMES = """
Ann Ben Cara Dan Eva Finn Gina Hugo Iris Jack Kate Leo Mia Nora Omar Pia Rosa Sam Tom Zoe
Alma Carl Dora Emil
"""
NAMES = tuple(_NAMES.split())
_ITEMS = """
apples books cards coins cups eggs keys pens plums shells stamps stones tickets toys beads
balls
"""
ITEMS = tuple(_ITEMS.split())
TRIES = 200
"""Draws in a row without a new question, after which a family counts as used up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """One drawn question before it has a split."""

    text: str
    answer: str
    rationales: tuple[str, ...]
    """The gold rationale in several wordings: one step a sentence, the answer not stated."""

    template_id: str
    content: str
    """The numbers and names that make the question, without wording; it decides the split."""

    questions: tuple[str, ...] = ()
    """The questions that the steps of the first wording answer, where the family has them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A question and its gold rationale in several wordings."""

    question: Question
    rationales: tuple[str, ...]
    questions: tuple[str, ...] = ()
    """The questions that the steps of the first wording answer, where the family has them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """A kind of question that can be drawn without end."""

    name: str
    answer_type: AnswerType
    draw: Callable[[Random], Draft]
    key: str = ""
    """The seed of draws and splits in place of the name, for a family that was renamed."""

    def problems(self, split: Split, count: int, seed: int) -> tuple[Problem, ...]:
        """Draws ``count`` different questions of one split; see ``procedural.problems``.

        Raises:
            DataError: The family has fewer questions than asked for.
        """
        key = self.key or self.name
        random = Random(f"{key} {split} {seed}")
        drawn: dict[str, Problem] = {}
        missed = 0
        while len(drawn) < count:
            draft = self.draw(random)
            if draft.text in drawn or split_of(f"{key} {draft.content}") != split:
                missed += 1
                if missed > TRIES:
                    raise DataError(
                        f"{self.name} has too few {split} questions: {len(drawn)} found,"
                        f" {count} asked for. Ask for fewer."
                    )
                continue
            missed = 0
            drawn[draft.text] = Problem(
                question=self._question(draft),
                rationales=draft.rationales,
                questions=draft.questions,
            )
        return tuple(drawn.values())

    def _question(self, draft: Draft) -> Question:
        """Returns the question; its id is a hash of its text, so it is the same in every run."""
        return Question(
            id=f"{self.name}-{blake2b(draft.text.encode(), digest_size=6).hexdigest()}",
            text=draft.text,
            answer=draft.answer,
            template_id=f"{self.name}/{draft.template_id}",
        )


def split_of(content: str) -> Split:
    """Returns the split of a question by the hash of its content: 80% train, 10% dev, 10% test."""
    bucket = blake2b(content.encode(), digest_size=8).digest()[0]
    if bucket < 26:
        return "test"
    return "dev" if bucket < 52 else "train"
