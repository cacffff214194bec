"""The policy that is recommended at each price, worked by hand, and its wording."""

import re
from dataclasses import replace
from typing import Any

import pytest
from guided_run import predicted, results_of, scored

from potstill.records import GuidedPrediction, GuidedScore, Policy
from potstill.records.policy import ALONE, TEACHER_ALONE
from potstill.report.guidance import guidance
from potstill.report.page import page
from potstill.report.recommendation import RoutingLine, compare_with_line, recommendations
from potstill.report.tables import summary
from potstill.text.points import MINUS

FIRST = Policy(kind="policy", name="first")
ANY_STEP = Policy(kind="policy", name="any_step", signal="entropy", number=0.5)
ROUTE = Policy(kind="policy", name="route", signal="prompt_tokens")
TESTED = [
    scored("never", 0.4),
    scored("teacher", 0.9, 100.0),
    scored("first", 0.6, 20.0),
    scored(ANY_STEP, 0.7, 70.0),
    scored(ROUTE, 0.55, 25.0, difference_low=-0.05),
]


def on_dev(score: GuidedScore, **changes: Any) -> GuidedScore:
    return replace(score, **{"split": "dev", "total": 40, **changes})


DEV = [on_dev(score) for score in TESTED]


def test_the_line_by_hand() -> None:
    line = RoutingLine(TESTED[0], TESTED[1])
    assert [line.at(tokens) for tokens in (0, 20, 100, 300)] == pytest.approx([0.4, 0.5, 0.9, 0.9])
    assert line.price_of(0.6) == pytest.approx(40.0)
    assert line.price_of(0.95) is None
    assert RoutingLine(TESTED[1], TESTED[0]).price_of(0.5) is None


def test_what_wins_by_price() -> None:
    opening, compared, advice = recommendations([*DEV, *TESTED], [], None)
    assert opening == (
        "The line to beat is sending whole questions to the teacher at random, from 40.0% of the "
        "student alone for nothing to 90.0% of the teacher alone for 100.0 teacher tokens a "
        "question, in proportion to what is paid."
    )
    assert compared == (
        "On 10 test questions “First step” reaches 60.0% for 20.0 tokens, where the line has 50.0% "
        "(+10.0 points); “Any step, by entropy of its first token, at most 0.5” reaches 70.0% for "
        f"70.0 tokens, where the line has 75.0% ({MINUS}5.0 points); “Whole questions, by length "
        "of the question” reaches 55.0% for 25.0 tokens, where the line has 52.5% (+2.5 points)."
    )
    # At 20 tokens the first step has 60 against 50, which the line has at 40; at 70 it is ahead.
    assert advice == (
        "Recommended by price, chosen on 40 development questions: up to 20.0 teacher tokens a "
        "question whole questions sent to the teacher at random, up to 40.0 “First step”, up to "
        "100.0 whole questions sent to the teacher at random and beyond that the teacher alone. "
        "Set guide.teacher_tokens to what a question may cost, and one of them is held against the "
        "others at that price."
    )


def test_why_routing_by_a_signal_is_not_recommended() -> None:
    by_entropy = Policy(kind="routing", name="routing", signal="entropy", number=0.5)
    by_length = Policy(kind="routing", name="routing", signal="prompt_tokens", number=0.25)
    rows = [scored(by_entropy, 0.75, 50.0), scored(by_length, 0.51, 20.0)]
    *_, reason = recommendations([*DEV, *TESTED, *rows], [], None)
    assert reason == (
        "Routing by entropy reaches 75.0% for 50.0 tokens, where the line has 65.0%: of 2 such "
        "rows the furthest above it, found on these test questions, with no threshold to send "
        "questions by, and so not recommended. The policy route takes such a threshold from "
        "development questions and is held against the line."
    )
    below = [replace(row, accuracy=0.3) for row in rows]
    assert len(recommendations([*DEV, *TESTED, *below], [], None)) == 3


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (0.0, "within 0 teacher tokens a question, chosen on 40 development questions: the student "
              "alone. On 10 test questions it reaches 40.0% for 0.0 tokens."),
        (10.0, "whole questions sent to the teacher at random, 10% of them. On 10 test questions "
               "that comes to an expected 45.0%."),
        (30.0, "“First step”. On 10 test questions it reaches 60.0% for 20.0 tokens, routing at "
               "random for as many 50.0% (+10.0 points)."),
        (80.0, "whole questions sent to the teacher at random, 80% of them. On 10 test questions "
               "that comes to an expected 80.0%; “Any step, by entropy of its first token, at most "
               f"0.5” reaches 70.0% for 70.0 tokens, held against routing for as many {MINUS}5.0 "
               "points."),
        (150.0, "the teacher alone. On 10 test questions it reaches 90.0% for 100.0 tokens."),
    ],
)  # fmt: skip
def test_what_wins_at_a_price(tokens: float, words: str) -> None:
    assert recommendations([*DEV, *TESTED], [], tokens)[-1].endswith(words)


def test_development_questions_choose_and_test_questions_show() -> None:
    dev = [*DEV[:2], on_dev(TESTED[2], accuracy=0.45), *DEV[3:]]
    advice = recommendations([*dev, *TESTED], [], 30.0)[-1]
    assert "“Whole questions, by length of the question”. On 10 test questions" in advice
    assert "it is not shown to be above the student alone" in advice
    dearer = [on_dev(TESTED[2], teacher_tokens=10.0) if s == DEV[2] else s for s in DEV]
    assert "on these it costs more than that" in recommendations([*dearer, *TESTED], [], 15.0)[-1]


def test_without_development_questions_that_is_said() -> None:
    for scores in (TESTED, [DEV[0], DEV[2], *TESTED]):  # the line is not known on these
        advice = recommendations(scores, [], None)[-1]
        assert "chosen on the same 10 test questions, for lack of development questions" in advice


def test_without_the_teacher_alone_the_line_is_not_known() -> None:
    opening, advice = recommendations([TESTED[0], TESTED[2]], [], None)
    assert "is not known, as the tokens and answers of the teacher alone are not" in opening
    assert "up to 20.0 teacher tokens a question the student alone and beyond that “First" in advice
    assert recommendations(TESTED[:2], [], None) == []


def answers(policy: Policy, rights: str) -> list[GuidedPrediction]:
    """Verdicts by question: ``1`` for a right one."""
    return [
        replace(predicted("first", number, right == "1"), policy=policy)
        for number, right in enumerate(rights)
    ]


def test_differences_to_the_line_are_paired() -> None:
    line = RoutingLine(TESTED[0], TESTED[1])
    alone, teacher = answers(ALONE, "1111000000"), answers(TEACHER_ALONE, "1111111110")
    ours = answers(FIRST, "1111110000")
    against = compare_with_line(TESTED[2], line, [*alone, *teacher, *ours])
    # A fifth of the questions could go to the teacher: by question 0, 1 - 0.2, -0.2 and 0.
    assert against.difference == pytest.approx((2 * 0.8 - 3 * 0.2) / 10)
    assert against.interval is not None
    assert against.interval.low < 0 < against.interval.high
    assert "so that no difference is shown" in against.words
    always = compare_with_line(TESTED[2], line, [*alone, *teacher, *answers(FIRST, "1" * 10)])
    assert always.interval is not None and always.interval.low > 0
    assert "no difference" not in always.words
    assert compare_with_line(TESTED[2], line, [*alone, *ours]).interval is None


def test_a_policy_that_is_not_shown_to_be_above_the_line_wins_at_no_price() -> None:
    """Level with the line on the questions that choose, if a little ahead by chance."""
    dev = [
        replace(one, split="dev")
        for one in (
            *answers(ALONE, "1111000000"),
            *answers(TEACHER_ALONE, "1111111110"),
            *answers(FIRST, "1111110000"),
        )
    ]
    scores = [*DEV[:3], *TESTED[:3]]
    assert "“First step”" in recommendations(scores, [], 30.0)[-1].partition(". On ")[0]
    advice = recommendations(scores, dev, 30.0)[-1]
    assert "sent to the teacher at random, 30% of them" in advice
    assert "“First step” reaches 60.0%" in advice
    by_price = recommendations(scores, dev, None)[-1]
    assert "“First step”" not in by_price


def test_the_page_and_the_summary_recommend_first_of_all() -> None:
    results = replace(results_of([*DEV, *TESTED]), teacher_tokens=30.0)
    opening, *_, advice = recommendations([*DEV, *TESTED], [], 30.0)
    section = re.search(r'<section id="guidance".*?</section>', page(results), flags=re.DOTALL)
    assert section is not None
    found = re.findall(r'<p class="finding">(.*?)</p>', section[0])
    assert found[0] == opening
    assert found[2] == advice
    guided: Any = summary(results)["guidance"]
    assert guided["sums"]["recommended"][-1] == advice
    (shown,) = guidance(results)
    assert [score.policy.name for score in shown.sparing] == []
