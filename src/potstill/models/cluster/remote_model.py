"""A model that is asked on a cluster: its workers answer, and this process hands over and counts.

:class:`RemoteModel` stands where any other model does, so that no stage knows of clusters.
"""

import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from weakref import WeakSet

from potstill.models.background import one_by_one
from potstill.models.cluster.asked_workers import AskedWorkers
from potstill.models.cluster.ray_cluster import RayCluster
from potstill.models.cluster.settings import RunOnSettings
from potstill.models.cluster.worker_pool import WorkerPool
from potstill.models.interface import Model
from potstill.models.settings import ModelSettings, RecordedSettings, ServerSettings
from potstill.records import Completion, Request
from potstill.runtime import Runtime
from potstill.store.probability_codec import ProbabilityForm

AHEAD = 2
"""Requests that a worker has at once, as a multiple of what it may have in flight."""

AHEAD_COMPUTING = 256
"""The same where the worker computes the model itself, and chooses what it computes together."""

_SHARED = "cluster"


def open_remote(
    settings: ModelSettings, runtime: Runtime, run_on: RunOnSettings
) -> "RemoteModel | None":
    """Returns a model whose workers are on a cluster; None for one that is asked in this process.

    Recorded rationales are a file here, and a batch at a provider has one asker.
    """
    if isinstance(settings, RecordedSettings) or settings.in_batches:
        return None
    return RemoteModel(settings, runtime, run_on)


class _SharedCluster:
    """The cluster of a run with the pools of all its models."""

    def __init__(self, settings: RunOnSettings) -> None:
        self.cluster = RayCluster(settings)
        self.pools = WeakSet[WorkerPool]()

    @classmethod
    def of(cls, runtime: Runtime, settings: RunOnSettings) -> "_SharedCluster":
        """Returns that of a run, connected to when it is first wanted."""
        shared = runtime.shared.get(_SHARED)
        if not isinstance(shared, cls):
            runtime.shared[_SHARED] = shared = cls(settings)
        return shared


class RemoteModel(Model):
    """A model whose workers are on a cluster; none is started before it is asked.

    Args:
        settings: The model's.
        runtime: The run's budget, log and stop signal.
        run_on: The cluster.
    """

    def __init__(self, settings: ModelSettings, runtime: Runtime, run_on: RunOnSettings) -> None:
        self._settings, self._runtime, self._run_on = settings, runtime, run_on
        identity = settings.identity()
        self.name, self.chat = identity.name, identity.chat
        self.is_server = isinstance(settings, ServerSettings)
        self._pool: WorkerPool | None = None
        runtime.releasing.append(_stopping(weakref.ref(self)))

    def opened(self) -> Model:
        """Returns the model, once a worker has opened it.

        Raises:
            ModelError: There is no cluster, or no worker can open it.
        """
        pool = self._filled()
        asking = AskedWorkers(pool, self._runtime, iter(()), self._ahead)
        with self._runtime.events.noted(self.name, "waiting for a worker"):
            while pool.facts is None and not (asking.halted or self._runtime.stop.is_set()):
                asking.take_reports()
        asking.check()
        facts = pool.facts
        if facts is not None:
            self.engine, self.number_format = facts.engine, facts.number_format
            self.scores_texts, self.token_names = facts.scores_texts, facts.token_names
        return self

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answers requests; see :meth:`complete_in_groups`."""
        return one_by_one(self.complete_in_groups(requests))

    def complete_in_groups(self, requests: Iterable[Request]) -> Generator[list[Completion]]:
        """Answers requests; see :meth:`potstill.models.interface.Model.complete_in_groups`.

        What a lost worker had in flight is asked again. Once the run is to stop, nothing new is
        sent, and what is in flight is still yielded. Closing the iterator gives it up.
        """
        return self._asked(requests, None)

    def complete_for_store(
        self, requests: Iterable[Request], form: ProbabilityForm
    ) -> Generator[list[Completion]]:
        """Answers requests as :meth:`complete_in_groups` does; workers pack what is stored."""
        return self._asked(requests, form)

    def _asked(
        self, requests: Iterable[Request], form: ProbabilityForm | None
    ) -> Generator[list[Completion]]:
        asking = AskedWorkers(self._filled(), self._runtime, iter(requests), self._ahead, form)
        is_whole = False
        try:
            yield from asking.groups()
            is_whole = not asking.halted
        finally:
            asking.end()
            if not is_whole:
                self.release()

    def release(self) -> None:
        """End the workers; asked again, they are started again."""
        if self._pool is not None:
            self._pool.stop()

    def _filled(self) -> WorkerPool:
        """Returns the workers, with those started that are missing."""
        if self._pool is None:
            shared = _SharedCluster.of(self._runtime, self._run_on)
            self._pool = WorkerPool(
                self._settings, self.name, self._runtime, shared.cluster, shared.pools
            )
            weakref.finalize(self, self._pool.stop)
        self._pool.fill()
        return self._pool

    def _ahead(self, workers: int) -> int:
        """Returns the most requests that one of so many workers has at once."""
        at_once = self._settings.requests_at_once
        if at_once is None:
            return AHEAD_COMPUTING
        shares = self._pool is not None and self._pool.shares_limits
        return AHEAD * max(at_once // (workers if shares else 1), 1)


def _stopping(model: "weakref.ref[RemoteModel]") -> Callable[[], None]:
    """Returns a function that ends the workers of a model, if it is still there."""

    def stop() -> None:
        if (there := model()) is not None:
            there.release()

    return stop
