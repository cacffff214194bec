"""The messages between the process that stores answers and the workers that ask for them.

They travel by Ray, which pickles them between processes of one cluster; nothing is read from files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from potstill.models.settings import ModelSettings
from potstill.records import Amount, Completion, Request
from potstill.store.probability_codec import ProbabilityForm


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerStart:
    """All that a worker begins with."""

    settings: ModelSettings
    """The model; keys are no part of it."""

    name: str
    """The name that the model's answers are stored under."""

    version: str
    """The potstill of the process that stores."""

    number_formats: Mapping[str, Mapping[str, object]]
    """The choices that were made for models on a processor."""

    former: bool
    """Whether the run is from before such choices."""


@dataclass(kw_only=True, slots=True)
class WorkerOrders:
    """Orders to a worker, sent in one message."""

    requests: list[tuple[int, Request]] = field(default_factory=list)
    """Requests with their numbers."""

    form: ProbabilityForm | None = None
    """The form in which token probabilities of these requests are packed; None: not at all."""

    stored: int = 0
    """Further completions of its that are stored."""

    granted: list[int] = field(default_factory=list)
    """Tries that are set aside in the account, and may be sent."""

    sharing: int | None = None
    """The number of workers that share the server's limits by now; None: as before."""

    stop: bool = False
    """Whether nothing new is to be sent; what is in flight is awaited."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to tell."""
        return not (
            self.requests or self.stored or self.granted or self.sharing is not None or self.stop
        )


class ModelFacts(NamedTuple):
    """Facts about a model that a worker has opened."""

    name: str
    node: str
    """The name of the worker's machine."""

    pid: int
    """Its process there."""

    engine: str
    number_format: str
    scores_texts: bool
    token_names: Sequence[bytes | None] | None
    number_formats: Mapping[str, Mapping[str, object]]


class WantedTry(NamedTuple):
    """A try that a worker would like to send."""

    key: int
    most: Amount
    """The most that it can cost."""


class EndedTry(NamedTuple):
    """A try of a worker that is over."""

    key: int
    paid: Amount | None
    """The cost that the server states; see :meth:`potstill.runtime.budget.Budget.end`."""


class LoggedEvent(NamedTuple):
    """An event for the run's log."""

    how: str
    """The method of :class:`potstill.runtime.events.EventLog` that takes it."""

    words: tuple[str, ...]
    fields: Mapping[str, object]


class WorkerGauges(NamedTuple):
    """The state of a worker's requests right now, for the view."""

    in_flight: int = 0
    limit: int = 0
    writing: int = 0
    notes: Mapping[str, str] = {}


class WorkerFault(NamedTuple):
    """The error that ended a worker's asking."""

    kind: str
    """The class in errors.py; empty for a defect, whose message is a traceback."""

    message: str


@dataclass(kw_only=True, slots=True)
class WorkerReport:
    """A worker's news since its last report."""

    completions: list[tuple[int, Completion]] = field(default_factory=list)
    """Completions with the numbers of their requests, and with :data:`NO_REQUEST` in their place.
    """

    over: list[int] = field(default_factory=list)
    """Requests of which nothing more comes, though samples are missing."""

    wanted: list[WantedTry] = field(default_factory=list)
    ended: list[EndedTry] = field(default_factory=list)
    events: list[LoggedEvent] = field(default_factory=list)
    facts: ModelFacts | None = None
    """The facts about its model, sent once, when it is open."""

    fault: WorkerFault | None = None
    idle_after: int | None = None
    """How many requests it had been given in all when it last had nothing left to do."""

    gauges: WorkerGauges = field(default_factory=WorkerGauges)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say but the gauges."""
        return not (
            self.completions
            or self.over
            or self.wanted
            or self.ended
            or self.events
            or self.facts
            or self.fault
            or self.idle_after is not None
        )


NO_REQUEST = Request(prompt="")
"""The request of a completion on its way: whoever stores it has the real one."""
