import json
import os
import signal
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from click.testing import CliRunner, Result
from exchange_runs import TEACHER, curated_run, fill, open_run, write_recipe
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import Loopback
from pyarrow import parquet

from potstill.cli import main
from potstill.cli.transfer import KINDS
from potstill.errors import ConfigError, DataError, MissingExtraError
from potstill.exchange import export_run, import_file
from potstill.exchange.columns import chat_columns
from potstill.exchange.export import write_rows
from potstill.exchange.rows import ExportKind, without_address
from potstill.keys import request_body, stored_request
from potstill.pipeline.run import Run
from potstill.records import (
    Amount,
    Completion,
    GivenText,
    Message,
    Request,
    Teacher,
    TokenLogprobs,
)
from potstill.runtime.progress import Meter

COMPLETIONS = (
    "SELECT hex(request_key), body, sample, max_tokens, text, thinking, finish_reason, error,"
    " prompt_tokens, completion_tokens, thinking_ended"
    " FROM completions JOIN requests ON key = request_key ORDER BY completions.id"
)
LOGPROBS = (
    "SELECT tokens, top, logprobs, ids, token_bytes, lengths, collisions, missing_mass"
    " FROM completions LEFT JOIN logprobs ON completion_id = id ORDER BY id"
)
ENDINGS = (".parquet", ".jsonl", ".jsonl.gz")


def table(run: Path, query: str) -> list[tuple[object, ...]]:
    db = sqlite3.connect(run / "run.sqlite")
    found = db.execute(query).fetchall()
    db.close()
    return found


def command(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code in (0, 2), result.output
    return result


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# text that SQLite, JSON and Parquet can all hold: anything but lone surrogates
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
PROBABILITIES = st.floats(-30, 0, width=32) | st.just(float("-inf"))


@st.composite
def requests(draw: st.DrawFn) -> Request:
    turns = st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), content=TEXT)
    return Request(
        prompt=draw(TEXT | st.lists(turns, min_size=1, max_size=3).map(tuple)),
        answer_prefix=draw(TEXT),
        samples=(draw(st.integers(0, 9)),),
        temperature=draw(st.sampled_from([0.0, 0.7, 1.0])),
        top_p=draw(st.sampled_from([0.5, 1.0])),
        max_tokens=draw(st.integers(1, 99)),
        thinking_tokens=draw(st.none() | st.integers(0, 9)),
        stop=tuple(draw(st.lists(TEXT, max_size=2))),
        top_logprobs=draw(st.integers(0, 3)),
        seed=draw(st.integers(0, 2**63 - 1)),
    )


@st.composite
def token_logprobs(draw: st.DrawFn, top: int) -> TokenLogprobs:
    tokens, width = draw(st.integers(0, 3)), 1 + top
    values = draw(st.lists(PROBABILITIES, min_size=tokens * width, max_size=tokens * width))
    shape, logprobs = (tokens, width), np.array(values, np.float32)
    if draw(st.booleans()):
        ids = np.array(range(-1, tokens * width - 1), np.int32).reshape(shape)
        return TokenLogprobs(logprobs=logprobs.reshape(shape), ids=ids)
    names = draw(st.lists(st.binary(max_size=4), min_size=len(values), max_size=len(values)))
    lengths = np.array([len(name) for name in names], np.uint16).reshape(shape)
    return TokenLogprobs(
        logprobs=logprobs.reshape(shape), token_bytes=b"".join(names), lengths=lengths
    )


@st.composite
def given_texts(draw: st.DrawFn, text: str) -> GivenText:
    return GivenText(
        text=text,
        ends=draw(st.booleans()),
        ids=tuple(draw(st.lists(st.integers(0, 99), max_size=3))),
        kept_at=draw(st.sampled_from(["", "0f"])),
    )


@st.composite
def completions(draw: st.DrawFn) -> Completion:
    text = draw(TEXT)
    request = replace(draw(requests()), given=draw(st.none() | given_texts(text)))
    reason = draw(st.sampled_from(["stop", "length", "content_filter", "tool_calls", "error", "x"]))
    return Completion(
        request=request,
        sample=request.samples[0],
        text=text,
        thinking=draw(st.none() | TEXT),
        thinking_ended=draw(st.none() | st.booleans()),
        finish_reason=reason,
        error=draw(TEXT) if reason == "error" else None,
        prompt_tokens=draw(st.integers(0, 9)),
        completion_tokens=draw(st.integers(0, 9)),
        logprobs=draw(st.none() | token_logprobs(request.top_logprobs)),
    )


@given(request=requests(), model=TEXT)
def test_a_stored_body_says_what_was_asked(request: Request, model: str) -> None:
    body = request_body(model, request).decode()
    found, again = stored_request(body, max_tokens=request.max_tokens, samples=request.samples)
    assert found == model
    assert request_body(model, again).decode() == body
    assert again.seed == (request.seed if request.temperature > 0 else 0)


@settings(max_examples=25)
@given(
    stored=st.lists(st.tuples(st.sampled_from(["openai:a@h", "b"]), completions()), max_size=5),
    ending=st.sampled_from(ENDINGS),
)
def test_any_completion_comes_back_as_it_was_stored(
    tmp_path_factory: pytest.TempPathFactory, stored: list[tuple[str, Completion]], ending: str
) -> None:
    folder = tmp_path_factory.mktemp("round")
    file = folder / f"pool{ending}"
    with open_run(write_recipe(folder)) as run:
        for model, completion in stored:
            run.store.add_completions(model, [completion], stage="generate")
        exported = export_run(run, file, "completions", logprobs=True)
    assert exported.rows == len(table(folder / "run", "SELECT 1 FROM completions"))
    with open_run(write_recipe(folder, "other")) as run:
        if not exported.rows:
            with pytest.raises(DataError, match="no row"):
                import_file(run, file)
            return
        assert import_file(run, file).stored == exported.rows
        assert import_file(run, file).stored == 0
    assert table(folder / "other", COMPLETIONS) == table(folder / "run", COMPLETIONS)
    assert table(folder / "other", LOGPROBS) == table(folder / "run", LOGPROBS)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("chat", [True, False])
def test_after_an_import_generate_asks_for_nothing(
    tmp_path: Path, ending: str, *, chat: bool
) -> None:
    with Loopback() as server:
        teacher = {
            "model": "openai:t", "base_url": server.url, "api_key_env": None, "chat": chat,
        }  # fmt: skip
        bought, fresh = (write_recipe(tmp_path, name, teacher=teacher) for name in ("a", "b"))
        assert command("generate", bought).exit_code == 0
        asked = len(server.bodies)
        file = tmp_path / f"pool{ending}"
        stored = 6 if chat else 12  # in two steps, of rationale and answer
        told = command("export", bought, file, "--what", "completions", "--logprobs")
        assert f"export: {stored} completions rows in {file}" in told.output
        assert (
            f"{stored} completions stored, 0 already there" in command("import", fresh, file).output
        )
        assert f"0 completions stored, {stored} already" in command("import", fresh, file).output
        assert "0 completions stored, 6 already there" in command("generate", fresh).output
        assert len(server.bodies) == asked > 0
    assert command("curate", fresh).output == command("curate", bought).output.replace(
        "a.yaml", "b.yaml"
    )
    assert table(tmp_path / "b", COMPLETIONS) == table(tmp_path / "a", COMPLETIONS)
    (paid,) = table(tmp_path / "b", "SELECT DISTINCT cost, stage FROM completions")
    assert paid == (0.0, "import")


def test_what_was_imported_is_not_counted_as_spent(tmp_path: Path) -> None:
    with open_run(write_recipe(tmp_path)) as run:
        fill(run, ["The answer is {answer}."])
        assert run.store.spent() == Amount(3 * (9 + 7), 0.75)
        export_run(run, tmp_path / "pool.jsonl", "completions")
    with open_run(write_recipe(tmp_path, "other")) as run:
        import_file(run, tmp_path / "pool.jsonl")
        assert run.store.spent() == Amount(0, 0.0)


def test_an_import_never_replaces_an_answer_but_a_failure(tmp_path: Path) -> None:
    asked = Request(prompt="Q", samples=(0, 1), max_tokens=9)
    failed = Completion(request=asked, sample=0, text="", finish_reason="error", error="500")
    held = Completion(request=asked, sample=1, text="mine", finish_reason="stop")
    with open_run(write_recipe(tmp_path)) as run:
        given = [
            Completion(request=asked, sample=n, text="new", finish_reason="stop") for n in (0, 1)
        ]
        run.store.add_completions("m", given, stage="generate")
        export_run(run, tmp_path / "pool.jsonl", "completions")
    with open_run(write_recipe(tmp_path, "other")) as run:
        run.store.add_completions("m", [failed, held], stage="generate")
        done = import_file(run, tmp_path / "pool.jsonl")
        assert (done.stored, done.there) == (1, 1)
        assert run.store.samples("m", asked) == {0: "new", 1: "mine"}


def test_completions_name_the_question_they_answer(tmp_path: Path) -> None:
    file = tmp_path / "pool.jsonl"
    with curated_run(write_recipe(tmp_path)) as run:
        stray = Completion(request=Request(prompt="Hi"), sample=0, text="Ho", finish_reason="stop")
        run.store.add_completions("m", [stray], stage="generate")
        run.store.add_completions("m", [stray], stage="generate")
        assert export_run(run, file, "completions")[:2] == (7, 1)
    rows = lines(file)
    assert [row["question_id"] for row in rows] == ["q2", "q2", "q3", "q3", "q4", "q4", None]
    first = {
        name: rows[0][name] for name in ("question", "gold_answer", "split", "verdict", "cost")
    }
    assert first == {
        "question": "What is 2 + 2?", "gold_answer": "4", "split": "train", "verdict": "kept",
        "cost": 0.25,
    }  # fmt: skip
    assert rows[0]["prompt"] is None and rows[6]["messages"] is None
    (turn,) = rows[0]["messages"]
    assert turn["role"] == "user" and turn["content"].startswith("What is 2 + 2?\n\nThink")


def test_second_steps_name_the_question_too_and_other_tasks_do_not(tmp_path: Path) -> None:
    server = {"model": "openai:t", "base_url": "http://localhost:1/v1", "api_key_env": None}
    recipe = write_recipe(tmp_path, teacher={**server, "chat": False})
    in_steps = Teacher(name="openai:t@localhost:1/v1", chat=False)
    with open_run(recipe) as run:
        fill(run, ["We double it."], teacher=in_steps)
        asking, question = run.asking, run.task.splits["train"][0]
        request = asking.request(question, task=run.task.name)
        first = Completion(request=request, sample=0, text="So.", finish_reason="stop")
        second = asking.answer_request(first)
        assert second is not None
        others = asking.request(question, task="another task")
        stored = [
            Completion(request=replace(asked, seed=7), sample=0, text=" 4.", finish_reason="stop")
            for asked in (second, replace(others, prompt="Q: What is 9 + 9?"))
        ]
        run.store.add_completions(in_steps.name, stored, stage="import")
        assert export_run(run, tmp_path / "pool.jsonl", "completions")[:2] == (5, 1)
    named = [row["question_id"] for row in lines(tmp_path / "pool.jsonl")]
    assert named == ["q2", "q3", "q4", "q2", None]


def test_a_file_brings_the_question_of_each_completion_along(tmp_path: Path) -> None:
    file, again = tmp_path / "pool.jsonl", tmp_path / "again.jsonl"
    with curated_run(write_recipe(tmp_path)) as run:
        export_run(run, file, "completions")
    with open_run(write_recipe(tmp_path, "other")) as run:
        import_file(run, file)
        assert export_run(run, again, "completions")[:2] == (6, 0)
    assert [row["question"] for row in lines(again)] == [row["question"] for row in lines(file)]


def test_trainers_get_the_kept_rationales_closed_by_the_gold_answer(tmp_path: Path) -> None:
    chat, pairs, turns = (tmp_path / f"{name}.jsonl" for name in ("chat", "pairs", "turns"))
    with curated_run(write_recipe(tmp_path)) as run:
        assert export_run(run, chat, "chat").rows == 3
        export_run(run, pairs, "prompt_completion")
        export_run(run, turns, "prompt_completion", data_format="chat_think")
        with pytest.raises(ConfigError, match="chat cannot be worded as fine_tune_cot"):
            export_run(run, tmp_path / "no.jsonl", "chat", data_format="fine_tune_cot")
        for none in ("specialization", "chatt"):
            with pytest.raises(ConfigError, match=r"take one of chat, chat_think\.$") as caught:
                export_run(run, tmp_path / "no.jsonl", "chat", data_format=none)
            assert "mapping" not in str(caught.value)
        with pytest.raises(ConfigError, match="cannot be worded as in_context_cot"):
            export_run(
                run, tmp_path / "no.jsonl", "prompt_completion", data_format="in_context_cot"
            )
    asked = {"role": "user", "content": "What is 2 + 2?"}
    said = {"role": "assistant", "content": "We double it.\nThe answer is 4."}
    assert lines(chat)[0] == {"messages": [asked, said]}
    assert lines(pairs)[0] == {
        "prompt": "What is 2 + 2? ###", "completion": " We double it. --> 4",
    }  # fmt: skip
    assert lines(turns)[0]["prompt"] == [asked]
    thought = "<think>\nWe double it.\n</think>\n\nThe answer is 4."
    assert lines(turns)[0]["completion"] == [{"role": "assistant", "content": thought}]


def sizes(rows: int) -> Iterator[dict[str, object]]:
    for number in range(rows):
        yield {"messages": [{"role": "user", "content": str(number)}]}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path, ending: str) -> None:
    def breaks() -> Iterator[dict[str, object]]:
        yield from sizes(2500)
        raise ZeroDivisionError

    file = tmp_path / "new" / f"chat{ending}"
    with pytest.raises(ZeroDivisionError):
        write_rows(file, chat_columns(), breaks())
    assert list(file.parent.iterdir()) == []
    assert write_rows(file, chat_columns(), sizes(2500)) == 2500
    whole = file.read_bytes()
    with pytest.raises(ConfigError, match="--overwrite"):
        write_rows(file, chat_columns(), sizes(1))
    with pytest.raises(ZeroDivisionError):
        write_rows(file, chat_columns(), breaks(), overwrite=True)
    assert file.read_bytes() == whole
    write_rows(file, chat_columns(), sizes(1), overwrite=True)
    assert file.read_bytes() != whole and [*file.parent.iterdir()] == [file]


@pytest.mark.parametrize("ending", ENDINGS)
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, ending: str) -> None:
    def rows(count: int) -> Iterator[dict[str, object]]:
        for number in range(count):
            yield {"messages": [{"role": "user", "content": str(number) * 1000}]}

    def peak(count: int) -> int:
        tracemalloc.start()
        write_rows(tmp_path / f"chat{ending}", chat_columns(), rows(count), overwrite=True)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10)  # pyarrow is loaded
    many, few = (min(peak(count) for _ in range(3)) for count in (9000, 3000))
    assert many < 1.3 * few + 100_000  # the least of three: other threads take memory, too
    if ending == ".parquet":
        assert parquet.read_metadata(tmp_path / "chat.parquet").num_row_groups == 3


KILLED = """
import sys
from pathlib import Path
from potstill.exchange.columns import chat_columns
from potstill.exchange.export import write_rows

def rows():
    for number in range(10**9):
        if number == 5000:
            print("at work", flush=True)
        yield {"messages": [{"role": "user", "content": "x" * 50}]}

write_rows(Path(sys.argv[1]), chat_columns(), rows(), overwrite=True)
"""


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_killed_export_leaves_no_half_file(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"chat{ending}"
    write_rows(file, chat_columns(), sizes(3))
    whole = file.read_bytes()
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(file)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert file.read_bytes() == whole


def test_a_run_is_exported_while_it_is_written_to(tmp_path: Path) -> None:
    recipe, file = write_recipe(tmp_path), tmp_path / "pool.jsonl"
    late = Teacher(name="openai:late@h/v1", chat=True)
    with curated_run(recipe) as writer:
        with Run(writer.recipe, Meter(None), read_only=True) as reader:
            pool = reader.store.pool(["generate"])
            first = next(pool)
            fill(writer, ["Later."], teacher=late)
            assert {each.model for each in (first, *pool)} == {TEACHER.name}
        result = command("export", recipe, file, "--what", "completions")
        assert "export: 9 completions" in result.output
    assert [row["model"] for row in lines(file)] == [TEACHER.name] * 6 + [late.name] * 3


def test_what_cannot_be_exported_is_told_in_one_line(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    assert "there is no run at" in command("export", recipe, tmp_path / "a.jsonl").output
    with open_run(recipe) as run:
        fill(run, ["The answer is {answer}."])
    assert "run potstill curate" in command("export", recipe, tmp_path / "a.jsonl").output
    assert "ends in .parquet, .jsonl" in command("export", recipe, tmp_path / "a.csv").output
    assert "is a folder" in command("export", recipe, make_folder(tmp_path / "a.jsonl")).output
    logprobs = command("export", recipe, tmp_path / "b.jsonl", "--logprobs")
    assert "are of completions, not of rationales" in logprobs.output
    worded = command("export", recipe, tmp_path / "b.jsonl", "--data-format", "chat")
    assert "not rationales" in worded.output


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_runs_folder_serves_as_well_as_its_recipe(tmp_path: Path) -> None:
    with curated_run(write_recipe(tmp_path)):
        pass
    moved = (tmp_path / "run").rename(tmp_path / "2024: moved")
    exported = command("export", moved, tmp_path / "a.parquet")
    assert (
        exported.output.startswith("export: 6 rationales rows in")
        or "\nexport: 6" in exported.output
    )
    assert parquet.read_table(tmp_path / "a.parquet").num_rows == 6
    assert not (tmp_path / "run").exists()


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "pyarrow.parquet", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'potstill\[parquet\]'"):
        write_rows(tmp_path / "chat.parquet", chat_columns(), sizes(1))
    with curated_run(write_recipe(tmp_path)) as run:
        assert export_run(run, tmp_path / "chat.jsonl", "chat").rows == 3


def test_names_for_others_hold_no_servers_address() -> None:
    assert without_address("openai:org/name@10.0.0.5:8000/v1") == "openai:org/name"
    assert without_address("openai:@cf/name@host/v1") == "openai:@cf/name"
    assert without_address("hf:start@84b0") == "hf:start@84b0"


def test_the_command_line_offers_every_kind() -> None:
    assert set(KINDS) == set(get_args(ExportKind))


@pytest.mark.parametrize("ending", ENDINGS)
def test_datasets_reads_what_is_exported(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with curated_run(write_recipe(tmp_path)) as run:
        for what in KINDS[:4]:
            export_run(run, tmp_path / f"{what}{ending}", what)
    reader = "parquet" if ending == ".parquet" else "json"
    for what, rows in zip(KINDS[:4], (6, 6, 3, 3), strict=True):
        file, cache = str(tmp_path / f"{what}{ending}"), str(tmp_path / "cache")
        read = datasets.load_dataset(reader, data_files=file, split="train", cache_dir=cache)
        assert read.num_rows == rows
        if what == "chat":
            assert read[0]["messages"][0] == {"role": "user", "content": "What is 2 + 2?"}
