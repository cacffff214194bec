"""``potstill score``: a file of texts in, their scores out; nothing is paid for twice."""

import json
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chaos import Chaos, chaos_process, read_events
from chaos_faults import ASTRAY, FAULTS
from chaos_wire import Habits
from click.testing import CliRunner
from commands import SHORT_BACKOFF, Commands, until
from fakes import context_of
from made_up_scores import MadeUpModel
from scoring_servers import ScoringServer

import potstill
from potstill.cli import main
from potstill.errors import BudgetError, ModelError
from potstill.models import model_settings, open_model
from potstill.models.openai import client
from potstill.models.openai.given_asker import PROBE_PROMPT
from potstill.models.openai.model import OpenAIModel
from potstill.models.settings import OpenAISettings
from potstill.records import GivenText, Request
from potstill.runtime import Runtime
from potstill.runtime.budget import Budget, BudgetSettings
from potstill.sampling.ask import complete_missing
from potstill.store import Store

ROWS = [
    {"id": "a", "prompt": "Q: Anna has 3 apples.\nA:", "text": " Anna has 3 apples. \U0001f34e"},
    {"id": "b", "prompt": "Q: 3 + 4?\nA:", "text": " 3 + 4 = 7."},
    {"id": "a again", "prompt": "Q: 3 + 4?\nA:", "text": " 3 + 4 = 7.", "long": "x" * 300},
]


@pytest.fixture
def server() -> Iterator[ScoringServer]:
    with ScoringServer(MadeUpModel(), "vllm") as running:
        yield running


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client, "FIRST_BACKOFF", 0.02)
    return tmp_path


def write(rows: list[dict[str, Any]], name: str = "texts.jsonl") -> str:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def score(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["score", *arguments, "--quiet"])
    assert result.exit_code == code, result.output
    return result.output


def told(*arguments: str) -> str:
    """The one line of an error."""
    (line,) = score(*arguments, code=2).splitlines()
    return line.removeprefix("Error: ")


def lines(name: str = "out.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def served(server: Any, *more: str) -> list[str]:
    settings = (f"model.base_url={server.url}", "model.api_key_env=null", "model.chat=false", *more)
    return ["--model", "openai:tiny", *(word for one in settings for word in ("--set", one))]


def test_a_file_is_scored_row_by_row(in_folder: Path) -> None:
    said = score(write(ROWS), "--model", "bundled:teacher", "--out", "out.jsonl", "--top", "2")
    assert "scored       3 of 3 texts" in said and "asked        2 now, 0 stored" in said
    out = lines()
    assert [row["id"] for row in out] == ["a", "b", "a again"]
    assert "long" not in out[2] and out[2]["tokens"] == out[1]["tokens"]
    model = open_model(model_settings("bundled:teacher", at="model"))
    texts = [(row["prompt"], row["text"]) for row in ROWS]
    for row, asked, known in zip(out, ROWS, potstill.score(model, texts, top=2), strict=True):
        assert b"".join(bytes(one["bytes"]) for one in row["tokens"]) == asked["text"].encode()
        values = [one["logprob"] for one in row["tokens"]]
        assert row["logprob"] == pytest.approx(sum(values)) == pytest.approx(known.logprob)
        for one, token in zip(row["tokens"], known.tokens, strict=True):
            assert bytes(one["bytes"]) == token.bytes and one["logprob"] == token.logprob
            assert [bytes(other["bytes"]) for other in one["top"]] == [
                other.bytes for other in token.top
            ]
            assert len(one["top"]) == 2


def test_the_end_and_a_first_token_are_told_apart(in_folder: Path) -> None:
    rows = [{"prompt": "", "text": "Hello"}]
    said = score(write(rows), "--model", "bundled:teacher", "--out", "out.jsonl", "--ends")
    (row,) = lines()
    assert row["tokens"][0]["logprob"] is None and row["tokens"][0]["bytes"]
    assert row["tokens"][-1]["bytes"] == [] and row["tokens"][-1]["logprob"] < 0
    assert "begin with a token that nothing stands before" in said


def test_chats_come_as_lists_of_messages(in_folder: Path, server: ScoringServer) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "3 + 4?"}]
    rows = [{"prompt": turns, "answer": {"text": "\nIt is 7."}}]
    server.model.chat = lambda body: "".join(turn["content"] for turn in body["messages"])
    score(
        write(rows), *served(server, "model.chat=true"), "--text-field", "answer.text",
        "--out", "out.jsonl",
    )  # fmt: skip
    assert [turn["role"] for turn in server.bodies[-1]["messages"]] == [
        "system", "user", "assistant",
    ]  # fmt: skip
    assert lines()[0]["logprob"] < 0


def test_a_kept_number_beyond_64_bits_comes_out_as_it_went_in(in_folder: Path) -> None:
    rows = [{"id": 2**64 + 1, "prompt": "Q: 3 + 4?\nA:", "text": " 7."}]
    score(write(rows), "--model", "bundled:student", "--out", "out.jsonl")
    assert [line["id"] for line in lines()] == [2**64 + 1]


def test_a_repeat_asks_nothing_and_a_larger_k_asks_all(
    in_folder: Path, server: ScoringServer
) -> None:
    arguments = [write(ROWS), *served(server), "--out", "out.jsonl", "--top"]
    score(*arguments, "3")
    first, asked = lines(), len(server.bodies)
    assert asked == 2 + 2, "the probe twice, and two distinct texts"
    assert "asked        0 now, 2 stored before" in score(*arguments, "3")
    assert len(server.bodies) == asked and lines() == first
    score(*arguments, "1")
    assert len(server.bodies) == asked, "a score with more likeliest tokens serves fewer"
    for row, whole in zip(lines(), first, strict=True):
        assert [one["logprob"] for one in row["tokens"]] == [
            one["logprob"] for one in whole["tokens"]
        ]
        assert [one["top"] for one in row["tokens"]] == [one["top"][:1] for one in whole["tokens"]]
    score(*arguments, "4")
    assert len(server.bodies) == asked + 4
    write([*ROWS, {"id": "new", "prompt": "Q:", "text": " new pens"}])
    score(*arguments, "4")
    assert len(server.bodies) == asked + 4 + 3


def test_a_row_that_fails_has_its_reason(in_folder: Path, server: ScoringServer) -> None:
    rows = [ROWS[1], {"id": "c", "prompt": "Q: An", "text": "ns pens"}]
    said = score(write(rows), *served(server), "--out", "out.jsonl")
    assert "scored       1 of 2 texts" in said and "failed       1: " in said
    assert "over the seam" in said
    good, bad = lines()
    assert good["logprob"] < 0
    assert bad["logprob"] is None and bad["tokens"] == [] and "over the seam" in bad["error"]


def test_scores_of_a_file_of_scores_have_no_fields_of_the_old_ones(
    in_folder: Path, server: ScoringServer
) -> None:
    old = {"error": "the server was away", "logprob": -1.0, "tokens": 3}
    score(write([ROWS[1] | old]), *served(server), "--out", "out.jsonl")
    [line] = lines()
    assert set(line) == {"id", "logprob", "tokens"}
    assert line["logprob"] < 0 and line["logprob"] != -1.0 and line["tokens"] != 3


@pytest.mark.parametrize(
    ("content", "arguments", "reason"),
    [
        ("", [], "holds no rows"),
        ("nonsense\n", [], "line 1"),
        ('{"question": "x", "completion": "y"}\n', [], "there is no field 'prompt'"),
        ('{"prompt": "x", "completion": "y"}\n', [], "Did you mean --text-field completion?"),
        ('{"prompt": "x", "text": 3}\n', [], "'text' is '3', and must be text"),
        ('{"prompt": "x", "text": null}\n', [], "there is no 'text'"),
        ('{"prompt": [{"role": "bot", "content": "x"}], "text": "y"}\n', [], "give it a role of"),
        ('{"prompt": [], "text": "y"}\n', [], "text or a list of chat messages"),
        ('{"prompt": "x", "text": "y"}\n', ["--model", "nobody:x"], "give kind:where"),
        ('{"prompt": "x", "text": "y"}\n', ["--set", "modle.x=1"], "modle"),
        ('{"prompt": "x", "text": "y"}\n', ["--out", "texts.jsonl"], "is the file to be scored"),
        ('{"prompt": "x", "text": "y"}\n', ["--out", "there.jsonl"], "is there already"),
    ],
)
def test_what_is_wrong_is_one_line_and_asks_nothing(
    content: str, arguments: list[str], reason: str, in_folder: Path
) -> None:
    Path("texts.jsonl").write_text(content)
    Path("there.jsonl").write_text("kept")
    line = told("texts.jsonl", "--model", "bundled:teacher", "--out", "out.jsonl", *arguments)
    assert reason in line
    assert Path("there.jsonl").read_text() == "kept" and not Path("out.jsonl").exists()


def test_recorded_answers_score_nothing(in_folder: Path) -> None:
    Path("bought.jsonl").write_text('{"question": "x", "rationale": "y"}\n')
    for file in ("bought.jsonl", "texts.jsonl", "absent.jsonl"):  # whatever its columns are
        line = told(write(ROWS), "--model", f"recorded:{file}", "--out", "out.jsonl")
        assert f"recorded:{file} cannot score texts" in line


def test_a_budget_stops_and_what_was_scored_is_kept(in_folder: Path, server: ScoringServer) -> None:
    rows = [{"prompt": f"Q: {n}?\nA:", "text": f" {n} pens" * 20} for n in range(40)]
    arguments = [write(rows), *served(server, "model.concurrency=2"), "--out", "out.jsonl"]
    assert "the budget of 1,500 tokens is spent" in told(*arguments, "--set", "budget.tokens=1500")
    asked = len(server.bodies)
    assert 4 < asked < 42 and not Path("out.jsonl").exists()
    assert "asked" in score(*arguments)
    assert len(server.bodies) == 42 + 2, "the rest, and the probe again"


# Many faults -------------------------------------------------------------------------------------


def requests(count: int) -> list[Request]:
    return [
        Request(
            prompt=f"Question {number}: how many?\nA:",
            given=GivenText(text=f" There are {number} pens, which is {number * 7}.", ends=False),
            top_logprobs=2,
        )
        for number in range(count)
    ]


def chaos_settings(url: str, **fields: Any) -> OpenAISettings:
    values = {"model": "openai:chaos", "base_url": url, "api_key_env": None, "timeout": 2.0,
              "chat": False}  # fmt: skip
    return OpenAISettings.model_validate(values | fields)


def check_scores(store: Store, name: str, wanted: list[Request]) -> int:
    """Compares what is stored with what the server makes up; how much is stored."""
    model, count = MadeUpModel(), 0
    for request in wanted:
        for stored in store.completions(name, request, logprobs=True):
            record = stored.completion.logprobs
            assert record is not None and request.given is not None
            whole = model.ids_of(f"{request.prompt}{request.given.text}")
            own = [row[0][1] for row in model.listed(whole, 0)[1:] if row]
            np.testing.assert_allclose(
                record.logprobs[:, 0], own[-len(record.logprobs) :], atol=1e-6
            )
            count += 1
    return count


def test_a_third_of_all_scores_goes_wrong_and_none_is_lost_or_moved(
    in_folder: Path, tmp_path: Path
) -> None:
    habits = Habits(seed=4, latency=0.002, refused=0.01, steady=60, calm_after=6)
    wanted = requests(120)
    with Chaos(habits) as chaos, Store(tmp_path / "run.sqlite") as store:
        model = OpenAIModel(chaos_settings(chaos.url))
        counts = complete_missing(model, wanted, context_of(store), label="x", stage="score")
        assert check_scores(store, model.name, wanted) == counts.stored > 100
        assert counts.stored + counts.failed == 120
    delivered = [event["prompt"] for event in chaos.events if event["what"] == "delivered"]
    texts = [prompt for prompt in delivered if not prompt.startswith(PROBE_PROMPT)]
    assert len(texts) == len(set(texts)), "what was scored well is not asked for again"


@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(3, 100), marks=pytest.mark.slow)])
def test_no_budget_is_ever_passed(seeds: range, in_folder: Path, tmp_path: Path) -> None:
    prices = (3.0, 1.0, 9.0)
    own = dict(zip(("prompt_price", "cached_price", "completion_price"), prices, strict=True))
    for seed in seeds:
        limit = BudgetSettings(tokens=random.Random(seed).randrange(300, 1500))
        habits = Habits(seed=seed, prices=prices, steady=200, calm_after=4)
        with Chaos(habits) as chaos, Store(tmp_path / f"{seed}.sqlite") as store:
            budget = Budget(limit)
            model = OpenAIModel(chaos_settings(chaos.url, retries=2, **own), Runtime(budget=budget))
            with pytest.raises((BudgetError, ModelError)):
                complete_missing(model, requests(60), context_of(store), label="x", stage="score")
        billed = sum(event["tokens"] for event in chaos.events if event["what"] == "billed")
        assert limit.tokens is not None
        assert billed <= budget.spent.tokens <= limit.tokens


def killed_until_done(commands: Commands, tmp_path: Path, kills: int, count: int) -> None:
    """Score undisturbed and killed at every instant: the same file, and little paid twice."""
    left_out = (*ASTRAY, "stall", "late")
    commands.before = SHORT_BACKOFF
    kinds = {kind: weight for kind, weight in FAULTS.items() if kind not in left_out}
    habits = Habits(seed=2, kinds=kinds, latency=0.01, calm_after=6)
    rows = [
        {"prompt": request.prompt, "text": request.given.text}
        for request in requests(count) if request.given
    ]  # fmt: skip
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    port, instants, whole, window = 0, random.Random(3), 0, 8
    asked: list[Any] = []
    for name in ("calm", "killed"):
        with chaos_process(tmp_path, habits, name=name, port=port) as (url, log):
            port = int(url.split(":")[2].removesuffix("/v1"))
            command = (
                "score", "texts.jsonl", "--model", "openai:chaos", "--out", f"{name}.out",
                *("--set", f"model.base_url={url}", "--set", "model.chat=false"),
                *("--set", "model.api_key_env=null", "--set", f"model.concurrency={window}"),
            )  # fmt: skip
            for _ in range(kills if name == "killed" else 0):
                goal = log.stat().st_size + max(0.0, instants.uniform(-0.2, 1.0)) * whole / kills
                grown = partial(lambda goal: log.stat().st_size >= goal, goal)
                assert commands.run(*command, kill_after=partial(until, grown)) == -9
            while commands.run(*command) != 0 or "error" in (tmp_path / f"{name}.out").read_text():
                pass
            whole = log.stat().st_size
            asked = [event for event in read_events(log) if event["what"] == "delivered"]
    assert (tmp_path / "killed.out").read_bytes() == (tmp_path / "calm.out").read_bytes()
    texts = [one["prompt"] for one in asked if not one["prompt"].startswith(PROBE_PROMPT)]
    assert len(texts) - len(set(texts)) <= kills * window


def test_a_scoring_killed_twice_equals_an_undisturbed_one(
    commands: Commands, tmp_path: Path
) -> None:
    killed_until_done(commands, tmp_path, 2, 40)


@pytest.mark.slow
def test_a_scoring_killed_fifty_times_equals_an_undisturbed_one(
    commands: Commands, tmp_path: Path
) -> None:
    killed_until_done(commands, tmp_path, 50, 1500)
