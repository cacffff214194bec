"""A student that a server answers for is asked the same, and told apart in the store."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from deployed_run import deployed_run, sharpen
from fakes import context_of
from served_places import server
from tiny_models import build_tiny_causal, build_tiny_seq2seq

from potstill.errors import ConfigError, MissingExtraError
from potstill.models import open_model
from potstill.models.folder_server import FolderServer
from potstill.models.local.model import HFModel
from potstill.models.served.served_model import FolderServerModel
from potstill.models.served.server_pool import ServerPool
from potstill.models.served.serving import folder_program, served_name, server_of
from potstill.models.settings import LocalSettings, OpenAISettings, student_settings
from potstill.models.token_requests import TokenRequest
from potstill.pipeline.run import stored_run
from potstill.records import Completion, Message, Request
from potstill.runtime import Runtime
from potstill.runtime.budget import Budget, BudgetSettings
from potstill.runtime.progress import Meter
from potstill.sampling.ask import complete_missing
from potstill.store import Store

Json = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = build_tiny_causal(tmp_path_factory.mktemp("model") / "student", "qwen2", chat=True)
    sharpen(made)
    return made


def settings_of(folder: Path, **further: object) -> LocalSettings:
    raw = {"model": f"hf:{folder}", "device": "cpu", "serve": "vllm", **further}
    return student_settings(raw, at="student")


class Answering:
    """Answers the completions route by the model itself, as a server that loads its folder."""

    def __init__(self, folder: Path) -> None:
        model = open_model(LocalSettings(model=f"hf:{folder}", device="cpu"))
        assert isinstance(model, HFModel)
        self._model = model
        self.bodies: list[Json] = []

    def __call__(self, body: Json) -> Json:
        self.bodies.append(body)
        prompt = body["prompt"]
        if isinstance(prompt, str):
            prompt = self._model.tokenizer(prompt)["input_ids"]
        request = TokenRequest(
            prompt="", prompt_ids=tuple(prompt), max_tokens=body["max_tokens"],
            temperature=body["temperature"], stop=tuple(body.get("stop", ())),
            samples=tuple(range(body.get("n", 1))), seed=body.get("seed", 0),
        )  # fmt: skip
        choices = [
            {"index": one.sample, "text": one.text, "finish_reason": one.finish_reason}
            for one in self._model.complete([request])
        ]
        usage = {"prompt_tokens": len(prompt), "completion_tokens": 3 * len(choices)}
        return {"choices": choices, "usage": usage}


@pytest.fixture
def answering(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    """The model's server, which every served model in the test is answered by."""
    answers = Answering(folder)
    with server({"/v1/completions": answers}) as url:

        def start(pool: ServerPool, name: str) -> OpenAISettings:
            return OpenAISettings(
                model="openai:m", base_url=f"{url}/v1", api_key_env=None, chat=False,
                prompt_price=1.0, completion_price=1.0,
            )  # fmt: skip

        monkeypatch.setattr(ServerPool, "start", start)
        yield answers


ASKED = [
    Request(prompt="Q: Anna has 3 apples and buys 14 more. How many?\nA:", max_tokens=12),
    Request(prompt=" Tom flips the coin. ###", max_tokens=12, stop=("e", "o")),
    Request(prompt=(Message(role="user", content="How many pages? <eos> Say."),), max_tokens=9),
    Request(prompt="Q: Zoé reads", answer_prefix=" 5 pages on", max_tokens=7),
    Request(prompt="Q: Votes", samples=(0, 1, 2), temperature=0.9, max_tokens=5),
]


def told(completions: Iterator[Completion]) -> dict[tuple[Request, int], tuple[object, ...]]:
    return {
        (one.request, one.sample): (one.text, one.finish_reason, one.thinking, one.prompt_tokens)
        for one in completions
    }


def test_the_server_is_asked_the_same_tokens_and_answers_the_same(
    folder: Path, answering: Answering
) -> None:
    here = HFModel(settings_of(folder, serve=None), source=str(folder))
    there = open_model(settings_of(folder))
    assert isinstance(there, FolderServerModel)
    greedy = [request for request in ASKED if request.temperature == 0]
    assert told(there.complete(greedy)) == told(here.complete(greedy))
    sent = {tuple(body["prompt"]) for body in answering.bodies}
    assert sent == {tuple(here._prompts.prompt_ids(request)) for request in greedy}
    assert {tuple(body["stop_token_ids"]) for body in answering.bodies} == {
        tuple(sorted(here._end_ids))
    }


def test_texts_are_sent_where_the_server_takes_no_ids(folder: Path, answering: Answering) -> None:
    program = {"program": "some {folder} {port}", "prompts": "text"}
    there = open_model(settings_of(folder, serve=program))
    here = HFModel(settings_of(folder, serve=None), source=str(folder))
    plain = [ASKED[0], ASKED[1], ASKED[3]]
    assert told(there.complete(plain)) == told(here.complete(plain))
    assert all(isinstance(body["prompt"], str) for body in answering.bodies)
    assert not any("stop_token_ids" in body for body in answering.bodies)
    # A control token that is text would be one at the server.
    (refused,) = there.complete([ASKED[2]])
    assert refused.error == "no text makes the tokens of this prompt at the server"


def test_votes_are_drawn_and_cost_nothing(folder: Path, answering: Answering) -> None:
    runtime = Runtime(budget=Budget(BudgetSettings(tokens=1)))
    model = open_model(settings_of(folder), runtime)
    drawn = list(model.complete(ASKED[4:]))
    assert sorted(one.sample for one in drawn) == [0, 1, 2]
    assert {one.cost for one in drawn} == {0.0}
    assert runtime.budget.spent.tokens == 0


def test_what_does_not_fit_is_refused_before_the_server_is_asked(
    folder: Path, answering: Answering
) -> None:
    model = open_model(settings_of(folder, serve={"options": {"max_model_len": 8}}))
    long, short = Request(prompt="a b c d e f g h i j k"), Request(prompt="a b", max_tokens=50)
    refused, answered = sorted(model.complete([long, short]), key=lambda one: not one.error)
    assert refused.error is not None
    assert re.fullmatch(r"the prompt has \d+ tokens; the model has 8 positions", refused.error)
    assert answered.error is None
    assert answered.request is short  # as it was asked, though less was to be had
    (body,) = answering.bodies
    assert body["max_tokens"] == 8 - len(body["prompt"])


def test_a_student_that_writes_nothing_has_answered(folder: Path, answering: Answering) -> None:
    """An untrained one may end every answer at once, which is no fault of its server."""
    requests = [Request(prompt=f"Q: {n}", stop=(), max_tokens=3) for n in range(9)]
    answering_nothing = {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}
    answering._model = None  # type: ignore[assignment]
    type_of = type(answering)
    original = type_of.__call__
    try:
        type_of.__call__ = lambda self, body: answering_nothing  # type: ignore[method-assign]
        completions = list(open_model(settings_of(folder)).complete(requests))
    finally:
        type_of.__call__ = original  # type: ignore[method-assign]
    assert [one.error for one in completions] == [None] * 9


def test_names_tell_both_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    own = settings_of(folder, serve=None).identity().name
    names = {
        serve: settings_of(folder, serve=serve).identity().name
        for serve in ("vllm", "serve {folder} {port}", "serve {folder} {port} --x")
    }
    assert names["vllm"] == f"{own}+vllm_float32"
    assert settings_of(folder, dtype="bfloat16").identity().name == f"{own}+vllm_bfloat16"
    with pytest.raises(ConfigError, match="float64, which vLLM does not"):
        settings_of(folder, dtype="float64").identity()
    assert names["serve {folder} {port}"].startswith(f"{own}+serve#")
    assert len({own, *names.values()}) == 4
    quick = {"options": {"max-num-seqs": 4, "max-model-len": 99}}
    assert settings_of(folder, serve=quick).identity().name == names["vllm"]
    other = {"options": {"quantization": "fp8"}}
    assert settings_of(folder, serve=other).identity().name.startswith(f"{names['vllm']}#")


def test_auto_takes_vllm_where_it_is_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = settings_of(folder, serve="auto")
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert server_of(auto) is None
    assert served_name(auto, "hf:x") == "hf:x"
    assert isinstance(open_model(auto), HFModel)
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    assert server_of(auto) == FolderServer()
    seq2seq = build_tiny_seq2seq(tmp_path / "t5")
    assert server_of(settings_of(seq2seq, serve="auto")) is None
    with pytest.raises(ConfigError, match="which vLLM does not serve"):
        server_of(settings_of(seq2seq))
    prefixed = tmp_path / "prefixed"
    shutil.copytree(folder, prefixed)
    config = json.loads((prefixed / "config.json").read_text())
    (prefixed / "config.json").write_text(json.dumps(config | {"learned_prefix": 4}))
    assert server_of(settings_of(prefixed, serve="auto")) is None
    for serve in ("vllm", "serve {folder} {port}"):
        with pytest.raises(ConfigError, match=r"a learned prefix .*, which potstill alone loads"):
            server_of(settings_of(prefixed, serve=serve))


def test_vllm_is_started_with_the_folder_and_the_number_format(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    settings = settings_of(folder, dtype="bfloat16", serve={"options": {"max-model-len": 64}})
    assert isinstance(settings.serve, FolderServer)
    command = folder_program(settings, settings.serve).command(81)
    assert command[:3] == ["/bin/vllm", "serve", str(folder)]
    for name, value in (("dtype", "bfloat16"), ("max-model-len", "64"), ("port", "81")):
        assert command[command.index(f"--{name}") + 1] == value
    assert command[command.index("--generation-config") + 1] == "vllm"
    other = settings_of(folder, serve="/x/serve --dir={folder} -p '{port}'")
    assert isinstance(other.serve, FolderServer)
    command = folder_program(other, other.serve).command(81)
    assert command == ["/bin//x/serve", f"--dir={folder}", "-p", "81"]
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(MissingExtraError, match="'/x/serve', which is not on the PATH"):
        folder_program(other, other.serve).command(81)


@pytest.mark.parametrize(
    ("serve", "message"),
    [
        ("nix", "program is 'nix', which has no {folder}"),
        ("nix {folder}", "which has no {port}"),
        (7, "give vllm, auto, a command line, or a mapping"),
        ({"options": {"port": 3}}, "port is not for you to set"),
        ({"program": "a {folder} {port}", "options": {"x": 1}}, "options are those of vllm serve"),
        ({"optons": {}}, "unknown setting 'serve.optons'"),
    ],
)
def test_what_cannot_serve_is_refused(serve: object, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        student_settings({"model": "hf:a", "serve": serve}, at="student")


class Started:
    """A server that is only noted."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes, self.runs = name, notes, False

    def start(self, _: object) -> OpenAISettings:
        self.notes += [] if self.runs else [f"{self.name} starts"]
        self.runs = True
        return OpenAISettings(model="openai:m", api_key_env=None)

    def stop(self) -> None:
        self.notes += [f"{self.name} ends"] if self.runs else []
        self.runs = False


class Asker:
    """Whoever asks a server."""


def test_servers_run_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    made: Callable[[Any, object], Started] = lambda name, _: Started(name, notes)  # noqa: E731
    monkeypatch.setattr("potstill.models.served.server_pool.LaunchedServer", made)
    runtime = Runtime()
    pool = ServerPool.of(runtime)
    assert ServerPool.of(runtime) is pool
    one, again, two = Asker(), Asker(), Asker()
    pool.join(one, "a", "a")  # type: ignore[arg-type]
    pool.start("a")
    pool.join(again, "a", "a")  # type: ignore[arg-type]
    pool.start("a")  # runs on for whoever opens the same model
    del one, again
    pool.join(two, "b", "b")  # type: ignore[arg-type]
    pool.start("b")
    assert notes == ["a starts", "a ends", "b starts"]
    third = Asker()
    pool.join(third, "a", "a")  # type: ignore[arg-type]
    pool.start("a")  # both are held: a pair that is asked by turns
    pool.start("b")
    assert notes[3:] == ["a starts"]
    runtime.release()
    assert sorted(notes[4:]) == ["a ends", "b ends"]
    pool.start("a")
    assert notes[6:] == ["a starts"]
    runtime.close()


def test_what_is_stored_is_not_asked_again(
    folder: Path, answering: Answering, tmp_path: Path
) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        context = context_of(store)
        for expected in ((2, 0), (0, 2)):
            model = open_model(settings_of(folder))
            counts = complete_missing(model, ASKED[:2], context, label="asking", stage="evaluate")
            assert (counts.stored, counts.there) == expected
        here = open_model(settings_of(folder, serve=None))
        counts = complete_missing(here, ASKED[:2], context, label="asking", stage="evaluate")
        assert counts.stored == 2  # those of this process are others


def test_the_report_says_what_computed_each_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_folder = deployed_run(tmp_path / "run")
    with stored_run(run_folder, Meter(None)) as run:
        place = run.folder / run.store.checkpoints()[0].folder
    answers = {str(path): Answering(path) for path in (place, tmp_path / "start")}
    recipe = run_folder / "recipe.yaml"
    values = yaml.safe_load(recipe.read_text())
    values["student"]["serve"], values["evaluate"]["teacher"] = "vllm", False
    recipe.write_text(yaml.safe_dump(values))
    with server({f"/{n}/v1/completions": one for n, one in enumerate(answers.values())}) as url:

        def start(pool: ServerPool, name: str) -> OpenAISettings:
            number = 0 if "checkpoint" in name else 1
            return OpenAISettings(
                model="openai:m", base_url=f"{url}/{number}/v1", api_key_env=None, chat=False
            )

        monkeypatch.setattr(ServerPool, "start", start)
        monkeypatch.setattr("potstill.pipeline.run.require_current", lambda *_: None)
        with stored_run(run_folder, Meter(None)) as run:
            before = {(p.question_id, p.text) for p in run.store.predictions()}
            run.evaluate()
            after = {
                (p.question_id, p.text)
                for p in run.store.predictions()
                if p.system.label == "rationales"
            }
            engines = {(one.engine, one.number_format) for one in run.store.engines()}
            files = run.report()
    assert before == after  # as it was measured in this process
    assert engines == {("vllm", "float32")}
    assert "All local models were computed by vllm in float32." in files.html.read_text()
    summary = json.loads(files.summary.read_text())
    assert summary["engines"]["rationales"] == {"engine": "vllm", "number_format": "float32"}
