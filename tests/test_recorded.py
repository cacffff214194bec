"""Rationales from a file, in every form in which they are published."""

import gzip
import json
from pathlib import Path

import pytest

from potstill.errors import DataError, ModelError
from potstill.models.recorded import RecordedModel
from potstill.models.settings import RecordedSettings
from potstill.records import Completion, Request

ROWS: list[dict[str, object]] = [
    {"question": "2 + 3?", "rationale": "2 and 3 make 5."},
    {"question": "4 + 4?", "rationale": ["Twice 4 is 8.", "It is 8."]},
    {"question": "2  +\n3? ", "rationale": "It is 5."},
]


def recorded(path: Path, **settings: str) -> RecordedModel:
    values = {"model": f"recorded:{path}"} | settings
    return RecordedModel(RecordedSettings.model_validate(values))


def ask(model: RecordedModel, question: str, samples: int = 1) -> list[Completion]:
    request = Request(prompt=f"Q: {question}", question=question, samples=tuple(range(samples)))
    return list(model.complete([request]))


def lines(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def written(folder: Path, form: str) -> Path:
    path = folder / f"rationales.{form}"
    if form == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        rows = [
            {**row, "rationale": texts if isinstance(texts, list) else [texts]}
            for row in ROWS
            for texts in [row["rationale"]]
        ]
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return path
    data = lines(ROWS) if "jsonl" in form else json.dumps(ROWS, indent=1).encode()
    path.write_bytes(gzip.compress(data) if form.endswith("gz") else data)
    return path


@pytest.mark.parametrize("form", ["jsonl", "json", "jsonl.gz", "json.gz", "parquet"])
def test_samples_are_the_rationales_in_the_file_s_order(tmp_path: Path, form: str) -> None:
    model = recorded(written(tmp_path, form))
    found = ask(model, "2 + 3?", samples=4)
    assert [(one.sample, one.text) for one in found] == [(0, "2 and 3 make 5."), (1, "It is 5.")]
    assert {one.finish_reason for one in found} == {"stop"}
    assert [one.text for one in ask(model, "4 + 4?", samples=2)] == ["Twice 4 is 8.", "It is 8."]
    assert ask(model, "9 + 9?") == []
    assert model.chat


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Q: 2 + 3?", "2 + 3?"),
        ("Question: 2 + 3?", "2 +\n3?"),
        ("2 + 3?", "Q: 2 + 3?"),
        ("Q: Where do bees live? Answer choices: A: hive, B: sea", "Where do bees live?"),
        ("Where do bees live?", "Where do bees live?\nWhich choice is true?"),
        ("Where do bees live?\nOptions:\n(A) hive\n(B) sea", "Where do bees live?"),
    ],
)
def test_a_label_and_options_of_the_prompt_are_no_part_of_a_question(
    tmp_path: Path, theirs: str, ours: str
) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_bytes(lines([{"question": theirs, "rationale": "Because."}]))
    model = recorded(path)
    model.require_match([ours])
    assert [found.text for found in ask(model, ours)] == ["Because."]


def test_a_question_that_two_of_the_file_fit_gets_the_one_that_says_the_same(
    tmp_path: Path,
) -> None:
    path = tmp_path / "same.jsonl"
    stem = "Where do bees live?"
    two = [f"{stem} Answer choices: A: hive, B: sea", f"{stem} Answer choices: A: sea, B: hive"]
    path.write_bytes(lines([{"question": text, "rationale": text[-5:]} for text in two]))
    model = recorded(path)
    assert ask(model, stem) == []
    assert [found.text for found in ask(model, two[1])] == [" hive"]
    path.write_bytes(lines([{"question": text, "rationale": text} for text in ["Q: 1?", "1?"]]))
    assert [found.text for found in ask(recorded(path), "1?")] == ["1?"]


def test_an_answer_prefix_is_not_repeated(tmp_path: Path) -> None:
    model = recorded(written(tmp_path, "jsonl"))
    request = Request(prompt="", question="4 + 4?", answer_prefix="Twice ", samples=(0, 1))
    assert [found.text for found in model.complete([request])] == ["4 is 8."]


def test_the_name_stands_for_the_content(tmp_path: Path) -> None:
    path = written(tmp_path, "jsonl")
    name = recorded(path).name
    moved = path.rename(tmp_path / "b.jsonl")
    assert recorded(moved).name == name.replace("rationales.jsonl", "b.jsonl")
    moved.write_bytes(lines(ROWS[:2]))
    assert recorded(moved).name != name.replace("rationales.jsonl", "b.jsonl")
    assert str(tmp_path) not in name


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"question": "a", "rationale": "b"}\n{"question": \n', "line 2: broken JSON"),
        (b'[{"question": "a",\n "rationale": }]', "line 2: broken JSON"),
        (b'{"question": "a", "rational": "b"}', "no column 'rationale'.*Did you mean 'rational'"),
        (b'{"question": "a", "rationale": 5}', "line 1: .*must hold text"),
        (b"5", "line 1: a int where an object"),
        (b"", "there is no rationale"),
        (b"\x1f\x8bnonsense", "damaged gzip"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_place(
    tmp_path: Path, data: bytes, message: str
) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        recorded(path)
    assert "broken.jsonl" in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*nowhere\.jsonl: No such file"):
        recorded(tmp_path / "nowhere.jsonl")


def test_probabilities_cannot_be_had_from_a_file(tmp_path: Path) -> None:
    model = recorded(written(tmp_path, "jsonl"))
    with pytest.raises(ModelError, match="set top_logprobs to 0"):
        list(model.complete([Request(prompt="", question="4 + 4?", top_logprobs=5)]))


@pytest.mark.parametrize("name", ["SVAMP_llama_level2_ranked.json", "aqua_human.json.gz"])
def test_published_rationales_are_read(shared_data: Path, name: str) -> None:
    path = shared_data / "teacher_outputs" / "cot_granularity" / name
    model = recorded(path, question_field="instruction", rationale_field="output")
    data = gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
    rows = json.loads(data)
    for row in rows[:200]:
        [found] = ask(model, row["instruction"])
        assert found.text == row["output"]
