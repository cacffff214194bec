"""Rationales that were bought or published elsewhere, as the teacher's answers to a task.

A row names a question of the task, by its text or its id, and holds one rationale or a list::

    {"question": "What is 2 + 2?", "rationale": "Twice two.", "answer": "4"}

Each rationale becomes the question's next free sample, worded as this teacher would have answered:
closed by ``The answer is 4.``, or with the answer in a second step where its prompt style has one.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple, Self

from potstill.errors import ConfigError, shortened
from potstill.exchange.rows import PlacedQuestion, Row, TaskQuestions
from potstill.keys import question_digest
from potstill.models.finish_reasons import FAILED, finish_reason_of
from potstill.pipeline.run import Run
from potstill.records import Completion, FinishReason, Question
from potstill.tables import own_text
from potstill.tasks.fields import MISSING, check_fields, field_value
from potstill.text.thinking import answer_and_thinking


@dataclass(frozen=True, kw_only=True, slots=True)
class RowFields:
    """The names of a row's fields; a name such as ``cot.text`` looks inside ``cot``."""

    question: str = "question"
    """The question's text."""

    id: str | None = None
    """The question's id in the task, where rows have it; then the text is not looked at."""

    text_of_id: str | None = None
    """The question's text beside its id, where both have to fit: ids are often row numbers."""

    rationale: str = "rationale"
    """The rationale, or a list of them."""

    answer: str | None = None
    """The final answer, where the rationale does not state it."""

    sample: str | None = None
    """The number of the question's sample; where rows do not say, the next free one."""

    finish_reason: str | None = None
    """The reason for which the completion ended; where rows do not say, ``stop``."""

    completion_id: str | None = None
    """The completion that the rationale was, in the store of the run that exported it."""

    @classmethod
    def of(cls, row: Row) -> Self:
        """The fields of rationales that potstill exported, or else the usual ones."""
        if {"question_id", "rationale", "answer", "verdict"} <= row.keys():
            return cls(
                id="question_id",
                text_of_id="question",
                answer="answer",
                sample="sample",
                finish_reason="finish_reason",
                completion_id="completion_id",
            )
        return cls()


_SAMPLE_NUMBER = re.compile(r"[0-9]{1,9}")


class _SampleNumbers:
    """The numbers of one question's samples that are taken, and the texts that they hold."""

    def __init__(self, stored: Mapping[int, str]) -> None:
        self._digests = {sample: _digest(text) for sample, text in stored.items()}
        self._next = 0

    def take(self, text: str, wanted: int | None) -> int | None:
        """The number that a text gets: the wanted or the first free one; None if it has one."""
        digest = _digest(text)
        if wanted is None or wanted in self._digests:
            if digest in self._digests.values():
                return None
            while self._next in self._digests:
                self._next += 1
            wanted = self._next
        self._digests[wanted] = digest
        return wanted


class _RowNotes(NamedTuple):
    """The values that stand beside a row's rationales."""

    answer: str
    """The final answer; empty where it is not given."""

    sample: int | None
    finish_reason: FinishReason
    completion_id: object
    """The completion in the store of the run that exported the row; None where it does not say."""


class ForeignRows:
    """Reads rows as the teacher's answers to the task's training questions.

    A text that the question has already is not stored again, so the same file can be read twice,
    and a longer one adds what is new.

    Args:
        run: The run whose teacher the rationales are to be of.
        questions: The questions of its task.
        fields: The names of a row's fields.
        teacher: The teacher's name in the recipe.

    Raises:
        ConfigError: The recipe has no such teacher.
    """

    def __init__(self, run: Run, questions: TaskQuestions, fields: RowFields, teacher: str) -> None:
        names = run.recipe.named_teachers
        if teacher not in names:
            raise ConfigError(f"the recipe has no teacher {teacher!r}; it has {', '.join(names)}.")
        self._store, self._questions, self._fields = run.store, questions, fields
        self._model = run.teachers.known(teacher).name
        self._asking = run.teachers.asking(teacher)
        self._samples: dict[str, _SampleNumbers] = {}
        self.stored = 0
        """Rationales that were new."""

        self.there = 0
        """Rationales that the store had already."""

        self.beyond = 0
        """New rationales beyond the samples that the recipe draws for their question."""

    def check(self, row: Row, *, at: str) -> None:
        """Check that a row has the fields that are needed.

        Raises:
            DataError: It lacks one; the message names those there are and the nearest.
        """
        fields = self._fields
        needed = {"rationale": fields.rationale, "answer": fields.answer}
        needed |= {"id": fields.id} if fields.id else {"question": fields.question}
        check_fields(row, needed, at=at, noun="column")

    def read(self, row: Row) -> Iterator[tuple[str, Completion]]:
        """The completions that a row adds, each with the name of its model.

        Raises:
            ValueError: The row is of no use, or one of its texts is not; the others come before.
        """
        question = self._question(row)
        rationale = field_value(row, self._fields.rationale)
        listed = rationale if isinstance(rationale, list) else [rationale]
        texts = [text for text in listed if isinstance(text, str) and text.strip()]
        notes = self._notes(row)
        unanswered = 0
        for written in texts:
            text, thinking = answer_and_thinking(written)
            if not text.strip():
                unanswered += 1
            elif self._is_own(question, text, notes):
                self.there += 1
            else:
                yield from self._completions(question, text, thinking, notes)
        if not texts:
            raise ValueError(f"{self._fields.rationale}: there is none")
        if unanswered:
            raise ValueError(f"{self._fields.rationale}: {_hold(unanswered)} nothing but thinking")
        if len(texts) < len(listed):
            raise ValueError(f"{self._fields.rationale}: {_hold(len(listed) - len(texts))} no text")

    def _question(self, row: Row) -> Question:
        fields = self._fields
        name = fields.id or fields.question
        value = field_value(row, name)
        if value is MISSING or value is None:
            raise ValueError(f"{name}: there is none")
        if fields.id:
            with_id = self._questions.by_id.get(str(value))
            candidates = [with_id] if with_id else []
            if fields.text_of_id:
                text = field_value(row, fields.text_of_id)
                same_text = self._questions.with_text(str(text))
                candidates = candidates if with_id in same_text else same_text
        else:
            candidates = self._questions.with_text(_text(name, value))
        return _only_training_question(candidates, by="id" if fields.id else "text")

    def _is_own(self, question: Question, text: str, notes: _RowNotes) -> bool:
        """Whether this run exported the row: the store has it, closed in the teacher's words."""
        if notes.completion_id is None:
            return False
        completion = str(notes.completion_id)
        return any(
            _digest(name, completion, text, notes.answer) in self._curated
            for name in (question_digest(question), question.id)
        )

    @cached_property
    def _curated(self) -> set[bytes]:
        """The run's own rationales: a digest of the question, completion, text and answer of each.

        The question is its digest; its id where an older potstill curated.
        """
        return {
            _digest(
                rationale.question_digest or rationale.question_id,
                str(rationale.completion_id),
                rationale.text,
                rationale.answer or "",
            )
            for rationale in self._store.rationales()
        }

    def _notes(self, row: Row) -> _RowNotes:
        """The values that stand beside the rationale.

        Raises:
            ValueError: One of them cannot be used.
        """
        values: dict[str, object] = {}
        for name, field in asdict(self._fields).items():
            value = MISSING if field is None else field_value(row, field)
            values[name] = None if value is MISSING else value
        sample, reason = values["sample"], finish_reason_of(values["finish_reason"]) or "stop"
        number = _text(str(self._fields.sample), sample)
        if number and not _SAMPLE_NUMBER.fullmatch(number):
            raise ValueError(
                f"{self._fields.sample}: a whole number from 0 on is needed, and it is "
                f"{shortened(number)}"
            )
        if reason == FAILED:
            raise ValueError(f"{self._fields.finish_reason}: give stop, length or content_filter")
        answer = _text(str(self._fields.answer), values["answer"])
        return _RowNotes(answer, int(number) if number else None, reason, values["completion_id"])

    def _completions(
        self, question: Question, text: str, thinking: str | None, notes: _RowNotes
    ) -> Iterator[tuple[str, Completion]]:
        """A rationale as the teacher would give it: in one step, or with the answer in a second."""
        asking, reason = self._asking, notes.finish_reason
        request = asking.request(question, task=self._questions.task.name)
        answer = notes.answer if reason == "stop" else ""
        if answer and not asking.style.answer_cue:
            text = f"{text.rstrip()}\nThe answer is {answer}."
        if question.id not in self._samples:
            self._samples[question.id] = _SampleNumbers(self._store.samples(self._model, request))
        sample = self._samples[question.id].take(text, notes.sample)
        if sample is None:
            self.there += 1
            return
        self.stored += 1
        self.beyond += sample >= asking.sampling.samples
        first = Completion(
            request=replace(request, samples=(sample,)),
            sample=sample,
            text=text,
            thinking=thinking,
            finish_reason=reason,
        )
        yield self._model, first
        second = asking.answer_request(first)
        if answer and second is not None:
            yield (
                self._model,
                Completion(request=second, sample=0, text=f" {answer}.", finish_reason="stop"),
            )


def _only_training_question(candidates: list[PlacedQuestion], *, by: str) -> Question:
    """The one training question that a row can be about.

    Raises:
        ValueError: There is none, or several.
    """
    if not candidates:
        raise ValueError(f"no question of the task has this {by}")
    training = [question for question, split in candidates if split == "train"]
    if not training:
        raise ValueError(
            f"its question is of the {candidates[0].split} split; training must not see it"
        )
    if len(training) > 1:
        raise ValueError(f"several questions have this {by}; name their ids with --id-field")
    return training[0]


def _text(name: str, value: object) -> str:
    """The text of a column; empty for none.

    Raises:
        ValueError: It holds a list or a mapping; the message names the column.
    """
    try:
        return own_text(value) or ""
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _digest(*texts: str) -> bytes:
    return blake2b("\0".join(texts).encode(), digest_size=8).digest()


def _hold(count: int) -> str:
    """Returns so many texts and the verb to go with them."""
    return "1 holds" if count == 1 else f"{count:,} hold"
