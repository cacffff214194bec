"""The lines of a batch, each a run of one request's samples, and the reading of its answers.

:class:`PendingSamples` keeps the samples that are missing; :class:`Answers` reads completions and
refusals from a batch's files, and sees which lines are to be asked again.
"""

import re
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import NamedTuple

from potstill.errors import ModelError
from potstill.keys import request_key
from potstill.models.openai.batch.endpoint import BatchEndpoint
from potstill.models.openai.cost import Sizes, prices_of
from potstill.models.openai.http_errors import RETRIED
from potstill.models.openai.logprobs import no_probabilities
from potstill.models.openai.oddities import Oddities
from potstill.models.openai.repeated_prefix import PrefixHabit
from potstill.models.openai.requests import Json, failure, runs
from potstill.models.openai.responses import read_reply
from potstill.models.openai.session import REFUSALS
from potstill.models.openai.stated_usage import stated_usage
from potstill.models.openai.usage import TokenCounts, counts_of, token_counts
from potstill.models.settings import OpenAISettings
from potstill.records import Amount, Completion, Request
from potstill.runtime.events import EventLog

CUSTOM_ID = re.compile(r"([0-9a-f]{32})-(\d{1,9})-(\d{1,9})-(\d{1,9})")

LARGEST_COUNT = 10_000
"""Samples of a line; a stranger's line that names more is not ours."""


Place = tuple[str, int]
"""A request's key and its ``max_tokens``: what lines are compared by, their samples aside."""


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One line. Its ``custom_id`` says all of it, so that any process knows what it answers."""

    key: str
    """:func:`potstill.keys.request_key`, in hexadecimal digits."""

    max_tokens: int
    first: int
    """The first sample."""

    count: int
    """The number of samples."""

    @property
    def custom_id(self) -> str:
        """The id of the line, which servers give back with its answer."""
        return f"{self.key}-{self.max_tokens}-{self.first}-{self.count}"

    @property
    def samples(self) -> range:
        """The samples asked for."""
        return range(self.first, self.first + self.count)

    @property
    def place(self) -> Place:
        """The request's key and ``max_tokens``."""
        return self.key, self.max_tokens


def line_of(custom_id: object) -> BatchLine | None:
    """Returns a line by its ``custom_id``; None where it is not one of ours."""
    match = CUSTOM_ID.fullmatch(custom_id) if isinstance(custom_id, str) else None
    if match is None:
        return None
    line = BatchLine(match[1], int(match[2]), int(match[3]), int(match[4]))
    return line if 1 <= line.count <= LARGEST_COUNT else None


@dataclass(slots=True)
class _BatchRequest:
    """A request, and which of its samples are missing."""

    requests: list[Request] = field(default_factory=list)
    """Alike but for what does not change the answer."""

    missing: set[int] = field(default_factory=set)
    covered: set[int] = field(default_factory=set)
    """Missing, and asked for in a batch that is not done."""


class PendingSamples:
    """The samples that are not answered yet.

    Args:
        name: The model's name, which is part of every key.
        requests: The requests to be answered.
    """

    def __init__(self, name: str, requests: Iterable[Request]) -> None:
        self._asked: dict[Place, _BatchRequest] = {}
        self._most: int | None = None
        for request in requests:
            place = request_key(name, request).hex(), request.max_tokens
            entry = self._asked.setdefault(place, _BatchRequest())
            entry.requests.append(request)
            entry.missing.update(request.samples)

    def __bool__(self) -> bool:
        return any(entry.missing for entry in self._asked.values())

    def lines(self) -> Iterator[BatchLine]:
        """Yields lines for all that is missing and not covered."""
        for (key, max_tokens), entry in self._asked.items():
            for run in runs(sorted(entry.missing - entry.covered)):
                most = self._most or len(run)
                for start in range(0, len(run), most):
                    yield BatchLine(key, max_tokens, run[start], len(run[start : start + most]))

    def limit(self, most: int) -> None:
        """Ask for no more samples in one line than this."""
        self._most = min(self._most or most, most)

    def request(self, line: BatchLine) -> Request:
        """Returns the request of a line that is wanted."""
        return self._asked[line.place].requests[0]

    def known(self, line: BatchLine) -> Request | None:
        """Returns the request of a line; None where it is none of these."""
        entry = self._asked.get(line.place)
        return None if entry is None else entry.requests[0]

    def wants(self, line: BatchLine) -> bool:
        """Whether any of a line's samples is missing."""
        entry = self._asked.get(line.place)
        return entry is not None and not entry.missing.isdisjoint(line.samples)

    def wants_any(self, places: Iterable[Place]) -> bool:
        """Whether any sample of these is missing."""
        return any(place in self._asked and self._asked[place].missing for place in places)

    def cover(self, line: BatchLine) -> None:
        """Count a line's samples as asked for."""
        if line.place in self._asked:
            self._asked[line.place].covered.update(line.samples)

    def uncover(self, line: BatchLine) -> None:
        """Count a line's samples as not asked for, so far as they are missing."""
        if line.place in self._asked:
            self._asked[line.place].covered.difference_update(line.samples)

    def take(self, line: BatchLine, completions: Sequence[Completion]) -> Iterator[Completion]:
        """Yields a line's missing completions, once for every request that wants them."""
        entry = self._asked[line.place]
        for completion in completions:
            if completion.sample not in entry.missing:
                continue
            entry.missing.discard(completion.sample)
            for request in entry.requests:
                if completion.sample in request.samples:
                    yield replace(completion, request=request)


PASSING_CODES = {"batch_expired", "server_error", "rate_limit_exceeded"}
"""Codes of faults after which a request is worth another batch."""


class Read(NamedTuple):
    """The cost and the requests found in a batch's files."""

    paid: Amount | None
    """The cost of its answers; None where one does not say."""

    places: frozenset[Place]
    """The requests that it has answers to."""


class _Refusal(NamedTuple):
    """Why a line has no answer."""

    message: str
    status: int | None = None
    passing: bool = True
    """Whether asking again may help."""

    @property
    def kind(self) -> str:
        """The refusal's kind in a word, as the event log counts it."""
        return "batch" if self.status is None else str(self.status)


class Answers:
    """Reads the files of batches.

    Args:
        settings: The model's settings.
        client: Fetches the files.
        wanted: The missing samples; those found are taken out.
        events: Takes retries and failures.
    """

    def __init__(
        self,
        settings: OpenAISettings,
        client: BatchEndpoint,
        wanted: PendingSamples,
        events: EventLog,
    ) -> None:
        self._settings, self._client = settings, client
        self._wanted, self._events = wanted, events
        self._sizes = Sizes(prices_of(settings))
        self._tries: Counter[BatchLine] = Counter()
        self._prefix = PrefixHabit()
        self.oddities = Oddities(settings.base_url, events)
        self._several = False
        """Whether the server has given several samples in one line."""

    def read(self, batch: Json, lines: Iterable[BatchLine]) -> Generator[Completion, None, Read]:
        """Yields the completions of a batch that has ended.

        Args:
            batch: The batch as the server shows it.
            lines: The lines awaited from it. A line that failed is asked again where that may help,
                as often as ``settings.retries`` says, and else answered by its failure. What was
                not awaited answers nothing by failing.

        Raises:
            ModelError: Probabilities were asked for and there are none.
        """
        awaited = set(lines)
        paid: Amount | None = Amount()
        places = set()
        # Answers are read first, since they say how failures are to be taken.
        for name in ("output_file_id", "error_file_id"):
            for entry in self._client.lines(batch.get(name)):
                line = line_of(entry.get("custom_id"))
                if line is None:
                    continue
                fresh = line in awaited
                awaited.discard(line)
                reply = _reply(entry)
                if reply is None:
                    paid = _sum(paid, self._paid_for_nothing(line, entry))
                else:
                    paid = _sum(paid, self._paid(line, reply))
                    places.add(line.place)
                if not self._wanted.wants(line):
                    continue
                if reply is not None:
                    yield from self._answered(line, reply, fresh=fresh)
                elif fresh:
                    yield from self._refused(line, self._refusal(entry))
        status = batch["status"]
        message = f"the batch ended ({status}) without an answer"
        for line in awaited:
            if self._wanted.wants(line):
                yield from self._refused(line, _Refusal(message, passing=status != "cancelled"))
        return Read(paid, frozenset(places))

    def fail(self, line: BatchLine, message: str, kind: str = "batch") -> Iterator[Completion]:
        """Answer what is missing of a line by its failure."""
        self._events.failed(kind, message=message)
        request = self._wanted.request(line)
        failures = [failure(request, sample, message) for sample in line.samples]
        yield from self._wanted.take(line, failures)

    def _answered(self, line: BatchLine, reply: Json, *, fresh: bool) -> Iterator[Completion]:
        request = self._wanted.request(line)
        completions = read_reply(self._settings, request, line.samples, reply, self._prefix)
        self.oddities.count(reply, completions)
        self._several = self._several or len(completions) > 1
        if len(completions) < line.count:
            self._wanted.limit(len(completions))
        if not fresh:
            completions = [
                completion for completion in completions if completion.finish_reason != "error"
            ]
        yield from self._wanted.take(line, completions)

    def _refused(self, line: BatchLine, refusal: _Refusal) -> Iterator[Completion]:
        """Yields failures, unless the line is to be asked again."""
        self._tries[line] += 1
        if refusal.passing and self._tries[line] <= self._settings.retries:
            self._events.retried(refusal.kind, wait=0.0, message=refusal.message)
            return
        if refusal.status in REFUSALS:
            request = self._wanted.request(line)
            if request.top_logprobs and "logprob" in refusal.message:
                raise ModelError(no_probabilities(self._settings, refusal.message))
            if line.count > 1 and not self._several:
                # It may be the number of samples that the server cannot do.
                self._wanted.limit(1)
                return
        yield from self.fail(line, refusal.message, refusal.kind)

    def _refusal(self, entry: Json) -> _Refusal:
        """Returns the refusal in an error file's line."""
        response = _object(entry.get("response"))
        status = response.get("status_code")
        error = entry.get("error") or _object(response.get("body")).get("error")
        named = _object(error)
        code, message = str(named.get("code")), named.get("message") or error or "no reason given"
        answered = isinstance(status, int) and status != 200
        words = f"HTTP {status}: {message}" if answered else f"{message} ({code})"
        passing = (answered and status in RETRIED) or code in PASSING_CODES
        return _Refusal(self._client.clean(words), status if answered else None, passing)

    def _paid(self, line: BatchLine, reply: Json) -> Amount | None:
        """Returns the cost of a line's answer; None where the server does not say it."""
        request = self._wanted.known(line)
        if request is not None:
            body = {"n": line.count, **self._settings.body}
            return self._sizes.size(request, body).paid(reply)
        return self._amount(line, token_counts(reply, limit=line.max_tokens))

    def _paid_for_nothing(self, line: BatchLine, entry: Json) -> Amount | None:
        """Returns the cost of a line without an answer; None where it may have been anything."""
        counted = counts_of(stated_usage(entry), most=line.max_tokens * line.count)
        if counted.read or counted.written or counted.usd:
            return self._amount(line, counted)
        response = _object(entry.get("response"))
        written = response.get("status_code") == HTTPStatus.OK and bool(response.get("body"))
        return None if written else Amount()

    def _amount(self, line: BatchLine, counted: TokenCounts) -> Amount | None:
        """Returns the amount of a line; None where a half is not counted and may be anything."""
        request = self._wanted.known(line)
        if request is not None:
            body = {"n": line.count, **self._settings.body}
            return self._sizes.amount(self._sizes.size(request, body).filled(counted))
        if counted.read is None or counted.written is None:
            return None
        return self._sizes.amount(counted)


def _object(value: object) -> Json:
    """Returns the value where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def _reply(entry: Json) -> Json | None:
    """Returns the answer in a line, where it has one."""
    response = entry.get("response")
    if not isinstance(response, dict) or response.get("status_code") != 200:
        return None
    body = response.get("body")
    choices = body.get("choices") if isinstance(body, dict) else None
    if not (isinstance(choices, list) and any(isinstance(choice, dict) for choice in choices)):
        return None
    return body


def _sum(paid: Amount | None, more: Amount | None) -> Amount | None:
    return None if paid is None or more is None else paid.plus(more)
