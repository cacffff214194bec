"""Properties that hold for every gold answer, in each of its written forms, and for every text."""

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from potstill.grading.answers import READERS
from potstill.grading.grade import split_rationale
from potstill.records import AnswerType, Question
from potstill.tasks import grade

MARKED = (
    "The answer is {}.",
    "the final answer is: {}",
    "So the ANSWER is {}",
    "Therefore, among A through E, the answer is {}.",
    "Therefore, the answer (arabic numerals) is {}.",
    "The answer to the question is therefore {}.",
    "Answer: {}",
    "**Answer:** {}",
    "**Final Answer**\n\n{}",
    "### Final Answer\n{}",
    "Final answer\n{}",
    "Ans: {}",
    "A: {}",
    "#### {}",
    "--> {}",
    "\\boxed{{{}}}",
    "$\\boxed{{{}}}$.",
    "<answer>{}</answer>",
    "<answer>\n{}\n</answer>",
    '{{"answer": "{}"}}',
    '```json\n{{"reasoning": "none", "final_answer": "{}"}}\n```',
    "The correct option is {}.",
    "The best choice is: {}",
    "Final result: {}",
    "{} is the answer.",
    "Final answer: What is asked for?\n{}",
    "La respuesta correcta es {}.",
    "Die Antwort lautet: {}",
    "La r\u00e9ponse est {}.",
    "A resposta \u00e9 {}.",
    "La risposta \u00e8 {}.",
    "\u7b54\u6848\u662f {}\u3002",
    "\u7b54\u6848\uff1a{}",
    "\u041e\u0442\u0432\u0435\u0442: {}",
    "\u0627\u0644\u062c\u0648\u0627\u0628 \u0647\u0648 {}",
    "\u7b54\u3048\u306f{}",
)
REASONING = ("", "First 3 and 4 make 7.\n", "There is no other way (A) or (C), or is it true?\n")
marked = st.sampled_from(MARKED)

reasoning = st.sampled_from(REASONING)

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"


def spelled(value: int) -> str:
    """A whole number below a billion in words."""
    for size, name in ((10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if value >= size:
            rest = value % size
            link = "" if not rest else " and " if rest < 100 else " "
            return f"{spelled(value // size)} {name}{link}{spelled(rest) if rest else ''}"
    if value < 20:
        return ONES.split()[value]
    return TENS.split()[value // 10 - 2] + (f"-{ONES.split()[value % 10]}" if value % 10 else "")


def in_digits_from(zero: str, value: int) -> str:
    return "".join(chr(ord(zero) + int(digit)) for digit in str(value))


WHOLE = (
    lambda value: str(value),
    lambda value: f"{value:,}",
    lambda value: f"{value}.0",
    lambda value: f"${value:,}.00",
    lambda value: f"\\${value:,}",
    lambda value: f"\u20ac{value}",
    lambda value: f"{value} apples",
    lambda value: f"**{value}**",
    lambda value: f"{value}%",
    lambda value: f"x = {value}",
    lambda value: f"{value - 1} + 1 = {value}",
    lambda value: f"about {value:,} km",
    lambda value: spelled(value),
    lambda value: spelled(value).capitalize(),
    lambda value: f"{2 * value}/2",
    lambda value: in_digits_from("\uff10", value),
    lambda value: in_digits_from("\u0660", value),
    lambda value: f"{value:,}".replace(",", "{,}"),
    lambda value: f"{value:,}".replace(",", "\u202f"),
)


def correct(answer_type: AnswerType, text: str, gold: str, choices: tuple[str, ...] = ()) -> bool:
    return grade(answer_type, text, Question(id="q", text="", answer=gold, choices=choices)).correct


@given(
    st.integers(0, 99_999) | st.sampled_from([10**6, 2_500_000]),
    st.sampled_from(WHOLE),
    marked,
    reasoning,
)
def test_a_whole_number_is_right_in_every_form(value, form, template, before) -> None:  # type: ignore[no-untyped-def]
    text = before + template.format(form(value))
    assert correct("number", text, str(value))
    assert not correct("number", text, str(value + 1))
    assert grade("number", text, str(value)).rule == "marker"


@given(st.integers(-(10**6), 10**6), st.sampled_from(["-{}", "\u2212{}", "-${}", "$-{}"]), marked)
def test_a_negative_number_is_right_in_every_form(value: int, form: str, template: str) -> None:
    text = template.format(form.format(f"{abs(value):,}"))
    assert correct("number", text, str(-abs(value)))
    assert value == 0 or not correct("number", text, str(abs(value)))


@given(st.integers(0, 999), st.integers(1, 8), st.integers(2, 9), marked)
def test_a_fraction_is_right_in_every_form(
    whole: int, top: int, bottom: int, template: str
) -> None:
    value = Fraction(top, bottom)
    for form in (
        f"{top}/{bottom}",
        f"\\frac{{{top}}}{{{bottom}}}",
        f"\\dfrac{{{top}}}{{{bottom}}}",
    ):
        assert correct("number", template.format(form), str(value))
    if whole and top < bottom:
        for form in (f"{whole} {top}/{bottom}", f"{whole}\\frac{{{top}}}{{{bottom}}}"):
            assert correct("number", template.format(form), str(whole + value))


@given(st.integers(0, 10**6), st.integers(1, 99), marked)
def test_a_decimal_is_right_in_every_form(whole: int, hundredths: int, template: str) -> None:
    gold = f"{whole}.{hundredths:02}"
    forms = (
        gold,
        gold + "0",
        f"${whole:,}.{hundredths:02}",
        f"{whole},{hundredths:02}",
        f"{whole:,}.{hundredths:02}".translate(str.maketrans(",.", ".,")),
        f"{whole} dollars and {hundredths} cents",
    )
    for form in forms:
        assert correct("number", template.format(form), gold), form


OPTIONS = ("bank", "library", "department store", "mall", "new york")
LETTERED = (
    lambda at: chr(65 + at),
    lambda at: f"({chr(65 + at)})",
    lambda at: f"({chr(97 + at)})",
    lambda at: f"{chr(65 + at)})",
    lambda at: f"**{chr(65 + at)}**",
    lambda at: f"\\text{{{chr(65 + at)}}}",
    lambda at: f"option {chr(65 + at)}",
    lambda at: f"{chr(65 + at)}. {OPTIONS[at]}",
    lambda at: f"({chr(65 + at)}) {OPTIONS[at]}",
    lambda at: OPTIONS[at],
    lambda at: OPTIONS[at].title(),
    lambda at: f"the {OPTIONS[at]}",
)


@given(st.integers(0, 4), st.integers(0, 4), st.sampled_from(LETTERED), marked, reasoning)
def test_an_option_is_right_in_every_form(at, other, form, template, before) -> None:  # type: ignore[no-untyped-def]
    text = before + template.format(form(at))
    assert correct("choice", text, chr(65 + other), OPTIONS) == (at == other)
    assert correct("choice", text, OPTIONS[other], OPTIONS) == (at == other)


@given(st.integers(0, 9), marked)
def test_an_option_of_a_number_is_right_in_every_form(at: int, template: str) -> None:
    options = tuple(f"{1000 * value:,}" for value in range(1, 11))
    for form in (options[at], options[at].replace(",", ""), f"${options[at]}.00"):
        assert correct("choice", template.format(form), chr(65 + at), options), form


SAID = {
    "yes": ("yes", "Yes", "YES", "true", "True", "yes, it is", "not false", "**Yes**"),
    "no": ("no", "No", "NO", "false", "False", "no, it is not", "not true", "**No**"),
}


@given(st.sampled_from(["yes", "no"]), st.integers(0, 7), marked, reasoning)
def test_yes_and_no_are_right_in_every_form(
    gold: str, form: int, template: str, before: str
) -> None:
    text = before + template.format(SAID[gold][form])
    assert correct("yes_no", text, gold)
    assert not correct("yes_no", text, "no" if gold == "yes" else "yes")


@given(st.sampled_from(["grandson", "new york", "kdoe", "x1"]), marked, reasoning)
def test_a_string_is_right_in_every_form(gold: str, template: str, before: str) -> None:
    for form in (gold, gold.upper(), f"**{gold}**", f"\u201c{gold}\u201d"):
        assert correct("text", before + template.format(form), gold), form
        assert not correct("text", before + template.format(form), "nephew")


GOLDS: dict[str, str] = {
    "number": "18",
    "choice": "B",
    "yes_no": "no",
    "text": "new york",
    "date": "2021-05-01",
    "list": "a, b, c",
    "math": "\\frac{1}{2}",
}
STRANGE = (
    "1", "{", "the answer is ", "\x00", "\u05d0\u202e", "A: 1\n", "9,",
    "1 1/", "\\boxed{", "\\frac{1}{", "####", "\n", "Q: x\n",
    "\ud800", "\u0130", '{"answer": "', "yes ", "(A) ", "one hundred ",
    "So 1 is 2. ", "is the answer.", "(A) or ", "bank, ", "cannot be ", "none of the ",
    "closest to ", "05/", "1 may ", "May 1, ", "1. a\n", "[1,", "a -> ", "$", "\\(", "\\[", "\\",
    '"', "[]", "x^", "\nTherefore, 1", "heads up ", "isb ",
)  # fmt: skip


@pytest.mark.parametrize("answer_type", READERS)
@given(text=st.text(max_size=200) | st.lists(st.sampled_from(STRANGE)).map("".join))
def test_no_text_stops_a_reader(answer_type: AnswerType, text: str) -> None:
    found = grade(answer_type, text, GOLDS[answer_type], choices=OPTIONS)
    assert (found.answer is None) == (found.span is None) == (found.rule == "no_answer")
    assert split_rationale(text, found) in text


@pytest.mark.parametrize("answer_type", READERS)
@pytest.mark.parametrize(
    "piece", [*STRANGE[:7], *(pytest.param(piece, marks=pytest.mark.slow) for piece in STRANGE[7:])]
)
def test_a_megabyte_is_graded_within_a_second(answer_type: AnswerType, piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    grade(answer_type, "x", GOLDS[answer_type], choices=OPTIONS)  # whatever loads late
    start = time.process_time()
    found = grade(answer_type, text, GOLDS[answer_type], choices=OPTIONS)
    split_rationale(text, found)
    assert time.process_time() - start < 1
