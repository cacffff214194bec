import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from exchange_runs import TEACHER, curated_run, fill, open_run, write_recipe
from loopback import Loopback

from potstill.cli import main
from potstill.errors import ConfigError, DataError
from potstill.exchange import RowFields, export_run, import_file
from potstill.exchange.rows import EXPORTED_STAGES
from potstill.pipeline.run import Run
from potstill.sampling.ask import answers

RIGHT = "Twice two.\nThe answer is 4."


def command(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code in (0, 2), result.output
    return result


def write_lines(path: Path, *rows: object) -> Path:
    """A JSONL file; a text stands as it is."""
    texts = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Run:
    opened = open_run(write_recipe(tmp_path))
    fill(opened, [])
    return opened


def texts(run: Run) -> list[list[str]]:
    """Returns the teacher's answers to each training question, by sample."""
    return [
        [each.text for each in answers(TEACHER.name, run.store, question, run.asking)]
        for question in run.task.splits["train"]
    ]


def test_bought_rationales_become_the_teachers_answers(run: Run, tmp_path: Path) -> None:
    file = write_lines(
        tmp_path / "bought.jsonl",
        {"question": "What is  2 + 2?\n", "rationale": RIGHT},
        {
            "question": "What is 3 + 3?",
            "rationale": ["One.\nThe answer is 6.", "Two.\nThe answer is 7."],
        },
    )
    done = import_file(run, file)
    assert (done.kind, done.stored, done.there, done.left_out) == ("rationales", 3, 0, 0)
    again = import_file(run, file)
    assert (again.stored, again.there) == (0, 3)
    assert texts(run) == [[RIGHT], ["One.\nThe answer is 6.", "Two.\nThe answer is 7."], []]
    assert run.curate() == {"kept": 2, "wrong_answer": 1}
    assert {each.stage for each in run.store.pool(EXPORTED_STAGES)} == {"import"}


def test_what_the_run_has_stays_and_new_texts_take_free_samples(run: Run, tmp_path: Path) -> None:
    fill(run, ["Live."])
    rows = [{"question": "What is 2 + 2?", "rationale": text} for text in ("Live.", "A.", "B.")]
    done = import_file(run, write_lines(tmp_path / "bought.jsonl", *rows))
    assert (done.stored, done.there, done.beyond) == (2, 1, 1)
    assert texts(run)[0] == ["Live.", "A."]


def test_rows_of_no_use_are_named_and_the_rest_goes_on(run: Run, tmp_path: Path) -> None:
    file = write_lines(
        tmp_path / "bought.jsonl",
        {"question": "What is 2 + 2?", "rationale": RIGHT},
        "{broken",
        "[1, 2]",
        {"question": "Who?", "rationale": "Me."},
        {"question": "What is 6 + 6?", "rationale": "12."},
        {"question": None, "rationale": "12."},
        {"question": "What is 3 + 3?", "rationale": "  "},
        {"question": "What is 3 + 3?", "rationale": [None, "Six.\nThe answer is 6."]},
    )
    done = import_file(run, file)
    assert (done.stored, done.left_out) == (2, 7)
    told = dict(done.shown)
    assert told["line 2"].startswith("broken JSON")
    assert told["line 3"] == "a list where an object should be"
    assert told["line 4"] == "no question of the task has this text"
    assert "of the test split" in told["line 5"]
    assert told["line 6"] == "question: there is none"
    assert told["line 7"] == "rationale: there is none"
    assert told["line 8"] == "rationale: 1 holds no text"


def test_every_row_left_out_is_in_the_log(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    with open_run(recipe) as run:
        fill(run, [])
    rows = [{"question": f"Who is {n}?", "rationale": "x"} for n in range(30)]
    result = command("import", recipe, write_lines(tmp_path / "bought.jsonl", *rows))
    assert result.exit_code == 0
    assert "import: 0 rationales stored, 0 already there, 30 left out" in result.output
    assert "  line 1: no question of the task has this text" in result.output
    assert "and 20 more; all are in" in result.output
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    left_out = [line["at"] for line in log if line["event"] == "left_out"]
    assert left_out == [f"line {n}" for n in range(1, 31)]


def test_columns_may_have_any_name_and_stand_inside_others(run: Run, tmp_path: Path) -> None:
    file = write_lines(
        tmp_path / "bought.jsonl",
        {"q": {"key": "q2"}, "cot": {"text": "Twice two.", "final": 4}},
        {"q": {"key": "q9"}, "cot": {"text": "x", "final": "1"}},
    )
    fields = RowFields(id="q.key", rationale="cot.text", answer="cot.final")
    done = import_file(run, file, fields)
    assert (done.stored, done.shown) == (1, [("line 2", "no question of the task has this id")])
    assert texts(run)[0] == [RIGHT]
    assert run.curate() == {"kept": 1}


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
def test_a_missing_column_is_met_with_the_nearest(tmp_path: Path, ending: str) -> None:
    import csv

    import pyarrow
    from pyarrow import parquet

    file, row = tmp_path / f"bought.{ending}", {"question": "What is 2 + 2?", "rational": RIGHT}
    if ending == "csv":
        with file.open("w", newline="") as opened:
            csv.writer(opened).writerows([list(row), list(row.values())])
    elif ending == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist([row]), file)
    else:
        file.write_text(json.dumps([row] if ending == "json" else row))
    recipe = write_recipe(tmp_path)
    with open_run(recipe) as run:
        fill(run, [])
    told = command("import", recipe, file)
    assert told.exit_code == 2
    assert "there is no column 'rationale'; there are 'question', 'rational'." in told.output
    assert "Did you mean --rationale-field rational?" in told.output
    found = command("import", recipe, file, "--rationale-field", "rational")
    assert "import: 1 rationales stored" in found.output


def test_two_questions_with_one_text_are_told_apart_by_id_alone(tmp_path: Path) -> None:
    questions = tmp_path / "own.jsonl"
    rows = [
        {
            "id": f"c{n}",
            "question": "Which is right?" if split == "train" else f"Which is {n}?",
            "answer": "A",
            "options": [str(n), "x"],
            "split": split,
        }
        for n, split in enumerate(["train", "train", "dev", "test"])
    ]
    write_lines(questions, *rows)
    task = {"file": str(questions), "id": "id", "choices": "options"}
    with open_run(write_recipe(tmp_path, task=task)) as run:
        fill(run, [])
        bought = {"question": "Which is right?", "id": "c1", "rationale": "So.\nThe answer is (A)."}
        file = write_lines(tmp_path / "bought.jsonl", bought)
        assert "--id-field" in import_file(run, file).shown[0].why
        assert import_file(run, file, RowFields(id="id")).stored == 1
        shown = {**bought, "question": "Which is right? Answer choices: (A) 1, (B) x."}
        assert import_file(run, write_lines(file, shown)).there == 1


@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_exported_rationales_come_back_with_their_verdicts(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"rationales{ending}"
    with curated_run(write_recipe(tmp_path)) as run:
        export_run(run, file, "rationales")
        before = run.store.rationales()
    with open_run(write_recipe(tmp_path, "other")) as run:
        fill(run, [])
        assert import_file(run, file).stored == 6
        assert import_file(run, file).there == 6
        run.curate()
        after = run.store.rationales()
    assert [(each.question_id, each.sample, each.verdict, each.text) for each in before] == [
        (each.question_id, each.sample, each.verdict, each.text) for each in after
    ]


def test_exported_rationales_come_back_through_a_table(tmp_path: Path) -> None:
    with curated_run(write_recipe(tmp_path)) as run:
        export_run(run, tmp_path / "rationales.jsonl", "rationales")
        before = [(each.sample, each.text) for each in run.store.rationales()]
    rows = [json.loads(line) for line in (tmp_path / "rationales.jsonl").read_text().splitlines()]
    with (tmp_path / "rationales.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    with open_run(write_recipe(tmp_path, "other")) as run:
        fill(run, [])
        done = import_file(run, tmp_path / "rationales.csv")
        assert (done.stored, done.left_out) == (6, 0)
        run.curate()
        assert [(each.sample, each.text) for each in run.store.rationales()] == before


@pytest.mark.parametrize("sample", ["-1", "first", 0.5, True])
def test_a_sample_that_is_no_number_is_named(run: Run, tmp_path: Path, sample: object) -> None:
    row = {"question": "What is 2 + 2?", "rationale": RIGHT, "sample": sample}
    done = import_file(run, write_lines(tmp_path / "bought.jsonl", row), RowFields(sample="sample"))
    assert done.stored == 0
    assert "sample: a whole number from 0 on is needed, and it is" in done.shown[0].why


def test_a_teacher_of_two_steps_is_not_asked_for_answers_that_are_given(tmp_path: Path) -> None:
    with Loopback() as server:
        teacher = {
            "model": "openai:t", "base_url": server.url, "api_key_env": None, "chat": False,
        }  # fmt: skip
        recipe = write_recipe(tmp_path, teacher=teacher, generate={"samples": 1, "max_tokens": 50})
        rows = [
            {"question": f"What is {n} + {n}?", "rationale": " Double it.", "final": 2 * n}
            for n in (2, 3, 4)
        ]
        file = write_lines(tmp_path / "bought.jsonl", *rows)
        told = command("import", recipe, file, "--answer-field", "final")
        assert "import: 3 rationales stored" in told.output
        assert "0 completions stored, 3 already there" in command("generate", recipe).output
        assert server.bodies == []
    assert "curate: 3 of 3 rationales kept" in command("curate", recipe).output


def test_a_second_teacher_takes_rationales_by_its_name(tmp_path: Path) -> None:
    other = {"model": "openai:other", "base_url": "http://h/v1", "api_key_env": None}
    recipe = write_recipe(tmp_path, teachers={"other": other})
    file = write_lines(
        tmp_path / "bought.jsonl", {"question": "What is 2 + 2?", "rationale": RIGHT}
    )
    with open_run(recipe) as run:
        fill(run, ["Live.\nThe answer is {answer}."])
        import_file(run, file, teacher="other")
        with pytest.raises(ConfigError, match="no teacher 'ohter'; it has teacher, other"):
            import_file(run, file, teacher="ohter")
        run.curate()
        kept = {each.teacher: each.text for each in run.store.rationales()}
    assert kept["other"] == "Twice two."


def test_files_that_cannot_be_read_are_told(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        import_file(run, tmp_path / "none.jsonl")
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        import_file(run, damaged)
    packed = tmp_path / "damaged.jsonl.gz"
    packed.write_bytes(b"\x1f\x8b\x08\x00 and no more")
    with pytest.raises(DataError, match="damaged gzip data"):
        import_file(run, packed)
    empty = write_lines(tmp_path / "empty.jsonl")
    with pytest.raises(DataError, match="no row that can be read"):
        import_file(run, empty)


def test_damaged_rows_of_completions_are_named(run: Run, tmp_path: Path) -> None:
    fill(run, ["The answer is {answer}."])
    export_run(run, tmp_path / "pool.jsonl", "completions", logprobs=True)
    good = json.loads((tmp_path / "pool.jsonl").read_text().splitlines()[0])
    rows = [
        good,
        {**good, "sample": -1},
        {**good, "text": None},
        {**good, "finish_reason": ""},
        {**good, "messages": None},
        {**good, "messages": [{"role": "oracle", "content": "x"}]},
        {**good, "logprobs": [[-1.0]], "token_ids": None, "token_bytes": None},
        {**good, "logprobs": [[-1.0], [-1.0, -2.0]], "token_ids": [[1], [1, 2]]},
        {**good, "logprobs": [[-1.0]], "token_ids": [[1, 2]]},
        {**good, "logprobs": [[-1.0]], "token_bytes": [["not Base64!"]]},
        {**good, "logprobs": "x", "token_ids": [[1]]},
        {**good, "sample": 7},
    ]
    with pytest.raises(ConfigError, match="says who wrote each"):
        import_file(run, tmp_path / "pool.jsonl", teacher="other")
    done = import_file(run, write_lines(tmp_path / "pool.jsonl", *rows))
    assert (done.kind, done.stored, done.there, done.left_out) == ("completions", 1, 1, 10)
    for (_, why), expected in zip(done.shown, FAULTS, strict=True):
        assert expected in why


FAULTS = (
    "sample: ",
    "text: ",
    "finish_reason: ",
    "give either prompt or messages",
    "messages.0.role: ",
    "either token_ids or token_bytes",
    "every token needs as many",
    "1 by 1",
    "not Base64",
    "a list of values for each token",
)
