"""The first difference between a teacher's answer and a student's, by numbers and by wording."""

import pytest

from potstill.report.first_difference import first_difference

QUESTION = "Omar has 8 boxes with 4 cards in each box, and 9 loose cards. How many are there?"


def marked(teacher: str, student: str, question: str = QUESTION) -> tuple[list[str], str]:
    """The steps that are marked, and by what."""
    texts = {"teacher": teacher, "student": student}
    found = first_difference(texts, question)
    return [texts[name][start:end] for name, (start, end) in found.spans.items()], found.by


@pytest.mark.parametrize(
    ("teacher", "student", "steps"),
    [
        # Said in other words, in another order, in more steps: nothing parts the two.
        ("8 boxes of 4 are 32.\nWith 9 it is 41.", "First 4 * 8 = 32.\nThen add 9.\nSo 41.", []),
        ("8 boxes of 4 are 32.\nWith 9 it is 41.", "8 * 4 = 32.0 cards.\n32 + 9 = 41.", []),
        ("8 * 4 = 32.\n32 + 9 = 41.", "So 8 and 4.\n8 * 4 = 36.\n36 + 9 = 45.",
         ["8 * 4 = 32.", "8 * 4 = 36."]),
        ("8 * 4 = 32.\n32 + 9 = 41.", "8 * 4 = 32.\nThat is 32.",
         ["32 + 9 = 41."]),  # the student has no number of its own
        ("1. 8 * 4 = 32.\n2. 32 + 9 = 41.", "8 * 4 = 32.\nStep 2: 32 + 9 = 41.\n3) It is 41.", []),
        ("It is 1,200 then.\nSo 1,201.", "It is 1200.00 then.\nSo 1202.",
         ["So 1,201.", "So 1202."]),
    ],
)  # fmt: skip
def test_numbers_part_answers_and_words_do_not(
    teacher: str, student: str, steps: list[str]
) -> None:
    assert marked(teacher, student) == (steps, "numbers")


def test_answers_without_numbers_part_by_their_wording() -> None:
    teacher = "The last letter of harbor is r.\nThat of hammer is r.\nSo rr."
    student = "the last letter of  HARBOR is r\nThat of hammer is m.\nSo rm."
    assert marked(teacher, student, "Join the last letters.") == (
        ["That of hammer is r.", "That of hammer is m."],
        "wording",
    )
    assert marked(teacher, teacher, "") == ([], "wording")
    longer = f"{teacher}\nIndeed."
    assert marked(teacher, longer, "") == (["Indeed."], "wording")
    assert marked("", "", "") == ([], "wording")
