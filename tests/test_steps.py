import re
import time
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from step_texts import TEXTS

from potstill.text.steps import (
    StepKind,
    closed,
    hint_of,
    is_whole,
    joined,
    split_steps,
    step_kind,
    subquestion_of,
)

KINDS: tuple[StepKind, ...] = ("lines", "sentences")

SENTENCES = [
    ["She has 3.5 kg.", "It costs $4.50.", "Then 1,000.25 more."],
    ["Mr. Smith and Dr. Jones, e.g. the U.S. Army, ate.", "So am I.", "Then go."],
    ["He left at 5 p.m.", "She left at 6 a.m. sharp.", "It is 12 ft.", "Bob is 5 ft. tall."],
    ["1. She eats 3.", "2. Then 4.", "Step 3. Add.", "Step 4: It is 7."],
    ['"Go!" he said.', "(Really?)", "**3 eggs.**", "She did."],
    ["Well... maybe so.", "Wait...", "From 1, 2, ... to 10 are ten.", "5! = 120.", "Is x = ? = 3?"],
    ["x = 5.", "so y = 6.", "The answer is no.", "No. 5 is out.", "It is B.", "The rest is not."],
    ["Is it $x = 4. y$ here?", r"Or \( a. B \) there?", "It costs $5.", "He pays $6."],
    ["She has <<48 / 2. = 24>>24.", "Then <<24+1=25>>25 more."],
    ["Point A. 5 is there.", "J. K. Rowling wrote.", "12 in. by 14 in. is big."],
]


@pytest.mark.parametrize("steps", SENTENCES, ids=lambda steps: steps[0])
def test_sentences_end_where_a_reader_ends_them(steps: list[str]) -> None:
    assert split_steps(" ".join(steps), "sentences") == steps
    assert joined(steps, "sentences") == " ".join(steps)


def test_full_stops_of_chinese_and_japanese_need_no_space() -> None:
    steps = ["一共有五个。", "他吃了三个？", "「二个。」", "剩两个。"]  # noqa: RUF001
    assert split_steps("".join(steps), "sentences") == steps
    assert joined(steps, "sentences") == "".join(steps)


@pytest.mark.parametrize("kind", KINDS)
def test_what_only_announces_belongs_to_what_follows(kind: StepKind) -> None:
    text = (
        "## Eggs\n\n**Step 1: What is left**\nShe has 9.\n\nWe compute:\n"
        "\\[\n9 \\times 2.\n= 18\n\\]\n---\n- Total: 18\n"
    )
    assert split_steps(text, kind) == [
        "## Eggs\n\n**Step 1: What is left**\nShe has 9.",
        "We compute:\n\\[\n9 \\times 2.\n= 18\n\\]\n---",
        "- Total: 18",
    ]


def test_a_line_without_an_end_mark_keeps_its_line() -> None:
    steps = split_steps("5 * 2 = 10\nThen add 2. It is 12.\n18", "sentences")
    assert steps == ["5 * 2 = 10", "Then add 2.", "It is 12.", "18"]
    assert joined(steps, "sentences") == "5 * 2 = 10\nThen add 2. It is 12. 18"
    assert joined(["a", "b"], "lines") == "a\nb\n"
    assert joined([], "sentences") == joined([], "lines") == ""


def test_layout_is_lines_where_most_texts_have_several() -> None:
    lines, paragraph = "3 + 4 = 7\nSo 7 * 2 = 14.", "One. Two. Three. Four.\nThe answer is 4."
    assert step_kind([lines, lines, paragraph]) == "lines"
    assert step_kind([lines, paragraph]) == "sentences"
    assert step_kind(["One.\n"]) == step_kind([]) == "sentences"


@pytest.mark.parametrize(
    ("step", "whole"),
    [("She eats.", True), ("x = 5", False), ("1.", False), ("I met Mr.", False), ("So:", False)],
)
def test_a_step_is_whole_where_another_one_follows(step: str, whole: bool) -> None:
    assert is_whole(step, "sentences") == whole
    assert is_whole("**Step 1: Eggs**", "lines") is False
    assert is_whole("x = 5", "lines") is True


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (" It is 4 ", "It is 4."),
        ("Is it?", "Is it?"),
        ('"Go!"', '"Go!"'),
        ("Step 1:", "Step 1:"),
        ("\\[ x \\]", "\\[ x \\]"),
        ("剩两个。", "剩两个。"),
        ("", ""),
    ],
)
def test_a_sentence_gets_the_mark_back_that_a_stop_took(step: str, expected: str) -> None:
    assert closed(step, "sentences") == expected
    assert closed(step, "lines") == step.strip()


def test_a_question_gets_its_own_mark_back() -> None:
    assert closed("How many", "sentences", "?") == "How many?"


@pytest.mark.parametrize(
    ("step", "hint"),
    [
        ("Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 eggs.", "Use 16 and 3 and 4."),
        ("She makes $<<9*2=18>>18.", "Use 9 and 2."),
        ("x = 5 * 3 = 15", "Use 5 and 3."),
        ("Step 2: 1/2 of $1,000.50 is $500.25.", "Use 1/2 and $1,000.50."),
        ("48/2 = 24", "Use 48 and 2."),
        ("1. In the 2nd week 4 and then 4 and 20% more came.", "Use 4 and 20%."),
        ("2 apples and 3 pears are 5.", "Use 2 and 3."),
        ("She has 3 and he has 4.", "Use 3 and 4."),
        ("The total = 15", ""),
        ("Three and four make seven.", ""),
    ],
)
def test_a_hint_names_what_a_step_uses_and_not_its_result(step: str, hint: str) -> None:
    assert hint_of(step) == hint


@pytest.mark.parametrize(
    ("step", "pair"),
    [
        ("How many? ** She sells <<1+1=2>>2.", ("How many?", "She sells <<1+1=2>>2.")),
        ("Eggs sold ** It is 9.", ("Eggs sold", "It is 9.")),
        ("How many are left? 9 are left. So 9.", ("How many are left?", "9 are left. So 9.")),
        ("How many are left?", None),
        ("She has 9. Is it?", None),
        ("", None),
    ],
)
def test_a_subquestion_is_read_with_its_answer(step: str, pair: tuple[str, str] | None) -> None:
    assert subquestion_of(step) == pair


BITS = [
    *'a1B.?!:$*#=(")', " ", " ", "\n", "\n\n", ". ", "…", "。", "\\[", "\\]", "$$", "<<", ">>",
    "\\(", "\\)", "Mr. ", "1. ", "He ", "**", "e.g. ", "U.S. ", "---", "\t", "x. ",
]  # fmt: skip
TEXT = st.lists(st.sampled_from(BITS), max_size=40).map("".join) | st.text(max_size=60)


@given(TEXT, st.sampled_from(KINDS))
def test_steps_are_the_text_and_nothing_of_it_is_lost(text: str, kind: StepKind) -> None:
    check(text, kind)


def check(text: str, kind: StepKind) -> list[str]:
    """Properties that the steps of any text have."""
    steps = split_steps(text, kind)
    end = 0
    for step in steps:
        start = text.index(step, end)
        assert not text[end:start].strip() and step == step.strip() != ""
        assert split_steps(step, kind) == [step]
        end = start + len(step)
    assert not text[end:].strip()
    assert split_steps(joined(steps, kind), kind) == steps
    return steps


@pytest.mark.parametrize(
    ("name", "kind", "middle"),
    [  # medians of the steps of a completion, from looking through samples
        ("gsm8k", "lines", 4),
        ("socratic", "lines", 4.5),
        ("gpt3_175b", "lines", 4),
        ("abel", "lines", 6),
        ("re2_davinci", "sentences", 5),
        ("re2_4o_mini", "lines", 9),
        ("level_4", "sentences", 4),
        ("faithful_cot", "sentences", 5),
        ("math_gpt_4", "lines", 6),
        ("natural_program", "lines", 10),
        ("plan_and_solve", "lines", 8),
        ("xot", "lines", 5),
    ],
)
def test_published_completions_fall_into_steps(
    shared_data: Path, name: str, kind: StepKind, middle: float
) -> None:
    texts = list(TEXTS[name](shared_data))
    assert step_kind(texts) == kind
    steps = [check(text, kind) for text in texts]
    assert median(map(len, steps)) == middle
    marks = re.compile(r"<<[^<>\n]*>>")
    for text, parts in zip(texts, steps, strict=True):
        assert all(re.search(r"[^\W_]", part) for part in parts)
        assert [m for part in parts for m in marks.findall(part)] == marks.findall(text)
        assert all(part.count("\\[") == part.count("\\]") for part in parts)
        if name in ("gsm8k", "socratic"):
            assert parts == [line.strip() for line in text.split("\n") if line.strip()]


def test_a_socratic_line_is_a_question_and_its_answer(shared_data: Path) -> None:
    for text in TEXTS["socratic"](shared_data):
        *lines, answer = split_steps(text, "lines")
        assert answer.startswith("#### ")
        for line in lines:
            pair = subquestion_of(line)
            if line.endswith("? **"):  # one question of the file has no answer
                assert pair is None
                continue
            assert pair is not None
            assert line.split() == [*pair[0].split(), "**", *pair[1].split()]


BY_HAND: list[tuple[str, int, StepKind, list[str]]] = [
    (
        "re2_davinci", 2, "sentences",
        [
            "Marissa has already walked 6 miles in 2 hours, so her average speed for those 6 "
            "miles is 3 miles per hour.",
            "To reach an average speed of 4 miles per hour for the entire 12-mile trail, she "
            "needs to walk the remaining 6 miles in 1.5 hours.",
            "This means she needs to walk the remaining 6 miles at a speed of 4 miles per hour.",
            "\\boxed{4 mph}",
        ],
    ),
    (
        "re2_4o_mini", 0, "lines",
        [
            "To find the original price of the book before the 25% discount, we can use the "
            "information provided.",
            "Let the original price be denoted as \\( P \\).",
            "According to the problem, Kyle bought the book for $19.50, which represents 75% of "
            "the original price (because he received a 25% discount). We can express this "
            "mathematically as:\n\n\\[\n0.75P = 19.50\n\\]",
            "To find \\( P \\), we can solve for it by dividing both sides by 0.75:\n\n"
            "\\[\nP = \\frac{19.50}{0.75}\n\\]",
            "Calculating \\( \\frac{19.50}{0.75} \\):\n\n\\[\nP = \\frac{19.50 \\times 100}{75} = "
            "\\frac{1950}{75} = 26\n\\]",
            "Thus, the original price of the book was \\( \\boxed{26} \\).",
        ],
    ),
    (
        "natural_program", 1, "sentences",
        [
            "#1. The bakery used 0.2 bag of wheat flour and 0.1 bag of white flour.",
            "#2. The question asks for the total amount of flour the bakery used.",
            "#3. (by #1) Step 1: Add the amount of wheat flour and white flour used.",
            "Total amount of flour used: 0.2 + 0.1 = 0.3",
            "#4. (by #2 #3) Step 2: The total amount of flour the bakery used is 0.3 bags.",
            "Therefore, the answer to the question is the bakery used 0.3 bags of flour in all.",
        ],
    ),
    (
        "level_4", 1, "sentences",
        [
            "To determine how much Marco's strawberries weigh, we need to subtract the weight of "
            "Marco's dad's strawberries from the total weight of their strawberries.",
            "This calculation is done as follows: 30 (total weight of strawberries) - 11 (weight "
            "of Marco's dad's strawberries) = 19.",
            "The answer is 19",
        ],
    ),
    (
        "plan_and_solve", 1, "sentences",
        [
            "Debby had 32 pieces of candy while her sister had 42.",
            "Total pieces of candy = 32 + 42 = 74",
            "Pieces eaten = 35",
            "Pieces left = 74 - 35 = 39 pieces",
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "row", "kind", "steps"), BY_HAND, ids=lambda value: str(value)[:9]
)
def test_steps_written_down_by_hand(
    shared_data: Path, name: str, row: int, kind: StepKind, steps: list[str]
) -> None:
    assert split_steps(list(TEXTS[name](shared_data))[row], kind) == steps


@pytest.mark.parametrize(
    "unit",
    [".", "$a ", "\\[", '."', "<<", "\n", "a. B ", "** ", "1,000", "**a", "- ", "#", " \n:", "1/"],
)
def test_a_long_text_takes_no_longer_than_its_length(unit: str) -> None:
    text = unit * (400_000 // len(unit))
    for kind in KINDS:
        before = time.process_time()
        split_steps(text, kind)
        hint_of(text)
        subquestion_of(text)
        assert time.process_time() - before < 4  # of its length squared it would take minutes
