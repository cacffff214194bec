"""Rationales and questions → training examples.

Where a target repeats the teacher's own text.

What the teacher wrote, with its token probabilities, for distribution matching.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from potstill.models.settings import LocalSettings, ModelSettings
from potstill.prompts.decomposition import decomposed, turns
from potstill.prompts.formats import DataFormat, format_named
from potstill.prompts.styles import Exemplar
from potstill.records import Example, Question, Rationale, Task, TeacherSpan, TokenLogprobs
from potstill.sampling.exemplar_pool import WorkedQuestion, draw_exemplars, worked_questions
from potstill.store import Store
from potstill.tasks.splits import first_placed
from potstill.train.settings import ReplaySettings, StudentSettings

KEPT = frozenset({"kept"})
WRONG = frozenset({"wrong_answer", "no_answer"})
"""Verdicts of rationales that were dropped for their answer."""

REPLAY = "replay"
"""``Example.data_format`` of what is replayed, whatever its wording."""

Texts = Callable[[int], tuple[str, TokenLogprobs] | None]
"""A completion's text and its token probabilities, the tokens named by bytes, by its id."""


class _Chosen(NamedTuple):
    """What one example is made from."""

    question: Question
    """As it is put to the student: in a turn of a decomposition with what was said before."""

    rationale: Rationale | None
    text: str = ""
    """What is learned of the rationale."""

    own: str = ""
    """What of the text the teacher wrote."""


class _ExampleBuilder(NamedTuple):
    """How a student's examples are worded."""

    student: StudentSettings
    encoder_decoder: bool

    pool: Sequence[WorkedQuestion]
    """What exemplars are drawn from."""

    seed: int
    """Of drawing them."""

    texts: Texts | None
    """What the teacher wrote, where its probabilities are learned."""

    def example(self, data_format: DataFormat, chosen: _Chosen) -> Example:
        """One example of a format."""
        kind = self.encoder_decoder
        exemplars = self._exemplars(chosen) if data_format.needs_exemplars else ()
        target = data_format.target(chosen.text, chosen.question.answer, encoder_decoder=kind)
        teacher: TeacherSpan | None = None
        if chosen.rationale is not None and self.texts is not None:
            at = len(data_format.lead(encoder_decoder=kind))
            wrote = self.texts(chosen.rationale.completion_id)
            teacher = teacher_span(target, at, chosen.own, wrote)
        return Example(
            prompt=data_format.prompt(chosen.question, encoder_decoder=kind, exemplars=exemplars),
            target=target,
            question_id=chosen.question.id,
            data_format=data_format.name,
            teacher=teacher,
        )

    def _exemplars(self, chosen: _Chosen) -> tuple[Exemplar, ...]:
        """The worked questions before the example's own; those of a question share all formats."""
        question, rationale = chosen.question, chosen.rationale
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
) -> list[Example]:
    """Word what a student is trained on, one data format after the other.

    A format without rationales gives one example to each question, whether or not the teacher
    solved it: its student learns from the gold answers alone and owes the teacher nothing. The
    others give one to each chosen rationale, which is closed by the gold answer, not by the
    teacher's wording of it (Fine-tune-CoT, arXiv 2212.10071, section 3.1). A format with a role
    gives one to each turn of its decomposition (arXiv 2212.00193, section 3), and none to a
    rationale that cannot be taken apart.

    Args:
        rationales: The curated ones, those of a question by sample.
        questions: The training questions.
        student: The wording, and which questions and rationales to choose.
        encoder_decoder: Whether the student reads its prompt with an encoder.
        seed: Of the choice of questions, where the student learns only some, and of exemplars.
        texts: What the teacher wrote, for students that match its probabilities.

    Raises:
        DataError: There are too few worked questions to draw exemplars from.
    """
    if student.questions is not None:
        questions = first_placed(questions, student.questions, seed, "student")
    # A student sees no more of the teacher in its exemplars than in its targets.
    seen = [one for one in rationales if student.samples is None or one.sample < student.samples]
    of_question = _candidates(seen, student)
    taken = {question.id: _taken(of_question[question.id], student) for question in questions}
    formats = [format_named(name) for name in student.formats]
    pool = worked_questions(questions, seen) if any(one.needs_exemplars for one in formats) else []
    matched = cache(texts) if texts is not None and student.matching.distribution > 0 else None
    wording = _ExampleBuilder(student, encoder_decoder, pool, seed, matched)
    return [
        wording.example(data_format, chosen)
        for data_format in formats
        for chosen in _choices(data_format, questions, taken)
    ]


def replayed(
    tasks: Iterable[Task], replay: ReplaySettings, *, encoder_decoder: bool
) -> list[Example]:
    """The training questions of other tasks with their gold answers, so that they are kept up."""
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
    """How many of the kept rationales have no decomposition that could be learned."""
    return sum(each.verdict in KEPT and not decomposed(each.text) for each in rationales)


def example_shares(student: StudentSettings) -> dict[str, float]:
    """The share of each ``Example.data_format`` in what a student learns; they sum to 1."""
    if student.replay is None:
        return student.formats
    own = 1 - student.replay.share
    mixed = {name: own * share for name, share in student.formats.items()}
    return {**mixed, REPLAY: student.replay.share}


def _choices(
    data_format: DataFormat, questions: Sequence[Question], taken: dict[str, list[Rationale]]
) -> Iterator[_Chosen]:
    """What the examples of one format are made from."""
    for question in questions:
        if not data_format.needs_rationale:
            yield _Chosen(question, None)
            continue
        for rationale in taken[question.id]:
            if data_format.role is None:
                yield _Chosen(question, rationale, rationale.text, rationale.text.strip())
            elif parts := decomposed(rationale.text):
                for turn in turns(data_format.role, question, parts):
                    yield _Chosen(turn.question, rationale, turn.target, turn.own)


def _candidates(
    rationales: Iterable[Rationale], student: StudentSettings
) -> defaultdict[str, list[Rationale]]:
    """What a student may learn from, by question."""
    verdicts = KEPT | WRONG if student.wrong_answers else KEPT
    found: defaultdict[str, list[Rationale]] = defaultdict(list)
    for rationale in rationales:
        if rationale.verdict in verdicts:
            found[rationale.question_id].append(rationale)
    return found


def _taken(rationales: list[Rationale], student: StudentSettings) -> list[Rationale]:
    """Of one question's rationales the ones to learn, the first of equally long ones."""
    if student.take != "first":
        sign = 1 if student.take == "shortest" else -1
        rationales = sorted(rationales, key=lambda each: sign * len(each.text.split()))
    return rationales[: student.max_rationales]


def teacher_span(
    target: str, at: int, rationale: str, written: tuple[str, TokenLogprobs] | None
) -> TeacherSpan | None:
    """The stretch of a target that the teacher wrote, around its rationale.

    It reaches beyond the rationale as far as the teacher's text goes on like the target, which is
    often up to the answer, but takes no part of a teacher's token there: a teacher that wrote 180
    says nothing of 18.

    Args:
        target: What the student learns to write.
        at: Where the rationale begins in it, in characters.
        rationale: The rationale, as it stands in the target.
        written: The completion's text and token probabilities.

    Returns:
        None where the completion is unknown or does not hold the rationale.
    """
    if written is None or not rationale:
        return None
    text, tokens = written
    found = text.find(rationale)
    if found < 0 or tokens.lengths is None:
        return None
    whole, full = target.encode(), text.encode()
    start, begin = len(target[:at].encode()), len(text[:found].encode())
    size = len(rationale.encode())
    shift = begin - start
    after = size + _common(whole[start + size :], full[begin + size :])
    before = _common(whole[:start][::-1], full[:begin][::-1])
    edges = np.append(0, tokens.lengths[:, 0].cumsum(dtype=np.int64))
    first = edges[np.searchsorted(edges, begin - before)]
    last = edges[np.searchsorted(edges, begin + after, side="right") - 1]
    return TeacherSpan(
        tokens=tokens,
        start=min(int(first), begin) - shift,
        end=max(int(last), begin + size) - shift,
        shift=shift,
    )


def _common(one: bytes, two: bytes) -> int:
    """How many bytes two texts begin with alike."""
    pairs = zip(one, two, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(two)))


if TYPE_CHECKING:
    from potstill.train.alignment import Vocabulary


class TeacherTexts:
    """Looks up completions by their row in the store.

    Args:
        store: Holds them.
        teachers: The teachers by their names in the recipe. A local one's tokens are stored by id,
            and its tokenizer is read to name them by their bytes.
        writers: By completion, the name of the teacher that wrote it.
    """

    def __init__(
        self, store: Store, teachers: Mapping[str, ModelSettings], writers: Mapping[int, str]
    ) -> None:
        self._store, self._teachers, self._writers = store, teachers, writers
        self._vocabulary = cache(self._read_vocabulary)

    def __call__(self, completion_id: int) -> tuple[str, TokenLogprobs] | None:
        """The text that a completion's tokens spell, and their probabilities named by bytes.

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

    def _read_vocabulary(self, name: str) -> "Vocabulary":
        from potstill.models.local.loading import load_tokenizer
        from potstill.train.alignment import Vocabulary

        teacher = self._teachers[name]
        assert isinstance(teacher, LocalSettings), "only local models name tokens by id"
        return Vocabulary(load_tokenizer(teacher))
