"""Servers' abilities: found out once, kept, shown, and checked against recipes before any cost."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from click.testing import CliRunner, Result
from loopback import Body, Loopback
from made_up_scores import MadeUpModel
from scoring_servers import ScoringServer

from potstill.cli import main
from potstill.models.openai import client
from potstill.models.openai.server_probes import PROBES, find_capabilities
from potstill.models.settings import OpenAISettings
from potstill.runtime import Runtime
from potstill.store import Store

LONG = "A long text that says more than forty characters, so that two are not one by chance."


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_BACKOFF", 0.002)


class AbleServer(Loopback):
    """A server with so many abilities; those of a default one are none."""

    def __init__(
        self, *, draws: bool = False, top: int = 0, ids: bool = False, scores: str = "",
        context: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(self.choices)
        self.draws, self.top, self.ids, self.scores = draws, top, ids, scores
        self.context = context
        self.count = 0

    def choices(self, body: Body) -> list[Any]:
        return [self.choice(body) for _ in range(body.get("n", 1))]

    def choice(self, body: Body) -> Body:
        self.count += 1
        text = f"{LONG} {self.count if self.draws else ''}"
        chat = "messages" in body
        choice: Body = {"message": {"content": text}} if chat else {"text": text}
        choice["finish_reason"] = "stop"
        asked = int(body.get("top_logprobs") or body.get("logprobs") or 0)
        if asked and self.top:
            top = [
                {"token": str(n), "bytes": [n], "logprob": -float(n)} for n in range(1, asked + 1)
            ]
            entry = {
                "token": text,
                "logprob": -1.0,
                "bytes": list(text.encode()),
                "top_logprobs": top,
            }
            choice["logprobs"] = {"content": [entry]}
        if body.get("return_token_ids") and self.ids:
            choice["token_ids"] = [1, 2]
        if body.get("prompt_logprobs") and self.scores == "prompt_logprobs":
            choice["prompt_logprobs"] = [None, {}]
        if body.get("echo") and self.scores == "echo":
            choice["logprobs"] = {"tokens": ["a", "b", "c"], "token_logprobs": [-1.0] * 3}
        return choice

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        asked = int(body.get("top_logprobs") or 0)
        if self.top and asked > self.top:
            self.bodies.append(body)
            message = f"Requested sample logprobs of {asked}, which is greater than {self.top}"
            return web.json_response({"error": {"message": message}}, status=400)
        return await super()._respond(request)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        super().add_routes(router)
        router.add_get("/v1/models", self.models)

    async def models(self, _: web.Request) -> web.Response:
        model = {"id": "tiny", **({"max_model_len": self.context} if self.context else {})}
        return web.json_response({"data": [{"id": "other", "max_model_len": 7}, model]})


def probe(server: Loopback) -> dict[Any, str]:
    made = OpenAISettings(model="openai:tiny", base_url=server.url, api_key_env=None)
    return find_capabilities(made, None, Runtime(), [probe.name for probe in PROBES])


@pytest.mark.parametrize(
    ("abilities", "found"),
    [
        ({}, {"temperature": "ignored", "logprobs": "0", "token_ids": "no", "context": "unknown",
              "prompt_logprobs": "none", "samples_at_once": "3", "continuing": "none"}),
        ({"draws": True, "top": 20, "ids": True, "scores": "echo", "context": 4096},
         {"temperature": "honoured", "logprobs": "20", "token_ids": "yes", "context": "4096",
          "prompt_logprobs": "echo"}),
        ({"top": 5, "scores": "prompt_logprobs"},
         {"logprobs": "5", "prompt_logprobs": "prompt_logprobs"}),
    ],
)  # fmt: skip
def test_each_ability_is_found_by_a_probe_of_its_own(abilities: Body, found: Body) -> None:
    with AbleServer(**abilities) as server:
        result = probe(server)
        assert {name: result[name] for name in found} == found
        assert all(body["max_tokens"] <= 16 for body in server.bodies)
        assert len(server.bodies) < 25


def test_samples_that_do_not_come_at_once_are_asked_for_one_by_one() -> None:
    with AbleServer(draws=True) as server:
        server.largest_n = 1
        found = probe(server)
    assert (found["samples_at_once"], found["temperature"]) == ("1", "honoured")


def recipe(folder: Path, server: Loopback, **settings: Any) -> Path:
    file = folder / "recipe.yaml"
    teacher = {"model": "openai:tiny", "base_url": server.url, "api_key_env": None}
    values: Body = {
        "run": str(folder / "run"), "teacher": teacher, "student": "bundled:student",
        "task": {"name": "two_step_arithmetic", "train": 8, "dev": 2, "test": 2},
    }  # fmt: skip
    file.write_text(yaml.safe_dump({**values, **settings}))
    return file


def command(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.parametrize(
    ("top", "asked", "words"),
    [
        (0, 5, "it gives no token probabilities. Set generate.top_logprobs to 0"),
        (5, 20, "it lists 5 likeliest tokens at most. Set generate.top_logprobs to 5"),
    ],
)
def test_more_probabilities_than_there_are_are_refused_before_a_question_is_asked(
    tmp_path: Path, top: int, asked: int, words: str
) -> None:
    with AbleServer(top=top, draws=True) as server:
        file = recipe(tmp_path, server, generate={"samples": 1, "top_logprobs": asked})
        result = command("generate", file)
        assert result.exit_code == 2
        assert f"generate.top_logprobs: {asked} needs more than openai:tiny" in result.output
        assert words in result.output
        probed = len(server.bodies)
        assert all("two_step" not in json.dumps(body) for body in server.bodies)
        assert command("generate", file).exit_code == 2
        assert len(server.bodies) == probed, "what was found is kept"
        with Store(tmp_path / "run" / "run.sqlite", read_only=True) as store:
            assert store.pool_size(("generate",)) == 0


class ChatModel(MadeUpModel):
    """A made-up model whose chats are their contents, one behind another."""

    def chat(self, body: Body) -> str:
        return "".join(turn["content"] for turn in body["messages"])


@pytest.mark.parametrize(("listed", "code"), [(5, 2), (20, 0)])
def test_too_few_likeliest_tokens_of_given_texts_are_refused_before_a_question_is_asked(
    tmp_path: Path, listed: int, code: int
) -> None:
    student = {"matching": {"divergence": "reverse_kl"}, "on_policy": {}}
    train = {"steps": 4, "students": {"own": student, "rationales": {}}}
    with ScoringServer(ChatModel(), "vllm") as server:
        server.most_listed = listed
        file = recipe(tmp_path, server, train=train)
        results = [command("generate", file) for _ in range(2)]
        assert [result.exit_code for result in results] == [code, code], results[0].output
        with Store(tmp_path / "run" / "run.sqlite", read_only=True) as store:
            assert (store.pool_size(("generate",)) == 0) is (code == 2)
        scored = [body for body in server.bodies if body.get("prompt_logprobs") == listed]
    if code == 2:
        for result in results:
            assert "train.students.own.on_policy.top: 20 needs more" in result.output
            assert "scores texts, but not with 20 likeliest tokens" in result.output
    else:
        assert len(scored) == 3, "a server that has nothing left to write is not tried again"


def test_check_shows_and_keeps_what_a_recipe_s_server_can_do_and_what_it_lacks(
    tmp_path: Path,
) -> None:
    with AbleServer(context=512) as server:
        file = recipe(tmp_path, server, generate={"samples": 4, "max_tokens": 512})
        before = command("plan", file)
        result = command("check", file)
        asked = len(server.bodies)
        plan = command("plan", file)
        refused = command("generate", file)
        assert len(server.bodies) == asked
    assert "not known; potstill check tells" in " ".join(before.output.split())
    assert result.exit_code == 2
    for words in ("temperature", "ignored", "512", "asked with"):
        assert words in result.output
    errors = [line for line in result.output.splitlines() if line.startswith("Error:")]
    assert len(errors) == 2
    assert "generate.samples: 4" in errors[0] and "Set generate.samples to 1" in errors[0]
    assert "generate.max_tokens: 512" in errors[1] and "512 tokens at most" in errors[1]
    shown = " ".join(plan.output.split())
    assert "temperature ignored" in shown and "refused generate.samples: 4" in shown
    assert refused.exit_code == 2 and "it ignores the temperature" in refused.output


def test_check_of_a_model_alone() -> None:
    with AbleServer(draws=True, top=20) as server:
        result = command(
            "check", "openai:tiny", "--set", f"base_url={server.url}", "--set", "api_key_env=null"
        )
    assert result.exit_code == 0, result.output
    assert "honoured" in result.output and "20" in result.output


@pytest.mark.parametrize("what", ["bundled:teacher", "openai", "nothing.yaml"])
def test_check_of_what_is_no_server(what: str) -> None:
    result = command("check", what)
    assert result.exit_code == 2 and result.output.startswith("Error:")


def test_a_server_that_fails_is_told_in_one_line() -> None:
    result = command("check", "openai:tiny", "--set", "base_url=http://127.0.0.1:9/v1",
                     "--set", "api_key_env=null")  # fmt: skip
    assert result.exit_code == 2
    assert "cannot reach http://127.0.0.1:9/v1" in result.output


@pytest.mark.parametrize(("written", "passes"), [(0, False), (1, False), (8, True)])
def test_check_refuses_a_server_that_answers_nothing_but_not_one_that_thinks(
    written: int, passes: bool
) -> None:
    with Loopback(lambda body: [""] * body.get("n", 1)) as server:
        server.usage = {"prompt_tokens": 5, "completion_tokens": written}
        result = command(
            "check", "openai:tiny", "--set", f"base_url={server.url}", "--set", "api_key_env=null"
        )
    assert result.exit_code == (0 if passes else 2), result.output
    assert ("a plain question of one line without any text" in result.output) is not passes


@pytest.mark.parametrize("what", ["openai", "nothing.yaml", "runs/none"])
def test_check_of_what_is_not_there_names_what_it_takes(what: str) -> None:
    result = command("check", what)
    assert result.output.startswith(f"Error: there is no {what}. Give a recipe, a run's folder, or")


def test_samples_that_are_all_one_text_are_told_after_the_first_questions(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with AbleServer() as server:
        result = command("generate", recipe(tmp_path, server, generate={"samples": 3}))
    assert result.exit_code == 0
    [told] = [record.message for record in caplog.records if "word for word" in record.message]
    assert "the 3 samples of each of the first 5 questions are one text" in told
    assert '"samples_equal"' in (tmp_path / "run" / "log.jsonl").read_text()


@pytest.mark.parametrize(
    ("draws", "settings"),
    [(True, {"samples": 3}), (False, {"samples": 1}), (False, {"samples": 3, "temperature": 0})],
)
def test_samples_that_differ_or_need_not_are_no_reason_to_speak(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, draws: bool, settings: Body
) -> None:
    with AbleServer(draws=draws) as server:
        command("generate", recipe(tmp_path, server, generate=settings))
    assert "word for word" not in caplog.text


def test_a_server_that_ignores_n_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with AbleServer(draws=True) as server:
        server.largest_n = 1
        command("generate", recipe(tmp_path, server, generate={"samples": 3}))
    assert "gives 1 of several samples in one answer (n)" in caplog.text
