"""Adaptive concurrency and limits a minute, on a loop whose clock the test turns."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from potstill.models.openai.rate_limit import START, Concurrency, Rate, RateLimiter
from potstill.models.settings import OpenAISettings
from potstill.runtime.events import EventLog


class TurnedLoop(asyncio.SelectorEventLoop):
    """A loop that takes no time: where nothing is ready, its clock jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def run(main: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=TurnedLoop) as runner:
        return runner.run(main)


class Server:
    """Takes ``capacity`` tries at once, each for a second, and refuses the others at once."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.busy, self.refused, self.most = capacity, 0, 0, 0

    async def answer(self) -> bool:
        if self.busy >= self.capacity:
            self.refused += 1
            await asyncio.sleep(0.05)
            return False
        self.busy += 1
        self.most = max(self.most, self.busy)
        await asyncio.sleep(1.0)
        self.busy -= 1
        return True


async def ask_all(server: Server, concurrency: Concurrency, requests: int) -> float:
    """Ask until all are answered; the seconds it took."""

    async def one() -> None:
        answered = False
        while not answered:
            await concurrency.enter()
            answered = await server.answer()
            concurrency.outcome(refused=not answered)
            concurrency.leave()

    start = asyncio.get_running_loop().time()
    await asyncio.gather(*(one() for _ in range(requests)))
    return asyncio.get_running_loop().time() - start


def test_the_limit_doubles_each_round_trip_until_the_ceiling() -> None:
    concurrency = Concurrency(400, EventLog())
    server = Server(10_000)
    # 128 in the first second, 256 in the next, and from then on 400 a second.
    assert run(ask_all(server, concurrency, 128 + 256 + 400 + 400)) == pytest.approx(4.0)
    assert concurrency.limit == 400 and server.most == 400


@pytest.mark.parametrize("capacity", [3, 20, 150])
def test_a_server_that_takes_so_many_is_kept_full_and_seldom_refuses(capacity: int) -> None:
    concurrency, server = Concurrency(1000, EventLog()), Server(capacity)
    requests = capacity * 60
    seconds = run(ask_all(server, concurrency, requests))
    assert seconds < 60 * 1.25, "it takes 60 seconds at best"
    first = max(START - capacity, 0)  # the first burst knows nothing yet
    assert server.refused - first < 0.6 * requests
    assert capacity * 0.5 <= concurrency.limit <= capacity * 1.5 + 2


def test_refusals_that_have_nothing_to_do_with_load_leave_some_concurrency() -> None:
    concurrency = Concurrency(256, EventLog())

    async def ask_on(draws: random.Random) -> None:
        while True:
            await concurrency.enter()
            await asyncio.sleep(1.0)
            concurrency.outcome(refused=draws.random() < 0.05)
            concurrency.leave()

    async def mixed() -> list[float]:
        draws, limits = random.Random(0), list[float]()
        asking = [asyncio.create_task(ask_on(draws)) for _ in range(300)]
        for _ in range(10):
            await asyncio.sleep(30)
            limits.append(concurrency.limit)
        for task in asking:
            task.cancel()
        return limits

    # One a round trip is won, and a twentieth of the limit lost.
    limits = run(mixed())
    assert min(limits[1:]) >= 10 and max(limits[1:]) <= 40


def test_a_server_that_was_down_is_filled_again() -> None:
    async def down_then_up() -> float:
        concurrency = Concurrency(256, EventLog())
        while concurrency.limit > 1:
            concurrency.outcome(refused=True)
        return float(await ask_all(Server(10_000), concurrency, 2000))

    assert run(down_then_up()) < 40


def test_the_limit_never_falls_below_one() -> None:
    async def refused_always() -> float:
        concurrency = Concurrency(8, EventLog())
        for _ in range(1000):
            concurrency.outcome(refused=True)
        return concurrency.limit

    assert run(refused_always()) >= 1


def test_a_place_that_is_given_up_while_waiting_is_not_lost() -> None:
    async def cancelled() -> int:
        concurrency = Concurrency(1, EventLog())
        await concurrency.enter()
        waiting = [asyncio.create_task(concurrency.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        concurrency.leave()
        waiting[1].cancel()  # the place was just handed to it
        await asyncio.gather(*waiting[:2], return_exceptions=True)
        await asyncio.wait_for(waiting[2], 1.0)
        return concurrency.in_flight

    assert run(cancelled()) == 1


def test_a_minute_is_spread_evenly_and_corrected_afterwards() -> None:
    async def taken() -> list[float]:
        rate = Rate(60)
        starts = [rate.take(1, at=0), rate.take(1, at=0), rate.take(3, at=0)]
        rate.correct(-2)  # it was one, not three
        return [*starts, rate.take(1, at=0), rate.take(1, at=60)]

    assert run(taken()) == pytest.approx([0.0, 1.0, 2.0, 3.0, 60.0])


def test_no_limit_never_waits() -> None:
    async def taken() -> float:
        rate = Rate(None)
        return max(rate.take(1e9, at=0) for _ in range(100))

    assert run(taken()) == 0.0


def test_the_longest_of_pause_and_limits_counts() -> None:
    async def waits() -> list[float]:
        settings = OpenAISettings(model="openai:m", requests_per_minute=60, tokens_per_minute=6000)
        pace = RateLimiter(settings, EventLog())
        first = pace.wait(500)  # a request a second, a hundred tokens a second
        second = pace.wait(10)
        pace.pause(30)
        return [first, second, pace.wait(10), pace.paused]

    assert run(waits()) == pytest.approx([0.0, 5.0, 30.0, 30.0])
