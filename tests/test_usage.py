"""The account against servers that count in part, one of several samples, or beside the field."""

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from loopback import Body, Fault, Loopback

from potstill.errors import BudgetError
from potstill.models.openai.cost import FRAME_TOKENS, TURN_TOKENS, Sizes, prices_of
from potstill.models.openai.model import OpenAIModel
from potstill.models.openai.repeated_prefix import PrefixHabit
from potstill.models.openai.responses import read_reply
from potstill.models.openai.stated_usage import usage_in_body
from potstill.models.openai.usage import TokenCounts, stated_tokens, token_counts
from potstill.models.settings import OpenAISettings
from potstill.records import Amount, Request
from potstill.runtime import Runtime
from potstill.runtime.budget import Budget, BudgetSettings


def reply(usage: object, *texts: str, thinking: str | None = None) -> Body:
    message = {"reasoning_content": thinking} if thinking else {}
    return {
        "choices": [{"message": {"content": text, **message}} for text in texts or ("It is 5.",)],
        "usage": usage,
    }


def test_thinking_beside_the_field_was_written() -> None:
    beside = {"prompt_tokens": 20, "completion_tokens": 6, "total_tokens": 926}
    assert token_counts(reply(beside)) == TokenCounts(20, 906, 0)
    only_detail = {
        "prompt_tokens": 20, "completion_tokens": 6,
        "completion_tokens_details": {"reasoning_tokens": 900},
    }  # fmt: skip
    assert token_counts(reply(only_detail)) == TokenCounts(20, 906, 0)
    within = {**only_detail, "completion_tokens": 910}
    assert token_counts(reply(within)) == TokenCounts(20, 910, 0)
    named_otherwise = {"input_tokens": 20, "output_tokens": 6,
                       "output_tokens_details": {"reasoning_tokens": 900}}  # fmt: skip
    assert token_counts(reply(named_otherwise)) == TokenCounts(20, 906, 0)
    # 25 tokens of thinking and 10 words are no 30 tokens.
    tight = {**within, "completion_tokens": 30,
             "completion_tokens_details": {"reasoning_tokens": 25}}  # fmt: skip
    assert token_counts(reply(tight, "one " * 10)) == TokenCounts(20, 55, 0)


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        (None, (None, None)),
        ({}, (None, None)),
        ([], (None, None)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (None, None)),
        ({"prompt_tokens": 20}, (20, None)),
        ({"completion_tokens": 30}, (None, 30)),
        ({"prompt_tokens": 20, "total_tokens": 50}, (20, 30)),
        ({"completion_tokens": 30, "total_tokens": 50}, (20, 30)),
        ({"total_tokens": 50}, (0, 50)),
        ({"prompt_tokens": 20, "completion_tokens": 30, "total_tokens": 40}, (20, 30)),
        ({"prompt_tokens": 20.0, "completion_tokens": "30"}, (20, 30)),
        ({"prompt_tokens": "20.0", "completion_tokens": 29.5}, (20, 30)),
        ({"prompt_tokens": True, "completion_tokens": "many"}, (None, None)),
        ({"prompt_tokens": float("nan"), "completion_tokens": float("inf")}, (None, None)),
        ({"promptTokens": 20, "completionTokens": 30}, (20, 30)),
        (
            {"prompt_tokens": 20, "prompt-tokens": 25, "input_tokens": 0, "completion_tokens": 30},
            (25, 30),
        ),
        ({"input_tokens": 20, "output_tokens": 30}, (20, 30)),
        ({"prompt_tokens": -1, "completion_tokens": 2**60}, (None, None)),
        ({"prompt_tokens": 20, "completion_tokens": 1}, (20, 3)),
    ],
)
def test_counts_in_part(usage: object, counts: tuple[int | None, int | None]) -> None:
    assert token_counts(reply(usage))[:2] == counts


def test_a_prompt_counts_with_what_the_cache_holds_beside_it() -> None:
    beside = {"cache_read_input_tokens": 5000, "cache_creation_input_tokens": 1000}
    claude = {"input_tokens": 20, "output_tokens": 30, **beside}
    assert token_counts(reply(claude)) == TokenCounts(6020, 30, 5000)
    relayed = {"prompt_tokens": 20, "completion_tokens": 30, "total_tokens": 6050, **beside}
    assert token_counts(reply(relayed)) == TokenCounts(6020, 30, 5000)
    within = {"prompt_tokens": 6020, "completion_tokens": 30, "total_tokens": 6050, **beside}
    assert token_counts(reply(within)) == TokenCounts(6020, 30, 5000)


THOUGHT = {"promptTokenCount": 5, "candidatesTokenCount": 20, "thoughtsTokenCount": 3000}


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"usageMetadata": {**THOUGHT, "totalTokenCount": 3025}}, (5, 3020)),
        ({"usageMetadata": THOUGHT}, (5, 3020)),
        ({"usageMetadata": {"promptTokenCount": 5, "thoughtsTokenCount": 3000}}, (5, 3064)),
        ({"usage": {"prompt_tokens_details": {"cached_tokens": 9}, "completion_tokens": 30}},
         (None, 30)),
        ({"usage_metadata": {**THOUGHT, "toolUsePromptTokenCount": 7}}, (12, 3020)),
        # The same answer in two ways of counting is one answer.
        ({"usageMetadata": THOUGHT, "usage": {"prompt_tokens": 5, "completion_tokens": 3020}},
         (5, 3020)),
        ({"x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 3000}}}, (5, 3000)),
        ({"meta": {"billed_units": {"input_tokens": 5.0, "output_tokens": 30.0}}}, (5, 30)),
        ({"amazon-bedrock-invocationMetrics": {"inputTokenCount": 5, "outputTokenCount": 30}},
         (5, 30)),
        ({"prompt_eval_count": 5, "eval_count": 30}, (5, 30)),
        ({"usage": {"prompt_tokens": 5, "completion_tokens": 20, "completion_tokens_details":
                    {"accepted_prediction_tokens": 1, "rejected_prediction_tokens": 3000}}},
         (5, 3020)),
        ({"usage": {"prompt_tokens": 5, "completion_tokens": 3100, "completion_tokens_details":
                    {"rejected_prediction_tokens": 3000}}}, (5, 3100)),
        # A usage that the text itself spells is not counted.
        ({"text": '{"usage": {"prompt_tokens": 5000}}'}, (None, None)),
    ],
)  # fmt: skip
def test_counts_under_other_names(fields: Body, counts: tuple[int | None, int | None]) -> None:
    assert token_counts({**reply(None), **fields}, limit=64)[:2] == counts


def test_counts_inside_the_choices_are_added_up_unless_they_repeat_the_whole() -> None:
    whole = {"prompt_tokens": 5, "completion_tokens": 900}
    answer = reply(None, "5", "6")
    for choice, written in zip(answer["choices"], (900, 700), strict=True):
        choice["usage"] = {"prompt_tokens": 5, "completion_tokens": written}
    assert token_counts(answer)[:2] == (5, 1600)
    for choice in answer["choices"]:
        choice["usage"] = whole
    assert token_counts({**answer, "usage": whole})[:2] == (5, 900)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b'{"choices": null, "usage": {"prompt_tokens": 5, "completion_tokens": 900}}', 905),
        (b'{"error": {"message": "x", "usage": {"total_tokens": 905}}}', 905),
        (b'{"usage": {"total_tokens": 905}} <!-- x -->', 905),
        (b'{"usage": {"total_tokens": 905}}{"usage": {"total_tokens": 95}}', 1000),
        (b'{"usage": {"total_tokens": 905}}{"usage": {"total_tokens": 905}}', 905),
        (b'data: {"usage": {"total_tokens": 9}}\n\ndata: {"usage": {"total_tokens": 905}}', 905),
        (b'{"usage": {"total_tokens": 905}, "choices": [{"message": {"content": "It', 905),
        (b'[{"usage": {"total_tokens": 905}}]', 905),
        (b'{"choices": [{"text": "\\"usage\\": {\\"total_tokens\\": 905}"}', 0),
        (b'"usage": {' * 2000, 0),
        (b"<html>", 0),
        (b"", 0),
    ],
)  # fmt: skip
def test_a_body_that_is_no_answer_states_a_usage_all_the_same(body: bytes, tokens: int) -> None:
    assert stated_tokens(usage_in_body(body)) == tokens


@pytest.mark.parametrize(
    "body",
    [
        {"choices": None, "usage": {"prompt_tokens": 5, "completion_tokens": 900}},
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 900}},
        {"error": {"message": "x"}, "usage": {"prompt_tokens": 5, "completion_tokens": 900}},
    ],
)
def test_a_refused_answer_is_paid_as_stated_and_set_aside_so_from_then_on(
    body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("potstill.models.openai.client.FIRST_BACKOFF", 0.001)
    budget = Budget(BudgetSettings(tokens=2000))
    with Loopback() as server:
        server.faults = [Fault(payload=orjson.dumps(body)) for _ in range(3)]
        settings = OpenAISettings(
            model="openai:tiny", base_url=server.url, api_key_env=None, retries=2
        )
        with pytest.raises(BudgetError):
            list(
                OpenAIModel(settings, Runtime(budget)).complete(
                    [Request(prompt="6*7?", max_tokens=64)]
                )
            )
    assert budget.spent.tokens == 2 * 905  # a third would pass the limit


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        ({"cost": 3.0}, 3.0),
        ({"cost": "0.5"}, 0.5),
        ({"cost": {"input_cost": 0.1, "total_cost": 0.7}}, 0.7),
        ({"cost": 0.25, "cost_details": {"upstream_inference_cost": 0.25}}, 0.25),
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.25}}, 0.26),
        ({"cost": 1e-9}, 220e-6),  # less than by the prices: the larger holds
        ({"cost": -1}, 220e-6),
    ],
)
def test_a_stated_cost_counts_where_it_is_the_larger(
    usage: Body, usd: float, caplog: pytest.LogCaptureFixture
) -> None:
    stated = {"prompt_tokens": 20, "completion_tokens": 20, **usage}
    prices: dict[str, Any] = {"prompt_price": 1.0, "completion_price": 10.0}
    settings = OpenAISettings(model="openai:m", **prices)
    request = Request(prompt="2 + 3?", max_tokens=100)
    size = Sizes(prices_of(settings)).size(request, {})
    paid = size.paid(reply(stated)) or Amount()
    assert paid.tokens == 40
    assert paid.usd == pytest.approx(usd)
    assert ("the server states" in caplog.text) == (usd > 220e-6)
    assert size.most.usd >= usd  # the next one is set aside as dear as that
    unpriced = OpenAISettings(model="openai:m")
    answered = read_reply(unpriced, request, [0], reply(stated), PrefixHabit())
    assert answered[0].cost == pytest.approx(usd if usd > 220e-6 else max(usage["cost"], 0))


def test_nothing_written_is_a_count_where_there_is_no_text() -> None:
    nothing = {"prompt_tokens": 20, "completion_tokens": 0}
    assert token_counts(reply(nothing, "")) == TokenCounts(20, 0, 0)


def test_the_usage_of_one_sample_is_taken_for_each() -> None:
    usage = {"prompt_tokens": 43, "completion_tokens": 8, "total_tokens": 51}
    texts = ["3 + 4 = 7", "Well! I will try again", "3 + 4 = 7"]
    assert token_counts(reply(usage, *texts), limit=8) == TokenCounts(43, 24, 0)
    assert token_counts(reply(usage, "3 + 4 = 7", "7")) == TokenCounts(43, 8, 0)


def test_the_text_tells_what_was_written_at_least() -> None:
    usage = {"prompt_tokens": 20, "completion_tokens": 2}
    assert token_counts(reply(usage, "one " * 50)).written == 50
    assert token_counts(reply(usage, "one " * 50), limit=30).written == 30
    assert token_counts(reply(usage, "x" * 640)).written == 20
    assert token_counts(reply(usage, "one " * 50), prefix="one " * 45).written == 5
    assert token_counts(reply(usage, "so five"), prefix="so ").written == 2
    assert token_counts(reply(usage, "5", thinking="two and three " * 9)).written == 28
    listed = reply(usage, "ab")
    listed["choices"][0]["logprobs"] = {"content": [{}, {}, {}]}
    assert token_counts(listed).written == 3
    listed["choices"][0] |= {"logprobs": None, "token_ids": [5, 6, 7, 8]}
    assert token_counts(listed).written == 4


def test_a_missing_half_counts_at_its_most() -> None:
    settings = OpenAISettings(model="openai:m", prompt_price=1.0, completion_price=10.0)
    request = Request(prompt="2 + 3?", max_tokens=100)
    size = Sizes(prices_of(settings)).size(request, {"n": 2})
    frame = len("2 + 3?") + TURN_TOKENS + FRAME_TOKENS
    read, written = {"prompt_tokens": 20}, {"completion_tokens": 30}
    paid = [size.paid(reply(usage)) or Amount() for usage in (read, written)]
    assert [amount.tokens for amount in paid] == [220, frame + 30]
    assert [amount.usd for amount in paid] == pytest.approx([2020e-6, frame / 1e6 + 300e-6])
    assert size.paid(reply(None)) is None


# a hundred runs ----------------------------------------------------------------------------------

Teller = Callable[[random.Random, int, list[int], int], Body]
"""Returns a usage by draws and the tokens of the prompt, each sample's text and the thinking."""


def _one(draws: random.Random, read: int, written: list[int], thought: int) -> Body:
    one = draws.choice(written) + thought
    return {"prompt_tokens": read, "completion_tokens": one, "total_tokens": read + one}


def _contradictory(draws: random.Random, read: int, written: list[int], thought: int) -> Body:
    whole = sum(written) + thought
    return draws.choice([
        {"prompt_tokens": read, "completion_tokens": 1, "total_tokens": read + whole},
        {"prompt_tokens": read, "completion_tokens": whole, "total_tokens": 3},
        {"prompt_tokens": read, "completion_tokens": 0, "output_tokens": 0, "total_tokens": 0},
    ])  # fmt: skip


TELLERS: dict[str, Teller] = {
    "missing": lambda draws, read, written, thought: {},
    "prompt": lambda draws, read, written, thought: {"prompt_tokens": read},
    "completion": lambda draws, read, written, thought: {
        "completion_tokens": sum(written) + thought
    },
    "one": _one,
    "contradictory": _contradictory,
    "total": lambda draws, read, written, thought: {
        "prompt_tokens": read,
        "completion_tokens": sum(written),
        "total_tokens": read + sum(written) + thought,
    },
    "detail": lambda draws, read, written, thought: {
        "prompt_tokens": read,
        "completion_tokens": sum(written),
        "completion_tokens_details": {"reasoning_tokens": thought},
    },
    "float": lambda draws, read, written, thought: {
        "prompt_tokens": float(read),
        "completion_tokens": f"{sum(written)}.0",
    },
    "camel": lambda draws, read, written, thought: {
        "promptTokens": str(read),
        "completionTokens": str(sum(written)),
    },
    "google": lambda draws, read, written, thought: {
        "promptTokenCount": read,
        "candidatesTokenCount": sum(written),
        "thoughtsTokenCount": thought,
    },
    "rejected": lambda draws, read, written, thought: {
        "prompt_tokens": read,
        "completion_tokens": sum(written),
        "completion_tokens_details": {"rejected_prediction_tokens": thought},
    },
    "x_groq": lambda draws, read, written, thought: {
        "prompt_tokens": read,
        "completion_tokens": sum(written),
    },
    "fault": lambda draws, read, written, thought: {
        "prompt_tokens": read,
        "completion_tokens": sum(written),
    },
}
BESIDE = ("total", "detail", "google", "rejected")
"""The ways in which thinking is beside what the field has."""

WORDS = 4


class Biller(Loopback):
    """Bills each answer by tokens that are drawn, and tells of them as one of the tellers does."""

    kind = "missing"
    draws = random.Random(0)
    read = written = hidden = 0

    async def _reply(self, path: str, body: Body) -> Body:
        draws, count = self.draws, body.get("n", 1)
        read = draws.randrange(1, len(body["messages"][-1]["content"]) + 20)
        limit = body["max_tokens"]
        written = [draws.randrange(WORDS, limit + 1) for _ in range(count)]
        spare = count * limit - sum(written)
        thought = draws.randrange(spare + 1) if self.kind in BESIDE else 0
        usage = TELLERS[self.kind](draws, read, written, thought)
        self.read += read
        self.written += sum(written) + thought
        if self.kind == "one":
            self.hidden += sum(written) - usage["completion_tokens"]
        elif self.kind in ("detail", "rejected") and thought <= sum(written) - WORDS * count:
            self.hidden += thought  # it looks like a part of what the field has
        choice = {"message": {"content": "so it is five"}, "finish_reason": "stop"}
        if self.kind == "fault" and draws.random() < 0.3:
            return {"choices": draws.choice([None, []]), "usage": usage}
        if self.kind == "google":
            return {"choices": [choice] * count, "usageMetadata": usage}
        if self.kind == "x_groq":
            return {"choices": [choice] * count, "x_groq": {"usage": usage}}
        return {"choices": [choice] * count, "usage": usage}


@pytest.mark.parametrize("kind", TELLERS)
def test_no_bill_passes_the_limit_by_more_than_is_hidden_in_a_hundred_runs(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("potstill.models.openai.client.FIRST_BACKOFF", 0.001)
    ended = 0
    with Biller() as server:
        for seed in range(100 // len(TELLERS) + 1):
            ended += run_to_the_limit(server, kind, seed)
    assert ended >= 3


def run_to_the_limit(server: Biller, kind: str, seed: int) -> bool:
    """One run; returns whether the budget ended it."""
    draws = random.Random(f"{kind} {seed}")
    server.kind, server.draws, server.read, server.written, server.hidden = kind, draws, 0, 0, 0
    tokens = draws.randrange(300, 1500)
    usd = tokens * 5e-6
    limit = BudgetSettings(tokens=tokens) if seed % 2 else BudgetSettings(usd=usd)
    values: dict[str, Any] = {
        "model": "openai:tiny", "base_url": server.url, "api_key_env": None,
        "concurrency": draws.choice([1, 4]), "prompt_price": 1.0, "completion_price": 10.0,
    }  # fmt: skip
    requests = [
        Request(prompt=f"Question {number}", samples=tuple(range(draws.randrange(1, 4))),
                temperature=0.7, max_tokens=draws.randrange(20, 60))
        for number in range(12)
    ]  # fmt: skip
    budget, ended = Budget(limit), False
    try:
        list(OpenAIModel(OpenAISettings(**values), Runtime(budget)).complete(requests))
    except BudgetError:
        ended = True
    bill, hidden = Amount(server.read + server.written), server.hidden
    bill = bill._replace(usd=(server.read + 10 * server.written) / 1e6)
    assert budget.spent.tokens >= bill.tokens - hidden
    assert budget.spent.usd >= bill.usd - hidden * 1e-5 - 1e-9
    assert limit.tokens is None or bill.tokens <= limit.tokens + hidden
    assert limit.usd is None or bill.usd <= limit.usd + hidden * 1e-5 + 1e-9
    return ended


def test_a_server_that_thinks_beyond_the_limit_is_set_aside_as_it_is() -> None:
    with Loopback() as server:
        server.usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 530}
        budget = Budget(BudgetSettings(tokens=2000))
        settings = OpenAISettings(
            model="openai:tiny", base_url=server.url, api_key_env=None, concurrency=1
        )
        requests = [Request(prompt=str(number), max_tokens=50) for number in range(20)]
        with pytest.raises(BudgetError):
            list(OpenAIModel(settings, Runtime(budget)).complete(requests))
    assert budget.spent.tokens == 3 * 530
