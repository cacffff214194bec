"""Rationales and questions → training examples: texts with what the teacher thought of them.

A data format words a question and a rationale as a prompt and a target (Fine-tune-CoT, arXiv
2212.10071, section 3.1): the target is the teacher's rationale, closed by the gold answer. For
distribution matching an example also carries a :class:`TeacherSpan`: the stretch of the target
that repeats the teacher's own text, with the teacher's token probabilities there::

    teacher wrote   "He has 3 + 4 = 7 apples. The answer is 7."
    target          "He has 3 + 4 = 7 apples. --> 7"
    span             ^^^^^^^^^^^^^^^^^^^^^^^^

:func:`make_examples` is the way in; :class:`TeacherTexts` looks up what the teacher wrote.
"""

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from potstill.models.settings import ModelSettings
from potstill.prompts.decomposition import decomposed, turns
from potstill.prompts.formats import DataFormat, format_named
from potstill.prompts.styles import Exemplar
from potstill.records import Example, Question, Rationale, Task, TeacherSpan, TokenLogprobs
from potstill.sampling.exemplar_pool import WorkedQuestion, draw_exemplars, worked_questions
from potstill.store import Store
from potstill.tasks.splits import first_placed
from potstill.text.common_prefix import common_prefix_bytes
from potstill.text.own_space import with_own_space
from potstill.train.settings import ReplaySettings, StudentSettings
from potstill.train.wrong_chains import WRONG_CHAINS

if TYPE_CHECKING:
    from potstill.train.alignment import Vocabulary

KEPT = frozenset({"kept"})
WRONG = frozenset({"wrong_answer", "no_answer"})
"""Verdicts of rationales that were dropped for their answer."""

AGAINST_MARKS = frozenset({"rejected", "unmarked"})
"""Verdicts of rationales that were dropped for what people say of them."""

REPLAY = "replay"
"""``Example.data_format`` of replayed examples, whatever their wording."""

Texts = Callable[[int], tuple[str, TokenLogprobs] | None]
"""A completion's id to its text and its token probabilities, the tokens named by bytes."""


class _Material(NamedTuple):
    """The parts that one example is made from."""

    question: Question
    """The question as it is put to the student, in a decomposition with the turns before it."""

    rationale: Rationale | None
    text: str = ""
    """The part of the rationale that is learned."""

    own: str = ""
    """The part of ``text`` that the teacher wrote."""


class _ExampleBuilder(NamedTuple):
    """Words one student's examples."""

    student: StudentSettings
    encoder_decoder: bool

    pool: Sequence[WorkedQuestion]
    """The worked questions that exemplars are drawn from."""

    seed: int
    """The seed that exemplars are drawn with."""

    texts: Texts | None
    """Looks up what the teacher wrote, where its probabilities are learned."""

    thinking: Mapping[int, str]
    """The thinking that is learned, by the completion's row."""

    def example(self, data_format: DataFormat, material: _Material) -> Example:
        """Returns one example in a format."""
        kind = self.encoder_decoder
        exemplars = self._exemplars(material) if data_format.needs_exemplars else ()
        target = data_format.target(material.text, material.question.answer, encoder_decoder=kind)
        teacher: TeacherSpan | None = None
        if material.rationale is not None and self.texts is not None:
            at = len(data_format.lead(encoder_decoder=kind))
            if data_format.verbatim:
                at += len(material.text) - len(material.text.lstrip())
            wrote = self.texts(material.rationale.completion_id)
            teacher = teacher_span(target, at, material.own, wrote)
        row = material.rationale.completion_id if material.rationale is not None else -1
        return Example(
            prompt=data_format.prompt(material.question, encoder_decoder=kind, exemplars=exemplars),
            target=target,
            thinking=self.thinking.get(row),
            question_id=material.question.id,
            data_format=data_format.name,
            teacher=teacher,
        )

    def _exemplars(self, material: _Material) -> tuple[Exemplar, ...]:
        """Returns the worked questions before the example's own, the same in all formats."""
        question, rationale = material.question, material.rationale
        key = question.id
        if self.student.exemplars_per == "example" and rationale is not None:
            key = f"{question.id} {rationale.sample}"
        count = self.student.exemplars
        return draw_exemplars(self.pool, count, seed=self.seed, key=key, exclude=question)


def make_examples(
    rationales: Iterable[Rationale],
    questions: tuple[Question, ...],
    student: StudentSettings,
    *,
    encoder_decoder: bool,
    seed: int,
    texts: Texts | None = None,
    thinking: Mapping[int, str] = MappingProxyType({}),
) -> list[Example]:
    """Returns the examples that a student is trained on, one data format after the other.

    A format without rationales gives one example to each question, whether or not the teacher
    solved it: its student learns from the gold answers alone and owes the teacher nothing. The
    others give one to each chosen rationale, which is closed by the gold answer, not by the
    teacher's wording of it (Fine-tune-CoT, arXiv 2212.10071, section 3.1). A format with a role
    gives one to each turn of its decomposition (arXiv 2212.00193, section 3), and none to a
    rationale that cannot be taken apart.

    Args:
        rationales: The curated rationales, those of a question in the order of samples; from
            :func:`as_written`.
        questions: The training questions.
        student: The wording, and the choice of questions and rationales.
        encoder_decoder: Whether the student reads its prompt with an encoder.
        seed: Fixes the choice of questions, where the student learns only some, and of exemplars.
        texts: Looks up what the teacher wrote, for students that match its probabilities.
        thinking: The teacher's thinking by the completion's row, for students that learn it.

    Raises:
        DataError: There are too few worked questions to draw exemplars from.
    """
    questions, seen, taken = _selected(rationales, questions, student, seed)
    formats = [format_named(name) for name in student.formats]
    shown = any(data_format.needs_exemplars for data_format in formats)
    pool = worked_questions(questions, seen) if shown else []
    matched = cache(texts) if texts is not None and student.matching.distribution > 0 else None
    long = _long_of(questions, taken, student, seed, thinking)
    builder = _ExampleBuilder(student, encoder_decoder, pool, seed, matched, long)
    examples = [
        builder.example(data_format, material)
        for data_format in formats
        for material in _materials(data_format, questions, taken)
    ]
    if student.unlikelihood is not None:
        examples += _wrong_chains(builder, seen, questions)
    return examples


class _Selected(NamedTuple):
    """What a student learns from."""

    questions: tuple[Question, ...]
    seen: list[Rationale]
    """The rationales of the samples that it sees."""

    taken: dict[str, list[Rationale]]
    """Those that it learns, by question."""


def _selected(
    rationales: Iterable[Rationale],
    questions: tuple[Question, ...],
    student: StudentSettings,
    seed: int,
) -> _Selected:
    if student.questions is not None:
        questions = first_placed(questions, student.questions, seed, "student")
    # A student sees no more of the teacher in its exemplars than in its targets.
    limit = student.samples
    seen = [rationale for rationale in rationales if limit is None or rationale.sample < limit]
    candidates = _candidates(seen, student)
    taken = {question.id: _take(candidates[question.id], student) for question in questions}
    return _Selected(questions, seen, taken)


def learned_thinking(
    rationales: Iterable[Rationale],
    questions: tuple[Question, ...],
    student: StudentSettings,
    *,
    seed: int,
    thinking: Mapping[int, str],
) -> dict[int, str]:
    """Returns the thinking that a student learns, by the completion's row.

    Arguments are those of :func:`make_examples`.
    """
    selected = _selected(rationales, questions, student, seed)
    return _long_of(selected.questions, selected.taken, student, seed, thinking)


def _long_of(
    questions: Iterable[Question],
    taken: Mapping[str, Sequence[Rationale]],
    student: StudentSettings,
    seed: int,
    thinking: Mapping[int, str],
) -> dict[int, str]:
    rows = [one.completion_id for question in questions for one in taken[question.id]]
    return long_ones(rows, thinking, student.long_share, seed=seed)


def as_written(
    rationales: Sequence[Rationale], student: StudentSettings, store: Store
) -> list[Rationale]:
    """Returns the rationales with the white space around them, for a student that keeps it.

    Args:
        rationales: The curated rationales, which have none.
        student: Where none of its formats keeps white space, the rationales are returned as given.
        store: Holds the completions that they were taken from.
    """
    if not any(format_named(name).verbatim for name in student.formats):
        return [*rationales]
    rows = (rationale.completion_id for rationale in rationales)
    return [
        replace(rationale, text=with_own_space(rationale.text, found.text))
        for rationale, (_, found) in zip(rationales, store.texts_of(rows), strict=True)
    ]


def _wrong_chains(
    builder: _ExampleBuilder, rationales: Iterable[Rationale], questions: Sequence[Question]
) -> Iterator[Example]:
    """Yields the rationales that are learned not to be written, each closed by its own answer."""
    by_id = {question.id: question for question in questions}
    data_format = format_named(builder.student.asked_in)
    for rationale in rationales:
        question = by_id.get(rationale.question_id)
        if question is None or rationale.verdict != "wrong_answer" or rationale.answer is None:
            continue
        wrong = replace(question, answer=rationale.answer)
        example = builder.example(data_format, _Material(wrong, rationale, rationale.text))
        yield replace(example, data_format=WRONG_CHAINS, teacher=None, unlikely=True)


def long_ones(
    rows: Sequence[int], thinking: Mapping[int, str], share: float, *, seed: int
) -> dict[int, str]:
    """Returns the thinking that is learned, by the completion's row.

    A share of them is spread evenly over the rationales that have thinking, in their order.

    Args:
        rows: The completions whose rationales are learned.
        thinking: Their thinking, where they have any.
        share: The share of all rationales to be learned with thinking; 1 takes all there is.
        seed: Fixes at which of them the share begins.
    """
    having = [row for row in rows if row in thinking]
    if not having:
        return {}
    rate = min(1.0, share * len(rows) / len(having)) if share < 1 else 1.0
    begin = random.Random(seed).random()
    taken = [math.floor(begin + place * rate) for place in range(len(having) + 1)]
    return {
        row: thinking[row]
        for row, before, after in zip(having, taken, taken[1:], strict=False)
        if after > before
    }


def replayed(
    tasks: Iterable[Task], replay: ReplaySettings, *, encoder_decoder: bool
) -> list[Example]:
    """Returns the training questions of other tasks with their gold answers, to keep them up."""
    data_format = format_named(replay.data_format)
    return [
        Example(
            prompt=data_format.prompt(question, encoder_decoder=encoder_decoder),
            target=data_format.target("", question.answer, encoder_decoder=encoder_decoder),
            question_id=f"{task.name}/{question.id}",
            data_format=REPLAY,
        )
        for task in tasks
        for question in task.splits["train"]
    ]


def undivided(rationales: Iterable[Rationale]) -> int:
    """Returns how many of the kept rationales have no decomposition that could be learned."""
    return sum(
        rationale.verdict in KEPT and not decomposed(rationale.text) for rationale in rationales
    )


def example_shares(student: StudentSettings) -> dict[str, float]:
    """Returns the share of each ``Example.data_format`` in what a student learns; they sum to 1."""
    further: dict[str, float] = {}
    if student.unlikelihood is not None:
        further[WRONG_CHAINS] = student.unlikelihood.share
    if student.replay is not None:
        further[REPLAY] = student.replay.share
    if not further:
        return student.formats
    own = 1 - sum(further.values())
    return {**{name: own * share for name, share in student.formats.items()}, **further}


def _materials(
    data_format: DataFormat, questions: Sequence[Question], taken: dict[str, list[Rationale]]
) -> Iterator[_Material]:
    """Yields the parts that the examples of one format are made from."""
    for question in questions:
        if not data_format.needs_rationale:
            yield _Material(question, None)
            continue
        for rationale in taken[question.id]:
            if data_format.role is None:
                yield _Material(question, rationale, rationale.text, rationale.text.strip())
            elif parts := decomposed(rationale.text):
                for turn in turns(data_format.role, question, parts):
                    yield _Material(turn.question, rationale, turn.target, turn.own)


def _candidates(
    rationales: Iterable[Rationale], student: StudentSettings
) -> defaultdict[str, list[Rationale]]:
    """Returns the rationales that a student may learn from, by question."""
    verdicts = KEPT | WRONG if student.wrong_answers else KEPT
    if student.ignore_marks:
        verdicts |= AGAINST_MARKS
    candidates: defaultdict[str, list[Rationale]] = defaultdict(list)
    for rationale in rationales:
        if rationale.verdict in verdicts:
            candidates[rationale.question_id].append(rationale)
    return candidates


def _take(rationales: list[Rationale], student: StudentSettings) -> list[Rationale]:
    """Returns those of a question's rationales that are learned; of equally long ones the first."""
    if student.take != "first":
        sign = 1 if student.take == "shortest" else -1
        rationales = sorted(rationales, key=lambda rationale: sign * len(rationale.text.split()))
    return rationales[: student.max_rationales]


def teacher_span(
    target: str, at: int, rationale: str, written: tuple[str, TokenLogprobs] | None
) -> TeacherSpan | None:
    """Returns the stretch of a target that the teacher wrote, around its rationale.

    It reaches beyond the rationale as far as the teacher's text goes on like the target, which is
    often up to the answer, but takes no part of a teacher's token there: a teacher that wrote 180
    says nothing of 18.

    Args:
        target: The text that the student learns to write.
        at: Where the rationale begins in it, in characters.
        rationale: The rationale, as it stands in the target.
        written: The completion's text and token probabilities.

    Returns:
        None where the completion is unknown or does not hold the rationale.
    """
    if written is None or not rationale:
        return None
    text, tokens = written
    place = text.find(rationale)
    if place < 0 or tokens.lengths is None:
        return None
    # The rationale in bytes: it begins at ``start`` in the target and at ``begin`` in the text.
    whole, full = target.encode(), text.encode()
    start, begin = len(target[:at].encode()), len(text[:place].encode())
    size = len(rationale.encode())
    shift = begin - start
    # How far both go on alike after it, and how far back before it.
    after = size + common_prefix_bytes(whole[start + size :], full[begin + size :])
    before = common_prefix_bytes(whole[:start][::-1], full[:begin][::-1])
    # Shrink to whole tokens of the teacher, but never into the rationale.
    edges = np.append(0, tokens.lengths[:, 0].cumsum(dtype=np.int64))
    first = edges[np.searchsorted(edges, begin - before)]
    last = edges[np.searchsorted(edges, begin + after, side="right") - 1]
    return TeacherSpan(
        tokens=tokens,
        start=min(int(first), begin) - shift,
        end=max(int(last), begin + size) - shift,
        shift=shift,
    )


class TeacherTexts:
    """Looks up completions by their row in the store.

    Args:
        store: The run's store, which holds them.
        teachers: The teachers by their names in the recipe. A local one's tokens are stored by id,
            and its tokenizer is read to name them by their bytes.
        writers: The name of the teacher that wrote each completion, by the completion's row.
    """

    def __init__(
        self, store: Store, teachers: Mapping[str, ModelSettings], writers: Mapping[int, str]
    ) -> None:
        self._store, self._teachers, self._writers = store, teachers, writers
        self._vocabulary = cache(self._read_vocabulary)

    def __call__(self, completion_id: int) -> tuple[str, TokenLogprobs] | None:
        """Returns the text that a completion's tokens spell, and their probabilities by bytes.

        None where the teacher gave no probabilities, or where its tokens spell no text: a server
        may cut a character in two.
        """
        tokens = self._store.logprobs(completion_id)
        if tokens is None or tokens.logprobs.shape[1] < 2:
            return None
        if tokens.ids is not None:
            from potstill.train.alignment import named_by_bytes

            tokens = named_by_bytes(tokens, self._vocabulary(self._writers[completion_id]))
        assert tokens.lengths is not None
        # ``token_bytes`` holds, token by token, the chosen one's bytes and then its alternatives'.
        row_ends = tokens.lengths.sum(axis=1, dtype=int).cumsum()
        starts = row_ends - tokens.lengths.sum(axis=1, dtype=int)
        written = b"".join(
            tokens.token_bytes[start : start + length]
            for start, length in zip(starts, tokens.lengths[:, 0].astype(int), strict=True)
        )
        try:
            return written.decode(), tokens
        except UnicodeDecodeError:
            return None

    def thinking_of(self, rationales: Iterable[Rationale]) -> dict[int, str]:
        """Returns the thinking before rationales, by the completion's row, where they have any."""
        return self._store.thinking_of(rationale.completion_id for rationale in rationales)

    def _read_vocabulary(self, name: str) -> "Vocabulary":
        from potstill.models.local.loading import load_tokenizer
        from potstill.train.alignment import Vocabulary

        tokenizer = self._teachers[name].tokenizer
        assert tokenizer is not None, "only local models name tokens by id"
        return Vocabulary(load_tokenizer(tokenizer))


def unequal_questions(
    students: Mapping[str, StudentSettings], task: Task, rationales: Sequence[Rationale]
) -> str:
    """Returns a sentence on students that learn different questions without being told to.

    One that learns answers alone learns every question; one that learns rationales only those
    with a rationale to learn. Where the recipe limits a student's questions, it means to.

    Args:
        students: The students by their labels.
        task: The questions.
        rationales: The curated rationales.

    Returns:
        Empty where all learn the same.
    """
    counts: dict[str, int] = {}
    every = {question.id for question in task.splits["train"]}
    for name, student in students.items():
        if student.questions is not None:
            continue
        learned = set(_candidates(rationales, student))
        bare = any(not format_named(listed).needs_rationale for listed in student.formats)
        counts[name] = len(every if bare else learned & every)
    if len(set(counts.values())) < 2:
        return ""
    told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return (
        f"The students learn different questions: {told} of {len(every):,}. A student of "
        "rationales learns those with a rationale that was kept, so a comparison of the two is "
        "partly one of questions. Keep rationales of all of them, or compare with that in mind."
    )
