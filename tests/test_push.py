import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from exchange_runs import curated_run, write_recipe
from fake_hub import TOKEN, FakeHub, Repository
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from potstill.cli import main
from potstill.exchange.folders import public_name
from potstill.exchange.hub import block, code, front_matter, hub_licence, size_category


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = write_recipe(tmp_path)
    with curated_run(path):
        return path


def push(recipe: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(main, ["push", str(recipe), *arguments])
    assert result.exit_code in (0, 2), result.output
    assert TOKEN not in result.output
    return result


def card_of(files: dict[str, bytes]) -> tuple[dict[str, object], str]:
    """Front matter and body of README.md."""
    _, matter, body = files["README.md"].decode().split("---\n", 2)
    return yaml.safe_load(matter), body


def test_rationales_are_pushed_privately_with_a_card(recipe: Path, hub: FakeHub) -> None:
    result = push(recipe, "me/sums")
    assert result.exit_code == 0, result.output
    assert f"push: {hub.url}/datasets/me/sums (private)" in result.output
    pushed = hub.repositories["datasets/me/sums"]
    assert pushed.private and pushed.messages == ["rationales, by potstill"]
    assert sorted(pushed.files) == ["README.md", "data/rationales-00000.parquet"]
    rows = parquet.read_table(BytesIO(pushed.files["data/rationales-00000.parquet"])).to_pylist()
    assert [row["verdict"] for row in rows] == ["kept", "wrong_answer"] * 3
    assert rows[0] | {"completion_id": 0} == {
        "question_id": "q2", "question": "What is 2 + 2?", "choices": [], "gold_answer": "4",
        "task": "sums", "split": "train", "rationale": "We double it.", "answer": "4",
        "verdict": "kept", "teacher": "openai:big", "sample": 0, "finish_reason": "stop",
        "completion_id": 0, "mark": None,
    }  # fmt: skip


def test_the_card_tells_what_the_data_is(recipe: Path, hub: FakeHub) -> None:
    push(recipe, "me/sums", "--licence", "mit", "--language", "en")
    matter, body = card_of(hub.repositories["datasets/me/sums"].files)
    assert matter["license"] == "mit" and matter["language"] == ["en"]
    assert matter["size_categories"] == ["n<1K"]
    assert matter["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/*.parquet"}]}
    ]
    for told in (
        "6 rows", 'load_dataset("me/sums", split="train")', "teacher: `openai:big`",
        "prompt style: `instruct_cot`", "samples 2", "| `kept` | 3 |", "| `wrong_answer` | 3 |",
        "| `gold_answer` | text |", "potstill push run me/sums --what rationales",
    ):  # fmt: skip
        assert told in body
    assert str(recipe.parent) not in body and "secret.example" not in body
    push(recipe, "me/sums", "--what", "chat")
    assert "- worded as: `chat`" in card_of(hub.repositories["datasets/me/sums"].files)[1]


def test_the_licence_is_unknown_where_nobody_says(recipe: Path, hub: FakeHub) -> None:
    push(recipe, "me/sums")
    matter, body = card_of(hub.repositories["datasets/me/sums"].files)
    assert matter["license"] == "unknown" and "language" not in matter
    assert "licence: `not stated`" in body
    assert hub_licence("none") == "unknown" and hub_licence("CC-BY-NC-4.0") == "cc-by-nc-4.0"


def test_the_token_travels_in_its_header_alone(recipe: Path, hub: FakeHub) -> None:
    push(recipe, "me/sums")
    assert len(hub.requests) >= 5
    for path, headers, body in hub.requests:
        assert headers.pop("Authorization") == f"Bearer {TOKEN}"
        assert TOKEN not in path + str(headers) and TOKEN.encode() not in body


def test_pushing_again_leaves_no_file_of_the_former_push(
    recipe: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("potstill.exchange.shards.SHARD_ROWS", 4)
    push(recipe, "me/sums")
    files = hub.repositories["datasets/me/sums"].files
    shards = [name for name in sorted(files) if name != "README.md"]
    assert shards == ["data/rationales-00000.parquet", "data/rationales-00001.parquet"]
    sizes = [parquet.read_table(BytesIO(files[name])).num_rows for name in shards]
    assert sizes == [4, 2]
    push(recipe, "me/sums", "--what", "chat")
    assert sorted(files) == ["README.md", "data/chat-00000.parquet"]


def test_a_folder_written_first_is_what_is_pushed(
    recipe: Path, hub: FakeHub, tmp_path: Path
) -> None:
    looked_at = tmp_path / "look"
    result = push(recipe, "me/sums", "--what", "completions", "--to", str(looked_at))
    assert result.exit_code == 0 and hub.requests == []
    push(recipe, "me/sums", "--what", "completions")
    written = {
        str(path.relative_to(looked_at)): path.read_bytes()
        for path in looked_at.rglob("*")
        if path.is_file()
    }
    assert written == hub.repositories["datasets/me/sums"].files
    again = push(recipe, "me/sums", "--to", str(looked_at))
    assert again.exit_code == 2 and "new or empty" in again.output


def test_private_data_is_never_added_to_what_everybody_sees(recipe: Path, hub: FakeHub) -> None:
    hub.repositories["datasets/me/sums"] = Repository(private=False)
    result = push(recipe, "me/sums")
    assert result.exit_code == 2 and "everybody can see it" in result.output
    assert hub.repositories["datasets/me/sums"].files == {}
    assert "(public)" in push(recipe, "me/sums", "--public").output
    assert "README.md" in hub.repositories["datasets/me/sums"].files


def test_faults_of_the_hub_are_one_line(
    recipe: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line(*arguments: str) -> str:
        result = push(recipe, *arguments)
        assert result.exit_code == 2, result.output
        (told,) = [each for each in result.output.splitlines() if each.startswith("Error")]
        assert result.output.endswith(told + "\n") and TOKEN not in told
        return told

    assert "give OWNER/NAME" in line("sums")
    assert "no name for the hub" in line("me/a..b")
    hub.broken = True
    told = line("me/sums")
    assert "answered 400" in told and "out of order for Bearer ***" in told
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    assert "the token was refused" in line("me/sums")
    assert "hf_another" not in line("me/sums")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "failed: " in line("me/sums")


def test_without_a_token_nothing_is_read_or_sent(
    recipe: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    result = push(recipe, "me/sums")
    assert result.exit_code == 2 and result.output.count("\n") == 1
    assert "Set HF_TOKEN" in result.output and hub.requests == []


def test_the_chosen_student_is_pushed_with_its_card(recipe: Path, hub: FakeHub) -> None:
    assert "no model yet" in push(recipe, "me/student", "--what", "model").output
    model, start = recipe.parent / "run" / "model", f"hf:{recipe.parent}/start"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"is_encoder_decoder": True}))
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "README.md").write_text(
        f"---\nbase_model: {start}\ntags: [potstill]\n---\n# sums student\nFrom `{start}`.\n"
    )
    result = push(recipe, "me/student", "--what", "model", "--licence", "apache-2.0")
    assert result.exit_code == 0, result.output
    files = hub.repositories["models/me/student"].files
    assert files["model.safetensors"] == b"weights"
    matter, body = card_of(files)
    assert matter["license"] == "apache-2.0" and "base_model" not in matter
    assert matter["pipeline_tag"] == "text2text-generation"
    assert body == "# sums student\nFrom `hf:start`.\n"
    written = recipe.parent / "look"
    push(recipe, "me/student", "--what", "model", "--licence", "apache-2.0", "--to", str(written))
    assert {path.name: path.read_bytes() for path in written.iterdir()} == files
    assert not any(path.is_symlink() for path in written.iterdir())
    (model / "README.md").write_text("---\nbase_model: hf:owner/start\n---\n# it\n")
    push(recipe, "me/student", "--what", "model")
    assert card_of(files)[0]["base_model"] == "owner/start"


def test_names_of_models_lose_what_is_of_this_machine() -> None:
    assert public_name("recorded:/srv/ann/bought.jsonl") == "recorded:bought.jsonl"
    assert public_name("hf:/srv/models/start") == "hf:start"
    assert public_name("hf:owner/name") == "hf:owner/name"
    assert public_name("openai:org/team/name") == "openai:org/team/name"


def test_sizes_have_the_hubs_names() -> None:
    found = [size_category(rows) for rows in (0, 999, 1000, 99_999, 100_000, 1_000_000)]
    assert found == ["n<1K", "n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M"]


@given(st.dictionaries(st.sampled_from("abc"), st.text(min_size=1)))
def test_front_matter_is_safe_with_any_text(values: dict[str, str]) -> None:
    begin, matter, end = front_matter(values).split("---\n", 2) if values else ("", "", "")
    assert (begin, end) == ("", "")
    assert (yaml.safe_load(matter) or {}) == values


@given(st.text())
def test_no_text_ends_the_code_that_it_stands_in(text: str) -> None:
    shown = code(text)
    fence = shown[: len(shown) - len(shown.lstrip("`"))]
    assert "\n" not in shown and fence not in shown[len(fence) : -len(fence)]
    first, *inside, last = block(text).split("\n")
    assert first == last and not any(last in line for line in inside)
