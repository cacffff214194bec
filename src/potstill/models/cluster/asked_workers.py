"""One piece of asking by all workers of a model: who gets which request, and what came of it."""

import heapq
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

from potstill import errors
from potstill.errors import BudgetError, PotstillError
from potstill.models.cluster.messages import WantedTry, WorkerFault, WorkerReport
from potstill.models.cluster.worker_pool import PoolWorker, WorkerPool
from potstill.records import Completion, Request
from potstill.runtime import Runtime
from potstill.store.probability_codec import ProbabilityForm

RELAYED = ("record", "announce", "retried", "failed")
"""The methods of the run's log that workers may call."""


class WorkersFailed(RuntimeError):
    """A worker came upon a defect of ours; the message has its traceback."""


class AskedWorkers:
    """Requests put to a model's workers, until all are answered or given up.

    Args:
        pool: The workers.
        runtime: The run's budget, log and stop signal.
        requests: The requests, taken as workers have room.
        ahead: Returns how many requests one of so many workers has at once at most.
        form: The form in which workers pack token probabilities; None: they come as numbers.
    """

    def __init__(
        self,
        pool: WorkerPool,
        runtime: Runtime,
        requests: Iterator[Request],
        ahead: Callable[[int], int],
        form: ProbabilityForm | None = None,
    ) -> None:
        self._pool, self._runtime, self._ahead, self._form = pool, runtime, ahead, form
        self._requests: Iterator[Request] | None = requests
        self._again = deque[Request]()
        """Requests that lost workers had in flight; asked last, as they may have caused it."""

        self._wanted = deque[tuple[PoolWorker, WantedTry]]()
        self._unstored = Counter[PoolWorker]()
        self._error: Exception | None = None
        self.halted = False
        """Whether nothing new is sent."""

    def groups(self) -> Generator[list[Completion]]:
        """Yields what has arrived, once the caller says by asking on that the last is stored.

        Raises:
            PotstillError: The model cannot go on; all that arrived was yielded.
        """
        while True:
            if self._runtime.stop.is_set():
                self._halt()
            if not self.halted:
                self._give_out()
            self._pool.flush()
            if self._is_done:
                break
            arrived = self.take_reports()
            if arrived:
                yield arrived
            for worker, count in self._unstored.items():
                worker.orders.stored += count
            self._unstored.clear()
        self.check()

    def check(self) -> None:
        """Raise what ended the asking."""
        if self._error is not None:
            raise self._error

    def take_reports(self) -> list[Completion]:
        """Returns the completions in what workers say now, and does what else they need."""
        arrived: list[Completion] = []
        try:
            for worker, said in self._pool.heard():
                if isinstance(said, WorkerReport):
                    arrived += self._take(worker, said)
                else:
                    self._ask_again(worker)
        except (PotstillError, WorkersFailed) as error:
            self._fail(error)
        if not self.halted:
            self._grant()
            self._pool.fill()
        self._show()
        return arrived

    def end(self) -> None:
        """Settle the tries that are under way: they may have been paid for."""
        for worker in self._pool.workers:
            self._settle(worker)
        events = self._runtime.events
        events.in_flight = events.writing = 0
        events.notes.pop(self._pool.name, None)

    @property
    def _is_done(self) -> bool:
        if self.halted:
            return not any(worker.outstanding for worker in self._pool.workers)
        return self._requests is None and not self._again and self._pool.is_idle

    def _halt(self) -> None:
        """Have nothing new sent; what is in flight is awaited."""
        if self.halted:
            return
        self.halted = True
        self._wanted.clear()
        for worker in self._pool.ready:
            worker.orders.stop = True

    def _fail(self, error: Exception) -> None:
        """End the asking by an error, once what is in flight has arrived."""
        self._error = self._error or error
        self._halt()

    def _give_out(self) -> None:
        """Give requests to workers with room, those with the fewest first."""
        ready = self._pool.ready
        most = self._ahead(len(ready)) if ready else 0
        by_load = [
            (len(worker.outstanding), place)
            for place, worker in enumerate(ready)
            if len(worker.outstanding) < most
        ]
        heapq.heapify(by_load)
        while by_load and (request := self._next_request()) is not None:
            load, place = by_load[0]
            ready[place].give(next(self._pool.request_numbers), request, self._form)
            if load + 1 < most:
                heapq.heapreplace(by_load, (load + 1, place))
            else:
                heapq.heappop(by_load)

    def _next_request(self) -> Request | None:
        if self._requests is not None:
            if (request := next(self._requests, None)) is not None:
                return request
            self._requests = None
        return self._again.popleft() if self._again else None

    def _take(self, worker: PoolWorker, report: WorkerReport) -> list[Completion]:
        """Returns the completions in a report, and keeps all else that it says."""
        events, budget = self._runtime.events, self._runtime.budget
        for event in report.events:
            assert event.how in RELAYED
            getattr(events, event.how)(*event.words, **event.fields)
        for key, paid in report.ended:
            budget.end(worker.tries.pop(key), paid)
        self._wanted += ((worker, wanted) for wanted in report.wanted)
        arrived = []
        for number, completion in report.completions:
            request = worker.take(number, completion.sample)
            arrived.append(replace(completion, request=request))
        self._unstored[worker] += len(arrived)
        for number in report.over:
            worker.outstanding.pop(number)
        if report.fault is not None:
            self._pool.dismiss(worker)
            self._settle(worker)
            self._fail(_error_of(report.fault, worker.node))
        return arrived

    def _ask_again(self, worker: PoolWorker) -> None:
        """Have others asked for what a lost worker had in flight."""
        for request, samples in worker.outstanding.values():
            missing = tuple(sample for sample in request.samples if sample in samples)
            self._again.append(replace(request, samples=missing))
        worker.outstanding.clear()
        self._unstored.pop(worker, None)
        self._settle(worker)

    def _settle(self, worker: PoolWorker) -> None:
        """Settle the tries of a worker of which nothing more is heard, at their most."""
        for number in worker.tries.values():
            self._runtime.budget.end(number, None)
        worker.tries.clear()
        self._wanted = deque(entry for entry in self._wanted if entry[0] is not worker)

    def _grant(self) -> None:
        """Set tries aside, in the order in which they were wanted, and let them be sent."""
        while self._wanted:
            worker, wanted = self._wanted[0]
            try:
                number = self._runtime.budget.begin(wanted.most)
            except BudgetError as error:
                self._fail(error)
                return
            if number is None:
                return
            self._wanted.popleft()
            worker.tries[wanted.key] = number
            worker.orders.granted.append(wanted.key)

    def _show(self) -> None:
        """Bring the view of the run up to date."""
        gauges = [worker.gauges for worker in self._pool.workers]
        events = self._runtime.events
        events.in_flight = sum(gauge.in_flight for gauge in gauges)
        events.limit = sum(gauge.limit for gauge in gauges)
        events.writing = sum(gauge.writing for gauge in gauges)
        paused = dict.fromkeys(note for gauge in gauges for note in gauge.notes.values())
        events.notes[self._pool.name] = "  ".join([self._pool.describe(), *paused])


def _error_of(fault: WorkerFault, node: str) -> Exception:
    """Returns the error that a worker's fault stands for."""
    kind = getattr(errors, fault.kind, None) if fault.kind else None
    where = f"the worker on {node}: " if node else ""
    if kind is None:
        return WorkersFailed(f"{where}{fault.message}")
    if not issubclass(kind, errors.ModelError | errors.MissingExtraError | BudgetError):
        kind = errors.ModelError
    error: Exception = kind(f"{where}{fault.message}")
    return error
