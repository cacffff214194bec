"""Workers of a cluster that are threads of the test's process: quick, and lost when a test says."""

import time
from collections.abc import Callable, Iterable

import pytest

from potstill.models import Model, ModelSettings, open_model
from potstill.models.cluster import remote_model, worker_pool
from potstill.models.cluster.messages import WorkerOrders, WorkerReport, WorkerStart
from potstill.models.cluster.ray_cluster import Claim, LostWorker
from potstill.models.cluster.settings import RunOnSettings
from potstill.models.cluster.worker import ModelWorker
from potstill.pipeline.run_runtime import opened_on
from potstill.runtime import Runtime


class LocalWorkers:
    """The workers that were started, in their order, and what is done with the next."""

    def __init__(self) -> None:
        self.started: list[LocalWorker] = []
        self.lost_at_start = 0
        """The number of the next workers that are lost before they say anything."""

        self.before_report: Callable[[LocalWorker], None] = lambda _: None
        """Called with a worker whose report is about to be read."""

    @property
    def alive(self) -> "list[LocalWorker]":
        return [worker for worker in self.started if not worker.is_lost]


class LocalWorker:
    """Stands for a worker on a cluster."""

    def __init__(self, workers: LocalWorkers, number: int, start: WorkerStart) -> None:
        self._workers = workers
        self.number = number
        self.inside = ModelWorker(start)
        self.is_lost = False
        self.told: list[WorkerOrders] = []
        workers.started.append(self)
        if workers.lost_at_start:
            workers.lost_at_start -= 1
            self.lose()

    def lose(self) -> None:
        """Lose the worker: nothing that it has in flight arrives, and it sends no more."""
        self.is_lost = True
        self.inside._runtime.stop.set()

    @property
    def has_spoken(self) -> bool:
        return self.is_lost or not self.inside._outbox.report.is_empty

    def read(self) -> WorkerReport | LostWorker:
        self._workers.before_report(self)
        return LostWorker("it was killed") if self.is_lost else self.inside.hear(0)

    def tell(self, orders: WorkerOrders) -> None:
        if not self.is_lost:
            self.told.append(orders)
            self.inside.tell(orders)

    def end(self) -> None:
        self.lose()


class LocalCluster:
    """Stands for a cluster."""

    def __init__(self, settings: RunOnSettings) -> None:
        self._count = settings.workers or 1

    def claim(self, settings: ModelSettings) -> Claim:
        return Claim(self._count, 1.0, 0.0)

    def ready(self, workers: Iterable[LocalWorker], seconds: float) -> list[LocalWorker]:
        workers, until = list(workers), time.monotonic() + seconds
        while not (ready := [worker for worker in workers if worker.has_spoken]):
            if time.monotonic() > until:
                break
            time.sleep(0.0005)
        return ready


def use_local_workers(monkeypatch: pytest.MonkeyPatch) -> LocalWorkers:
    """Have workers be threads for the rest of a test."""
    workers = LocalWorkers()
    monkeypatch.setattr(
        worker_pool,
        "RayWorker",
        lambda number, start, claim: LocalWorker(workers, number, start),
    )
    monkeypatch.setattr(remote_model, "RayCluster", LocalCluster)
    return workers


def open_on_workers(settings: ModelSettings, runtime: Runtime, *, workers: int) -> Model:
    """Returns a model that so many workers answer for."""
    elsewhere = opened_on(RunOnSettings(workers=workers))
    on_cluster = Runtime(
        budget=runtime.budget,
        events=runtime.events,
        stop=runtime.stop,
        number_formats=runtime.number_formats,
        open_elsewhere=elsewhere,
    )
    return open_model(settings, on_cluster)
