"""A student's examples, each worded when it is looked at.

What is held of an example are four numbers: its data format, its question, its rationale, and which
turn of that it is. Texts, and what the teacher thought of them, are read from the store.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from potstill.prompts.decomposition import decomposed, turns
from potstill.prompts.formats import DataFormat, format_named
from potstill.prompts.styles import Exemplar
from potstill.records import Example, Question, Rationale, TeacherSpan
from potstill.sampling.exemplar_pool import WorkedQuestion, draw_exemplars
from potstill.train.chosen_rationales import ChosenRationales
from potstill.train.settings import StudentSettings
from potstill.train.teacher_texts import Texts, teacher_span
from potstill.train.wrong_chains import WRONG_CHAINS


class _Material(NamedTuple):
    """The parts that one example is made from."""

    question: Question
    """The question as it is put to the student, in a decomposition with the turns before it."""

    rationale: Rationale | None
    text: str = ""
    """The part of the rationale that is learned."""

    own: str = ""
    """The part of ``text`` that the teacher wrote."""


class ExampleBuilder(NamedTuple):
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

    def wrong_chain(self, question: Question, rationale: Rationale) -> Example:
        """Returns a rationale that is learned not to be written, closed by its own answer."""
        assert rationale.answer is not None
        material = _Material(replace(question, answer=rationale.answer), rationale, rationale.text)
        example = self.example(format_named(self.student.asked_in), material)
        return replace(example, data_format=WRONG_CHAINS, teacher=None, unlikely=True)

    def _exemplars(self, material: _Material) -> tuple[Exemplar, ...]:
        """Returns the worked questions before the example's own, the same in all formats."""
        question, rationale = material.question, material.rationale
        key = question.id
        if self.student.exemplars_per == "example" and rationale is not None:
            key = f"{question.id} {rationale.sample}"
        count = self.student.exemplars
        return draw_exemplars(self.pool, count, seed=self.seed, key=key, exclude=question)


class _Places(NamedTuple):
    """The places of the material that one format's examples, or the wrong ones, are made of."""

    data_format: DataFormat | None
    """The format; None: the examples are wrong rationales."""

    questions: NDArray[np.int32]
    rationales: NDArray[np.int32]
    """The rationale's place; -1: the example has none."""

    turns: NDArray[np.int16]
    """The index of the turn in the rationale's decomposition, from 0; -1: the whole rationale."""


class ExampleList(Sequence[Example]):
    """The examples of a student, one data format after the other.

    Args:
        builder: Words them.
        chosen: The questions and rationales.
        further: Examples that stand behind them, as those of other tasks.
    """

    def __init__(
        self, builder: ExampleBuilder, chosen: ChosenRationales, further: Sequence[Example] = ()
    ) -> None:
        self._builder, self._chosen, self._further = builder, chosen, further
        formats = [format_named(name) for name in builder.student.formats]
        self._parts = [_places(data_format, chosen) for data_format in formats]
        if builder.student.unlikelihood is not None:
            self._parts.append(_wrong_places(chosen))
        self._ends = np.cumsum([len(part.questions) for part in self._parts]).tolist()

    def with_further(self, examples: Iterable[Example]) -> "ExampleList":
        """Returns these examples and others behind them."""
        return ExampleList(self._builder, self._chosen, [*self._further, *examples])

    def __len__(self) -> int:
        return int(self._ends[-1]) + len(self._further)

    @overload
    def __getitem__(self, place: int) -> Example: ...

    @overload
    def __getitem__(self, place: slice) -> list[Example]: ...

    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        number = range(len(self))[place]
        begin = 0
        for part, end in zip(self._parts, self._ends, strict=True):
            if number < end:
                return self._worded(part, number - begin)
            begin = end
        return self._further[number - begin]

    def data_formats(self) -> Iterator[str]:
        """Yields the ``data_format`` of each example, and words none."""
        for part in self._parts:
            name = WRONG_CHAINS if part.data_format is None else part.data_format.name
            for _ in range(len(part.questions)):
                yield name
        for example in self._further:
            yield example.data_format

    def _worded(self, part: _Places, at: int) -> Example:
        question = self._chosen.questions[part.questions[at]]
        place = int(part.rationales[at])
        rationale = self._chosen.rationales[place] if place >= 0 else None
        if part.data_format is None:
            assert rationale is not None
            return self._builder.wrong_chain(question, rationale)
        turn = int(part.turns[at])
        if rationale is None:
            material = _Material(question, None)
        elif turn < 0:
            material = _Material(question, rationale, rationale.text, rationale.text.strip())
        else:
            assert part.data_format.role is not None
            parts = decomposed(rationale.text)
            told = [*turns(part.data_format.role, question, parts)][turn]
            material = _Material(told.question, rationale, told.target, told.own)
        return self._builder.example(part.data_format, material)

    def check(self) -> None:
        """Word the first example of each data format.

        Raises:
            DataError: It cannot be.
        """
        for end, part in zip(self._ends, self._parts, strict=True):
            if len(part.questions):
                _ = self[end - len(part.questions)]


def data_formats(examples: Sequence[Example]) -> Iterator[str]:
    """Yields the ``data_format`` of each example."""
    if isinstance(examples, ExampleList):
        return examples.data_formats()
    return (example.data_format for example in examples)


def _places(data_format: DataFormat, chosen: ChosenRationales) -> _Places:
    """Returns where the examples of one format are made from."""
    if not data_format.needs_rationale:
        count = len(chosen.questions)
        questions = np.arange(count, dtype=np.int32)
        return _Places(data_format, questions, np.full(count, -1, np.int32), _whole(count))
    if data_format.role is None:
        count = len(chosen.places)
        return _Places(data_format, chosen.question_numbers, chosen.places, _whole(count))
    numbers, places, which = array("i"), array("i"), array("h")
    for number, place in zip(chosen.question_numbers.tolist(), chosen.places.tolist(), strict=True):
        if parts := decomposed(chosen.rationales[place].text):
            count = sum(1 for _ in turns(data_format.role, chosen.questions[number], parts))
            numbers.extend([number] * count)
            places.extend([place] * count)
            which.extend(range(count))
    return _Places(data_format, *_arrays(numbers, places), np.asarray(which, np.int16))


def _wrong_places(chosen: ChosenRationales) -> _Places:
    """Returns where the rationales are that are learned not to be written."""
    number_of = {question.id: number for number, question in enumerate(chosen.questions)}
    numbers, places = array("i"), array("i")
    for place, rationale in chosen.seen():
        number = number_of.get(rationale.question_id)
        is_wrong = rationale.verdict == "wrong_answer" and rationale.answer is not None
        if number is not None and is_wrong:
            numbers.append(number)
            places.append(place)
    return _Places(None, *_arrays(numbers, places), _whole(len(places)))


def _arrays(
    numbers: "array[int]", places: "array[int]"
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    return np.asarray(numbers, np.int32), np.asarray(places, np.int32)


def _whole(count: int) -> NDArray[np.int16]:
    return np.full(count, -1, np.int16)
