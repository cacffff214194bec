import json
import time
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from potstill.errors import DataError
from potstill.tasks import grade

BRACKETS = "] ) }"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is 05/01/2021.", "2021-05-01"),
        ("5/1/21", "2021-05-01"),
        ("5/1/69", "1969-05-01"),
        ("31/12/2021", "2021-12-31"),
        ("2021-05-01T10:00", "2021-05-01"),
        ("1.5.2021", "2021-05-01"),
        ("May 1, 2021", "2021-05-01"),
        ("Saturday, MAY 1st, 2021", "2021-05-01"),
        ("It is 1 May 2021.", "2021-05-01"),
        ("the 1st of May, 2021", "2021-05-01"),
        ("01-May-2021", "2021-05-01"),
        ("Sept. 3, 1999", "1999-09-03"),
        ("The answer is: a week after 04/24/2021 is 05/01/2021.", "2021-05-01"),
        ("The answer is 05/01/2021, a week after 04/24/2021.", "2021-05-01"),
        ("From 04/24/2021 to 05/01/2021", "2021-05-01"),
        ("02/29/2020", "2020-02-29"),
        ("02/29/2021", None),
        ("13/13/2020", None),
        ("00/01/2020", None),
        ("May 2021", None),
        ("It may be 5 of 10, at 10:05", None),
        ("version 1.2.2021.4", None),
        ("1/2/3/2021", None),
        ("", None),
    ],
)
def test_dates_are_read(text: str, answer: str | None) -> None:
    assert grade("date", text, "01/01/2000").answer == answer


FORMS = ("%m/%d/%Y", "%Y-%m-%d", "%d.%m.%Y", "%B %d, %Y", "%A, %d %b %Y", "the %dth of %B, %Y")


@given(day=st.dates(min_value=date(1000, 1, 1)), form=st.sampled_from(FORMS))
def test_any_day_equals_itself_in_any_form(day: date, form: str) -> None:
    assert grade(
        "date", f"So the answer is {day.strftime(form)}.", day.strftime("%m/%d/%Y")
    ).correct


@pytest.mark.parametrize("gold", ["banana", "", "02/30/2021", "05/01/2021 or 05/02/2021"])
def test_a_gold_answer_that_is_no_date_is_refused(gold: str) -> None:
    with pytest.raises(DataError, match="is no date"):
        grade("date", "05/01/2021", gold)


@pytest.mark.parametrize(
    "text",
    [
        "The answer is apple banana cherry.",
        "So the answer is: Apple, banana, and cherry.",
        'The answer is ["apple", "banana", "cherry"].',
        "Sorted below.\nAnswer:\n1. apple\n2. banana\n3. cherry\n\nDone.",
        "The words sorted are:\n- apple\n- banana\n- cherry",
        "apple banana cherry",
        "Sorted list: apple, banana and cherry",
        "**Answer:** apple -> banana -> cherry\n\nThis is sorted.",
        "\\boxed{apple, banana, cherry}",
        "The answer is apple and banana and cherry",
    ],
)
def test_lists_are_read(text: str) -> None:
    found = grade("list", text, "apple banana cherry")
    assert found.correct, found


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is banana apple", '["banana", "apple"]'),
        ("The answer is 2.0, 3 and 10", '["2", "3", "10"]'),
        ("The answer is New York, Paris", '["new york", "paris"]'),
        ("I do not know.", None),
        ("", None),
        (" \n ", None),
    ],
)
def test_items_keep_their_order(text: str, answer: str | None) -> None:
    found = grade("list", text, "apple, banana")
    assert (found.answer, found.correct) == (answer, False)


def test_a_gold_item_may_be_the_word_and() -> None:
    assert grade("list", "The answer is ale and zoo", "ale and zoo").correct


WORDS = st.from_regex(r"[a-z]{1,9}", fullmatch=True).filter(lambda word: word != "and")


@given(st.lists(WORDS, min_size=2, max_size=12))
def test_a_list_equals_itself_and_no_other_order(words: list[str]) -> None:
    gold = " ".join(words)
    for text in (gold, f"The answer is {', '.join(words)}.", json.dumps(words)):
        assert grade("list", text, gold).correct
    other = sorted(words, reverse=words == sorted(words))
    assert grade("list", ", ".join(other), ", ".join(words)).correct == (other == words)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("So the answer is ] ) }.", "] ) }"),
        ("The answer is `])}`", "] ) }"),
        ('We need "]", ")", "}". So the answer is "]", ")", "}".', "] ) }"),
        ("] ) }", "] ) }"),
        ("The answer is ] ) (closing)", "] )"),
        ("The final stack is [ ( {", None),
        ("", None),
    ],
)
def test_brackets_are_read(text: str, answer: str | None) -> None:
    found = grade("list", text, BRACKETS)
    assert (found.answer, found.correct) == (answer, answer == BRACKETS)


def test_a_gold_list_without_items_is_refused() -> None:
    with pytest.raises(DataError, match="has no items"):
        grade("list", "a, b", " , ")


@given(st.text(max_size=300))
def test_any_text_is_graded_without_error(text: str) -> None:
    for kind, gold in (("date", "05/01/2021"), ("list", "a b"), ("list", BRACKETS)):
        found = grade(kind, text, gold)
        assert (found.answer is None) == (found.span is None) == (found.rule == "no_answer")


@pytest.mark.parametrize("piece", ["1", "1,", " ", "a b ", "1. a\n", "(", "] ", "05/", "May 1, "])
@pytest.mark.parametrize("gold", ["a b", BRACKETS, "05/01/2021"])
def test_a_long_text_is_read_at_once(piece: str, gold: str) -> None:
    start = time.process_time()
    grade("date" if "/" in gold else "list", piece * (1_000_000 // len(piece)), gold)
    assert time.process_time() - start < 3  # about 0.3 on an idle core


def test_bracket_verdicts_are_those_of_big_bench_hard(shared_data: Path) -> None:
    folder = shared_data / "teacher_outputs/bbh_code_davinci_002/cot"
    rows = json.loads((folder / "dyck_languages.json").read_text(encoding="utf-8"))["outputs"]
    found = [grade("list", row["prediction"], row["target"]) for row in rows]
    assert (sum(one.correct for one in found), len(found)) == (142, 250)


def test_dates_of_published_completions_are_read(shared_data: Path) -> None:
    folder = shared_data / "teacher_outputs/faithful_cot/date"
    golds = {
        row["id"]: row["answer"].rpartition("#### ")[2]
        for row in map(json.loads, (folder / "gold.jsonl").read_text().splitlines())
    }
    agree = total = 0
    for line in (folder / "code002_COT.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found = grade("date", row["completion"], golds[row["id"]])
        agree += found.correct == (row["answer"] == golds[row["id"]])
        total += 1
    assert total == 359
    assert agree >= 355
