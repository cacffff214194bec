"""Asking a few of the missing requests, to see how long answers are and how fast they come."""

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing

from potstill.asking import ask_requests
from potstill.keys import settings_hash
from potstill.models import Model, open_model
from potstill.models.arrivals import completions, one_by_one
from potstill.models.settings import ModelSettings
from potstill.plan.needs import Ledger
from potstill.plan.pace import Probe
from potstill.plan.planning import asked_teacher
from potstill.plan.stages import rationales
from potstill.records import Completion, Request, Teacher
from potstill.run import Run
from potstill.teaching import FIRST


def probe_run(run: Run, count: int) -> dict[str, Probe]:
    """Ask each teacher for some of the rationales that lack, spread over the questions.

    They are asked as the generate stage asks them: the answers are stored, paid for once and
    counted in the run's account, and the stage does not ask for them again.

    Args:
        run: Opened for writing.
        count: Requests to each teacher, with all their samples.

    Raises:
        ModelError: A teacher cannot be asked.
        BudgetError: The budget does not allow it.
    """
    return {
        name: _probe(run, name, settings, count)
        for name, settings in run.recipe.named_teachers.items()
    }


def _probe(run: Run, name: str, settings: ModelSettings, count: int) -> Probe:
    opened = run.teacher if name == FIRST else open_model(settings, run.control)
    model = _Timed(opened)
    run.store.remember_teacher(
        Teacher(name=model.name, chat=model.chat),
        settings_hash=settings_hash(settings.model_dump(mode="json")),
    )
    asked = asked_teacher(run, name, settings)
    need = rationales(run, Ledger(run.store), asked)[0]
    chosen = spread(need.sure, count)
    label = "probe" if name == FIRST else f"probe of {name}"
    begin = time.monotonic()
    counts = ask_requests(
        model, run.store, chosen, asked.asking, run.meter, label=label, stage="generate"
    )
    seconds = time.monotonic() - begin
    run.control.rest()  # the next may need the same memory
    return Probe(
        requests=len(chosen),
        samples=counts.stored,
        failed=counts.failed,
        seconds=seconds,
        latency=model.latency,
    )


def spread(requests: Sequence[Request], count: int) -> list[Request]:
    """So many of the requests, at equal distances; all of them where there are fewer."""
    count = min(count, len(requests))
    return [requests[place * len(requests) // count] for place in range(count)]


class _Timed(Model):
    """A model that notes how long its answers take."""

    def __init__(self, model: Model) -> None:
        self.name, self.chat = model.name, model.chat
        self._model = model
        self._seconds: list[float] = []

    @property
    def latency(self) -> float:
        """Seconds from a request to its first completion, on average; 0 where there was none."""
        return sum(self._seconds) / len(self._seconds) if self._seconds else 0.0

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer requests; see :class:`potstill.models.base.Model`."""
        return one_by_one(self.complete_in_groups(requests))

    def complete_in_groups(self, requests: Iterable[Request]) -> Generator[list[Completion]]:
        """Answer requests; see :class:`potstill.models.base.Grouping`."""
        sent: dict[Request, float] = {}

        def noted() -> Iterator[Request]:
            for request in requests:
                sent[request] = time.monotonic()
                yield request

        with closing(completions(self._model, noted())) as groups:
            for group in groups:
                came = time.monotonic()
                begun = (sent.pop(completion.request, None) for completion in group)
                self._seconds += [came - begin for begin in begun if begin is not None]
                yield group
