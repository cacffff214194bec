"""The workers of one model: started, replaced where they are lost, and ended."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from weakref import WeakSet

import potstill
from potstill.errors import ModelError
from potstill.models.cluster.messages import (
    ModelFacts,
    WorkerGauges,
    WorkerOrders,
    WorkerReport,
    WorkerStart,
)
from potstill.models.cluster.ray_cluster import Claim, LostWorker, RayCluster, RayWorker
from potstill.models.settings import LocalSettings, ModelSettings, OpenAISettings
from potstill.records import Request
from potstill.runtime import Runtime
from potstill.store.probability_codec import ProbabilityForm

POLL_SECONDS = 0.1
"""How long reports are waited for at once; then it is looked whether the run is to stop."""

LOSSES_IN_A_ROW = 30
"""Workers lost beside those that a model has at once, without an answer in between, after which
its workers count as failed."""

STARTS_IN_A_ROW = 10
"""The same where none of them has opened the model."""

PLACING_SECONDS = 10.0
"""How long a model's first worker waits for room on the cluster before others' idle workers end,
and it is said."""


@dataclass(eq=False)
class PoolWorker:
    """A worker with all that is known of it."""

    remote: RayWorker
    began: float
    """The time at which it was started, by the monotonic clock, in seconds."""

    facts: ModelFacts | None = None
    """The facts about its model; None until it is open."""

    orders: WorkerOrders = field(default_factory=WorkerOrders)
    """The orders that it is sent next."""

    outstanding: dict[int, tuple[Request, set[int]]] = field(default_factory=dict)
    """Requests that it was given, with the samples that have not come, by number."""

    given: int = 0
    """Requests that it was given in all."""

    idle_after: int = 0
    """How many it had been given when it last had nothing left to do."""

    tries: dict[int, int] = field(default_factory=dict)
    """The account's numbers of its tries that are under way, by its own."""

    gauges: WorkerGauges = field(default_factory=WorkerGauges)

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing to do."""
        return not self.outstanding and self.idle_after == self.given

    @property
    def node(self) -> str:
        """The name of its machine; empty before its model is open."""
        return self.facts.node if self.facts is not None else ""

    def give(self, number: int, request: Request, form: ProbabilityForm | None) -> None:
        """Give it a request, with the next that it is told; all of one asking are of one form."""
        self.orders.form = form
        self.orders.requests.append((number, request))
        self.outstanding[number] = (request, set(request.samples))
        self.given += 1

    def take(self, number: int, sample: int) -> Request:
        """Count a sample as answered; returns the request that it answers."""
        request, missing = self.outstanding[number]
        missing.remove(sample)
        if not missing:
            del self.outstanding[number]
        return request


class WorkerPool:
    """The workers of one model.

    Args:
        settings: The model's settings.
        name: The name that its answers are stored under.
        runtime: The run's log.
        cluster: The cluster that they run on.
        others: The pools of the run, this one included.
    """

    def __init__(
        self,
        settings: ModelSettings,
        name: str,
        runtime: Runtime,
        cluster: RayCluster,
        others: "WeakSet[WorkerPool]",
    ) -> None:
        self.name = name
        self._settings, self._runtime = settings, runtime
        self._cluster, self._others = cluster, others
        self.claim: Claim = cluster.claim(settings)
        self.workers: list[PoolWorker] = []
        self.facts: ModelFacts | None = None
        """The facts about the model; None until a worker has opened it."""

        self.request_numbers = count()
        """Yields a new number for each request."""

        self._worker_numbers = count(1)
        self._lost = self._lost_in_a_row = 0
        self._most_in_a_row = STARTS_IN_A_ROW
        self._told_of_waiting = False
        others.add(self)

    @property
    def shares_limits(self) -> bool:
        """Whether all workers ask one server, whose limits hold over them all."""
        return isinstance(self._settings, OpenAISettings)

    @property
    def ready(self) -> list[PoolWorker]:
        """The workers that have opened the model."""
        return [worker for worker in self.workers if worker.facts is not None]

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for it."""
        return all(worker.is_idle for worker in self.workers)

    def fill(self) -> None:
        """Start the workers that are missing.

        The first is waited for where a trial of its model settles the number format, in which all
        others then compute, too.
        """
        wanted = self.claim.workers
        if self.shares_limits and self._settings.requests_at_once is not None:
            wanted = min(wanted, self._settings.requests_at_once)
        tries_formats = isinstance(self._settings, LocalSettings) and self._settings.dtype == "auto"
        if tries_formats and self.facts is None:
            wanted = 1
        while len(self.workers) < wanted:
            self._start_one()

    def _start_one(self) -> None:
        formats = self._runtime.number_formats
        start = WorkerStart(
            settings=self._settings,
            name=self.name,
            version=potstill.__version__,
            number_formats=formats.choices,
            former=formats.former,
        )
        remote = RayWorker(next(self._worker_numbers), start, self.claim)
        self.workers.append(PoolWorker(remote, time.monotonic()))
        self.record("starting", self.workers[-1])

    def record(self, status: str, worker: PoolWorker, **fields: object) -> None:
        """Write to the log what became of a worker."""
        number, at_work = worker.remote.number, len(self.ready)
        self._runtime.events.record(
            "worker", model=self.name, number=number, status=status, at_work=at_work, **fields
        )

    def heard(self) -> Iterator[tuple[PoolWorker, WorkerReport | LostWorker]]:
        """Yields what workers say, waiting a moment where none does; lost ones are taken out.

        Raises:
            ModelError: Too many were lost one after the other.
        """
        by_remote = {worker.remote: worker for worker in self.workers}
        for remote in self._cluster.ready(by_remote, POLL_SECONDS):
            worker, said = by_remote[remote], remote.read()
            if isinstance(said, LostWorker):
                self.workers.remove(worker)
                self._note_loss(worker, said)
                self._share_limits()
            else:
                self._note(worker, said)
            yield worker, said
            if isinstance(said, LostWorker):
                self._check_losses(said)
        if not self.ready:
            self._make_room()

    def _note(self, worker: PoolWorker, report: WorkerReport) -> None:
        """Keep what a report says of the worker itself."""
        worker.gauges = report.gauges
        if report.idle_after is not None:
            worker.idle_after = report.idle_after
        if report.completions:
            self._forget_losses()
        if report.facts is not None:
            worker.facts = self.facts = report.facts
            self._runtime.number_formats.take_over(report.facts.number_formats)
            seconds = round(time.monotonic() - worker.began, 3)
            self.record("ready", worker, node=worker.node, pid=report.facts.pid, seconds=seconds)
            self._share_limits()

    def _share_limits(self) -> None:
        """Have all workers keep to their part of the server's limits."""
        if self.shares_limits:
            for worker in self.ready:
                worker.orders.sharing = len(self.ready)

    def _note_loss(self, worker: PoolWorker, lost: LostWorker) -> None:
        """Count a lost worker."""
        self._lost += 1
        self._lost_in_a_row += 1
        if worker.facts is not None:
            self._most_in_a_row = LOSSES_IN_A_ROW
        in_flight = sum(len(samples) for _, samples in worker.outstanding.values())
        self.record(
            "lost", worker, samples=in_flight, message=lost.reason[:300], detail=lost.detail[:1000]
        )

    def _forget_losses(self) -> None:
        """Begin to count losses anew."""
        self._lost_in_a_row, self._most_in_a_row = 0, STARTS_IN_A_ROW

    def _check_losses(self, lost: LostWorker) -> None:
        """Refuse to go on where workers are lost one after the other, and none answers.

        Raises:
            ModelError: So it is.
        """
        if self._lost_in_a_row >= self._most_in_a_row + self.claim.workers:
            raise ModelError(
                f"{self.name}: {self._lost_in_a_row} workers were lost one after the other, with "
                f"no answer in between, the last with: {lost.reason[:300]}. What was answered is "
                "kept; mend the cause and repeat the command."
            )

    def _make_room(self) -> None:
        """If no worker has started after a while, end the idle ones of other models, and say it."""
        oldest = min((worker.began for worker in self.workers), default=time.monotonic())
        if time.monotonic() - oldest < PLACING_SECONDS or self._told_of_waiting:
            return
        self._told_of_waiting = True
        for pool in [*self._others]:
            if pool is not self and pool.is_idle:
                pool.stop()
        cpus, gpus = self.claim.cpus, self.claim.gpus
        claimed = ("1 core" if cpus == 1 else f"{cpus:g} cores") + (
            f" and {gpus:g} GPU{'' if gpus == 1 else 's'}" if gpus else ""
        )
        self._runtime.events.announce(
            "workers_awaited",
            f"{self.name}: no worker is ready yet; each claims {claimed} of the Ray cluster, and "
            "ray status says what is free.",
            model=self.name,
            cpus=cpus,
            gpus=gpus,
        )

    def dismiss(self, worker: PoolWorker) -> None:
        """End one worker, which has failed."""
        worker.remote.end()
        self.workers.remove(worker)
        self.record("failed", worker)

    def describe(self) -> str:
        """Returns how many workers are at work, and how many were lost, in a few words."""
        ready = len(self.ready)
        words = f"{ready:,} worker" if ready == 1 else f"{ready:,} workers"
        return f"{words}, {self._lost:,} lost" if self._lost else words

    def flush(self) -> None:
        """Tell every worker what there is to tell."""
        for worker in self.ready:
            if not worker.orders.is_empty:
                orders, worker.orders = worker.orders, WorkerOrders()
                worker.remote.tell(orders)

    def stop(self) -> None:
        """End all workers; asked again, they are started again."""
        for worker in self.workers:
            worker.remote.end()
            self.record("ended", worker)
        self.workers.clear()
        self._forget_losses()
        self._told_of_waiting = False
