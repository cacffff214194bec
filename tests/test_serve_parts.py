"""Parts of the guided server: its end, local models, the teacher's limits, stop strings."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import openai
import pytest
from fakes import ScriptedModel
from fakes_upstream import FakeUpstream, served, settings_for
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import build_tiny_causal

from potstill.models.local.model import HFModel
from potstill.models.settings import LocalSettings
from potstill.records import Completion, Request
from potstill.serve.answering import Cutter, Shown
from potstill.serve.settings import ServeSettings
from potstill.serve.teacher_limits import Breaker, HourlyBudget
from potstill.serve.upstreams import LocalUpstream, UpstreamError

QUESTION: Any = [{"role": "user", "content": "What is 20 + 22?"}]

SERVE = """
import json, sys
from potstill.serve.server import serve
from potstill.serve.settings import ServeSettings
serve(ServeSettings.model_validate(json.loads(sys.argv[1])))
"""


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_server_finishes_what_it_has_begun(sign: signal.Signals) -> None:
    with FakeUpstream(lambda body: "Done.") as student:
        student.delay = 1.0
        settings = settings_for(student).model_dump_json()
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, settings],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first.startswith("openai:tiny is served at http://127.0.0.1:")
        url = first.split()[-1]
        found: list[Any] = []
        with openai.OpenAI(base_url=url, api_key="unused", max_retries=0) as client:

            def ask() -> Any:
                return client.chat.completions.create(model="openai:tiny", messages=QUESTION)

            asking = threading.Thread(target=lambda: found.append(ask()))
            asking.start()
            until = time.monotonic() + 5
            while not student.bodies and time.monotonic() < until:
                time.sleep(0.01)
            process.send_signal(sign)
            time.sleep(0.1)
            with pytest.raises(openai.InternalServerError) as refused:
                ask()
            assert refused.value.status_code == 503
            asking.join()
        assert found[0].choices[0].message.content == "Done."
        assert process.wait(5) == 0
        statuses = [json.loads(line)["status"] for line in process.stderr.read().splitlines()]
        process.stderr.close()
    assert statuses == [503, 200]
    assert len(student.bodies) == 1


def test_a_stopped_server_waits_no_longer_than_its_grace() -> None:
    with FakeUpstream(lambda body: "Done.") as student:
        student.delay = 30.0
        with served(settings_for(student, limits={"grace": 0.2})) as running:

            def ask() -> None:
                with pytest.raises(openai.APIError):
                    running.client.chat.completions.create(model="x", messages=QUESTION)

            asking = threading.Thread(target=ask)
            asking.start()
            time.sleep(0.3)
            running.server.handle_exit(signal.SIGTERM, None)
            running.thread.join(5)
            assert not running.thread.is_alive()
            asking.join(5)
            assert not asking.is_alive()


class Pausing(ScriptedModel):
    """Waits before each answer until it is let go, and notes how many it was given at once."""

    def __init__(self) -> None:
        super().__init__(lambda request, sample: f"{request.prompt} {sample}")
        self.let_go = threading.Event()
        self.batches: list[int] = []

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        queue = iter(requests)
        while batch := list(queue):  # what has come meanwhile joins, as in PromptQueue
            self.batches.append(len(batch))
            assert self.let_go.wait(5)
            yield from super().complete(batch)


async def answers(upstream: LocalUpstream, *requests: Request) -> list[list[str]]:
    found = await asyncio.gather(*(upstream.answer(request) for request in requests))
    return [[completion.text for completion in completions] for completions in found]


def test_requests_that_wait_for_a_local_model_are_answered_together() -> None:
    async def scenario() -> None:
        model = Pausing()
        upstream = LocalUpstream(model)
        await upstream.start()
        first = asyncio.create_task(answers(upstream, Request(prompt="a")))
        while not model.batches:
            await asyncio.sleep(0.001)
        equal = Request(prompt="b", samples=(0, 1))
        others = [equal, Request(prompt="b", samples=(0, 1)), Request(prompt="c")]
        rest = asyncio.create_task(answers(upstream, *others))
        leaving = asyncio.create_task(upstream.answer(Request(prompt="left")))
        await asyncio.sleep(0.01)
        leaving.cancel()
        await asyncio.sleep(0.01)
        model.let_go.set()
        assert await first == [["a 0"]]
        assert await rest == [["b 0", "b 1"], ["b 0", "b 1"], ["c 0"]]
        assert model.batches == [1, 3]
        assert "left" not in [request.prompt for request in model.asked]
        await upstream.close()
        assert not await upstream.ready()

    asyncio.run(scenario())


def test_a_local_model_is_told_what_nobody_waits_for_any_more() -> None:
    wanted_at: list[bool] = []

    class Writing(ScriptedModel):
        def complete_wanted(
            self, requests: Iterable[Request], wanted: Callable[[Request], bool]
        ) -> Iterator[Completion]:
            for request in requests:
                while wanted(request) and request.prompt == "endless":
                    wanted_at.append(True)
                    time.sleep(0.001)
                wanted_at.append(wanted(request))
                yield from super().complete([request] if wanted(request) else [])

    async def scenario() -> None:
        upstream = LocalUpstream(Writing(lambda request, sample: "good"))
        await upstream.start()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await upstream.answer(Request(prompt="endless"))
        assert await answers(upstream, Request(prompt="fine")) == [["good"]]
        await upstream.close()

    asyncio.run(scenario())
    assert wanted_at[-2:] == [False, True]
    assert len(wanted_at) > 3


def test_a_local_model_that_fails_is_asked_again() -> None:
    def script(request: Request, sample: int) -> str:
        if request.prompt == "bad":
            raise ValueError("the words of a prompt")
        return "good"

    async def scenario() -> None:
        upstream = LocalUpstream(ScriptedModel(script))
        await upstream.start()
        with pytest.raises(UpstreamError, match="the model failed"):
            await upstream.answer(Request(prompt="bad"))
        assert await answers(upstream, Request(prompt="fine")) == [["good"]]
        await upstream.close()

    asyncio.run(scenario())


def test_what_a_local_model_refuses_or_leaves_out_is_told() -> None:
    class Refusing(ScriptedModel):
        def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for request in requests:
                if request.prompt == "long":
                    yield Completion(
                        request=request, sample=0, text="", finish_reason="error", error="too long"
                    )

    async def scenario() -> None:
        upstream = LocalUpstream(Refusing(lambda request, sample: ""))
        await upstream.start()
        with pytest.raises(UpstreamError, match="too long") as caught:
            await upstream.answer(Request(prompt="long"))
        assert caught.value.refused
        with pytest.raises(UpstreamError, match="no answer"):
            await upstream.answer(Request(prompt="left out"))
        await upstream.close()

    asyncio.run(scenario())


def test_a_transformers_model_leaves_off_what_is_not_wanted(tmp_path: Path) -> None:
    folder = build_tiny_causal(tmp_path, "llama")
    model = HFModel(LocalSettings(model=f"hf:{folder}", device="cpu"), source=str(folder))
    left = Request(prompt="Q: short", samples=(0, 1), temperature=1.5, max_tokens=60)
    kept = Request(prompt="Let's", temperature=1.5, max_tokens=60)
    alone = list(model.complete([kept]))
    asked: list[Request] = []

    def wanted(request: Request) -> bool:
        asked.append(request)
        return request is kept or asked.count(left) < 6

    assert list(model.complete_wanted([left, kept], wanted)) == alone
    assert asked.count(left) <= 7  # two rows for three tokens; the second leaves with the first


@pytest.mark.slow
def test_the_bundled_pair_answers_together() -> None:
    values = {"student": "bundled:student", "teacher": "bundled:teacher", "port": 0}
    prompt = "Q: Tom has 3 boxes with 4 pens each. How many pens?\nA: Let's think step by step."
    with served(ServeSettings.model_validate({**values, "temperature": 0.0})) as running:
        ask = running.client.completions.create
        whole: Any = ask(model="bundled:student", prompt=prompt, max_tokens=48)
        alone: Any = ask(
            model="bundled:student", prompt=prompt, max_tokens=48, extra_body={"guidance": "never"}
        )
        streamed = "".join(
            chunk.choices[0].text
            for chunk in ask(model="bundled:student", prompt=prompt, max_tokens=48, stream=True)
        )
        with pytest.raises(openai.BadRequestError, match="positions"):
            ask(model="bundled:student", prompt="pens " * 5000)
    told = whole.model_extra["potstill"]
    assert told["guidance"]["guided"] and told["teacher_tokens"]["completion"] > 0
    assert alone.model_extra["potstill"]["teacher_tokens"] == {"prompt": 0, "completion": 0}
    assert whole.choices[0].text == streamed != alone.choices[0].text


class Clock:
    """Says what it is set to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_after_failures_in_a_row_one_request_tries_again() -> None:
    clock = Clock()
    breaker = Breaker(2, 10.0, clock)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.allows() and not breaker.resting
    breaker.failed()
    assert breaker.resting and not breaker.allows()
    clock.now += 10
    assert breaker.allows()
    assert not breaker.allows()  # the others wait for what comes of it
    breaker.failed()
    clock.now += 9
    assert not breaker.allows()
    clock.now += 1
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.allows() and breaker.allows()


def test_the_hourly_budget_forgets_what_is_an_hour_old() -> None:
    clock = Clock()
    clock.now = 0.0
    budget = HourlyBudget(100, clock)
    budget.spend(60)
    clock.now = 30 * 60
    budget.spend(39)
    assert (budget.spent, budget.is_over) == (99, False)
    budget.spend(1)
    assert budget.is_over
    clock.now = 60 * 60 - 1
    assert budget.spent == 100
    clock.now = 60 * 60
    assert (budget.spent, budget.is_over) == (40, False)
    clock.now = 24 * 60 * 60
    assert budget.spent == 0
    assert not HourlyBudget(None, clock).is_over
    assert HourlyBudget(0, clock).is_over


@given(
    text=st.text("abc", max_size=12),
    stops=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
    cuts=st.lists(st.integers(0, 12), max_size=5),
)
def test_a_text_ends_at_the_same_place_however_it_is_cut(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    places = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places)]
    cutter, shown = Cutter(stops), ""
    for end, piece in enumerate(pieces, 1):
        shown += cutter.feed(piece)
        sofar = "".join(pieces[:end])
        assert first_of(sofar, stops).startswith(shown)
    shown += cutter.release()
    assert shown == first_of(text, stops)
    assert cutter.stopped == any(stop in text for stop in stops)


def first_of(text: str, stops: list[str]) -> str:
    """Returns the text before the stop string that is complete first, letter by letter."""
    for end in range(len(text) + 1):
        lengths = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if lengths:
            return text[: end - max(lengths)]
    return text


@pytest.mark.parametrize(("lead", "text"), [(None, "We guess. "), ("", "  We guess. ")])
def test_a_chat_is_shown_no_white_space_that_its_format_begins_with(
    lead: str | None, text: str
) -> None:
    told: list[str] = []

    async def out(_: int, piece: str) -> None:
        told.append(piece)

    async def write() -> None:
        shown = Shown(lead, (), 1, out)
        for piece in (" ", " We", " guess. "):
            await shown.piece(0, piece)

    asyncio.run(write())
    assert "".join(told) == text


def test_settings_can_be_read_from_a_file_of_settings(tmp_path: Path) -> None:
    settings = ServeSettings.model_validate(
        {"student": "hf:tiny", "teacher": "openai:big", "guidance": {"first_n": 2}}
    )
    assert (settings.policy.label, settings.served_name) == ("first_n_2", "hf:tiny")
    with pytest.raises(ValueError, match="worked questions"):
        ServeSettings.model_validate({"student": "hf:x", "student_format": "in_context_cot"})
    with pytest.raises(ValueError, match="shows worked questions"):
        ServeSettings.model_validate({"student": "hf:x", "teacher_style": "few_shot_cot"})
