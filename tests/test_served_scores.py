"""Texts that servers score: the same numbers as here, or a reason; nothing moved by one place."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes_upstream import served as student_served
from made_up_scores import MadeUpModel
from scoring_servers import ScoringModel, ScoringServer, Shape
from tiny_models import build_tiny_causal

from potstill.errors import BudgetError, ConfigError, ModelError, ServerError
from potstill.models.local.model import HFModel
from potstill.models.openai.model import OpenAIModel
from potstill.models.openai.server_probes import find_capabilities
from potstill.models.openai.spelled_pieces import Misspelled, spelled_at_end
from potstill.models.scored_tokens import answer_ends, scores_by_bytes
from potstill.models.served.server_pool import ServerPool
from potstill.models.settings import LocalSettings, OpenAISettings, VLLMSettings
from potstill.models.vllm.launcher import LaunchedServer
from potstill.records import Completion, GivenText, Message, Request, TokenLogprobs
from potstill.runtime import Runtime
from potstill.runtime.budget import Budget, BudgetSettings
from potstill.serve.settings import ServeSettings

TEXTS = [
    " Anna has 17 apples.",
    " 3 + 14 = 17 \U0001f34e\U0001f469\u200d\U0001f467.",
    " 答えは十七です。 Ответ 17.",
    "\n\n  indented,\ttabbed",
]
PROMPT = "Q: Anna has 3 apples \U0001f34e and buys 14 more.\nA:"
CHAT = (Message(role="user", content="Anna has 3 apples and buys 14 more."),)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_causal(tmp_path_factory.mktemp("m") / "m", "qwen2", chat=True)


@pytest.fixture(scope="module")
def local(folder: Path) -> HFModel:
    settings = LocalSettings(model=f"hf:{folder}", device="cpu", dtype="float32")
    return HFModel(settings, source=str(folder))


@pytest.fixture(scope="module")
def scoring(folder: Path) -> ScoringModel:
    return ScoringModel(folder)


@pytest.fixture
def made_up() -> Iterator[ScoringServer]:
    with ScoringServer(MadeUpModel(), "vllm") as server:
        yield server


def given(prompt: Any, text: str, *, ends: bool = False, top: int = 3, **fields: Any) -> Request:
    return Request(prompt=prompt, given=GivenText(text=text, ends=ends), top_logprobs=top, **fields)


def served(server: ScoringServer, runtime: Runtime | None = None, **fields: Any) -> OpenAIModel:
    values = {"model": "openai:tiny", "base_url": server.url, "api_key_env": None, "chat": False}
    return OpenAIModel(OpenAISettings.model_validate(values | fields), runtime)


def scored(model: Any, requests: Sequence[Request]) -> list[Completion]:
    done = {completion.request: completion for completion in model.complete(requests)}
    return [done[request] for request in requests]


def rows(record: TokenLogprobs | None) -> list[list[tuple[bytes, float]]]:
    """Names and numbers of a record by bytes."""
    assert record is not None and record.lengths is not None
    ends = record.lengths.astype(int).cumsum().reshape(record.lengths.shape)
    starts = ends - record.lengths
    return [
        [
            (record.token_bytes[start:end], float(value))
            for start, end, value in zip(*row, strict=True)
        ]
        for row in zip(starts, ends, record.logprobs, strict=True)
    ]


def check_equal(here: Completion, there: Completion, names: Sequence[bytes | None]) -> None:
    """Compares what a server says with the scores on this machine."""
    assert there.error is None, there.error
    assert (there.text, there.finish_reason) == (here.text, "stop")
    assert there.completion_tokens == 0 and here.logprobs is not None
    own = scores_by_bytes(here.logprobs, here.text, names)
    assert there.logprobs is not None
    np.testing.assert_allclose(there.logprobs.logprobs, own.logprobs, atol=1e-4)
    assert [row[0][0] for row in rows(there.logprobs)] == [row[0][0] for row in rows(own)]
    np.testing.assert_array_equal(answer_ends(there.logprobs), answer_ends(own))
    for mine, theirs in zip(rows(own), rows(there.logprobs), strict=True):
        assert {name for name, _ in mine[1:]} == {name for name, _ in theirs[1:]}
    spelled = b"".join(row[0][0] for row in rows(there.logprobs))
    assert spelled == here.text.encode()


@pytest.mark.parametrize("shape", ["vllm", "sglang"])
@pytest.mark.parametrize("chat", [False, True])
def test_in_the_models_own_tokens_a_server_says_what_the_model_says(
    shape: Shape, chat: bool, scoring: ScoringModel, folder: Path, local: HFModel
) -> None:
    prompt: Any = CHAT if chat else PROMPT
    requests = [given(prompt, text, ends=ends) for text in TEXTS for ends in (True, False)]
    requests.append(given(prompt, " 17", answer_prefix="So:"))
    requests += [given(prompt, "", ends=True), given("", " Anna has", top=2)][: 1 if chat else 2]
    with ScoringServer(scoring, shape) as server:
        model = served(server, chat=chat, chat_template=str(folder))
        for here, there in zip(scored(local, requests), scored(model, requests), strict=True):
            check_equal(here, there, local._prompts.token_names)
            assert there.prompt_tokens == here.prompt_tokens + (here.request.given or given).ends  # type: ignore[union-attr]
    sent = server.bodies[-1]
    assert isinstance(sent.get("prompt", sent.get("input_ids")), list)


def test_an_echo_lists_names_alone_of_which_the_certain_ones_are_kept(
    scoring: ScoringModel, folder: Path, local: HFModel
) -> None:
    requests = [given(PROMPT, text, top=8) for text in TEXTS]
    with ScoringServer(scoring, "echo") as server:
        known = scored(served(server, chat_template=str(folder)), requests)
        unknown = scored(served(server), requests)
    for here, *there in zip(scored(local, requests), known, unknown, strict=True):
        assert here.logprobs is not None
        own = scores_by_bytes(here.logprobs, here.text, local._prompts.token_names)
        for done in there:
            assert done.logprobs is not None, done.error
            np.testing.assert_allclose(done.logprobs.logprobs[:, 0], own.logprobs[:, 0], atol=1e-4)
            assert [row[0][0] for row in rows(done.logprobs)] == [row[0][0] for row in rows(own)]
            for mine, theirs in zip(rows(own), rows(done.logprobs), strict=True):
                exact = {name: value for name, value in mine[1:] if name}
                for name, value in theirs[1:]:
                    if name in exact:
                        assert value == pytest.approx(exact[name], abs=1e-4)


def test_without_a_tokenizer_the_chat_route_has_the_end_of_the_turn(
    scoring: ScoringModel, local: HFModel
) -> None:
    requests = [
        given(CHAT, text, ends=ends) for text in ("17", "It is 17.") for ends in (True, False)
    ]
    with ScoringServer(scoring, "vllm") as server:
        there = scored(served(server, chat=True), requests)
        assert set(server.paths) == {"/v1/chat/completions"}
    for here, done in zip(scored(local, requests), there, strict=True):
        assert done.logprobs is not None and here.logprobs is not None, done.error
        np.testing.assert_allclose(
            done.logprobs.logprobs[:, 0], here.logprobs.logprobs[:, 0], atol=1e-4
        )
        ends = answer_ends(done.logprobs)[:, 0]
        assert ends[-1] == (done.request.given is not None and done.request.given.ends)
        assert not ends[:-1].any()


def test_pieces_that_a_server_does_not_name_are_not_guessed(scoring: ScoringModel) -> None:
    with ScoringServer(scoring, "vllm") as server:
        fine, broken = scored(served(server), [given("Q:", TEXTS[0]), given("Q:", TEXTS[1])])
    assert fine.error is None
    assert "set chat_template to the hub name or folder" in (broken.error or "")
    assert broken.logprobs is None


def test_a_token_over_the_seam_is_a_reason(made_up: ScoringServer) -> None:
    (done,) = scored(served(made_up), [given("Q: An", "ns pens")])
    assert "runs over the seam between prompt and text" in (done.error or "")


@pytest.mark.parametrize(
    ("names", "text", "first", "found"),
    [
        (["a", " b", "c"], " bc", 1, [b" b", b"c"]),
        (["Q", "\ufffd", "\ufffd"], "\U0001f34e", 1, [b"\xf0\x9f\x8d", b"\x8e"]),
        ([" \ufffd", "\ufffd", "!"], " é!", 0, [b" \xc3", b"\xa9", b"!"]),
        (["\ufffd"] * 4, "\U0001f34e", 0, [b"\xf0", b"\x9f", b"\x8d", b"\x8e"]),
    ],
)
def test_pieces_of_characters_follow_from_the_text(
    names: list[str], text: str, first: int, found: list[bytes]
) -> None:
    before = "".join(names[:first])
    told = spelled_at_end(names, text, lambda count: "".join(names[:count]) == before)
    assert told == (first, found)


@pytest.mark.parametrize(
    ("names", "text", "reason"),
    [
        (["a", "", "é"], "é!", "where the text has"),
        (["", "\U0001f34e"], "x\U0001f34e", "does not name a token"),
        (["ab"], "b", "over the seam"),
        (["b"], "ab", "the end of 'ab' alone"),
        (["\ufffd"] * 3, "\U0001f34e", "in two ways"),
    ],
)
def test_what_a_text_does_not_settle_is_refused(names: list[str], text: str, reason: str) -> None:
    with pytest.raises(Misspelled, match=reason):
        spelled_at_end(names, text)


@pytest.mark.parametrize("kind", ["student", "vllm"])
def test_a_model_that_is_served_for_the_run_scores_by_its_own_tokenizer(
    kind: str, scoring: ScoringModel, folder: Path, local: HFModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [given(prompt, TEXTS[1], ends=True) for prompt in (PROMPT, CHAT)]
    with ScoringServer(scoring, "vllm") as server:
        asked = OpenAISettings(
            model="openai:tiny", base_url=server.url, api_key_env=None, chat=kind == "vllm"
        )
        monkeypatch.setattr(ServerPool, "start", lambda pool, name: asked)
        monkeypatch.setattr(LaunchedServer, "start", lambda launched, stop=None: asked)
        runtime = Runtime()
        if kind == "student":
            model = LocalSettings(model=f"hf:{folder}", device="cpu", serve="vllm").open(runtime)
        else:
            model, requests = VLLMSettings(model=f"vllm:{folder}").open(runtime), requests[1:]
        assert model.scores_texts
        done = scored(model, requests)
        for here, there in zip(scored(local, requests), done, strict=True):
            check_equal(here, there, local.token_names)
        assert set(server.paths) == {"/v1/completions"}
        assert bool(runtime.budget.spent.tokens) == (kind == "vllm"), "a student's own are free"


# Probes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chat", [False, True])
def test_a_server_without_scores_is_refused_after_one_probe(chat: bool, folder: Path) -> None:
    with ScoringServer(ScoringModel(folder), "none") as server:
        model = served(server, chat=chat)
        with pytest.raises(
            ModelError, match="gives no probabilities of a text that it did not"
        ) as told:
            scored(model, [given(CHAT if chat else "Q:", f" {n}.") for n in range(50)])
    assert len(server.bodies) <= 4 and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("shape", "way"),
    [
        ("vllm", "prompt_logprobs"), ("echo", "echo"), ("sglang", "input_token_logprobs"),
        ("none", "none"),
    ],
)  # fmt: skip
def test_a_check_of_the_server_says_how_it_scores(shape: Shape, way: str) -> None:
    with ScoringServer(MadeUpModel(), shape) as server:
        values = {
            "model": "openai:tiny",
            "base_url": server.url,
            "api_key_env": None,
            "chat": False,
        }
        settings = OpenAISettings.model_validate(values)
        found = find_capabilities(settings, None, Runtime(), ["prompt_logprobs"])
    assert found == {"prompt_logprobs": way}


@pytest.mark.parametrize(("shift", "agrees"), [(0.02, True), (0.3, False), (3.0, False)])
def test_replicas_that_do_not_agree_are_refused(
    shift: float, agrees: bool, made_up: ScoringServer
) -> None:
    made_up.shift = shift
    requests = [given("Q:", f" {n} pens") for n in range(20)]
    if agrees:
        assert all(done.error is None for done in scored(served(made_up), requests))
        return
    with pytest.raises(ServerError, match=rf"{shift:.2f} nats apart on average"):
        scored(served(made_up), requests)
    assert len(made_up.bodies) == 2


def test_more_likeliest_tokens_than_a_server_lists_are_refused(made_up: ScoringServer) -> None:
    with pytest.raises(ModelError, match="scores texts, but not with 30 likeliest tokens"):
        scored(served(made_up), [given("Q:", " pens", top=30)])


def test_the_end_is_not_guessed_where_no_tokenizer_knows_it(made_up: ScoringServer) -> None:
    with pytest.raises(ConfigError, match="known by its tokenizer alone; set chat_template"):
        scored(served(made_up), [given("Q:", " pens", ends=True)])


def test_a_batch_endpoint_scores_nothing(made_up: ScoringServer) -> None:
    with pytest.raises(ModelError, match="a batch scores no texts; set mode: live"):
        scored(served(made_up, mode="batch"), [given("Q:", " pens")])


# Hostile answers ---------------------------------------------------------------------------------


def _listed(reply: dict[str, Any]) -> Any:
    return reply["choices"][0].get("prompt_logprobs")


def _drop_row(reply: dict[str, Any]) -> None:
    del _listed(reply)[-2]


def _drop_first(reply: dict[str, Any]) -> None:
    del _listed(reply)[0]


def _shift(reply: dict[str, Any]) -> None:
    listed = _listed(reply)
    listed[1:] = [*listed[2:], listed[1]]


def _null_row(reply: dict[str, Any]) -> None:
    _listed(reply)[-1] = None


def _null_value(reply: dict[str, Any]) -> None:
    next(iter(_listed(reply)[-1].values()))["logprob"] = None


def _of_all(value: object) -> Callable[[dict[str, Any]], None]:
    def edit(reply: dict[str, Any]) -> None:
        next(iter(_listed(reply)[-1].values()))["logprob"] = value

    return edit


def _fewer(reply: dict[str, Any]) -> None:
    row = _listed(reply)[-1]
    own, *others = row.values()
    own["rank"] = 1 + len(others)  # beside the likeliest
    row.popitem()


def _wrong_names(reply: dict[str, Any]) -> None:
    next(iter(_listed(reply)[-1].values()))["decoded_token"] = " other"


def _other_ids(reply: dict[str, Any]) -> None:
    reply["choices"][0]["prompt_token_ids"][-1] += 1


def _as_list(reply: dict[str, Any]) -> None:
    reply["choices"][0]["prompt_logprobs"] = ["x"] * len(_listed(reply))


def _gone(reply: dict[str, Any]) -> None:
    del reply["choices"][0]["prompt_logprobs"]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_drop_row, "it lists"),
        (_drop_first, "it lists"),
        (_shift, "only of others"),
        (_null_row, "no probabilities of token"),
        (_null_value, "no probability of the text's token"),
        (_of_all(-9999.0), "no probability of the text's token"),
        (_of_all(math.nan), "not a number"),
        (_of_all(0.7), "none is above 0"),
        (_of_all("-1"), "a log-probability is"),
        (_of_all(True), "a log-probability is"),
        (_fewer, "of 3 likeliest tokens"),
        (_wrong_names, "where the text has"),
        (_other_ids, "only of others"),
        (_as_list, "AttributeError"),
        (_gone, "no prompt_logprobs"),
    ],
)
def test_a_spoilt_answer_is_a_failure_of_its_sample(
    edit: Callable[[dict[str, Any]], None], reason: str, made_up: ScoringServer
) -> None:
    def spoil(reply: dict[str, Any]) -> None:
        if "spoilt" in str(made_up.bodies[-1]):
            edit(reply)

    made_up.edit = spoil
    requests = [given("Q:", " fine pens"), given("Q:", " spoilt pens"), given("Q:", " more pens")]
    first, spoilt, last = scored(served(made_up, concurrency=1), requests)
    assert first.error is None and last.error is None
    assert spoilt.finish_reason == "error" and reason in (spoilt.error or ""), spoilt.error
    assert spoilt.logprobs is None


def _echo_moved(reply: dict[str, Any]) -> None:
    listed = reply["choices"][0]["logprobs"]
    listed["token_logprobs"][2:] = [listed["token_logprobs"][-1], *listed["token_logprobs"][2:-1]]


def _echo_tops_moved(reply: dict[str, Any]) -> None:
    listed = reply["choices"][0]["logprobs"]
    listed["top_logprobs"][1:] = [listed["top_logprobs"][-1], *listed["top_logprobs"][1:-1]]


def _echo_shorter(reply: dict[str, Any]) -> None:
    del reply["choices"][0]["logprobs"]["token_logprobs"][0]


def _triples_moved(reply: dict[str, Any]) -> None:
    rows = reply["meta_info"]["input_token_logprobs"]
    values = [row[0] for row in rows]
    for row, value in zip(rows[1:], [*values[2:], values[1]], strict=True):
        row[0] = value


def _triples_cut(reply: dict[str, Any]) -> None:
    for name in ("input_token_logprobs", "input_top_logprobs"):
        del reply["meta_info"][name][1]


@pytest.mark.parametrize(
    ("shape", "edit"),
    [
        ("echo", _echo_moved), ("echo", _echo_tops_moved), ("echo", _echo_shorter),
        ("sglang", _triples_moved), ("sglang", _triples_cut),
    ],
)  # fmt: skip
def test_rows_that_were_moved_are_found_out(
    shape: Shape, edit: Callable[[dict[str, Any]], None], scoring: ScoringModel, folder: Path
) -> None:
    text, top = " Anna has 17 apples and buys 14 more.", 300 if shape == "sglang" else 4
    with ScoringServer(scoring, shape) as server:
        model = served(server, chat_template=str(folder))
        (fine,) = scored(model, [given(PROMPT, text, top=top)])
        server.edit = edit
        (moved,) = scored(model, [given(PROMPT, text + " Yes.", top=top)])
    assert fine.error is None
    assert "not understood" in (moved.error or "") and moved.logprobs is None


def test_potstills_own_server_scores_by_its_echo(folder: Path, local: HFModel) -> None:
    values = {"student": f"hf:{folder}", "name": "tiny", "port": 0}
    requests = [given(PROMPT, text, top=2) for text in TEXTS]
    with student_served(ServeSettings.model_validate(values)) as running:
        fields = {"model": "openai:tiny", "base_url": f"http://127.0.0.1:{running.port}/v1"}
        for known in (None, str(folder)):
            settings = {**fields, "api_key_env": None, "chat": False, "chat_template": known}
            there = scored(OpenAIModel(OpenAISettings.model_validate(settings)), requests)
            for here, done in zip(scored(local, requests), there, strict=True):
                assert here.logprobs is not None and done.logprobs is not None, done.error
                np.testing.assert_allclose(
                    done.logprobs.logprobs[:, 0], here.logprobs.logprobs[:, 0], atol=1e-4
                )
                assert b"".join(row[0][0] for row in rows(done.logprobs)) == done.text.encode()


def test_a_prompt_that_was_cut_is_a_failure(made_up: ScoringServer) -> None:
    model = served(made_up)
    scored(model, [given("Q:", " pens")])
    made_up.cut = 12
    (done,) = scored(model, [given("Q: how many" * 20, " pens")])
    assert "is it cut?" in (done.error or "")


def test_a_server_whose_every_answer_is_bad_is_asked_no_more(made_up: ScoringServer) -> None:
    model = served(made_up)
    scored(model, [])

    def spoil(reply: dict[str, Any]) -> None:
        if len(made_up.bodies) > 2:  # the probe was answered well
            _null_row(reply)

    made_up.edit = spoil
    with pytest.raises(ServerError, match="answers every request alike"):
        scored(model, [given("Q:", f" {n} pens") for n in range(200)])
    assert len(made_up.bodies) < 20


def test_a_probe_that_is_answered_badly_is_no_way(made_up: ScoringServer) -> None:
    made_up.edit = _drop_row
    with pytest.raises(ModelError, match="prompt_logprobs: it lists"):
        scored(served(made_up), [given("Q:", " pens")])


# Costs -------------------------------------------------------------------------------------------


def test_a_scored_text_is_paid_at_the_price_of_the_prompt(made_up: ScoringServer) -> None:
    runtime = Runtime()
    model = served(made_up, runtime, prompt_price=2.0, completion_price=0.0)
    (done,) = scored(model, [given("Q:", " fine pens")])
    tokens = len(made_up.model.ids_of("Q: fine pens"))
    assert done.error is None
    assert (done.prompt_tokens, done.completion_tokens) == (tokens, 0)
    assert done.cost == pytest.approx(2e-6 * tokens)
    assert runtime.budget.spent.usd >= done.cost  # the probe is paid for, too


def test_a_budget_counts_the_text_before_it_is_sent(made_up: ScoringServer) -> None:
    runtime = Runtime(budget=Budget(BudgetSettings(tokens=3000)))
    model = served(made_up, runtime)
    with pytest.raises(BudgetError):
        scored(model, [given("Q:", " pens " * 1000)])
    assert len(made_up.bodies) == 2, "the probe alone was sent"
    assert runtime.budget.spent.tokens < 3000
