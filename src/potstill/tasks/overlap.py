"""Overlap: training questions whose words also stand in an evaluation set.

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
"""An n-gram that more evaluation questions than this share is their set's wording."""

EXAMPLES = 5
"""Pairs kept of each evaluation set, to be looked at."""

# Signs that carry a sum's or an expression's meaning are words; punctuation of sentences is none.
WORDS = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[^\w\s.,;:?'\"\u2018\u2019\u201c\u201d\u2026]")

Kind = Literal["text", "ngram"]
Words = tuple[str, ...]


class OverlapSettings(Settings):
    """Which training questions count as also standing in an evaluation set."""

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
    """What the training questions share with one evaluation set."""

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

    @property
    def training(self) -> int:
        """How many training questions overlap."""
        return self.same_text + self.ngram


def words(text: str) -> Words:
    """The words, numbers and signs of a text; case, spacing and punctuation are levelled."""
    return tuple(WORDS.findall(text.casefold()))


def overlaps(task: Task, further: Sequence[Task], settings: OverlapSettings) -> list[Overlap]:
    """Hold the training questions against every evaluation set.

    Args:
        task: Its training questions, against its own development and test questions.
        further: Tasks whose test questions are measured on too.
        settings: What counts.
    """
    sets: list[tuple[Task, Split]] = [(task, "dev"), (task, "test")]
    sets += [(other, "test") for other in further]
    indexes = [_indexed(of.splits[split], settings.ngram) for of, split in sets]
    texts, grams = (set[Words]().union(*known) for known in zip(*indexes, strict=True))
    entries = (_entry(question, grams, settings.ngram) for question in task.splits["train"])
    training = [entry for entry in entries if entry.grams or entry.spelt in texts]
    return [
        _overlap(task, training, of, split, index)
        for (of, split), index in zip(sets, indexes, strict=True)
    ]


def without(task: Task, found: Iterable[Overlap]) -> Task:
    """The task without the training questions that overlap, and with a note of their number."""
    ids = frozenset[str]().union(*(each.ids for each in found))
    kept = tuple(question for question in task.splits["train"] if question.id not in ids)
    note = f"{len(ids)} training questions left out: their words stand in an evaluation set."
    return replace(
        task,
        splits={**task.splits, "train": kept},
        notes=(*task.notes, note) if ids else task.notes,
    )


def whole(question: Question) -> str:
    """A question with its options: of some sets these alone tell two questions apart."""
    return " ".join((question.text, *question.choices))


class _Index(NamedTuple):
    """Where the words of an evaluation set stand."""

    texts: Mapping[Words, list[int]]
    grams: Mapping[Words, list[int]]


class _Entry(NamedTuple):
    """A training question, its words, and those of its n-grams that any evaluation set has."""

    question: Question
    spelt: Words
    grams: tuple[Words, ...]


def _entry(question: Question, known: Set[Words], n: int) -> _Entry:
    spelt = words(whole(question))
    return _Entry(question, spelt, tuple(gram for gram in _grams(spelt, n) if gram in known))


def _overlap(
    task: Task,
    training: Sequence[_Entry],
    of: Task,
    split: Split,
    index: _Index,
) -> Overlap:
    questions = of.splits[split]
    kinds, hit, ids = Counter[Kind](), set[int](), set[str]()
    examples = list[Pair]()
    for question, spelt, grams in training:
        kind: Kind = "text" if spelt in index.texts else "ngram"
        found = index.texts.get(spelt) or sorted(
            place
            for place in {place for gram in grams for place in index.grams.get(gram, ())}
            if of is not task or not _siblings(question, questions[place])
        )
        if not found:
            continue
        kinds[kind] += 1
        hit.update(found)
        ids.add(question.id)
        if len(examples) < EXAMPLES:
            examples.append(Pair(question.text, questions[found[0]].text, kind))
    return Overlap(
        task=of.name,
        split=split,
        total=len(questions),
        same_text=kinds["text"],
        ngram=kinds["ngram"],
        hit=len(hit),
        same_template=_same_template(task, questions) if of is task else None,
        examples=tuple(examples),
        ids=frozenset(ids),
    )


def _indexed(questions: Sequence[Question], n: int) -> _Index:
    texts: dict[Words, list[int]] = {}
    grams: dict[Words, list[int]] = {}
    for place, question in enumerate(questions):
        spelt = words(whole(question))
        texts.setdefault(spelt, []).append(place)
        for gram in set(_grams(spelt, n)):
            grams.setdefault(gram, []).append(place)
    return _Index(texts, {gram: at for gram, at in grams.items() if len(at) <= COMMON})


def _grams(spelt: Words, n: int) -> Iterator[Words]:
    return (spelt[start : start + n] for start in range(len(spelt) - n + 1))


def _siblings(one: Question, two: Question) -> bool:
    """Whether two questions of a task are known to share a template, and so its words."""
    return one.template_id is not None and one.template_id == two.template_id


def _same_template(task: Task, questions: Sequence[Question]) -> int | None:
    """Training questions whose template an evaluation question has."""
    known = {each.template_id for each in questions} - {None}
    if not known:
        return None
    return sum(question.template_id in known for question in task.splits["train"])
