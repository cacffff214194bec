"""Overlap: training questions whose words also stand in an evaluation set.

A student that has trained on a test question is not measured by it. Two questions overlap where
their texts are equal but for case, spacing and punctuation, or share n words in a row, 13 unless
set otherwise, as in the contamination analysis of GPT-3 (arXiv 2005.14165).

Equal texts never reach this check within one task: its splits have none in common. Here are
the near ones, and those of further tasks. Every word is looked up once, so time is linear.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from pydantic import Field

from potstill.records import Question, Split, Task
from potstill.settings import Settings

COMMON = 10
"""Evaluation questions; an n-gram that more of them share is their set's wording."""

EXAMPLES = 5
"""Pairs kept of each evaluation set, for a reader of the report."""

# Signs that carry a sum's or an expression's meaning are words; punctuation of sentences is none.
WORDS = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[^\w\s.,;:?'\"\u2018\u2019\u201c\u201d\u2026]")

Kind = Literal["text", "ngram"]
Words = tuple[str, ...]


class OverlapSettings(Settings):
    """The conditions on which a training question counts as also standing in an evaluation set."""

    ngram: int = Field(default=13, ge=3)
    """Words in a row that must be shared; shorter questions must be equal but for punctuation."""

    drop: bool = False
    """Leave the overlapping training questions out, before the teacher is asked."""


class Pair(NamedTuple):
    """A training question and an evaluation question that overlap."""

    training: str
    evaluation: str
    kind: Kind
    """``text`` where they are equal but for case, spacing and punctuation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """The overlap of the training questions with one evaluation set."""

    task: str
    split: Split
    total: int
    """Questions in the evaluation set."""

    same_text: int
    """Training questions with the text of one of them, but for case, spacing and punctuation."""

    ngram: int
    """Further training questions that share n words in a row with one of another template."""

    hit: int
    """Questions of the evaluation set that a training question overlaps with, in either way."""

    same_template: int | None
    """Training questions that share a template with one; None where templates are not known."""

    examples: tuple[Pair, ...]
    ids: frozenset[str]
    """The overlapping training questions; templates do not count."""

    hit_ids: frozenset[str] = frozenset()
    """The questions of the evaluation set that a training question overlaps with."""

    @property
    def training(self) -> int:
        """How many training questions overlap."""
        return self.same_text + self.ngram


def words(text: str) -> Words:
    """Returns the words, numbers and signs of a text without case, spacing and punctuation."""
    return tuple(WORDS.findall(text.casefold()))


def overlaps(task: Task, further: Sequence[Task], settings: OverlapSettings) -> list[Overlap]:
    """Holds the training questions of a task against every evaluation set.

    Args:
        task: The task, whose own development and test questions are two of the sets.
        further: Other tasks, whose test questions are measured on too.
        settings: How many words in a row count.

    Returns:
        One overlap for each set, in the order dev, test, then that of ``further``.
    """
    sets: list[tuple[Task, Split]] = [(task, "dev"), (task, "test")]
    sets += [(other, "test") for other in further]
    indexes = [_index(measured.splits[split], settings.ngram) for measured, split in sets]
    texts, grams = (set[Words]().union(*known) for known in zip(*indexes, strict=True))
    entries = (_entry(question, grams, settings.ngram) for question in task.splits["train"])
    training = [entry for entry in entries if entry.grams or entry.words in texts]
    return [
        _overlap(task, training, measured, split, index)
        for (measured, split), index in zip(sets, indexes, strict=True)
    ]


def without(task: Task, measured: Iterable[Overlap]) -> Task:
    """Returns the task without its overlapping training questions, with a note of their number."""
    ids = frozenset[str]().union(*(overlap.ids for overlap in measured))
    kept = tuple(question for question in task.splits["train"] if question.id not in ids)
    note = f"{len(ids)} training questions left out: their words stand in an evaluation set."
    return replace(
        task,
        splits={**task.splits, "train": kept},
        notes=(*task.notes, note) if ids else task.notes,
    )


def whole(question: Question) -> str:
    """Returns a question with its options: in some sets these alone tell two questions apart."""
    return " ".join((question.text, *question.choices))


class _Index(NamedTuple):
    """The places of an evaluation set's questions, by all their words and by their n-grams."""

    texts: Mapping[Words, list[int]]
    grams: Mapping[Words, list[int]]


class _Entry(NamedTuple):
    """A training question, its words, and those of its n-grams that any evaluation set has."""

    question: Question
    words: Words
    grams: tuple[Words, ...]


def _entry(question: Question, known: Set[Words], n: int) -> _Entry:
    """Returns the entry of a training question, with those of its n-grams that are in ``known``."""
    in_order = words(whole(question))
    grams = tuple(gram for gram in _grams(in_order, n) if gram in known)
    return _Entry(question, in_order, grams)


def _overlap(
    task: Task,
    training: Sequence[_Entry],
    measured: Task,
    split: Split,
    index: _Index,
) -> Overlap:
    """Counts the training questions of ``task`` that overlap with one split of ``measured``."""
    questions = measured.splits[split]
    kinds, hit, ids = Counter[Kind](), set[int](), set[str]()
    examples = list[Pair]()
    for question, in_order, grams in training:
        kind: Kind = "text" if in_order in index.texts else "ngram"
        # Questions of one template share its words, which is no leak within one task.
        places = index.texts.get(in_order) or sorted(
            place
            for place in {place for gram in grams for place in index.grams.get(gram, ())}
            if measured is not task or not _share_template(question, questions[place])
        )
        if not places:
            continue
        kinds[kind] += 1
        hit.update(places)
        ids.add(question.id)
        if len(examples) < EXAMPLES:
            examples.append(Pair(question.text, questions[places[0]].text, kind))
    return Overlap(
        task=measured.name,
        split=split,
        total=len(questions),
        same_text=kinds["text"],
        ngram=kinds["ngram"],
        hit=len(hit),
        same_template=_same_template(task, questions) if measured is task else None,
        examples=tuple(examples),
        ids=frozenset(ids),
        hit_ids=frozenset(questions[place].id for place in hit),
    )


def _index(questions: Sequence[Question], n: int) -> _Index:
    """Looks up where every text and n-gram of some questions stands, but for common n-grams."""
    texts: dict[Words, list[int]] = {}
    grams: dict[Words, list[int]] = {}
    for place, question in enumerate(questions):
        in_order = words(whole(question))
        texts.setdefault(in_order, []).append(place)
        for gram in set(_grams(in_order, n)):
            grams.setdefault(gram, []).append(place)
    rare = {gram: places for gram, places in grams.items() if len(places) <= COMMON}
    return _Index(texts, rare)


def _grams(in_order: Words, n: int) -> Iterator[Words]:
    """Returns every n words in a row."""
    return (in_order[start : start + n] for start in range(len(in_order) - n + 1))


def _share_template(one: Question, two: Question) -> bool:
    """Says whether two questions of a task are known to share a template, and so its words."""
    return one.template_id is not None and one.template_id == two.template_id


def _same_template(task: Task, questions: Sequence[Question]) -> int | None:
    """Counts the training questions whose template an evaluation question has."""
    known = {question.template_id for question in questions} - {None}
    if not known:
        return None
    return sum(question.template_id in known for question in task.splits["train"])
