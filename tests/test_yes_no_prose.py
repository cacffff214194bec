"""Answers of yes and no in sentences that use neither word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from potstill import Question, grade


def read(asked: str, text: str) -> str | None:
    return grade("yes_no", text, Question(id="q", text=asked, answer="yes")).answer


LIFT = "Can a strong man lift an adult elephant?"
WOULD = "Would a vegan order the roast chicken?"


@pytest.mark.parametrize(
    ("asked", "text", "answer"),
    [
        (LIFT, "It is highly unlikely that he could lift an adult elephant.", "no"),
        (LIFT, "A strong man cannot lift an adult elephant.", "no"),
        (LIFT, "It is possible for a strong man to lift an adult elephant.", "yes"),
        (LIFT, "It would be difficult for a strong man to lift an adult elephant.", "no"),
        (LIFT, "An elephant weighs tons. Thus, a strong man can not lift an adult elephant.", "no"),
        (LIFT, "Final answer: Can a strong man lift it?\nThe answer is unlikely.", "no"),
        (WOULD, "It is unlikely that a vegan would order the roast chicken, as it is meat.", "no"),
        (WOULD, "Based on the lack of other dishes, a vegan would order the roast chicken.", "yes"),
        (WOULD, "A vegan would not order the roast chicken since they do not eat meat.", "no"),
        (WOULD, "It is likely that a vegan would order the roast chicken.", "yes"),
        (WOULD, "So the answer is not necessarily, but some do.", "no"),
        (WOULD, "The answer is most likely.", "yes"),
        ("Is the town the largest of Ohio?", "It is not the largest of Ohio.", "no"),
        (
            WOULD,
            "There is no one answer to this question as tastes differ. However, in general, a "
            "vegan would not order the roast chicken.",
            "no",
        ),
        ("Is a slug fast?", "Slugs are not fast. Cheetahs are fast.", "no"),
        ("Is it impossible to swim there?", "It is not impossible to swim there.", "no"),
        ("Are queen bees unnecessary for apples?", "Queen bees are necessary for apples.", "no"),
        ("Is a cat heavier than a dog?", "A dog is heavier than a cat.", "no"),
        ("Is a cat heavier than a dog?", "A cat is lighter than a dog.", "no"),
        ("Can a bee sting more than once?", "A bee can sting only once.", "no"),
        ("Does Adam skip celebrating Easter?", "Adam does not celebrate Easter.", "yes"),
        ("Are there any green swans?", "There are no green swans.", "no"),
        ("Was Rumi's work printed in a magazine?", "Rumi's work was printed in a magazine.", "yes"),
    ],
)
def test_a_sentence_may_say_it_without_the_word(asked: str, text: str, answer: str) -> None:
    assert read(asked, text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "It depends on the man and on the elephant.",
        "There is no definitive answer to this question.",
        "It is impossible to know whether a strong man can lift an adult elephant.",
        "The question is based on a false premise and cannot be answered.",
        "Q1. Are elephants heavy?\nYes, they are.\nFinal answer: Can a man lift one?\n"
        "We need more information to answer this question.",
        "Some men can lift an elephant, while others can not.",
        "It is possible that a strong man can lift an adult elephant, but it is also possible "
        "that he can not.",
        "Elephants live in Africa.",
        "",
    ],
)
def test_what_leaves_a_question_open_is_no_answer(text: str) -> None:
    assert read(LIFT, text) is None


def test_the_words_come_first() -> None:
    assert read(LIFT, "No. It is possible for a strong man to lift an adult elephant.") == "no"
    assert read(WOULD, "Yes, a vegan may.\nA vegan would not order the roast chicken.") == "yes"
    assert read(WOULD, "The answer is likely yes, but it cannot be definitively stated.") == "yes"


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_read_without_a_fault(asked: str, text: str) -> None:
    assert read(asked, text) in ("yes", "no", None)


def test_a_sentence_that_runs_on_without_end_says_nothing() -> None:
    coin = "A coin is heads up. Leo does not flip the coin. Is the coin still heads up?"
    assert read(coin, "4 not, so it. Leo does not, " + "so it " * 40 + "a kiwi heads so it") is None
