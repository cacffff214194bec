"""What every family shares: drafts, splits decided by content, draws without duplicates."""

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
"""Draws in a row without a new question before a family counts as used up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """One drawn question before it has a split."""

    text: str
    answer: str
    rationales: tuple[str, ...]
    """The gold rationale in several wordings: one step a sentence, the answer not stated."""

    template_id: str
    content: str
    """What the question asks, wording left out; questions that share it share a split."""

    questions: tuple[str, ...] = ()
    """What each step of the first wording answers, where the family has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A question and its gold rationale in several wordings."""

    question: Question
    rationales: tuple[str, ...]
    questions: tuple[str, ...] = ()
    """What each step of the first wording answers, where the family has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """A kind of question that can be drawn without end."""

    name: str
    answer_type: AnswerType
    draw: Callable[[Random], Draft]
    key: str = ""
    """What seeds the draws and the splits in place of the name, for a family that was renamed."""

    def problems(self, split: Split, count: int, seed: int) -> tuple[Problem, ...]:
        """Draw ``count`` different questions of one split; see ``procedural.problems``.

        Raises:
            DataError: The family has fewer questions than asked for.
        """
        key = self.key or self.name
        random = Random(f"{key} {split} {seed}")
        found: dict[str, Problem] = {}
        missed = 0
        while len(found) < count:
            draft = self.draw(random)
            if draft.text in found or split_of(f"{key} {draft.content}") != split:
                missed += 1
                if missed > TRIES:
                    raise DataError(
                        f"{self.name} has too few {split} questions: {len(found)} found,"
                        f" {count} asked for. Ask for fewer."
                    )
                continue
            missed = 0
            found[draft.text] = Problem(
                question=self._question(draft),
                rationales=draft.rationales,
                questions=draft.questions,
            )
        return tuple(found.values())

    def _question(self, draft: Draft) -> Question:
        """The record; its id is a hash of its text, so it is the same in every run."""
        return Question(
            id=f"{self.name}-{blake2b(draft.text.encode(), digest_size=6).hexdigest()}",
            text=draft.text,
            answer=draft.answer,
            template_id=f"{self.name}/{draft.template_id}",
        )


def split_of(content: str) -> Split:
    """The split of a question, from a hash of its content: 80% train, 10% dev, 10% test."""
    bucket = blake2b(content.encode(), digest_size=8).digest()[0]
    if bucket < 26:
        return "test"
    return "dev" if bucket < 52 else "train"
