"""The pace at which servers are asked: limits a minute, pauses, deadlines, and their capacity."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any

import pytest
from chaos import Chaos, Event
from chaos_wire import Habits
from commands import until
from loopback import Fault, Loopback, scripted

from potstill.errors import ModelError
from potstill.models.openai import first_answers
from potstill.models.openai.model import OpenAIModel
from potstill.models.openai.rate_limit import START
from potstill.models.openai.requests import request_body
from potstill.models.settings import OpenAISettings
from potstill.records import Completion, Request
from potstill.runtime import Runtime


def settings_of(url: str, **fields: Any) -> OpenAISettings:
    values = {"model": "openai:chaos", "base_url": url, "api_key_env": None, "timeout": 20.0}
    return OpenAISettings.model_validate(values | fields)


def questions(count: int, **fields: Any) -> list[Request]:
    return [
        Request(**{"prompt": f"Question {number}?", "max_tokens": 100, **fields})
        for number in range(count)
    ]


def ask(server: Chaos | Loopback, requests: Sequence[Request], **fields: Any) -> list[Completion]:
    return list(OpenAIModel(settings_of(server.url, **fields)).complete(requests))


def of_kind(server: Chaos, what: str) -> list[Event]:
    return [event for event in server.events if event["what"] == what]


def test_requests_per_minute_are_kept_tries_included() -> None:
    each = 0.02
    with Chaos(Habits(seed=1, kinds={"500": 1.0})) as server:
        start = time.monotonic()
        ask(server, questions(40), requests_per_minute=60 / each)
        arrived = [event["time"] - start for event in of_kind(server, "asked")]
    assert len(arrived) > 45
    assert all(at >= number * each for number, at in enumerate(arrived))
    assert arrived[-1] < 2 * len(arrived) * each + 3


def test_a_pause_is_not_made_up_for_at_its_end() -> None:
    each, slack = 0.03, 1.0  # made up for, fifty would come at once, 1.5 seconds too early
    with Loopback() as server:
        server.faults = [Fault()] * 3 + [Fault(status=429, headers={"Retry-After": "1.5"})]
        ask(server, questions(60), requests_per_minute=60 / each)
        at = server.times
    resumed = [later for later in at if later > at[3] + 1.4]
    assert len(resumed) > 40
    # At the most as many as the time since the pause allows, for any number of them.
    assert all(later - resumed[0] >= number * each - slack for number, later in enumerate(resumed))


def test_tokens_per_minute_are_kept_as_the_server_counts_them() -> None:
    a_second, most, concurrency = 4000, 100 + 50, 4
    with Chaos(Habits(seed=1, share=0.0)) as server:
        start = time.monotonic()
        ask(server, questions(80), tokens_per_minute=60 * a_second, concurrency=concurrency)
        bills = [(event["time"] - start, event["tokens"]) for event in of_kind(server, "billed")]
    assert len(bills) == 80
    so_far = 0
    for at, tokens in bills:
        # Requests that are sent and not answered yet may take more tokens than estimated.
        assert so_far <= a_second * at + concurrency * most
        so_far += tokens
    assert bills[-1][0] < 2 * so_far / a_second + 3


def headers_for(form: str) -> dict[str, str]:
    if form == "milliseconds":
        return {"retry-after-ms": "400"}
    later = formatdate(time.time() + 2, usegmt=True)  # in whole seconds, so 1 to 2 from now
    return {"Retry-After": later if form == "date" else "0.4"}


@pytest.mark.parametrize("form", ["seconds", "milliseconds", "date"])
def test_a_429_with_a_pause_holds_back_every_request(form: str) -> None:
    with Loopback() as server:
        server.faults = [Fault(status=429, headers=headers_for(form))]
        found = ask(server, questions(5), concurrency=1)
    assert [each.finish_reason for each in found] == ["stop"] * 5
    assert server.times[1] - server.times[0] >= 0.39


def test_a_503_with_a_pause_holds_back_its_own_request_alone() -> None:
    with Loopback() as server:
        server.faults = [Fault(status=503, headers={"Retry-After": "1"})]
        ask(server, questions(5), concurrency=1)
    failed = server.bodies[0]["messages"]
    again = [body["messages"] == failed for body in server.bodies]
    assert again == [True, False, False, False, False, True]
    assert server.times[-1] - server.times[0] >= 1.0


def in_flight(events: Sequence[Event]) -> list[int]:
    return [event["in_flight"] for event in events]


def test_concurrency_grows_where_the_server_never_pushes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(first_answers, "FIRST_AT_ONCE", 1000)  # no answer comes before they are out
    with Loopback() as server, ThreadPoolExecutor(1) as pool:
        server.hold()
        asking = pool.submit(ask, server, questions(700), concurrency=200)
        until(lambda: server.in_flight == START)
        server.release(200 - START)  # each answer lets one more in
        until(lambda: server.in_flight == 200)
        server.release()
        found = asking.result()
    assert len(found) == 700
    assert server.most_in_flight == 200


def test_concurrency_settles_near_what_the_server_takes() -> None:
    capacity = 20
    control = Runtime()
    with Chaos(Habits(share=0.0, latency=0.05, capacity=capacity)) as server:
        teacher = OpenAIModel(settings_of(server.url, concurrency=256), control)
        found = list(teacher.complete(questions(1500)))
        asked = of_kind(server, "asked")
    assert [each.finish_reason for each in found] == ["stop"] * 1500
    later = asked[len(asked) // 2 : -100]  # at the end there is nothing left to fill it with
    assert sum(event["kind"] == "over" for event in later) < 0.1 * len(later)
    assert sum(in_flight(later)) / len(later) > 0.5 * capacity
    assert 0 < control.events.limit <= 2 * capacity


@pytest.mark.parametrize(
    ("kind", "timeout"), [("503", 5.0), ("stall", 0.2), ("drip_for_ever", 60.0)]
)
def test_a_deadline_ends_a_request_that_never_succeeds(kind: str, timeout: float) -> None:
    with Chaos(Habits(share=1.0, kinds={kind: 1.0})) as server:
        [found] = ask(server, questions(1), timeout=timeout, deadline=0.5, retries=10**6)
    # It ends by the deadline alone: there are tries for weeks.
    assert found.finish_reason == "error" and found.error


def right(server: Chaos | Loopback, completion: Completion) -> bool:
    body = request_body(settings_of(server.url), completion.request, [completion.sample])
    return completion.text == scripted(body)[0]


def test_a_server_of_one_choice_is_not_asked_for_more_again() -> None:
    with Chaos(Habits(share=0.0, one_choice=True, latency=0.005)) as server:
        requests = questions(40, samples=(0, 1, 2), temperature=0.7)
        found = ask(server, requests, concurrency=4)
        several = [event for event in of_kind(server, "asked") if len(event["seeds"]) > 1]
    assert len(found) == 120 and all(right(server, each) for each in found)
    assert 1 <= len(several) <= 2 * 4  # those that waited for a place are on their way too
    assert len(of_kind(server, "billed")) == 120


def test_a_server_that_leaves_out_choices_is_soon_asked_for_one_at_a_time() -> None:
    with Loopback() as server:
        server.largest_n, server.delay = 1, 0.005
        requests = questions(40, samples=(0, 1, 2), temperature=0.7)
        found = ask(server, requests, concurrency=4)
        several = [body for body in server.bodies if body.get("n", 1) > 1]
    assert len(found) == 120 and all(right(server, each) for each in found)
    assert len(several) < 20
    assert len(server.bodies) == 120


def test_a_server_without_probabilities_is_refused_after_one_answer() -> None:
    with Chaos(Habits(share=0.0, latency=0.005)) as server:
        with pytest.raises(ModelError, match=r"gives no token probabilities.*top_logprobs to 0"):
            ask(server, questions(50, top_logprobs=5))
        assert len(of_kind(server, "billed")) == 1


def test_once_stopped_nothing_is_sent_and_what_is_in_flight_is_handed_over() -> None:
    control = Runtime()
    with Chaos(Habits(share=0.0, latency=0.1)) as server:
        teacher = OpenAIModel(settings_of(server.url, concurrency=8), control)
        completions: Iterator[Completion] = teacher.complete(questions(500))
        found = [next(completions) for _ in range(10)]
        control.stop.set()
        found += completions
    assert 10 <= len(found) < 60
    assert len(found) == len(of_kind(server, "delivered")) == len(of_kind(server, "asked"))
    assert control.budget.in_flight.tokens == 0
