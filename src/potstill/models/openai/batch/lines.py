"""What a batch is made of: lines, each a run of one request's samples, and which are missing."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from potstill.keys import request_key
from potstill.models.openai.wire import runs
from potstill.records import Completion, Request

CUSTOM_ID = re.compile(r"([0-9a-f]{32})-(\d{1,9})-(\d{1,9})-(\d{1,9})")

LARGEST_COUNT = 10_000
"""Samples of a line; a stranger's line that names more is not ours."""


Place = tuple[str, int]
"""A request's key and its ``max_tokens``: what lines are compared by, their samples aside."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line. Its ``custom_id`` says all of it, so that any process knows what it answers."""

    key: str
    """:func:`potstill.keys.request_key`, in hexadecimal digits."""

    max_tokens: int
    first: int
    """The first sample."""

    count: int
    """How many samples."""

    @property
    def custom_id(self) -> str:
        """As servers give it back."""
        return f"{self.key}-{self.max_tokens}-{self.first}-{self.count}"

    @property
    def samples(self) -> range:
        """The samples asked for."""
        return range(self.first, self.first + self.count)

    @property
    def place(self) -> Place:
        """Of the request."""
        return self.key, self.max_tokens


def line_of(custom_id: object) -> Line | None:
    """A line by its ``custom_id``; None where it is not one of ours."""
    match = CUSTOM_ID.fullmatch(custom_id) if isinstance(custom_id, str) else None
    if match is None:
        return None
    line = Line(match[1], int(match[2]), int(match[3]), int(match[4]))
    return line if 1 <= line.count <= LARGEST_COUNT else None


@dataclass(slots=True)
class _Asked:
    """A request, and which of its samples are missing."""

    requests: list[Request] = field(default_factory=list)
    """Alike but for what does not change the answer."""

    missing: set[int] = field(default_factory=set)
    covered: set[int] = field(default_factory=set)
    """Missing, and asked for in a batch that is not done."""


class Wanted:
    """The samples that are not answered yet.

    Args:
        name: The model's, which is part of every key.
        requests: What is asked.
    """

    def __init__(self, name: str, requests: Iterable[Request]) -> None:
        self._asked: dict[Place, _Asked] = {}
        self._most: int | None = None
        for request in requests:
            place = request_key(name, request).hex(), request.max_tokens
            asked = self._asked.setdefault(place, _Asked())
            asked.requests.append(request)
            asked.missing.update(request.samples)

    def __bool__(self) -> bool:
        return any(asked.missing for asked in self._asked.values())

    def lines(self) -> Iterator[Line]:
        """Lines for all that is missing and not covered."""
        for (key, max_tokens), asked in self._asked.items():
            for run in runs(sorted(asked.missing - asked.covered)):
                most = self._most or len(run)
                for start in range(0, len(run), most):
                    yield Line(key, max_tokens, run[start], len(run[start : start + most]))

    def limit(self, most: int) -> None:
        """Ask for no more samples in one line than this."""
        self._most = min(self._most or most, most)

    def request(self, line: Line) -> Request:
        """The request of a line that is wanted."""
        return self._asked[line.place].requests[0]

    def wants(self, line: Line) -> bool:
        """Whether any of a line's samples is missing."""
        asked = self._asked.get(line.place)
        return asked is not None and not asked.missing.isdisjoint(line.samples)

    def wants_any(self, places: Iterable[Place]) -> bool:
        """Whether any sample of these is missing."""
        return any(place in self._asked and self._asked[place].missing for place in places)

    def cover(self, line: Line) -> None:
        """Count a line's samples as asked for."""
        if line.place in self._asked:
            self._asked[line.place].covered.update(line.samples)

    def uncover(self, line: Line) -> None:
        """Count a line's samples as not asked for, so far as they are missing."""
        if line.place in self._asked:
            self._asked[line.place].covered.difference_update(line.samples)

    def take(self, line: Line, completions: Sequence[Completion]) -> Iterator[Completion]:
        """Those completions of a line that were missing, once for every request that wants them."""
        asked = self._asked[line.place]
        for completion in completions:
            if completion.sample not in asked.missing:
                continue
            asked.missing.discard(completion.sample)
            for request in asked.requests:
                if completion.sample in request.samples:
                    yield replace(completion, request=request)
