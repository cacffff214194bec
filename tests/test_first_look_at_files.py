"""Findings of a first look at a file of questions: unclear numbers, encodings, unused columns."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from potstill.errors import ConfigError, DataError
from potstill.pipeline.first_recipe import first_recipe
from potstill.tasks import load_task, task_settings
from potstill.tasks.date_order import silent_order
from potstill.tasks.number_signs import silent_reading, unclear_signs


def written(path: Path, header: str, rows: Sequence[str]) -> Path:
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


def refused(path: Path, *changes: str) -> str:
    with pytest.raises(DataError) as caught:
        first_recipe(path, changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("golds", "unclear"),
    [
        (["2,5", "1,234", "1.234"], ["1,234", "1.234"]),
        (["1.234,5", "4.001 €", "7"], ["4.001 €"]),
        (["1.234.567", "4.001"], ["4.001"]),
        (["1.234.567", "4.0010", "0.125"], []),
        (["2.5", "1,234"], []),
        (["4.001", "5.037"], []),
    ],
)
def test_a_sign_is_unclear_beside_another_use_of_it(golds: list[str], unclear: list[str]) -> None:
    signs = unclear_signs(golds)
    assert [gold for gold in golds if signs and signs.told_of(gold)] == unclear


def test_a_point_that_may_stand_between_thousands_is_not_guessed(tmp_path: Path) -> None:
    rows = [f"Was ist {number}?;{number},5" for number in range(30)]
    path = written(tmp_path / "f.csv", "Frage;Antwort", [*rows, "Und hier?;4.001"])
    assert refused(path) == (
        f"{path}, line 32: the answer '4.001' may be 4.001 or 4001: other answers have a decimal "
        "comma. Write it as 4.0010, or without a sign between the thousands."
    )


@pytest.mark.parametrize(
    ("golds", "separator", "words"),
    [
        (["3.000", "4.001"], ";", "such as 4.001 are read with decimals; where 4001 is meant"),
        (["3,000", "4,001"], ";", "such as 4,001 are read as 4001; where 4.001 is meant"),
        (["3,000", "4,001"], ",", ""),
        (["4.001", "4.01"], ";", ""),
        (["0.125", "0.250"], ";", ""),
        (["4", "5"], ";", ""),
    ],
)
def test_numbers_that_nothing_makes_clear_are_told(
    golds: list[str], separator: str, words: str
) -> None:
    told = silent_reading(golds, separator)
    assert words in told if words else not told


def test_the_first_recipe_tells_numbers_that_may_be_thousands(tmp_path: Path) -> None:
    rows = [f"Was ist {number}?;{number + 3}.{number:03d}" for number in range(30)]
    recipe = first_recipe(written(tmp_path / "f.csv", "Frage;Antwort", rows))
    assert any("are read with decimals" in guess for guess in recipe.guesses)


def test_a_date_that_may_be_of_two_months_is_not_guessed(tmp_path: Path) -> None:
    rows = [f"Which day is {day}?,{day}/08/2021" for day in range(13, 29)]
    path = written(tmp_path / "f.csv", "question,answer", [*rows, "And here?,04/09/2021"])
    assert refused(path) == (
        f"{path}, line 18: the answer '04/09/2021' may be in month 4 or in month 9: other answers "
        "have the day first, such as 13/08/2021. Write it with the year first, as 2021-08-25."
    )
    clear = written(tmp_path / "g.csv", "question,answer", [*rows, "And here?,09/09/2021"])
    assert len(first_recipe(clear).answers) == 3


@pytest.mark.parametrize(
    ("golds", "is_told"),
    [
        (["04/08/2021", "05/05/2021"], True),
        (["04/08/2021", "04/25/2021"], False),  # the month first, as it is read
        (["05/05/2021", "2021-04-08"], False),
    ],
)
def test_dates_that_nothing_makes_clear_are_told(golds: list[str], is_told: bool) -> None:
    assert ("04/08/2021 are read with the month first" in silent_order(golds)) is is_told


def test_answers_that_are_lists_are_taken_as_such(tmp_path: Path) -> None:
    rows = [{"question": f"Sort {n}.", "answer": ["a", f"b{n}"]} for n in range(12)]
    path = tmp_path / "f.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "answer_type: list" in first_recipe(path).text
    told = refused(path, "task.answer_type=text")
    assert "Give a text or a number, such as 'a', or set task.answer_type: list where" in told


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_encodings_without_a_mark_are_named(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "f.csv"
    rows = "".join(f"Is {number} odd?;{number}\n" for number in range(30))
    path.write_bytes(f"question;answer\n{rows}".encode(encoding))
    with pytest.raises(DataError, match=rf"line 1: not UTF-8.*looks like {encoding}"):
        load_task(task_settings({"file": str(path)}, at="task"))
    assert f"encoding: {encoding}" in first_recipe(path).text


def test_a_line_above_the_names_of_the_columns_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "f.csv", "# Exportiert", ["Frage;Antwort", "a?;1", "b?;2"])
    assert refused(path) == (
        f"{path}, line 1: the first line has to name the columns, and is '# Exportiert'; the lines "
        "below it have 2 values each. Remove what stands above the names of the columns."
    )


def test_faults_of_writing_and_of_content_are_told_at_once(tmp_path: Path) -> None:
    good = [json.dumps({"question": f"Is {n}?", "answer": n}) for n in range(10)]
    odd = ['{"question": "x"', '{"question": "y", "answer": NaN}', "[1]", '{"question": "z"}']
    path = written(tmp_path / "f.jsonl", good[0], [*good[1:], *odd])
    told = refused(path).splitlines()
    assert [line.partition(", ")[2].partition(":")[0] for line in told] == [
        "line 11", "line 12", "line 13", "line 14"
    ]  # fmt: skip


def test_columns_that_are_not_used_are_told(tmp_path: Path) -> None:
    rows = [f"A text {number}.,How many {number}?,{number}" for number in range(30)]
    recipe = first_recipe(written(tmp_path / "f.csv", "remark,question,answer", rows))
    assert (
        "not used: 'remark'; one whose text the questions need goes before them, as "
        "task.question: [remark, question]"
    ) in recipe.guesses
    whole = first_recipe(written(tmp_path / "g.csv", "question,answer", [r[11:] for r in rows]))
    assert not any("not used" in guess for guess in whole.guesses)


PASSAGES = [f"Tom has {n} red pens.,How many has Tom {n}?,{n}" for n in range(30)]


def test_a_column_that_questions_are_about_is_put_before_them(tmp_path: Path) -> None:
    path = written(tmp_path / "f.csv", "passage,question,answer", PASSAGES)
    recipe = first_recipe(path)
    assert recipe.guesses[0] == (
        "questions in the columns 'passage' and 'question', put together, answers in 'answer'"
    )
    told = "'passage' is taken for what the questions are about; without it --set task.question"
    assert any(told in guess for guess in recipe.guesses)
    assert not any("not used" in guess for guess in recipe.guesses)
    assert "  question: [passage, question]" in recipe.text
    shown = next(int(answer) for answer in recipe.answers)
    assert f"Tom has {shown} red pens.\n\nHow many has Tom {shown}?" in recipe.prompts[0]
    # what its user says is taken as it is
    alone = first_recipe(path, ["task.question=question"])
    assert any("not used: 'passage'" in guess for guess in alone.guesses)


def test_a_column_without_a_text_in_every_row_is_no_passage(tmp_path: Path) -> None:
    rows = [*PASSAGES, ",Is it 50?,50"]
    recipe = first_recipe(written(tmp_path / "f.csv", "context,question,answer", rows))
    assert any("not used: 'context'" in guess for guess in recipe.guesses)


def test_a_question_of_several_columns_needs_them_all(tmp_path: Path) -> None:
    path = written(tmp_path / "f.csv", "passage,question,answer", [*PASSAGES, ",How many?,50"])
    settings = {"file": str(path), "question": ["passage", "question"]}
    with pytest.raises(DataError, match="line 32: 'passage' is empty"):
        load_task(task_settings(settings, at="task"))
    with pytest.raises(DataError, match=r"Did you mean question: \[passage, question\]\?"):
        load_task(task_settings(settings | {"question": ["pasage", "question"]}, at="task"))
    for columns in (["question"], ["question", "question"], []):
        with pytest.raises(ConfigError, match="the names of two or more, each once"):
            task_settings(settings | {"question": columns}, at="task")


def test_a_task_of_one_column_is_the_task_that_it_was(tmp_path: Path) -> None:
    """Its settings are hashed as ever, and its ids made of the same text."""
    path = written(tmp_path / "f.csv", "passage,question,answer", PASSAGES)
    one = task_settings({"file": str(path), "question": "passage"}, at="task")
    assert one.model_dump(mode="json")["question"] == "passage"
    assert task_settings({"file": str(path)}, at="task").model_dump()["question"] == "question"


def nested(path: Path) -> Path:
    rows = [{"q": {"text": f"How many {n}?"}, "a": n, "o": {"k": ["x", "y"]}} for n in range(30)]
    path.write_text(json.dumps({"data": rows}), encoding="utf-8")
    return path


def test_names_with_dots_look_inside(tmp_path: Path) -> None:
    path = nested(tmp_path / "f.json")
    settings = {"file": str(path), "question": "q.text", "answer": "a"}
    splits = load_task(task_settings(settings, at="task")).splits
    questions = [question for members in splits.values() for question in members]
    assert {question.text for question in questions} == {f"How many {n}?" for n in range(30)}
    assert first_recipe(path).answers
    assert "question: q.text" in first_recipe(path).text


def test_a_mapping_is_told_once_with_the_names_inside(tmp_path: Path) -> None:
    path = nested(tmp_path / "f.json")
    assert refused(path, "task.question=q", "task.answer=a") == (
        f"{path}, row 1: 'q' holds 'q.text'. Name the one that is meant, e.g. task.question: "
        "q.text."
    )


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"role": "user", "content": "How many?"}, "content"),
        ({"lang": "en", "body": "How many?", "text": "Q"}, "text"),
        ({"kind": "sum", "wording": "How many are there of them?"}, "wording"),
        ({"id": 7, "turn": {"role": "user", "content": "How many?"}}, "turn.content"),
        ({"id": 7, "tags": []}, "id"),
    ],
)
def test_the_part_of_a_mapping_that_holds_its_text_is_named(
    tmp_path: Path, parts: Mapping[str, object], named: str
) -> None:
    path = tmp_path / "f.json"
    path.write_text(json.dumps([{"question": parts, "answer": n} for n in range(9)]))
    told = refused(path, "task.question=question", "task.answer=answer")
    assert told.endswith(f"e.g. task.question: question.{named}.")


@pytest.mark.parametrize("above", ["# Exportiert; von mir", "# Exportiert, am 3.\n# zwei"])
def test_names_of_columns_below_a_divided_line_are_told(tmp_path: Path, above: str) -> None:
    rows = ["Frage;Antwort", *(f"Ist {number}?;{number}" for number in range(30))]
    told = refused(written(tmp_path / "f.csv", above, rows))
    line = above.count("\n") + 2
    assert told.endswith(
        f"line {line}: this line names the columns, which has to be the first one. Remove what "
        "stands above it."
    )


def json_lines(path: Path, row: Mapping[str, object]) -> Path:
    """Thirty rows like this one; ``N`` in a question becomes the row's number."""
    text = json.dumps(row)
    path.write_text(
        "".join(text.replace("N?", f"{n}?") + "\n" for n in range(30)), encoding="utf-8"
    )
    return path


def test_columns_inside_mappings_are_guessed_by_any_part_of_their_name(tmp_path: Path) -> None:
    row = {"input": {"question": "Is it N?", "context": "x"}, "output": {"answer": {"final": 5}}}
    recipe = first_recipe(json_lines(tmp_path / "f.jsonl", row))
    assert recipe.guesses[0] == (
        "questions in the columns 'input.context' and 'input.question', put together, answers in "
        "'output.answer.final'"
    )


def test_options_in_a_mapping_stay_options(tmp_path: Path) -> None:
    row: dict[str, object] = {"question": "Is it N?", "choices": {"A": "x", "B": "y"}}
    recipe = first_recipe(json_lines(tmp_path / "f.jsonl", {**row, "answer": "A"}))
    assert recipe.task.answer_type == "choice"
    inside = {"q": {"text": "Is it N?", "options": ["x", "y"]}, "a": "A"}
    assert "choices: q.options" in first_recipe(json_lines(tmp_path / "g.jsonl", inside)).text
