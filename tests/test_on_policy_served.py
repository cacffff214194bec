"""A student in training whose answers a server writes, from the weights of the round."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dense_scorer import DenseScorer
from served_places import server
from test_on_policy import letters_model, on_policy, settings, trained
from tiny_models import build_tiny_seq2seq

from potstill.errors import ConfigError
from potstill.models import open_model
from potstill.models.local.model import HFModel
from potstill.models.served.server_pool import ServerPool
from potstill.models.settings import LocalSettings, OpenAISettings
from potstill.models.token_requests import TokenRequest
from potstill.records import Completion, Request, TokenLogprobs
from potstill.store import Store
from potstill.train.on_policy.served_writer import ids_by_name, with_ids

Json = dict[str, Any]


class FolderServers:
    """Servers that load the folder which they are given, as vLLM names tokens and probabilities."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folders: list[str] = []
        self.running = 0
        outer = self

        def start(pool: ServerPool, name: str) -> OpenAISettings:
            folder = pool._entries[name].server._program.model
            assert Path(folder, "model.safetensors").is_file()
            outer.folders.append(folder)
            outer.running += 1
            served = server({"/v1/completions": Answering(folder)})
            url = served.__enter__()

            def stop() -> None:
                served.__exit__(None, None, None)
                outer.running -= 1

            pool._runtime.releasing.append(stop)
            return OpenAISettings(
                model="openai:m", base_url=f"{url}/v1", api_key_env=None, chat=False,
                prompt_price=0.0, completion_price=0.0,
            )  # fmt: skip

        monkeypatch.setattr(ServerPool, "start", start)
        monkeypatch.setattr("potstill.models.vllm.launcher.shutil.which", lambda _: "/bin/vllm")


class Answering:
    """Answers the completions route by the model of a folder."""

    def __init__(self, folder: str) -> None:
        model = open_model(LocalSettings(model=f"hf:{folder}", device="cpu"))
        assert isinstance(model, HFModel)
        self._model = model

    def __call__(self, body: Json) -> Json:
        request = TokenRequest(
            prompt="", prompt_ids=tuple(body["prompt"]), max_tokens=body["max_tokens"],
            temperature=body["temperature"], samples=tuple(range(body.get("n", 1))),
            seed=body.get("seed", 0), top_logprobs=body["logprobs"],
        )  # fmt: skip
        choices = [self._choice(one) for one in self._model.complete([request])]
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": 3 * len(choices)}
        return {"choices": choices, "usage": usage}

    def _choice(self, one: Completion) -> Json:
        record = one.logprobs
        assert record is not None and record.ids is not None
        rows = [[f"token_id:{token}" for token in row] for row in record.ids.tolist()]
        values = record.logprobs.tolist()
        likeliest = [
            dict(zip(row[1:], own[1:], strict=True)) for row, own in zip(rows, values, strict=True)
        ]
        logprobs = {
            "tokens": [row[0] for row in rows],
            "token_logprobs": [own[0] for own in values],
            "top_logprobs": likeliest,
        }
        return {
            "index": one.sample, "text": one.text, "finish_reason": one.finish_reason,
            "logprobs": logprobs,
        }  # fmt: skip


def tokens_of(folder: Path) -> list[tuple[str, str, str, list[int]]]:
    """Returns the student's texts: the round, the prompt, the text, and the token ids."""
    with Store(folder / "run.sqlite", read_only=True) as store:
        written = [
            (one.model, one.completion)
            for one in store.pool(("train",), logprobs=True)
            if one.model.startswith("on_policy:")
        ]
    rows = []
    for name, answer in written:
        assert answer.logprobs is not None and answer.logprobs.ids is not None
        ids = answer.logprobs.ids[:, 0].tolist()
        rows.append((name[-2:], str(answer.request.prompt), answer.text, ids))
    return sorted(rows)


def test_each_round_is_written_by_a_server_of_the_weights_it_begins_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = FolderServers(monkeypatch)
    start = letters_model(tmp_path / "start", seed=0)
    teacher = letters_model(tmp_path / "teacher", seed=1)
    own = on_policy(temperature=0)
    values = settings({"own": own})
    found = trained(tmp_path / "served", start, DenseScorer(teacher), values, serve="vllm")
    assert [one.step for one in found] == [3, 6]
    assert len(servers.folders) == 2 and servers.running == 0
    assert not any(Path(folder).exists() for folder in servers.folders)
    trained(tmp_path / "here", start, DenseScorer(teacher), values)
    there, here = tokens_of(tmp_path / "served"), tokens_of(tmp_path / "here")
    assert there == here, "greedy, of equal weights"
    assert {row[0] for row in there} == {":1", ":2"} and len(there) == 24


def test_a_round_that_a_server_wrote_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = FolderServers(monkeypatch)
    start = letters_model(tmp_path / "start", seed=0)
    scorer = DenseScorer(letters_model(tmp_path / "teacher", seed=1))
    scorer.left = 3  # texts, then the machine goes off
    values = settings({"own": on_policy()})
    with pytest.raises(SystemExit):
        trained(tmp_path / "run", start, scorer, values, serve="vllm")
    assert len(servers.folders) == 1 and servers.running == 0
    scorer.left = None
    trained(tmp_path / "run", start, scorer, values, serve="vllm")
    assert len(servers.folders) == 2, "one for each round"


def test_auto_stays_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = FolderServers(monkeypatch)
    start = letters_model(tmp_path / "start", seed=0)
    scorer = DenseScorer(letters_model(tmp_path / "teacher", seed=1))
    trained(tmp_path / "run", start, scorer, settings({"own": on_policy()}), serve="auto")
    assert servers.folders == []


def test_tokens_are_named_by_id_up_to_the_end_of_the_text() -> None:
    names = [b"a", b"b", None, b"ab", b"b", b"c", b"c", b""]
    ids = ids_by_name(names, {"b": [4], "c": [0, 5]}.__getitem__)
    assert ids == {b"a": 0, b"ab": 3, b"b": 4}, "its text is b's second token, and neither of c's"
    record = TokenLogprobs(
        logprobs=np.log(np.array([[0.5, 0.5], [0.25, 0.5], [1.0, 1.0]], np.float32)),
        token_bytes=b"aaabb<e><e>",
        lengths=np.array([[1, 1], [2, 1], [3, 3]], np.uint16),
    )
    answer = Completion(
        request=Request(prompt="p", max_tokens=9), sample=0, text="aab", finish_reason="stop",
        logprobs=record,
    )  # fmt: skip
    named = with_ids(answer, ids).logprobs
    assert named is not None and named.ids is not None
    assert named.ids.tolist() == [[0, 0], [3, 4]]
    np.testing.assert_array_equal(named.logprobs, record.logprobs[:2])
    assert with_ids(answer, {b"a": 0}) is answer, "ab is not known"


def test_a_student_that_no_server_loads_is_refused(tmp_path: Path) -> None:
    start = build_tiny_seq2seq(tmp_path / "start")
    scorer = DenseScorer(letters_model(tmp_path / "teacher", seed=1))
    values = settings({"own": on_policy()})
    with pytest.raises(ConfigError, match="which vLLM does not serve"):
        trained(tmp_path / "run", start, scorer, values, serve="vllm")
