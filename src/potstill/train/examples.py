"""Rationales and questions → training examples: texts with what the teacher thought of them.

A data format words a question and a rationale as a prompt and a target (Fine-tune-CoT, arXiv
2212.10071, section 3.1): the target is the teacher's rationale, closed by the gold answer. For
distribution matching an example also carries a :class:`potstill.records.TeacherSpan`: the stretch
of the target that repeats the teacher's own text, with the teacher's token probabilities there::

    teacher wrote   "He has 3 + 4 = 7 apples. The answer is 7."
    target          "He has 3 + 4 = 7 apples. --> 7"
    span             ^^^^^^^^^^^^^^^^^^^^^^^^

:func:`make_examples` is the way in; ``chosen_rationales.py`` chooses what is learned,
``teacher_texts.py`` looks up what the teacher wrote.
"""

from array import array
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType

from potstill.prompts.decomposition import decomposed
from potstill.prompts.formats import format_named
from potstill.records import Example, Question, Rationale, Task
from potstill.sampling.exemplar_pool import worked_questions
from potstill.store import Store
from potstill.store.stored_rows import held_or_stored
from potstill.text.own_space import with_own_space
from potstill.train.chosen_rationales import (
    KEPT,
    ChosenRationales,
    choose_rationales,
    is_seen,
    learned_verdicts,
    long_ones,
)
from potstill.train.example_list import ExampleBuilder, ExampleList
from potstill.train.settings import ReplaySettings, StudentSettings
from potstill.train.teacher_texts import Texts
from potstill.train.wrong_chains import WRONG_CHAINS

REPLAY = "replay"
"""``Example.data_format`` of replayed examples, whatever their wording."""

_TEXTS_HELD = 256
"""Completions whose probabilities are held, for examples of several formats."""


def make_examples(
    rationales: Iterable[Rationale],
    questions: Sequence[Question],
    student: StudentSettings,
    *,
    encoder_decoder: bool,
    seed: int,
    texts: Texts | None = None,
    thinking: Mapping[int, str] = MappingProxyType({}),
) -> ExampleList:
    """Returns the examples that a student is trained on, one data format after the other.

    Each is worded when it is looked at; see :class:`potstill.train.example_list.ExampleList`.

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
    chosen = choose_rationales(rationales, questions, student, seed)
    formats = [format_named(name) for name in student.formats]
    shown = any(data_format.needs_exemplars for data_format in formats)
    seen = (rationale for _, rationale in chosen.seen())
    pool = worked_questions(chosen.questions, seen) if shown else []
    matched = None
    if texts is not None and student.matching.distribution > 0:
        matched = lru_cache(_TEXTS_HELD)(texts)
    long = _long_of(chosen, student, seed, thinking)
    builder = ExampleBuilder(student, encoder_decoder, pool, seed, matched, long)
    examples = ExampleList(builder, chosen)
    examples.check()
    return examples


def learned_thinking(
    rationales: Iterable[Rationale],
    questions: Sequence[Question],
    student: StudentSettings,
    *,
    seed: int,
    thinking: Mapping[int, str],
) -> dict[int, str]:
    """Returns the thinking that a student learns, by the completion's row.

    Arguments are those of :func:`make_examples`.
    """
    chosen = choose_rationales(rationales, questions, student, seed)
    return _long_of(chosen, student, seed, thinking)


def _long_of(
    chosen: ChosenRationales, student: StudentSettings, seed: int, thinking: Mapping[int, str]
) -> dict[int, str]:
    rows = chosen.completion_ids.tolist() if thinking else []
    return long_ones(rows, thinking, student.long_share, seed=seed)


def as_written(
    rationales: Sequence[Rationale], student: StudentSettings, store: Store
) -> Sequence[Rationale]:
    """Returns the rationales with the white space around them, for a student that keeps it.

    Args:
        rationales: The curated rationales, which have none.
        student: If none of its formats keeps white space, the rationales are returned as given.
        store: Holds the completions that they were taken from.
    """
    if not any(format_named(name).verbatim for name in student.formats):
        return rationales

    def read(places: Sequence[int]) -> list[Rationale]:
        found = [rationales[place] for place in places]
        texts = store.texts_of(rationale.completion_id for rationale in found)
        return [
            replace(rationale, text=with_own_space(rationale.text, own.text))
            for rationale, (_, own) in zip(found, texts, strict=True)
        ]

    return held_or_stored(array("q", range(len(rationales))), read)


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


def example_shares(
    student: StudentSettings, present: Container[str] | None = None
) -> dict[str, float]:
    """Returns the share of each ``Example.data_format`` in what a student learns; they sum to 1.

    Args:
        student: The student.
        present: The data formats that have examples; the student's own take up the shares of all
            that have none. None: all have.
    """
    further: dict[str, float] = {}
    if student.unlikelihood is not None:
        further[WRONG_CHAINS] = student.unlikelihood.share
    if student.replay is not None:
        further[REPLAY] = student.replay.share
    formats, whole = student.formats, 1.0
    if present is not None:
        further = {name: share for name, share in further.items() if name in present}
        formats = {name: share for name, share in formats.items() if name in present}
        if len(formats) < len(student.formats):
            whole = sum(formats.values())
    own = 1 - sum(further.values())
    return {**{name: own * share / whole for name, share in formats.items()}, **further}


def _explained(student: StudentSettings, rationales: Sequence[Rationale]) -> set[str]:
    """Returns the questions with a rationale that a student learns."""
    verdicts = learned_verdicts(student)
    return {
        one.question_id
        for one in rationales
        if one.verdict in verdicts and is_seen(one, student.samples)
    }


def unequal_questions(
    students: Mapping[str, StudentSettings], task: Task, rationales: Sequence[Rationale]
) -> str:
    """Returns a sentence on students that learn different questions without being told to.

    One that learns answers alone, or what it writes itself, learns every question; one that learns
    rationales only those with a rationale to learn. Where the recipe limits a student's questions,
    it means to.

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
        bare = any(not format_named(listed).needs_rationale for listed in student.formats)
        learns_every = bare or student.on_policy is not None
        counts[name] = len(every if learns_every else every & _explained(student, rationales))
    if len(set(counts.values())) < 2:
        return ""
    told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return (
        f"The students learn different questions: {told} of {len(every):,}. A student of "
        "rationales learns those with a rationale that was kept, so a comparison of the two is "
        "partly one of questions. Keep rationales of all of them, or compare with that in mind."
    )
