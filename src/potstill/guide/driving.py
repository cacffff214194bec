"""Many guided answers at once: in rounds, each of the two asked for all that is wanted of it."""

from collections.abc import Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from potstill.asking import ask
from potstill.guide.parts import Ask, Who
from potstill.models.base import Model
from potstill.progress import Meter
from potstill.records import Completion, Request
from potstill.rounds import in_rounds
from potstill.store import Store

STAGE = "guide"
"""The stage that pays for what is asked here."""

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(kw_only=True, slots=True)
class Rounds:
    """Drives generators by the store: what is there is not asked for again.

    Whatever was stored when, the same is asked and refused, so that a stage that was killed and
    repeated decides as one that was not.
    """

    models: Mapping[Who, Model]
    store: Store
    meter: Meter
    budget: int | None = None
    """Most teacher tokens in all; None: no limit."""

    spent: int = 0
    """Teacher tokens so far, each request counted once."""

    refused: int = 0
    """Teacher requests that the budget did not allow."""

    _paid: set[tuple[Request, int]] = field(default_factory=set)

    def drive(
        self, answerings: Mapping[K, Generator[Ask, Sequence[Completion], T]], *, label: str
    ) -> dict[K, T]:
        """Drive generators to their ends.

        Args:
            answerings: By any key; they are asked for in this order.
            label: What the meter calls it.

        Returns:
            What each came to, by the same keys.
        """

        def answered(asks: Sequence[Ask]) -> list[Sequence[Completion]]:
            answers = self._answers(asks, label)
            return [answers[each.who, each.request] for each in asks]

        return in_rounds(answerings, answered)

    def _answers(
        self, asks: Sequence[Ask], label: str
    ) -> dict[tuple[Who, Request], list[Completion]]:
        found: dict[tuple[Who, Request], list[Completion]] = {}
        for who in self.models:
            requests = list(dict.fromkeys(each.request for each in asks if each.who == who))
            if requests:
                allowed = self._allowed(requests, label) if who == "teacher" else requests
                self._ask(who, allowed, label)
                kept = set(allowed)
                for request in requests:
                    found[who, request] = self._stored(who, request) if request in kept else []
        return found

    def _ask(self, who: Who, requests: Sequence[Request], label: str) -> None:
        if requests:
            told = f"{label}, {who}"
            ask(self.models[who], self.store, requests, self.meter, label=told, stage=STAGE)

    def _stored(self, who: Who, request: Request) -> list[Completion]:
        rows = self.store.completions(
            self.models[who].name, request, logprobs=request.top_logprobs > 0
        )
        return [row.completion for row in rows]

    def _allowed(self, requests: Sequence[Request], label: str) -> list[Request]:
        """The requests that the budget allows, asked for; what was paid for is free.

        As many are asked at a time as it allows were they all as long as they may be.
        """
        if self.budget is None:
            return list(requests)
        allowed: list[Request] = []
        left = list(requests)
        while left:
            batch, reserved = [], 0
            for request in left:
                reserved += 0 if self._is_paid(request) else _longest(request)
                if self.spent + reserved > self.budget:
                    break
                batch.append(request)
            if not batch:
                break
            self._ask("teacher", batch, label)
            for request in batch:
                self._pay(request)
            allowed += batch
            left = left[len(batch) :]
        free = [request for request in left if self._is_paid(request)]
        self.refused += len(left) - len(free)
        return allowed + free

    def _is_paid(self, request: Request) -> bool:
        return all((_bare(request), sample) in self._paid for sample in request.samples)

    def _pay(self, request: Request) -> None:
        for completion in self._stored("teacher", request):
            if (_bare(request), completion.sample) not in self._paid:
                self._paid.add((_bare(request), completion.sample))
                self.spent += completion.completion_tokens


def _bare(request: Request) -> Request:
    """A request as it is the same for all of its samples."""
    return replace(request, samples=(0,))


def _longest(request: Request) -> int:
    return request.max_tokens * len(request.samples)
