"""The connection to a Ray cluster, and the workers that run on it.

Nothing else imports Ray. Its actors, and not the stages of Ray Data, are the workers: an answer is
stored when it is there and not when its whole block is, what is in flight has a bound, and a run
that is stopped lets it arrive.
"""

import logging
import os
import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import current_thread, main_thread
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from potstill.errors import ModelError, extra
from potstill.models.cluster.messages import WorkerOrders, WorkerReport, WorkerStart
from potstill.models.cluster.settings import RunOnSettings
from potstill.models.cluster.worker import ModelWorker
from potstill.models.settings import LocalSettings, ModelSettings, VLLMSettings

with extra("ray", needed_for="run_on: ray"):
    import ray
    from ray._private import worker as ray_worker
    from ray.exceptions import RayActorError, RayError, RaySystemError, RayTaskError

HEAR_SECONDS = 1.0
"""How long a worker is listened to that says nothing; it then tells what it is at."""

WAITING_CORES = 0.1
"""Cores that a worker claims which only waits for a server: ten of them fit on one."""

CALLS_AT_ONCE = 4
"""Threads of a worker: one is listened to, others take orders."""


REACH_SECONDS = 10.0
"""How long a cluster's port is waited for."""


class LostWorker(NamedTuple):
    """A worker whose process, node or connection is gone."""

    reason: str
    """The reason, in a few words."""

    detail: str = ""
    """Ray's own message about it."""


class Claim(NamedTuple):
    """The cores and GPUs that each worker of a model claims, and the number of workers."""

    workers: int
    cpus: float
    gpus: float


class RayWorker:
    """A worker on the cluster, as the process sees it that stores its answers.

    Args:
        number: Its number in the log, unique among the model's workers.
        start: The settings and state that it begins with.
        claim: The cores and GPUs that it claims of its node.
    """

    def __init__(self, number: int, start: WorkerStart, claim: Claim) -> None:
        self.number = number
        actor: Any = ray.remote(ModelWorker)
        placed = actor.options(
            num_cpus=claim.cpus,
            num_gpus=claim.gpus,
            max_concurrency=CALLS_AT_ONCE,
            scheduling_strategy="SPREAD",
        )
        self._actor = placed.remote(start)
        self.heard: Any = self._actor.hear.remote(HEAR_SECONDS)
        """The report that it is listened to for."""

    def read(self) -> WorkerReport | LostWorker:
        """Returns the report that has come, and listens on.

        Raises:
            RayTaskError: It has a defect.
        """
        try:
            report: WorkerReport = ray.get(self.heard)
        except RayTaskError:
            raise
        except (RayActorError, RaySystemError, RayError) as error:
            self.end()
            return _lost(error)
        self.heard = self._actor.hear.remote(HEAR_SECONDS)
        return report

    def tell(self, orders: WorkerOrders) -> None:
        """Tell it something; one that is lost is noticed when it is listened to."""
        with suppress(RayError):
            self._actor.tell.remote(orders)

    def end(self) -> None:
        """End its process."""
        with suppress(RayError, ValueError):
            ray.kill(self._actor)


def _lost(error: RayError) -> LostWorker:
    """Returns why a worker was lost, by what Ray says of it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    detail = " ".join(" ".join(lines).split())
    if "node has died" in detail or "node was terminated" in detail:
        return LostWorker("its node was lost", detail)
    if "creation task" in detail:
        return LostWorker(lines[-1].strip(), detail)
    if "process has died" in detail:
        return LostWorker("its process ended", detail)
    return LostWorker(lines[0].strip(), detail)


class RayCluster:
    """A Ray cluster.

    Args:
        settings: The cluster's address, and what workers claim.

    Raises:
        ModelError: There is none at that address.
    """

    def __init__(self, settings: RunOnSettings) -> None:
        self._settings = settings
        if not ray.is_initialized():
            _connect(settings.address)

    def claim(self, settings: ModelSettings) -> Claim:
        """Returns what the workers of a model claim, by what the cluster has now.

        Args:
            settings: The model's.
        """
        chosen = self._settings
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        all_gpus = sum(node.get("GPU", 0.0) for node in nodes)
        all_cores = sum(node.get("CPU", 0.0) for node in nodes)
        computes = isinstance(settings, LocalSettings | VLLMSettings)
        cpus, gpus = chosen.cpus, chosen.gpus
        if cpus is None:
            cpus = 1.0 if computes else WAITING_CORES
        if gpus is None:
            gpus = _gpus_of(settings) if computes and all_gpus else 0.0
        workers = chosen.workers
        if workers is None and not computes:
            workers = len(nodes)
        elif workers is None:
            workers = int(all_gpus / gpus) if gpus else int(all_cores / max(2 * cpus, 1.0))
        return Claim(max(workers, 1), cpus, gpus)

    def ready(self, workers: Iterable[RayWorker], seconds: float) -> list[RayWorker]:
        """Returns the workers that have something to say, waiting for one at most so long."""
        by_report = {worker.heard: worker for worker in workers}
        if not by_report:
            return []
        waiting = list(by_report)
        heard, _ = ray.wait(waiting, num_returns=1, timeout=seconds, fetch_local=False)
        if heard:  # and whoever else has spoken meanwhile
            heard, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)
        return [by_report[report] for report in heard]


def _gpus_of(settings: ModelSettings) -> float:
    """Returns the GPUs that one engine of a model computes on."""
    options = settings.options if isinstance(settings, VLLMSettings) else {}
    sizes = [options.get(f"{kind}-parallel-size") for kind in ("tensor", "pipeline", "data")]
    gpus = 1
    for size in sizes:
        gpus *= size if isinstance(size, int) else 1
    return float(gpus)


def _connect(address: str) -> None:
    """Connect to a cluster, or start one of this process's own.

    Raises:
        ModelError: There is none at that address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    own = {"include_dashboard": False} if address == "local" else {}
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, **own}
    try:
        _reach(os.environ.get("RAY_ADDRESS", address) if address == "auto" else address)
        with _own_signals():
            ray.init(address=address, **options)
        # It prints what befalls nodes to standard output, where results stand; the log has it.
        if hasattr(ray_worker, "print_to_stdstream"):
            ray_worker.print_to_stdstream = _print_nothing
    except (OSError, RayError, RuntimeError, ValueError) as error:
        raise ModelError(_no_cluster(address, error)) from error


def _reach(address: str) -> None:
    """Open a connection to a cluster's port and close it: Ray waits minutes for one that is not.

    Raises:
        OSError: Nobody is there.
    """
    url = urlsplit(address if "://" in address else f"//{address}")
    if url.hostname is not None and url.port is not None:
        socket.create_connection((url.hostname, url.port), REACH_SECONDS).close()


def _print_nothing(*_: object, **__: object) -> None:
    """Replaces the function that prints Ray's messages."""


def _no_cluster(address: str, error: BaseException) -> str:
    reason = " ".join(str(error).split()).rstrip(".")
    if address == "local":
        return f"Ray does not start on this machine: {reason}"
    wanted = "no Ray cluster runs here" if address == "auto" else f"no Ray cluster is at {address}"
    start = "ray start --head" + (
        " --ray-client-server-port=10001" if address.startswith("ray://") else ""
    )
    return (
        f"{wanted} (run_on.address: {address}). Start one with: {start}; or set run_on.address to "
        f"local, for one of this command's own, or to where one is. Ray says: {reason}."
    )


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of signals that Ray would put its own in the place of."""
    if current_thread() is not main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
