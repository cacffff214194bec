"""The state that all models of a run share while they are asked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from potstill.runtime.budget import Budget
from potstill.runtime.events import EventLog
from potstill.runtime.number_formats import NumberFormats


@dataclass(slots=True)
class LimitSharing:
    """How the limits of a server are shared where several processes ask it."""

    among: int = 1
    """Processes, each of which keeps to its part; changes while it is asked."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The account, the watch and the brake of a run."""

    budget: Budget = field(default_factory=Budget)
    """Every try of a server is set aside and settled here."""

    events: EventLog = field(default_factory=EventLog)
    """The run's log, and the listeners to its events."""

    stop: Event = field(default_factory=Event)
    """Once set, nothing new is sent; what is in flight is finished and handed over."""

    number_formats: NumberFormats = field(default_factory=NumberFormats)
    """The formats that were chosen for models on a processor, by trials."""

    shared: dict[str, object] = field(default_factory=dict)
    """Objects that models of one kind share in a run, by a name that the kind gives."""

    sharing: LimitSharing = field(default_factory=LimitSharing)
    """How the limits of servers are shared among processes."""

    open_elsewhere: Callable[[Any, "Runtime"], Any] | None = None
    """Opens a model, by its settings, on other machines, or returns None for one that is opened
    here; None: all are."""

    releasing: list[Callable[[], None]] = field(default_factory=list)
    """Functions that :meth:`release` calls."""

    def release(self) -> None:
        """End what models have started, such as servers of their own, to free its memory.

        Asked again, they start it again.
        """
        for end in self.releasing:
            end()

    def close(self) -> None:
        """End what models have started; close the account's journal and the log."""
        self.release()
        self.budget.close()
        self.events.close()
