"""What all models of a run share while they are asked."""

from dataclasses import dataclass, field
from threading import Event

from potstill.spending import Spending
from potstill.watching import Watch


@dataclass(frozen=True, slots=True)
class Control:
    """The account, the watch and the brake of a run."""

    spending: Spending = field(default_factory=Spending)
    """Every try of a server is set aside and settled here."""

    watch: Watch = field(default_factory=Watch)
    """Told what happens."""

    stop: Event = field(default_factory=Event)
    """Once set, nothing new is sent; what is in flight is finished and handed over."""

    def close(self) -> None:
        """Close the account's journal and the log."""
        self.spending.close()
        self.watch.close()
