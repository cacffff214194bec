"""Yes and no as letters and digits, with odd answers among them, and denied twice."""

from pathlib import Path

import pytest

from potstill import grade
from potstill.errors import DataError
from potstill.pipeline.first_recipe import first_recipe
from potstill.tasks.answer_types import fitting_type


@pytest.mark.parametrize(
    ("text", "gold", "answer"),
    [
        ("The answer is N.", "N", "no"),
        ("The answer is Y", "N", "yes"),
        ("3 is less than 20.\n--> Y", "Y", "yes"),
        ("The answer is 1.", "1", "yes"),
        ("#### 0", "1", "no"),
        ("The answer is N. Because 3 is less.", "N", "no"),
        ("Answer: N (since 3 < 20)", "N", "no"),
        ("\\boxed{\\text{Y}}", "Y", "yes"),
        ("n", "Y", "no"),
        ("It is less, so:\n**N**", "N", "no"),
        ("N\nBecause what is true needs more.", "N", "no"),
        ("The answer is F.", "T", "no"),
        ("The answer is T", "yes", "yes"),
        ("The answer is J.", "Ja", "yes"),
        ("Die Antwort ist Nein.", "N", "no"),
        ("Die Antwort ist nein", "J", "no"),
        ("Die Antwort ist ja", "0", "yes"),
        ("The answer is yes.", "Y", "yes"),
        ("The answer is true", "1", "yes"),
        ("The answer is 1.5", "1", None),
        ("The answer is 10", "1", None),
        ("It has 1 leg. 1", "1", None),
        ("The answer is 1", "yes", None),
        ("The answer is Y/N", "Y", None),
        ("The answer is Y or N", "Y", None),
        ("The answer is A", "N", None),
        ("The answer is T", "tidak", None),  # a word for no that begins with the letter for true
    ],
)
def test_letters_and_digits_answer_where_they_stand_alone(
    text: str, gold: str, answer: str | None
) -> None:
    assert grade("yes_no", text, gold).answer == answer


@pytest.mark.parametrize(("gold", "right"), [("Y", "yes"), ("N", "no"), ("1", "1"), ("0", "False")])
def test_a_letter_is_right_where_it_says_the_gold_answer(gold: str, right: str) -> None:
    assert grade("yes_no", f"The answer is {right}.", gold).correct
    assert grade("yes_no", f"The answer is {gold}.", gold).correct


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("No information is given.", None),
        ("The answer is no one knows", None),
        ("The answer is no information given.", None),
        ("Nobody knows.", None),
        ("No, no information is needed.", "no"),
        ("No he would not.", "no"),
        ("It is false that it is not true.", "yes"),
        ("The answer is: it is false that it is not true.", "yes"),
        ("It is not true that it is true.", "no"),
        ("It isn't true that this is false.", "yes"),
        ("It is true that it is not true.", "no"),
        ("It is false that cats fly.", "no"),
        ("So the answer is definitely not.", "no"),
    ],
)
def test_no_before_a_noun_and_a_denial_of_a_denial(text: str, answer: str | None) -> None:
    assert grade("yes_no", text, "yes").answer == answer


@pytest.mark.parametrize(
    ("golds", "kind"),
    [
        (["Y", "N"], "yes_no"),
        (["T", "F"], "yes_no"),
        (["J", "n"], "yes_no"),
        (["yes", "N", "True"], "yes_no"),
        (["JA.", "nein!", "Ja"], "yes_no"),
        (["1", "0."], "number"),
        (["N", "F", "T"], None),  # options
        (["J", "F"], None),
    ],
)
def test_a_type_is_told_by_pairs_of_letters(golds: list[str], kind: str | None) -> None:
    assert fitting_type(golds) == kind


def written(folder: Path, golds: list[str]) -> Path:
    path = folder / "own.csv"
    rows = "".join(f"Is {number} odd?,{gold}\n" for number, gold in enumerate(golds))
    path.write_text(f"question,answer\n{rows}", encoding="utf-8")
    return path


def test_an_odd_answer_is_told_with_its_line_and_makes_no_other_type(tmp_path: Path) -> None:
    path = written(tmp_path, [*["Ja", "nein!"] * 15, "vielleicht"])
    with pytest.raises(DataError) as caught:
        first_recipe(path)
    assert str(caught.value) == (
        f"{path}, line 32: 'vielleicht' is neither yes nor no. 30 of 31 answers are each yes or "
        "no: correct or leave out the other one, or set task.answer_type: text."
    )
    assert first_recipe(path, ["task.answer_type=text"]).task.answer_type == "text"


def test_an_answer_of_every_third_row_is_no_odd_one(tmp_path: Path) -> None:
    path = written(tmp_path, ["Ja", "Nein", "vielleicht"] * 10)
    assert first_recipe(path).task.answer_type == "text"


def test_a_few_answers_that_are_no_number_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, [*map(str, range(40)), "many"])
    with pytest.raises(DataError, match="line 42: the answer 'many' is no number"):
        first_recipe(path)
