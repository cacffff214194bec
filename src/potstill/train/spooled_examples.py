"""Encoded examples in a file, each read when a batch needs it.

What the order of training is made from stays in arrays: lengths, numbers of trained tokens, data
formats and questions, some 30 bytes an example. Token ids and soft targets, which are a thousand
times as much, lie in a file without a name, which is gone once the process is.
"""

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from potstill.records import SoftTargets
from potstill.store.unnamed_file import UnnamedFile
from potstill.train.encoding import Encoded

_HEAD = struct.Struct("<iiiiiiid?")
"""One example's header: the lengths of its parts, candidates, skip, weight, unlikely."""

_NONE = -1


class ExampleFacts(NamedTuple):
    """The facts that the order of training is made from, one entry an example."""

    lengths: NDArray[np.int32]
    """Tokens of prompt and target."""

    trained: NDArray[np.int32]
    """Tokens that have a loss."""

    soft: NDArray[np.int32]
    """Tokens with a loss that have the teacher's probabilities; -1: the text alone is matched."""

    formats: NDArray[np.int16]
    """The data format, by its place in ``format_names``."""

    format_names: Sequence[str]

    questions: NDArray[np.int32]
    """The question, numbered in the order of the examples; one without a question has its own."""

    unlikely: NDArray[np.bool_]
    """Whether it is learned not to be written."""

    @property
    def soft_share(self) -> float:
        """Share of the trained tokens for which the teacher's probabilities are known."""
        known = int(np.maximum(self.soft, 0).sum(dtype=np.int64))
        return known / int(self.trained.sum(dtype=np.int64))

    def data_formats(self) -> Iterator[str]:
        """Yields the data format of each example."""
        return (self.format_names[number] for number in self.formats)


def facts_of(examples: Iterable[Encoded]) -> ExampleFacts:
    """Returns the facts of some examples."""
    if isinstance(examples, SpooledExamples):
        return examples.facts
    gathered = _FactArrays()
    for example in examples:
        gathered.add(example)
    return gathered.facts()


class SpooledExamples(Sequence[Encoded]):
    """Examples in a file.

    Args:
        examples: Taken one at a time.
        folder: On whose disk they are kept.
    """

    def __init__(self, examples: Iterable[Encoded], folder: Path) -> None:
        self._file = UnnamedFile(folder)
        gathered = _FactArrays()
        for example in examples:
            self._file.append(_packed(example))
            gathered.add(example)
        self.facts = gathered.facts()

    def __len__(self) -> int:
        return len(self._file)

    @overload
    def __getitem__(self, place: int) -> Encoded: ...

    @overload
    def __getitem__(self, place: slice) -> list[Encoded]: ...

    def __getitem__(self, place: int | slice) -> Encoded | list[Encoded]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        number = range(len(self))[place]
        example = _unpacked(self._file.read(number))
        return example._replace(data_format=self.facts.format_names[self.facts.formats[number]])

    def __iter__(self) -> Iterator[Encoded]:
        return (self[number] for number in range(len(self)))


class _FactArrays:
    """Gathers facts, example by example."""

    def __init__(self) -> None:
        self._lengths, self._trained, self._soft = array("i"), array("i"), array("i")
        self._formats, self._questions, self._unlikely = array("h"), array("i"), array("b")
        self._format_names: dict[str, int] = {}
        self._question_ids: dict[str, int] = {}
        self._count = 0

    def add(self, example: Encoded) -> None:
        """Add the facts of the next example."""
        self._lengths.append(example.length)
        self._trained.append(len(example.trained_places))
        self._soft.append(_NONE if example.soft is None else int(example.soft.soft.sum()))
        names = self._format_names
        self._formats.append(names.setdefault(example.data_format, len(names)))
        number = self._count
        if example.question_id:
            number = self._question_ids.setdefault(example.question_id, self._count)
        self._count += number == self._count
        self._questions.append(number)
        self._unlikely.append(example.unlikely)

    def facts(self) -> ExampleFacts:
        """Returns what was gathered."""
        return ExampleFacts(
            np.asarray(self._lengths, np.int32),
            np.asarray(self._trained, np.int32),
            np.asarray(self._soft, np.int32),
            np.asarray(self._formats, np.int16),
            list(self._format_names),
            np.asarray(self._questions, np.int32),
            np.asarray(self._unlikely, np.bool_),
        )


def _packed(example: Encoded) -> bytes:
    """Returns an example as bytes, all but its data format."""
    question, places, soft = example.question_id.encode(), example.places, example.soft
    head = _HEAD.pack(
        len(question),
        len(example.prompt),
        len(example.target),
        _NONE if places is None else len(places),
        _NONE if soft is None else len(soft.ids),
        0 if soft is None else soft.ids.shape[1],
        example.skip,
        example.weight,
        example.unlikely,
    )
    texts = (array("i", ids).tobytes() for ids in (example.prompt, example.target))
    parts = [head, question, *texts]
    parts += [] if places is None else [array("i", places).tobytes()]
    if soft is not None:
        parts += [
            soft.ids.astype("<i4").tobytes(),
            soft.probabilities.astype("<f4").tobytes(),
            soft.tail.astype("<f4").tobytes(),
            soft.soft.astype(np.bool_).tobytes(),
        ]
    return b"".join(parts)


def _unpacked(data: bytes) -> Encoded:
    """Returns the example that was packed, without its data format."""
    of_id, of_prompt, of_target, of_places, rows, width, skip, weight, unlikely = _HEAD.unpack_from(
        data
    )
    at = _HEAD.size + of_id
    question = data[_HEAD.size : at].decode()

    def taken(count: int, kind: str) -> NDArray[Any]:
        nonlocal at
        array_ = np.frombuffer(data, kind, count, at)
        at += array_.nbytes
        return array_

    prompt, target = taken(of_prompt, "<i4").tolist(), taken(of_target, "<i4").tolist()
    places = None if of_places == _NONE else tuple(taken(of_places, "<i4").tolist())
    soft = None
    if rows != _NONE:
        soft = SoftTargets(
            ids=taken(rows * width, "<i4").reshape(rows, width),
            probabilities=taken(rows * width, "<f4").reshape(rows, width),
            tail=taken(rows, "<f4"),
            soft=taken(rows, "?"),
        )
    return Encoded(
        prompt,
        target,
        weight=weight,
        question_id=question,
        soft=soft,
        skip=skip,
        unlikely=unlikely,
        places=places,
    )
