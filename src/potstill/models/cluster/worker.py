"""A worker: opens one model and answers what it is given, until its process is ended.

It knows nothing of Ray, whose actor it becomes: :meth:`ModelWorker.hear` and
:meth:`ModelWorker.tell` are called from other threads than the one in which the model works.
"""

import os
import platform
import traceback
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from threading import Condition, Thread

import potstill
from potstill.errors import ModelError, PotstillError
from potstill.models.cluster.messages import (
    NO_REQUEST,
    ModelFacts,
    WorkerFault,
    WorkerGauges,
    WorkerOrders,
    WorkerReport,
    WorkerStart,
)
from potstill.models.cluster.relayed_runtime import RelayedBudget, RelayedEvents, WorkerOutbox
from potstill.models.interface import Model
from potstill.records import Completion, Request
from potstill.runtime import Runtime
from potstill.runtime.number_formats import NumberFormats
from potstill.store.packed_logprobs import with_packed_logprobs
from potstill.store.probability_codec import ProbabilityForm


class ModelWorker:
    """One model in a process of its own.

    Args:
        start: The model, and what the run knows of it.
    """

    def __init__(self, start: WorkerStart) -> None:
        self._start = start
        self._outbox = WorkerOutbox()
        self._budget = RelayedBudget(self._outbox)
        self._events = RelayedEvents(self._outbox)
        formats = NumberFormats(former=start.former, choices=start.number_formats)
        self._runtime = Runtime(budget=self._budget, events=self._events, number_formats=formats)
        self._feed = RequestFeed()
        self._form: ProbabilityForm | None = None
        self._unstored = 0
        self._some_stored = Condition()
        Thread(target=self._work, name="potstill-worker", daemon=True).start()

    def hear(self, seconds: float) -> WorkerReport:
        """Returns what there is to say, waiting for it at most so long."""
        report = self._outbox.take(seconds)
        events = self._events
        notes = dict(events.notes)
        report.gauges = WorkerGauges(events.in_flight, events.limit, events.writing, notes)
        return report

    def tell(self, orders: WorkerOrders) -> None:
        """Take orders."""
        if orders.sharing is not None:
            self._runtime.sharing.among = orders.sharing
        if orders.granted:
            self._budget.grant(orders.granted)
        if orders.stored:
            with self._some_stored:
                self._unstored -= orders.stored
                self._some_stored.notify_all()
        if orders.requests:
            self._form = orders.form
        self._feed.add(orders.requests)
        if orders.stop:
            self._runtime.stop.set()
            dropped = self._feed.drop()
            self._outbox.add(lambda report: report.over.extend(dropped))

    def _work(self) -> None:
        """Open the model and answer, in a thread of its own."""
        try:
            model = self._opened()
            while self._feed.wait():
                try:
                    self._answer(model)
                finally:
                    self._budget.give_up()
                    self._outbox.add(partial(_say_idle, *self._feed.end()))
        except PotstillError as error:
            self._say_fault(WorkerFault(type(error).__name__, str(error)))
        except BaseException:  # noqa: BLE001 - it is raised where answers are stored
            self._say_fault(WorkerFault("", traceback.format_exc()))

    def _opened(self) -> Model:
        """Returns the model.

        Raises:
            ModelError: It is not that of the process that stores.
        """
        start = self._start
        if start.version != potstill.__version__:
            raise ModelError(
                f"it has potstill {potstill.__version__}, and this process {start.version}; "
                "install the same on every node."
            )
        model = start.settings.open(self._runtime).opened()
        if model.name != start.name:
            raise ModelError(
                f"its {start.settings.model} is {model.name}, and here it is {start.name}; give "
                "every node the same files."
            )
        facts = ModelFacts(
            name=model.name,
            node=platform.node(),
            pid=os.getpid(),
            engine=model.engine,
            number_format=model.number_format,
            scores_texts=model.scores_texts,
            token_names=model.token_names,
            number_formats=self._runtime.number_formats.choices,
        )

        def say(report: WorkerReport) -> None:
            report.facts = facts

        self._outbox.add(say)
        return model

    def _answer(self, model: Model) -> None:
        """Answer what there is and what comes meanwhile, each group once the last is stored."""
        for group in model.complete_in_groups(self._feed):
            form = self._form
            if form is not None:
                group = [with_packed_logprobs(completion, form) for completion in group]
            numbered = self._feed.numbered(group)
            with self._some_stored:
                self._unstored += len(numbered)
            self._outbox.add(partial(_say_answered, numbered))
            with self._some_stored:
                self._some_stored.wait_for(lambda: self._unstored <= 0)

    def _say_fault(self, fault: WorkerFault) -> None:
        def say(report: WorkerReport) -> None:
            report.fault = fault

        self._outbox.add(say)


def _say_idle(over: list[int], given: int, report: WorkerReport) -> None:
    """Note that a worker has nothing left to do."""
    report.over += over
    report.idle_after = given


def _say_answered(numbered: list[tuple[int, Completion]], report: WorkerReport) -> None:
    """Hand completions over."""
    report.completions += numbered


class RequestFeed(Iterator[Request]):
    """The requests that wait, whenever the model asks for more. Thread-safe.

    It ends where nothing waits and goes on when it is asked again, so that what has come meanwhile
    joins what is under way.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._waiting: deque[tuple[int, Request]] = deque()
        self._given = 0
        self._under_way: dict[Request, deque[tuple[int, set[int]]]] = {}
        """The numbers and the missing samples of requests that the model was given; what was given
        twice is answered in turn."""

    def __next__(self) -> Request:
        with self._changed:
            if not self._waiting:
                raise StopIteration
            number, request = self._waiting.popleft()
            self._under_way.setdefault(request, deque()).append((number, set(request.samples)))
            return request

    def add(self, requests: list[tuple[int, Request]]) -> None:
        """Let further requests wait."""
        with self._changed:
            self._waiting += requests
            self._given += len(requests)
            self._changed.notify_all()

    def drop(self) -> list[int]:
        """Let nothing wait any more; returns the numbers of what waited."""
        with self._changed:
            dropped = [number for number, _ in self._waiting]
            self._waiting.clear()
            return dropped

    def wait(self) -> bool:
        """Wait until there is a request; True once there is."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._waiting))

    def numbered(self, group: list[Completion]) -> list[tuple[int, Completion]]:
        """Returns completions with the numbers of their requests, and without the requests."""
        numbered = []
        with self._changed:
            for completion in group:
                number = self._number(completion)
                numbered.append((number, replace(completion, request=NO_REQUEST)))
        return numbered

    def _number(self, completion: Completion) -> int:
        entries = self._under_way[completion.request]
        number, missing = next(
            (entry for entry in entries if completion.sample in entry[1]), entries[0]
        )
        missing.discard(completion.sample)
        if not missing:
            entries.remove((number, missing))
            if not entries:
                del self._under_way[completion.request]
        return number

    def end(self) -> tuple[list[int], int]:
        """Forget what the model was given and has not answered.

        Returns:
            The numbers of those requests, and how many had come in all when none waited; a request
            that still waits is answered next.
        """
        with self._changed:
            over = [number for entries in self._under_way.values() for number, _ in entries]
            self._under_way.clear()
            return over, self._given - len(self._waiting)
