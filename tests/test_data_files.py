"""Files of questions as their users have them: encodings, separators, options, faults."""

import gzip
import json
from pathlib import Path

import pytest

from potstill.errors import ConfigError, DataError
from potstill.records import Question
from potstill.tables import rows
from potstill.tasks import task_settings
from potstill.tasks.choice_forms import (
    AnswerNumbers,
    OptionList,
    answer_numbers,
    gold_option,
    option_list,
    text_separator,
)
from potstill.tasks.files import read_file

SUMS = [("What is 1 + 1?", "2"), ("Was ist 1,5 + 1; und warum?", "2.5"), ("Übrig?", "0")]


def questions(path: Path, content: str | bytes, **settings: object) -> list[Question]:
    """The questions of a file with this content, in no order of splits."""
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(data)
    splits = read_file(path, task_settings({"file": path, **settings}, at="task"))
    return [question for members in splits.values() for question in members]


def refused(path: Path, content: str | bytes, **settings: object) -> str:
    with pytest.raises(DataError) as caught:
        questions(path, content, **settings)
    return str(caught.value)


def table(separator: str, header: str = "question{0}answer") -> str:
    lines = [header.format(separator)]
    return "\n".join(lines + [f'"{text}"{separator}{answer}' for text, answer in SUMS]) + "\n"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_separated_text_is_read_by_its_own_separator_and_mark(
    tmp_path: Path, separator: str, encoding: str
) -> None:
    read = questions(tmp_path / "f.csv", table(separator).encode(encoding))
    assert {(question.text, question.answer) for question in read} == set(SUMS)


def test_a_separator_inside_the_header_s_names_misleads_nobody(tmp_path: Path) -> None:
    text = table(";", "question{0}answer, in euros")
    read = questions(tmp_path / "f.csv", text, answer="answer, in euros")
    assert len(read) == 3


def test_a_separator_may_be_named_by_the_user_or_by_the_file(tmp_path: Path) -> None:
    assert len(questions(tmp_path / "f.csv", "question~answer\n1+1?~2\n", separator="~")) == 1
    assert len(questions(tmp_path / "f.csv", "sep=;\nquestion;answer\n1+1?;2\n")) == 1


def test_text_of_another_encoding_is_refused_with_line_and_way_out(tmp_path: Path) -> None:
    data = "question;answer\n1+1?;2\nCafé für 2?;2\n".encode("latin-1")
    told = refused(tmp_path / "f.csv", data)
    assert "f.csv, line 3: not UTF-8" in told and "'Café für 2?;2'" in told
    assert "task.encoding: cp1252" in told and "iconv -f cp1252" in told
    read = questions(tmp_path / "f.csv", data, encoding="cp1252")
    assert {question.text for question in read} == {"1+1?", "Café für 2?"}


@pytest.mark.parametrize(
    ("encoding", "text", "guess"),
    [
        ("cp1251", "Сколько будет один и один? И почему?", None),
        ("utf-16-le", "How much is 1 + 1? É", "utf-16-le"),
        ("mac-roman", "Combien d'élèves à l'école là-bas?", None),
    ],
)
def test_an_encoding_is_guessed_only_where_the_bytes_show_it(
    tmp_path: Path, encoding: str, text: str, guess: str | None
) -> None:
    told = refused(tmp_path / "f.csv", f"question;answer\n{text};2\n".encode(encoding))
    assert ("looks like" in told) == (guess is not None)
    assert (guess or "name its encoding as task.encoding") in told


def test_an_unknown_encoding_is_refused_with_the_recipe() -> None:
    with pytest.raises(ConfigError, match=r"encoding is 'utf8000'.*usual ones"):
        task_settings({"file": "f.csv", "encoding": "utf8000"}, at="task")


def test_lines_are_the_file_s_own(tmp_path: Path) -> None:
    text = 'question,answer\n\n"one,\nover\nthree lines",1\n,\nlast,many\n'
    assert "f.csv, line 7: the answer 'many' is no number" in refused(tmp_path / "f.csv", text)


def test_all_faults_of_a_file_are_told_at_once_the_first_twenty_with_their_lines(
    tmp_path: Path,
) -> None:
    lines = ["question,answer", "good?,1", ",2", "a,b,c", "no answer?", 'x "y" z,1', '"x" y,2']
    told = refused(tmp_path / "f.csv", "\n".join(lines)).splitlines()
    assert [line.partition(", ")[2] for line in told] == [
        "line 3: the question is empty.",
        "line 4: 3 values for 2 columns; a value that holds a comma stands in quotes (the last is "
        "'c').",
        "line 5: the question has no answer.",
        'line 7: text stands behind a closing quotation mark; one inside a value is written "".',
    ]
    many = "question,answer\n" + "".join(f"q{n}?,x{n}\n" for n in range(45))
    told = refused(tmp_path / "f.csv", many).splitlines()
    assert len(told) == 22
    assert "line 21: the answer 'x19' is no number" in told[19]
    assert told[20].endswith("f.csv: 25 more faults.")
    assert "task.answer_type" in told[21]


def test_an_open_quotation_mark_is_told_where_it_opens(tmp_path: Path) -> None:
    told = refused(tmp_path / "f.csv", 'question,answer\n1+1?,2\n"2+2?,4\n3+3?,6\n')
    assert told.endswith("f.csv, line 3: a quotation mark opens a value here and none closes it.")


@pytest.mark.parametrize(
    ("answers", "advice"),
    [
        (["Yes", "no"], "Every answer is yes or no: set task.answer_type: yes_no."),
        (["May 3, 2020", "2021-05-01"], "Every answer is a date: set task.answer_type: date."),
        (["A", "(C)"], "name the column of the options as task.choices"),
        (["red", "blue"], "Set task.answer_type to yes_no, text, date, list, math or number"),
    ],
)
def test_answers_that_are_no_numbers_name_what_would_fit(
    tmp_path: Path, answers: list[str], advice: str
) -> None:
    rows_ = [{"question": f"{n}?", "answer": answer} for n, answer in enumerate(answers)]
    told = refused(tmp_path / "f.jsonl", "\n".join(map(json.dumps, rows_)))
    assert "line 1: the answer" in told and "is no number." in told and advice in told


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([{"role": "user", "content": "1+1?"}], "holds chat messages"),
        ('[{"role": "user", "content": "1+1?"}]', "holds chat messages"),
        (" [{'content': \"it's 1+1?\", 'role': 'user'}]\n", "holds chat messages"),
        (["1+1?"], "is a list (['1+1?']). Give a text or a number, such as '1+1?'."),
        ({"text": "1+1?"}, "is a mapping"),
    ],
)
@pytest.mark.parametrize("column", ["question", "answer"])
def test_a_list_or_mapping_is_never_written_as_python_does(
    tmp_path: Path, column: str, value: object, words: str
) -> None:
    row = {"question": "1+1?", "answer": "2"} | {column: value}
    told = refused(tmp_path / "f.jsonl", json.dumps({"question": "a", "answer": 1}) + "\n"
                   + json.dumps(row))  # fmt: skip
    assert f"f.jsonl, line 2: {column!r} {words}" in told


def test_json_that_is_no_chat_message_is_a_question(tmp_path: Path) -> None:
    text = '[{"name": "Ann", "role": "nurse"}]'
    (read,) = questions(tmp_path / "f.jsonl", json.dumps({"question": text, "answer": "1"}))
    assert read.text == text


def test_the_items_of_a_list_are_the_gold_of_that_type(tmp_path: Path) -> None:
    row = {"question": "Sort: b a", "answer": ["a", "b"]}
    (read,) = questions(tmp_path / "f.jsonl", json.dumps(row), answer_type="list")
    assert read.answer == "a, b"


OPTIONS = ("red", "green", "blue")


@pytest.mark.parametrize(
    "value",
    [
        ["red", "green", "blue"],
        ["A) red", "B) green", "C) blue"],
        {"text": ["red", "green", "blue"], "label": ["A", "B", "C"]},
        {"C": "blue", "A": "red", "B": "green"},
        [{"label": "A", "text": "red"}, {"label": "B", "text": "green"},
         {"label": "C", "text": "blue"}],
        '["red", "green", "blue"]',
        "A) red B) green C) blue",
        "(A) red; (B) green; (C) blue",
        "red | green | blue",
        "red; green; blue",
        "red\ngreen\nblue",
    ],
)  # fmt: skip
def test_published_forms_of_options_are_read_by_tasks_and_by_grade(
    tmp_path: Path, value: object
) -> None:
    rows_ = [{"question": f"{n}?", "answer": gold, "options": value} for n, gold in enumerate("AB")]
    read = questions(tmp_path / "f.jsonl", "\n".join(map(json.dumps, rows_)), choices="options")
    assert {question.choices for question in read} == {OPTIONS}
    assert {question.answer for question in read} == {"A", "B"}
    sign = text_separator([value] if isinstance(value, str) else [])
    assert option_list(value, sign).texts == OPTIONS


def test_options_may_stand_in_a_column_each(tmp_path: Path) -> None:
    text = "question,A,B,C,D,answer\n1?,red,green,blue,,B\n2?,red,green,blue,grey,grey\n"
    read = questions(tmp_path / "f.csv", text, choices=["A", "B", "C", "D"])
    assert {(question.choices, question.answer) for question in read} == {
        (OPTIONS, "B"),
        ((*OPTIONS, "grey"), "D"),
    }
    gap = "question,A,B,C,answer\n1?,red,,blue,A\n"
    assert "line 2: the columns of options leave an option empty" in refused(
        tmp_path / "f.csv", gap, choices=["A", "B", "C"]
    )
    with pytest.raises(ConfigError, match="one column by its name"):
        task_settings({"file": "f.csv", "choices": ["A"]}, at="task")


def test_a_sign_that_some_rows_lack_is_part_of_an_option() -> None:
    assert text_separator(["a, b; c", "d; e"]) == ";"
    assert text_separator(["a | b, or c", "d, e"]) == ","
    assert text_separator(["a; b", "c"]) is None


def test_a_gold_answer_may_be_a_label_or_a_number_where_the_file_tells_what_it_counts() -> None:
    labelled = OptionList(OPTIONS, ("1", "2", "3"))
    assert gold_option("2", labelled) == "B"
    plain = OptionList(OPTIONS)
    assert gold_option("0", plain, answer_numbers(["0", "2"], [plain, plain])) == "A"
    assert gold_option("2", plain, answer_numbers(["3", "2"], [plain, plain])) == "B"
    unclear = answer_numbers(["1", "2"], [plain, plain])
    with pytest.raises(ValueError, match="'1' is a number, and whether the first"):
        gold_option("1", plain, unclear)
    numerals = OptionList(("1", "2", "3"))
    assert answer_numbers(["1"], [numerals]).fault == "may be an option's text or its number"
    prices = OptionList(("12", "15"))
    assert answer_numbers(["15"], [prices]) == AnswerNumbers()
    assert gold_option("15", prices) == "B"


def test_a_letter_that_is_another_option_s_text_is_not_guessed() -> None:
    swapped = OptionList(("B", "A"))
    with pytest.raises(ValueError, match=r"is the letter of 'B' and the text of option B"):
        gold_option("A", swapped)
    assert gold_option("(A)", swapped) == "A"


@pytest.mark.parametrize(
    ("name", "content", "count"),
    [
        ("lines.json", '{"question": "1?", "answer": 1}\n{"question": "2?", "answer": 2}\n', 2),
        ("array.jsonl", '[{"question": "1?", "answer": 1}]', 1),
        ("pretty.jsonl", '{\n "question": "1?",\n "answer": 1\n}', 1),
        ("columns.json", '{"question": {"0": "1?", "1": "2?"}, "answer": {"0": 1, "1": 2}}', 2),
        ("lists.json", '{"question": ["1?", "2?"], "answer": [1, 2]}', 2),
        ("wrapped.json", '{"version": 1, "data": [{"question": "1?", "answer": 1}]}', 1),
        ("any.ndjson", '{"question": "1?", "answer": 1}', 1),
        ("packed.csv", gzip.compress(b"question,answer\n1?,1\n", mtime=0), 1),
        ("exact.jsonl", '{"question": "1?", "answer": 123456789012345678901}', 1),
        ("nan.jsonl", '{"question": "1?", "answer": 1, "score": NaN}', 1),
    ],
)
def test_what_a_file_holds_is_told_by_its_content(
    tmp_path: Path, name: str, content: str | bytes, count: int
) -> None:
    read = questions(tmp_path / name, content)
    assert len(read) == count
    assert read[0].answer in ("1", "2", "123456789012345678901")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("book.xlsx", b"PK\x03\x04rest", "an Excel or OpenDocument workbook"),
        ("book.csv", b"\xd0\xcf\x11\xe0", "an old Excel workbook. Save the sheet as CSV UTF-8"),
        ("page.jsonl", "<!DOCTYPE html><html>404", "is a web page, not data"),
        ("big.jsonl", "version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("no.parquet", "question,answer", "cannot be read as Parquet"),
        ("notes.md", "question,answer\n1?,1", "its ending does not say what it is"),
        ("twice.csv", "question,answer,answer\n1?,1,2", "line 1: the column 'answer' stands twice"),
        ("half.jsonl", '{"question": "\\ud83d?", "answer": "1"}', "line 1: holds half a character"),
        ("half.json", '[{"question": "\\ud83d?", "answer": "1"}]', "row 1: holds half a character"),
        ("nan.jsonl", '{"question": "1?", "answer": NaN}', "line 1: the question has no answer"),
        ("list.csv", "question,choices,answer\n1?,\"['a', 'b']\",A", "a list as Python writes it"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_way_out(
    tmp_path: Path, name: str, content: str | bytes, words: str
) -> None:
    choices = {"choices": "choices"} if name == "list.csv" else {}
    assert words in refused(tmp_path / name, content, **choices)


def test_a_wrong_column_is_met_with_those_there_are(tmp_path: Path) -> None:
    told = refused(tmp_path / "f.csv", "Frage;Antwort\n1?;1\n")
    assert "no column 'question'; there are 'Frage', 'Antwort'" in told
    assert "Name the right one as task.question" in told
    headless = refused(tmp_path / "f.csv", "What is 1+1?;2\n1?;1\n")
    assert "the first line has to name the columns, and holds 'What is 1+1?', '2'" in headless
    assert "Did you mean question: Question?" in refused(
        tmp_path / "f.csv", "Question;Answer\n1?;1\n"
    )


def test_a_file_s_name_as_the_task_is_answered_with_the_way_to_give_one() -> None:
    with pytest.raises(ConfigError, match=r"task: \{file: pens\.csv\}"):
        task_settings("pens.csv", at="task")


def test_rows_of_any_kind_come_with_all_their_faults(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"a": 1}\n{"a":\n[1]\n', encoding="utf-8")
    with pytest.raises(DataError) as caught:
        rows(path)
    assert [line.partition(", ")[2] for line in str(caught.value).splitlines()] == [
        "line 2: broken JSON (Expecting value).",
        "line 3: a list where an object should be.",
    ]


def test_a_comma_that_may_be_decimal_is_not_guessed(tmp_path: Path) -> None:
    text = "question;answer\na?;2,5\nb?;1,234\nc?;0,125\n"
    told = refused(tmp_path / "f.csv", text)
    assert told.startswith(f"{tmp_path / 'f.csv'}, line 3: the answer '1,234' may be 1.234 or 1234")
    assert "\n" not in told
    grouped = questions(tmp_path / "f.csv", "question;answer\na?;2.5\nb?;1,234\n")
    assert {question.answer for question in grouped} == {"2.5", "1,234"}
