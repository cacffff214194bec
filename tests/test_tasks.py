import json
from pathlib import Path

import pytest

from potstill.errors import ConfigError, DataError
from potstill.records import Question, Task
from potstill.tasks import load_task, task_named, task_names, task_settings
from potstill.tasks.procedural import FAMILIES
from potstill.tasks.settings import spelt
from potstill.tasks.splits import normalised, without_overlap


def load(**values: object) -> Task:
    return load_task(task_settings(values, at="task"))


def ids(task: Task, split: str) -> set[str]:
    return {question.id for question in task.splits[split]}  # type: ignore[index]


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows(count: int) -> list[dict[str, object]]:
    return [{"question": f"What is {n} + 1?", "answer": n + 1} for n in range(count)]


def texts(task: Task, split: str) -> set[str]:
    return {normalised(question.text) for question in task.splits[split]}  # type: ignore[index]


def assert_disjoint(task: Task) -> None:
    for first, second in (("train", "dev"), ("train", "test"), ("dev", "test")):
        assert not texts(task, first) & texts(task, second)


def test_a_misspelt_task_is_refused_with_the_right_name() -> None:
    with pytest.raises(ConfigError, match=r"there is no task 'gsm8'. Did you mean 'gsm8k'"):
        task_settings("gsm8", at="recipe.yaml: task")


def test_a_misspelt_setting_is_refused_with_the_right_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'pth'. Did you mean 'path'"):
        task_settings({"name": "gsm8k", "pth": "x"}, at="task")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("SingleEq", "single_eq"),
        ("single-eq", "single_eq"),
        ("CommonsenseQA", "commonsense_qa"),
        ("bbh/navigate", "bbh_navigate"),
        ("BBH: Word Sorting", "bbh_word_sorting"),
        ("MATH", "math"),
    ],
)
def test_case_and_punctuation_of_a_name_do_not_count(said: str, meant: str) -> None:
    assert task_settings(said, at="task").name == meant
    assert task_named(said).name == meant


def test_no_two_names_differ_in_case_and_punctuation_alone() -> None:
    assert all(spelt(name) == name for name in task_names())


def test_a_name_near_none_is_met_with_the_list() -> None:
    with pytest.raises(ConfigError, match=r"there is no task or answer type 'xyzzy'\. potstill"):
        task_named("xyzzy")


def test_a_task_has_a_name_or_a_file() -> None:
    with pytest.raises(ConfigError, match="either name or file"):
        task_settings({}, at="task")


def test_gsm8k_keeps_the_positions_of_the_original_test(shared_data: Path) -> None:
    task = load(name="gsm8k", path=shared_data / "gsm8k")
    assert {name: len(members) for name, members in task.splits.items()} == {
        "train": 6973,
        "dev": 500,
        "test": 300,
    }
    assert "gsm8k/test/13" in ids(task, "test") and "gsm8k/test/1" not in ids(task, "test")
    assert_disjoint(task)


def test_svamp_texts_are_those_of_recorded_rationales(shared_data: Path) -> None:
    split = shared_data / "fine_tune_cot/split/svamp__default.json"
    task = load(name="svamp", path=shared_data / "svamp", split_file=split)
    file = shared_data / "teacher_outputs/cot_granularity/SVAMP_gemini_level6_ranked.json"
    recorded = {row["instruction"] for row in json.loads(file.read_text(encoding="utf-8"))}
    everything = {question.text for members in task.splits.values() for question in members}
    assert len(recorded) == 700 and recorded <= everything  # their 700 are not this split's 700
    assert [len(task.splits[name]) for name in ("train", "dev", "test")] == [630, 70, 300]
    assert all(question.answer.isdigit() for question in task.splits["test"])


def test_multiarith_notes_the_questions_that_stand_in_both_published_splits(
    shared_data: Path,
) -> None:
    split = shared_data / "fine_tune_cot/split/multiarith__default.json"
    task = load(name="multiarith", path=shared_data / "multiarith", split_file=split)
    assert len(task.splits["test"]) == 180
    assert any("train questions left out" in note for note in task.notes)
    assert_disjoint(task)


def test_choice_questions_of_one_text_are_told_apart_by_the_right_option() -> None:
    def asked(number: int, *choices: str, answer: str) -> Question:
        text = "Which of these is true?"
        return Question(id=f"q{number}", text=text, answer=answer, choices=choices)

    test = (asked(0, "2 > 1", "1 > 2", answer="A"),)
    same, other = asked(1, "3 > 4", "2 > 1", answer="B"), asked(2, "1 > 2", "5 > 4", answer="B")
    kept, notes = without_overlap({"train": (same, other), "dev": (), "test": test})
    assert kept["train"] == (other,)
    assert notes == ("1 train questions left out: they are in a held-out split, too.",)


@pytest.mark.parametrize("name", FAMILIES)
def test_families_are_tasks(name: str) -> None:
    task = load(name=name, train=10, dev=5, test=5)
    assert [len(task.splits[split]) for split in ("train", "dev", "test")] == [10, 5, 5]
    assert_disjoint(task)


def test_more_rows_move_no_question_to_another_split(tmp_path: Path) -> None:
    small = load(file=write_rows(tmp_path / "mine.jsonl", rows(200)))
    large = load(file=write_rows(tmp_path / "mine.jsonl", rows(300)[::-1]))
    for split in ("train", "dev", "test"):
        assert ids(small, split) <= ids(large, split)
    assert_disjoint(large)


def test_the_same_question_twice_stays_in_one_split(tmp_path: Path) -> None:
    doubled = [*rows(100), *({**row, "question": f" {row['question']}"} for row in rows(100))]
    task = load(file=write_rows(tmp_path / "mine.jsonl", doubled))
    assert sum(len(members) for members in task.splits.values()) == 200
    assert_disjoint(task)


def test_every_format_gives_the_same_questions(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    jsonl = write_rows(tmp_path / "mine.jsonl", rows(50))
    (tmp_path / "mine.json").write_text(json.dumps(rows(50)), encoding="utf-8")
    lines = ["question,answer", *(f"{row['question']},{row['answer']}" for row in rows(50))]
    (tmp_path / "mine.csv").write_text("\n".join(lines), encoding="utf-8")
    parquet.write_table(pyarrow.Table.from_pylist(rows(50)), tmp_path / "mine.parquet")
    expected = load(file=jsonl).splits
    for suffix in ("json", "csv", "parquet"):
        assert load(file=tmp_path / f"mine.{suffix}").splits == expected


def test_counts_are_taken_from_the_same_questions(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "mine.jsonl", rows(200))
    few, more = load(file=file, train=10), load(file=file, train=20)
    assert len(few.splits["train"]) == 10
    assert ids(few, "train") < ids(more, "train")


def test_choices_may_be_given_by_letter_or_text(tmp_path: Path) -> None:
    options = ["bank", "library"]
    made: list[dict[str, object]] = [
        {"question": f"{n}?", "answer": "library" if n % 2 else "B", "options": options}
        for n in range(60)
    ]
    task = load(file=write_rows(tmp_path / "mine.jsonl", made), choices="options")
    assert task.answer_type == "choice"
    assert {question.answer for question in task.splits["train"]} == {"B"}


@pytest.mark.parametrize(
    ("lines", "settings", "message"),
    [
        ('{"question": "a", "answer": 1}\n{"question":', {}, "line 2: broken JSON"),
        ("[1]", {}, "line 1: a list where an object should be"),
        ("", {}, "holds no questions"),
        ('{"qestion": "a", "answer": 1}', {}, "no column 'question'.*Did you mean question: qest"),
        ('{"question": "a", "answer": null}', {}, "line 1: the question has no answer"),
        ('{"question": "a", "answer": "many"}', {}, "line 1: .*'many' is no number"),
        ('{"question": "a", "answer": 1}', {}, "split is empty"),
        (
            '{"question": "a", "answer": "c", "o": ["x", "y"]}',
            {"choices": "o"},
            "not the letter of one of its 2 options",
        ),
        (
            '{"question": "a", "answer": 1, "n": 1}\n{"question": "b", "answer": 1, "n": 1}',
            {"id": "n"},
            "line 2: the id '1' already stands at .*line 1",
        ),
        (
            '{"question": "a", "answer": 1}\n{"question": "a ", "answer": 2}',
            {},
            "line 2: the question of .*line 1 again, but its answer is '2' here and '1' there",
        ),
        ('{"question": "a", "answer": 1, "split": "tests"}', {}, "split is 'tests'; give train"),
    ],
)
def test_a_wrong_file_is_refused(
    tmp_path: Path, lines: str, settings: dict[str, object], message: str
) -> None:
    (tmp_path / "mine.jsonl").write_text(lines, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load(file=tmp_path / "mine.jsonl", **settings)


def test_a_question_may_stand_again_with_its_answer_otherwise_written(tmp_path: Path) -> None:
    made = rows(40)
    made[1] = {**made[0], "answer": "1,600.0"}
    made[0] = {**made[0], "answer": 1600}
    made[3] = {**made[2], "question": str(made[2]["question"]).swapcase(), "answer": 7}
    task = load(file=write_rows(tmp_path / "mine.jsonl", made))
    assert sum(map(len, task.splits.values())) == 40


def test_more_questions_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="train is 500; there are only"):
        load(file=write_rows(tmp_path / "mine.jsonl", rows(100)), train=500)


def test_a_split_column_settles_the_splits(tmp_path: Path) -> None:
    names = ["train", "validation", "test"]
    made = [{**row, "split": names[n % 3]} for n, row in enumerate(rows(9))]
    task = load(file=write_rows(tmp_path / "mine.jsonl", made))
    assert [len(task.splits[name]) for name in ("train", "dev", "test")] == [3, 3, 3]


def test_a_gold_answer_given_as_a_worked_solution_is_its_answer_alone(tmp_path: Path) -> None:
    """The student's target is closed by the answer, and must not hold the whole solution."""
    solved: list[dict[str, object]] = [
        {"question": f"What is {n} + 1?", "answer": f"{n} and 1.\n#### {n + 1}"} for n in range(60)
    ]
    task = load(file=write_rows(tmp_path / "sums.jsonl", solved))
    assert {q.answer for q in task.splits["train"]} <= {str(n) for n in range(1, 61)}
