"""`potstill grade`: a user's file of completions, graded row by row."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from potstill.cli import main

ROWS: list[dict[str, object]] = [
    {"completion": "3 + 4 = 7. The answer is 7.", "answer": "7"},
    {"completion": "The answer is 8.", "answer": 7},
    {"completion": "I do not know.", "answer": "7"},
    {"completion": None, "answer": "7"},
    {"completion": "so #### 1,000", "answer": "He has 400 + 600.\n#### 1000"},
]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(rows: Sequence[Mapping[str, object]], name: str = "answers.jsonl") -> str:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return name


def graded(*arguments: str, task: str = "gsm8k") -> Result:
    return CliRunner().invoke(main, ["grade", "--task", task, *arguments])


def lines(name: str = "out.jsonl") -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(name).read_text(encoding="utf-8").splitlines()]


def test_every_row_gets_a_line_in_order() -> None:
    result = graded(written(ROWS), "--out", "out.jsonl")
    assert result.exit_code == 0
    assert lines() == [
        {"answer": "7", "correct": True, "rule": "marker"},
        {"answer": "8", "correct": False, "rule": "marker"},
        {"answer": None, "correct": False, "rule": "no_answer"},
        {"answer": None, "correct": False, "rule": "no_answer"},
        {"answer": "1000", "correct": True, "rule": "marker"},
    ]
    # Wilson: (0.4 + 1.96²/10 ± 1.96 √(0.024 + 1.96²/100) ) / (1 + 1.96²/5)
    assert "accuracy     40.0% (2 of 5; 95% interval 11.8% to 76.9%)" in result.stdout
    assert "no answer    40.0% (2)" in result.stdout


@pytest.mark.parametrize("kind", ["json", "object", "named", "csv", "parquet", "gz"])
def test_every_kind_of_file_is_read(kind: str) -> None:
    rows = [{"completion": row["completion"] or "", "answer": str(row["answer"])} for row in ROWS]
    name = f"answers.{kind}"
    if kind == "csv":
        import csv

        with open(name, "w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, ["completion", "answer"])
            table.writeheader()
            table.writerows(rows)
    elif kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), name)
    elif kind == "gz":
        name = "answers.jsonl.gz"
        text = "".join(json.dumps(row) + "\n" for row in rows)
        Path(name).write_bytes(gzip.compress(text.encode()))
    else:
        name = f"{kind}.json"
        shapes = {
            "json": rows,
            "object": {"canary": "x", "examples": rows},
            "named": {f"id{n}": row for n, row in enumerate(rows)},
        }
        Path(name).write_text(json.dumps(shapes[kind]), encoding="utf-8")
    result = graded(name)
    assert "(2 of 5;" in result.stdout, result.output


def test_fields_inside_others_and_lists_of_completions() -> None:
    rows = [
        {"target": 5.0, "cot": {"texts": ["The answer is 5.", "It is 6."], "score": [1, 0]}},
        {"target": 6.0, "cot": {"texts": ["\\boxed{6}"], "score": [False]}},
    ]
    fields = ["--text-field", "cot.texts", "--gold-field", "target", "--verdict-field", "cot.score"]
    result = graded(written(rows), *fields, "--out", "out.jsonl")
    assert lines()[0] == {
        "answer": ["5", "6"],
        "correct": [True, False],
        "rule": ["marker", "last"],
    }
    assert "agreement    66.7% (2 of 3;" in result.stdout
    assert "line 2: right here, wrong there" in result.stdout


@pytest.mark.parametrize(
    ("choices", "gold"),
    [
        (["a lake", "the sea"], "B"),
        (["a lake", "the sea"], "(B)"),
        (["a lake", "the sea"], "The Sea"),
        (["A) a lake", "B) the sea"], "B"),
        ({"A": "a lake", "B": "the sea"}, "B"),
        ({"label": ["A", "B"], "text": ["a lake", "the sea"]}, "B"),
        ([{"label": "A", "text": "a lake"}, {"label": "B", "text": "the sea"}], "B"),
        ('["a lake", "the sea"]', "B"),
    ],
)
def test_options_are_read_in_every_form(choices: object, gold: str) -> None:
    rows: list[dict[str, object]] = [
        {"completion": text, "answer": gold, "choices": choices}
        for text in ("The answer is (B).", "So the answer is the sea.", "The answer is (A).")
    ]
    assert "(2 of 3;" in graded(written(rows), task="commonsense_qa").stdout


def test_disagreements_are_listed_and_cannot_steer_the_terminal() -> None:
    rows: list[dict[str, object]] = [
        {"completion": "\x1b[2JThe answer is 5.\nDone", "answer": "5", "theirs": "wrong"},
        {"completion": "The answer is 5.", "answer": "5", "theirs": "True"},
        {"completion": "The answer is 5.", "answer": "5", "theirs": None},
    ]
    result = graded(written(rows), "--verdict-field", "theirs")
    assert "agreement    50.0% (1 of 2;" in result.stdout
    assert "line 1: right here, wrong there" in result.stdout
    assert "\\x1b[2JThe answer is 5. Done" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_published_rule_can_be_taken() -> None:
    rows = [{"completion": "It is 1,000 in all.", "answer": "1000"}]
    assert "(1 of 1;" in graded(written(rows)).stdout
    # The published parser compares the digits behind the last comma: "1,000" is 0.
    assert "(0 of 1;" in graded(written(rows), "--rule", "flan_t5_cot").stdout


def test_of_exported_rows_the_gold_answer_is_not_what_was_read() -> None:
    exported = {"question": "What is 2 + 3?", "gold_answer": "5", "answer": "6"}
    told = graded(written([{**exported, "rationale": "So it is 6.", "completion_id": 7}]))
    assert told.exit_code == 2 and "Did you mean --text-field rationale?" in told.stderr
    told = graded(written([{**exported, "text": "The answer is 6.", "completion_id": 7}]))
    assert told.exit_code == 2 and "Did you mean --text-field text?" in told.stderr
    rows: list[dict[str, object]] = [{**exported, "text": "The answer is 6."}]
    assert "(0 of 1;" in graded(written(rows), "--text-field", "text").stdout
    own = ("--text-field", "text", "--gold-field", "answer")
    assert "(1 of 1;" in graded(written(rows), *own).stdout


def test_a_gold_that_does_not_fit_is_counted_and_shown() -> None:
    rows: list[dict[str, object]] = [*ROWS, {"completion": "The answer is 7.", "answer": "a lot"}]
    result = graded(written(rows), "--out", "out.jsonl")
    assert "(2 of 6;" in result.stdout
    assert "bad gold     1, counted as wrong; answers.jsonl, line 6" in result.stdout
    assert lines()[-1] == {"answer": None, "correct": False, "rule": "bad_gold"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["answers.jsonl", "--text-field", "completoin"], "Did you mean --text-field completion?"),
        (["answers.jsonl", "--gold-field", "label"], "there is no field 'label'; there are"),
        (["answers.jsonl", "--verdict-field", "answer"], "'answer' is '7', which is no verdict"),
        (["answers.jsonl", "--rule", "fine-tune-cot"], "did you mean 'fine_tune_cot'?"),
        (["answers.jsonl", "--out", "answers.jsonl"], "is the file to be graded"),
        (
            ["answers.jsonl", "--out", "answers.jsonl/x"],
            "cannot write answers.jsonl/x: answers.jsonl is no folder",
        ),
        (["none.jsonl"], "cannot read none.jsonl: No such file"),
        (["broken.jsonl"], "broken.jsonl, line 2: broken JSON"),
        (["broken.jsonl.gz"], "broken.jsonl.gz: damaged gzip data"),
        (["empty.jsonl"], "empty.jsonl holds no completions"),
        (["answers.md"], "Give a .jsonl, .json, .csv, .tsv or .parquet file"),
        (["golds.jsonl"], "no gold answer fits the task. golds.jsonl, line 1"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], message: str) -> None:
    written(ROWS)
    written([{"completion": "7", "answer": "a lot"}], "golds.jsonl")
    Path("broken.jsonl").write_text('{"completion": "7", "answer": "7"}\n{"compl', encoding="utf-8")
    Path("broken.jsonl.gz").write_bytes(b"no gzip")
    Path("empty.jsonl").touch()
    Path("answers.md").touch()
    Path("out.jsonl").write_text("as it was", encoding="utf-8")
    out = ["--out", "out.jsonl", "--overwrite"] if "--out" not in arguments else []
    result = graded(*out, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    # The former file stays, and nothing half-written is left.
    assert Path("out.jsonl").read_text(encoding="utf-8") == "as it was"
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


def test_an_unknown_task_is_told_with_the_nearest() -> None:
    assert "Did you mean 'gsm8k'?" in graded(written(ROWS), task="gsm9k").stderr


def test_a_file_that_is_there_is_replaced_only_when_told_to() -> None:
    Path("out.jsonl").write_text("as it was", encoding="utf-8")
    refused = graded(written(ROWS), "--out", "out.jsonl")
    assert refused.exit_code == 2 and "out.jsonl is there already" in refused.stderr
    assert Path("out.jsonl").read_text(encoding="utf-8") == "as it was"
    assert graded(written(ROWS), "--out", "out.jsonl", "--overwrite").exit_code == 0
    assert Path("out.jsonl").read_text(encoding="utf-8").count("\n") == len(ROWS)


@pytest.mark.parametrize(
    ("task", "way_out"),
    [
        ("yesno", "Did you mean 'yes_no'?"),
        ("nummer", "Did you mean 'number'?"),
        ("gsm9k", "Did you mean 'gsm8k'?"),
        ("fragen.yaml", "name the type of its answers, which is one of number, choice, yes_no"),
        ("own/fragen.csv", "name the type of its answers"),
    ],
)
def test_an_unknown_task_is_told_with_what_the_option_takes(task: str, way_out: str) -> None:
    told = graded(written(ROWS), task=task)
    assert told.exit_code == 2 and way_out in told.stderr
    assert "{file:" not in told.stderr


def test_rows_without_a_completion_are_named() -> None:
    listed = {"completion": ["The answer is 7.", None], "answer": "7"}
    rows: list[Mapping[str, object]] = [*ROWS, {"answer": "7"}, listed]
    told = graded(written(rows)).stdout
    assert (
        "missing      3 without a completion, counted as no answer; line 4; line 6; line 7" in told
    )
    assert "missing" not in graded(written(ROWS[:3])).stdout


def test_every_bad_gold_is_named_up_to_ten() -> None:
    bad: list[dict[str, object]] = [{"completion": "The answer is 7.", "answer": "x"}] * 12
    told = graded(written([*ROWS, *bad])).stdout
    (line,) = [line for line in told.splitlines() if line.startswith("bad gold")]
    assert all(f"line {number}: " in line for number in range(6, 16))
    assert "line 16" not in line and line.endswith("and 2 more")
    assert "line 2: " in graded(written(bad)).stderr
