"""Everything a stage works with: the run's store, folder, progress, budget and log."""

from dataclasses import dataclass
from pathlib import Path

from potstill.runtime import Runtime
from potstill.runtime.budget import Budget
from potstill.runtime.events import EventLog
from potstill.runtime.progress import Meter
from potstill.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """One run as its stages see it; every stage takes it as ``context``."""

    store: Store
    """Everything asked, written and measured so far."""

    folder: Path
    """The run's folder: checkpoints, the chosen model and the report go there."""

    progress: Meter
    """Shows how far the work is."""

    @property
    def runtime(self) -> Runtime:
        """The budget, the log and the stop signal, as models get them; it can release models."""
        return self.progress.runtime

    @property
    def budget(self) -> Budget:
        """The money paid to servers, held against the recipe's limit."""
        return self.progress.runtime.budget

    @property
    def events(self) -> EventLog:
        """The run's log, ``log.jsonl``."""
        return self.progress.runtime.events
