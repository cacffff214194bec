"""Rationales that were bought or published elsewhere, as the teacher's answers to a task."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import NamedTuple, Self

from potstill.errors import ConfigError
from potstill.exchange.questions import Placed, TaskQuestions
from potstill.pipeline.run import Run
from potstill.records import Completion, FinishReason, Question
from potstill.tasks.fields import MISSING, check_fields, field_value

Row = Mapping[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowFields:
    """Which fields of a row hold what; a name such as ``cot.text`` looks inside ``cot``."""

    question: str = "question"
    """The question's text."""

    id: str | None = None
    """The question's id in the task, where rows have it; then the text is not looked at."""

    rationale: str = "rationale"
    """The rationale, or a list of them."""

    answer: str | None = None
    """The final answer, where the rationale does not state it."""

    sample: str | None = None
    """Which of the question's samples it is; where rows do not say, the next free one."""

    finish_reason: str | None = None
    """How the completion ended; where rows do not say, by itself."""

    @classmethod
    def of(cls, row: Row) -> Self:
        """The fields of rationales that potstill exported, or else the usual ones."""
        if {"question_id", "rationale", "answer", "verdict"} <= row.keys():
            return cls(
                id="question_id", answer="answer", sample="sample", finish_reason="finish_reason"
            )
        return cls()


class _Samples:
    """The samples of one question that are taken, and what they say."""

    def __init__(self, stored: Mapping[int, str]) -> None:
        self._said = {sample: _digest(text) for sample, text in stored.items()}
        self._next = 0

    def place(self, text: str, wanted: int | None) -> int | None:
        """The sample that a text becomes: the wanted or the first free one; None if it is there."""
        digest = _digest(text)
        if wanted is None or wanted in self._said:
            if digest in self._said.values():
                return None
            while self._next in self._said:
                self._next += 1
            wanted = self._next
        self._said[wanted] = digest
        return wanted


class _RowNotes(NamedTuple):
    """What a row says of its rationales."""

    answer: str
    """The final answer; empty where it is not given."""

    sample: int | None
    finish_reason: FinishReason


class ForeignRows:
    """Reads rows as the teacher's answers, each the question's next free sample.

    A text that the question has already is not stored again, so the same file can be read twice,
    and a longer one adds what is new.

    Args:
        run: Says who the teacher is and how it is asked.
        questions: Of the run's task.
        fields: Where things stand in a row.
        teacher: Whose answers they are to be, by its name in the recipe.

    Raises:
        ConfigError: The recipe has no such teacher.
    """

    def __init__(self, run: Run, questions: TaskQuestions, fields: RowFields, teacher: str) -> None:
        names = run.recipe.named_teachers
        if teacher not in names:
            raise ConfigError(f"the recipe has no teacher {teacher!r}; it has {', '.join(names)}.")
        self._store, self._questions, self._fields = run.store, questions, fields
        self._model = run.teaching.known(teacher).name
        self._asking = run.teaching.asking(teacher)
        self._samples: dict[str, _Samples] = {}
        self.stored = 0
        """Rationales that were new."""

        self.there = 0
        """Rationales that the store had already."""

        self.beyond = 0
        """New ones that are more than the recipe draws of their question."""

    def check(self, row: Row, *, at: str) -> None:
        """Whether a row has the fields that are needed.

        Raises:
            DataError: It lacks one; the message names those there are and the nearest.
        """
        fields = self._fields
        needed = {"rationale": fields.rationale, "answer": fields.answer}
        needed |= {"id": fields.id} if fields.id else {"question": fields.question}
        check_fields(row, needed, at=at, noun="column")

    def read(self, row: Row) -> Iterator[tuple[str, Completion]]:
        """The completions that a row adds.

        Raises:
            ValueError: It is of no use, or one of its texts is not; the others come before.
        """
        question = self._question(row)
        held = field_value(row, self._fields.rationale)
        listed = held if isinstance(held, list) else [held]
        texts = [text for text in listed if isinstance(text, str) and text.strip()]
        written = self._written(row)
        for text in texts:
            yield from self._completions(question, text, written)
        if not texts:
            raise ValueError(f"{self._fields.rationale}: there is none")
        if len(texts) < len(listed):
            raise ValueError(f"{self._fields.rationale}: {len(listed) - len(texts)} hold no text")

    def _question(self, row: Row) -> Question:
        fields = self._fields
        name = fields.id or fields.question
        value = field_value(row, name)
        if value is MISSING or value is None:
            raise ValueError(f"{name}: there is none")
        if fields.id:
            found = self._questions.by_id.get(str(value))
            placed = [found] if found else []
        else:
            placed = self._questions.with_text(str(value))
        return _only(placed, by="id" if fields.id else "text")

    def _written(self, row: Row) -> _RowNotes:
        """What stands beside the rationale.

        Raises:
            ValueError: It is not what it must be.
        """
        values = {
            name: None if field is None else field_value(row, field)
            for name, field in asdict(self._fields).items()
        }
        given = {name: None if each is MISSING else each for name, each in values.items()}
        sample, reason = given["sample"], given["finish_reason"] or "stop"
        if sample is not None and (not isinstance(sample, int) or sample < 0):
            raise ValueError(f"{self._fields.sample}: a whole number from 0 on is needed")
        if reason not in ("stop", "length", "content_filter"):
            raise ValueError(f"{self._fields.finish_reason}: give stop, length or content_filter")
        answer = given["answer"]
        return _RowNotes("" if answer is None else str(answer).strip(), sample, reason)

    def _completions(
        self, question: Question, text: str, written: _RowNotes
    ) -> Iterator[tuple[str, Completion]]:
        """A rationale as the teacher would give it: in one step, or with the answer in a second."""
        asking, reason = self._asking, written.finish_reason
        request = asking.request(question)
        states = written.answer if reason == "stop" else ""
        if states and not asking.style.answer_cue:
            text = f"{text.rstrip()}\nThe answer is {states}."
        if question.id not in self._samples:
            self._samples[question.id] = _Samples(self._store.samples(self._model, request))
        sample = self._samples[question.id].place(text, written.sample)
        if sample is None:
            self.there += 1
            return
        self.stored += 1
        self.beyond += sample >= asking.sampling.samples
        first = Completion(
            request=replace(request, samples=(sample,)),
            sample=sample,
            text=text,
            finish_reason=reason,
        )
        yield self._model, first
        second = asking.answer_request(first)
        if states and second is not None:
            said = Completion(request=second, sample=0, text=f" {states}.", finish_reason="stop")
            yield self._model, said


def _only(placed: list[Placed], *, by: str) -> Question:
    """The one training question that a row can be about."""
    if not placed:
        raise ValueError(f"no question of the task has this {by}")
    training = [each.question for each in placed if each.split == "train"]
    if not training:
        raise ValueError(
            f"its question is of the {placed[0].split} split; training must not see it"
        )
    if len(training) > 1:
        raise ValueError(f"several questions have this {by}; name their ids with --id-field")
    return training[0]


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()
