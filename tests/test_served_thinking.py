"""A budget of thinking at a server that answers for a folder: the same answers as in this process.

The server is one of ours that writes token by token with the bare model, and knows nothing of
thinking, of budgets, or of what a text stands for.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deployed_run import sharpen
from served_places import server
from test_thinking_budget import CLOSING, OPENED, greedy
from tiny_models import build_tiny_causal
from transformers import AutoTokenizer

from potstill.models import open_model
from potstill.models.local.model import HFModel
from potstill.models.served.server_pool import ServerPool
from potstill.models.settings import LocalSettings, OpenAISettings, student_settings
from potstill.records import Completion, Message, Request

Json = dict[str, Any]

ROOM = 24
TEXTS = [f"{n} + {n + 1}?" for n in range(4)]
PROGRAM = {"program": "some {folder} {port}", "prompts": "text"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its prompts open thinking, and it writes at random."""
    made = build_tiny_causal(tmp_path_factory.mktemp("model") / "student", "qwen3", chat=True)
    sharpen(made)
    tokenizer = AutoTokenizer.from_pretrained(made)
    tokenizer.chat_template = OPENED
    tokenizer.save_pretrained(made)
    return made


def at(url: str) -> OpenAISettings:
    return OpenAISettings(model="openai:m", base_url=f"{url}/v1", api_key_env=None, chat=False)


class TokenServer:
    """Writes greedily, up to an end token, a stop string or the limit of the request."""

    def __init__(self, folder: Path) -> None:
        model = open_model(LocalSettings(model=f"hf:{folder}", device="cpu"))
        assert isinstance(model, HFModel)
        self.model = model
        self.bodies: list[Json] = []

    def __call__(self, body: Json) -> Json:
        self.bodies.append(body)
        prompt = body["prompt"]
        if isinstance(prompt, str):
            prompt = self.model.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        ids = greedy(self.model, prompt, body["max_tokens"])
        reason, ends = "length", [n for n, one in enumerate(ids) if one in self.model._end_ids]
        if ends:
            ids, reason = ids[: ends[0]], "stop"
        text = self.model._prompts.text(ids, self.model._prompts.anchor(prompt))
        for stop in body.get("stop", ()):
            if stop in text:
                text, reason = text.partition(stop)[0], "stop"
        choice = {"text": text, "finish_reason": reason}
        named = {"token_ids": ids} if body.get("return_token_ids") else {}
        choices = [{**choice, **named, "index": place} for place in range(body.get("n", 1))]
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(ids) * len(choices)}
        return {"choices": choices, "usage": usage}


@pytest.fixture
def serving(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenServer]:
    answers = TokenServer(folder)
    with server({"/v1/completions": answers}) as url:
        monkeypatch.setattr(ServerPool, "start", lambda pool, name: at(url))
        yield answers


def asked(folder: Path, requests: list[Request], serve: object) -> dict[str, Completion]:
    raw = {"model": f"hf:{folder}", "device": "cpu", "serve": serve}
    completions = open_model(student_settings(raw, at="student")).complete(requests)
    return {str(one.request.prompt[0]): one for one in completions}


def held(budget: int | None, **further: Any) -> list[Request]:
    return [
        Request(
            prompt=(Message(role="user", content=text),),
            max_tokens=ROOM, thinking_tokens=budget, **further,
        )
        for text in TEXTS
    ]  # fmt: skip


def facts(completion: Completion) -> tuple[object, ...]:
    return (
        completion.text, completion.thinking, completion.finish_reason,
        completion.completion_tokens, completion.prompt_tokens, completion.thinking_ended,
    )  # fmt: skip


@pytest.mark.parametrize("budget", [3, ROOM - 1])
def test_the_server_answers_as_the_model_in_this_process(
    folder: Path, serving: TokenServer, budget: int
) -> None:
    here = asked(folder, held(budget), None)
    there = asked(folder, held(budget), "vllm")
    assert {key: facts(one) for key, one in there.items()} == {
        key: facts(one) for key, one in here.items()
    }
    ended = [one for one in there.values() if one.thinking_ended]
    assert len(ended) > 1, "or the test says little"
    assert len(serving.bodies) <= len(TEXTS) + len(ended)


class ScriptedServer:
    """Thinks on up to the limit, and answers behind a closing mark; names no tokens."""

    def __init__(self) -> None:
        self.bodies: list[Json] = []

    def __call__(self, body: Json) -> Json:
        self.bodies.append(body)
        if len(self.bodies) == 1:
            choice = {"text": " So we add 3", "finish_reason": "length"}
        else:
            choice = {"text": "The answer is 7.", "finish_reason": "stop"}
        return {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}


@pytest.mark.parametrize("serve", ["vllm", PROGRAM], ids=["ids", "texts"])
def test_a_server_that_names_no_tokens_goes_on_from_what_it_wrote(
    folder: Path, monkeypatch: pytest.MonkeyPatch, serve: object
) -> None:
    answers = ScriptedServer()
    with server({"/v1/completions": answers}) as url:
        monkeypatch.setattr(ServerPool, "start", lambda pool, name: at(url))
        (done,) = asked(folder, held(5)[:1], serve).values()
    assert (done.thinking, done.text) == ("So we add 3", "The answer is 7.")
    assert (done.thinking_ended, done.finish_reason) == (True, "stop")
    first, second = (body["prompt"] for body in answers.bodies)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    closing = tokenizer(CLOSING, add_special_tokens=False)["input_ids"]
    assert [body["max_tokens"] for body in answers.bodies] == [5, ROOM - 5 - len(closing)]
    assert done.completion_tokens == 5 + len(closing) + 5
    if serve == "vllm":
        first, second = tokenizer.decode(first), tokenizer.decode(second)
    assert second == first + " So we add 3" + CLOSING


def test_a_stop_string_is_found_on_both_sides_of_the_cut(
    folder: Path, serving: TokenServer
) -> None:
    free = asked(folder, held(9), None)
    texts = [one.text for one in free.values() if len(one.text) > 3]
    stop = texts[0][1:3]
    here = asked(folder, held(9, stop=(stop,)), None)
    there = asked(folder, held(9, stop=(stop,)), "vllm")
    assert {key: facts(one)[:3] for key, one in there.items()} == {
        key: facts(one)[:3] for key, one in here.items()
    }
    assert any(one.finish_reason == "stop" for one in there.values())


def test_an_answer_behind_its_thinking_is_gone_on_with(folder: Path, serving: TokenServer) -> None:
    """Plain prompts open no thinking: what the model writes is cut at the budget and gone on."""
    requests = [Request(prompt=text, max_tokens=20, thinking_tokens=5) for text in TEXTS]
    plain = [replace(request, thinking_tokens=None) for request in requests]
    here = {one.request.prompt: one.text for one in open_model(
        student_settings({"model": f"hf:{folder}", "device": "cpu"}, at="student")
    ).complete(plain)}  # fmt: skip
    raw = {"model": f"hf:{folder}", "device": "cpu", "serve": "vllm"}
    there = list(open_model(student_settings(raw, at="student")).complete(requests))
    assert {one.request.prompt: one.text for one in there} == here
    assert {one.thinking_ended for one in there} == {False}


def test_each_sample_is_ended_by_itself(folder: Path, serving: TokenServer) -> None:
    requests = held(3, samples=(0, 1, 2), temperature=0.7)
    raw = {"model": f"hf:{folder}", "device": "cpu", "serve": "vllm"}
    drawn = list(open_model(student_settings(raw, at="student")).complete(requests[:2]))
    assert sorted(one.sample for one in drawn) == [0, 0, 1, 1, 2, 2]
    seconds = [body for body in serving.bodies if body["max_tokens"] != 3]
    assert seconds and all("n" not in body for body in seconds)


def test_what_cannot_be_held_is_refused_before_the_server_is_asked(
    folder: Path, serving: TokenServer
) -> None:
    (refused,) = {one.error for one in asked(folder, held(3, top_logprobs=2), "vllm").values()}
    assert refused is not None
    assert refused.endswith("a mark that is put into an answer, so thinking_tokens cannot be kept")
    assert serving.bodies == []
