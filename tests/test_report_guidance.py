"""The report's section on guidance: values worked by hand, honest words, escaped text."""

import json
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from guided_run import SCORES, TASK, predicted, results_of, routed, scored
from report_run import HOSTILE, Reader
from rich.console import Console

from potstill.records import GuidedScore, Policy
from potstill.report import write_report
from potstill.report.accuracy import Results
from potstill.report.guidance import (
    GuidanceSection,
    Piece,
    along,
    guidance,
    kept,
    lengths,
    per_100_tokens,
    pieces,
    turned,
)
from potstill.report.guidance_text import control, dollars, findings, foremost, label, short
from potstill.report.page import page
from potstill.report.tables import guided_table, summary
from potstill.store import Store
from potstill.text.points import MINUS


def found_in(*scores: GuidedScore) -> GuidanceSection:
    (found,) = guidance(results_of(scores or SCORES))
    return found


def section(results: Results) -> Reader:
    whole = page(results)
    Reader(whole)  # all of its tags close in order
    found = re.search(r'<section id="guidance".*?</section>', whole, flags=re.DOTALL)
    assert found, "no section on guidance"
    return Reader(re.sub(r"(</?(?:td|th|small|p|h\d|tr|span))", r" \1", found[0]))


def test_scores_are_told_apart_by_what_they_are_for() -> None:
    found = found_in()
    assert [score.policy.label for score in found.ends] == ["never", "teacher"]
    names = ["first", "at_2", "first_n_2", "when_unsure_entropy"]
    assert [score.policy.label for score in found.policies] == names
    assert (found.best, found.always) == (SCORES[4], SCORES[2])
    assert [score.policy.label for score in found.conditional] == ["when_unsure_entropy"]
    assert found.development == 37
    assert not found.priced


def test_the_two_alone_are_not_among_the_policies() -> None:
    found = found_in()
    assert (found.alone, found.teacher) == (SCORES[0], SCORES[1])
    assert not {SCORES[0].policy, SCORES[1].policy} & {each.policy for each in found.policies}


def test_of_equal_policies_the_cheaper_is_best() -> None:
    best = found_in(SCORES[0], scored("first_n_2", 0.6, 40.0), scored("first", 0.6, 20.0)).best
    assert best is not None
    assert best.policy.label == "first"


def test_points_for_100_tokens_and_shares_kept_by_hand() -> None:
    found = found_in()
    # 20 points for 20 tokens; then 15 of 20 points, and 8 of 20 tokens.
    assert per_100_tokens(SCORES[2]) == pytest.approx(100.0)
    assert kept(found, SCORES[5]) == pytest.approx((0.75, 0.4))
    assert per_100_tokens(SCORES[0]) is None


def test_routing_is_interpolated_between_the_two_alone() -> None:
    assert along([(0.0, 0.4), (100.0, 0.9)], 40.0) == pytest.approx(0.6)
    assert along([(0.0, 0.4), (100.0, 0.9)], 101.0) is None
    # By entropy 0.4 at 0 and 0.74 at 50 tokens, so 0.4 + 0.34 * 40 / 50 at 40.
    assert found_in().routed(40.0) == pytest.approx({"random": 0.6, "entropy": 0.672})
    assert found_in(*SCORES[2:]).routed(40.0) == {}


def test_the_signal_that_is_hardest_to_beat_is_the_one_highest_above_random() -> None:
    worse = [routed("min_logprob", share, 0.4 + 0.5 * share) for share in (0.3, 0.9)]
    assert found_in(*SCORES, *worse).hardest == "entropy"
    assert found_in(*SCORES[:2], routed("random", 0.5, 0.99)).hardest is None


def test_findings_say_what_was_bought_and_what_is_kept() -> None:
    bought, instead, kept_of_it = findings(found_in())
    assert bought.startswith(
        "The best policy is “First 2 steps”: 70.0% against 40.0% of the student alone, "
        "+30.0 points (95% interval +20.0 to +40.0, p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}0.031, "
        "10 questions) for 40.0 teacher tokens a question, which is 75.0 points for every 100 "
        "teacher tokens."
    )
    assert "the best of 4 on the same questions" in bought
    assert "expected 60.0% at random (10.0 points less than guidance) and 67.2% by" in instead
    assert kept_of_it == (
        "“When unsure, by entropy” keeps 75% of the gain of always guiding the first step at 40% "
        "of its teacher tokens (+15.0 of +20.0 points)."
    )


def test_the_head_of_the_page_says_what_routing_would_reach_in_the_same_breath() -> None:
    results = results_of(SCORES)
    (sentence,) = foremost(results, guidance(results))
    assert "+30.0 points" in sentence
    assert "sending whole questions to the teacher would reach an expected 60.0%" in sentence


def test_findings_claim_no_gain_where_the_interval_holds_zero() -> None:
    first = scored("first", 0.45, 20.0)  # +5 points, -5 to +15
    said = findings(found_in(*SCORES[:2], first, scored("learned", 0.42, 5.0)))
    assert said[0].startswith("No policy is shown to help: “First step”, the best, reaches 45.0%")
    assert f"95% interval {MINUS}5.0 to +15.0" in said[0]
    assert said[1].startswith("Always guiding the first step is not shown to help (+5.0 points")
    assert len(said) == 2
    assert not any("100 teacher tokens" in each or "keeps" in each for each in said)


def test_findings_say_where_nothing_of_the_gain_is_kept() -> None:
    said = findings(found_in(*SCORES[:3], scored("learned", 0.38, 5.0)))
    assert "“When a learned judge says so” keeps nothing of the gain" in said[-1]
    assert f"({MINUS}2.0 of +20.0 points; its own gain is not shown (95% interval" in said[-1]


def test_all_of_the_gain_and_more_is_all_of_it() -> None:
    for reached in (0.6, 0.65):  # as much as always guiding the first step, and more
        sayings = findings(found_in(*SCORES[:3], scored("learned", reached, 5.0)))
        assert "keeps all of the gain of always guiding the first step at" in sayings[-1]


def test_one_policy_is_not_called_the_best() -> None:
    (said,) = findings(found_in(*SCORES[:1], SCORES[2]))
    assert said.startswith("“First step” reaches 60.0% against 40.0% of the student alone, +20.0")
    assert "best" not in said


def test_policies_that_promise_other_accuracies_are_told_apart_everywhere() -> None:
    policies = [
        Policy(kind="policy", name="route", signal="entropy", number=share, accuracy_at_least=least)
        for share, least in ((None, 0.5), (None, 0.75), (0.3, 0.75))
    ]
    assert [label(policy) for policy in policies] == [
        "Whole questions, by entropy, accuracy at least 0.5",
        "Whole questions, by entropy, accuracy at least 0.75",
        "Whole questions, by entropy, at most 0.3, accuracy at least 0.75",
    ]
    assert [short(policy) for policy in policies] == [
        "routed: entropy, accuracy 0.5",
        "routed: entropy, accuracy 0.75",
        "routed: entropy 0.3, accuracy 0.75",
    ]
    scores = [scored(each, 0.5 + 0.1 * place, 20.0) for place, each in enumerate(policies)]
    results = results_of((*SCORES[:2], *scores))
    console = Console(width=80, file=StringIO())
    console.print(guided_table(results.guided_scores))
    assert isinstance(console.file, StringIO)
    terminal = "".join(line.split(" ")[0].strip() for line in console.file.getvalue().split("\n"))
    for place, policy in enumerate(policies):
        words = f"{label(policy)} {policy.label} {50 + 10 * place}.0%"
        assert words in section(results).words
        assert policy.label in terminal
    guidance = summary(results)["guidance"]
    assert isinstance(guidance, dict)
    (shown,) = guidance.values()
    assert [one["policy"] for one in shown["scores"][2:]] == [one.label for one in policies]
    assert shown["best"] == "route_entropy_0.3_accuracy_0.75"
    assert label(policies[2]) in " ".join(shown["recommended"])


def test_head_of_the_page_says_what_the_leading_tasks_best_policy_bought() -> None:
    elsewhere = [replace(each, task="products", accuracy=0.8) for each in SCORES[:3]]
    head = page(results_of([*elsewhere, *SCORES])).partition("<main>")[0]
    said = f"Guidance by the teacher. {findings(found_in())[0]}"
    assert " ".join(said.split()) in " ".join(head.split())
    assert "80.0%" not in head


def test_page_shows_the_numbers_of_every_score() -> None:
    words = section(results_of()).words
    for row in (
        "First step first 60.0% [50.0, 70.0] 6 of 10 +20.0 [+10.0, +30.0] p = 0.031 "
        "100.0% 10 of 10 20.0 +100.0 per 100 50.0 2 50.0% without",
        "Step 2 alone at_2 50.0%",
        "When unsure, by entropy when_unsure_entropy 55.0%",
        "40.0% 4 of 10 8.0 +187.5 per 100 50.0 0",
        "By entropy routing_entropy_0.5 74.0% [64.0, 84.0] 10 questions",
        "At random routing_random_0.5 65.0%",
        "The student's own first step control_own_first 40.0%",
        "Cut off and put back. Nothing should change;",
        "Brand new control_brand_new 30.0%",
        "Guidance of another kind at the same place",
        "Asks itself how to begin quest_cot 45.0%",
        "Right in at least one of 5 samples pass_at_5 77.7%",
        "chosen on 37 development questions alone",
    ):
        assert row in words
    assert "Dollars" not in words


def test_leaks_in_every_question_leave_no_accuracy_without() -> None:
    first = scored("first", 0.6, 20.0, leaked=10, unleaked_accuracy=None)
    assert "20.0 +100.0 per 100 50.0 10 all" in section(results_of((SCORES[0], first))).words


def test_charts_say_what_they_draw() -> None:
    reader = section(results_of())
    charts = [a for tag, a in reader.tags if a.get("class") == "chart scatter"]
    tokens, timing = [attributes["aria-label"] or "" for attributes in charts]
    assert "step 1: 60% (50% to 70%) at 20." in tokens
    assert "routing at random: 40% at 0, 90% at 100." in tokens
    assert "routing by doubt: 40% at 0, 74% at 50, 90% at 100." in tokens
    assert "only this step: 60% at 1, 50% at 2." in timing
    assert "all up to it: 60% at 1, 70% at 2." in timing
    classes = [attributes.get("class") or "" for _, attributes in reader.tags]
    assert sum(each.startswith("error") for each in classes) == 6 + 4


def test_dollars_have_a_chart_and_a_column_where_there_is_a_price() -> None:
    priced = (*SCORES[:2], scored("first", 0.6, 20.0, cost=0.000123))
    words = section(results_of(priced)).words
    assert "By cost" in words
    assert "$0.00012" in words
    assert [dollars(cost) for cost in (0.0, 2.5, 0.0404, 1.234e-7)] == [
        "$0",
        "$2.50",
        "$0.040",
        "$0.00000012",
    ]


@pytest.mark.parametrize("scores", [(), (replace(SCORES[2], split="dev"),)])
def test_no_section_without_test_scores(scores: tuple[GuidedScore, ...]) -> None:
    shown = page(results_of(scores))
    assert 'id="guidance"' not in shown
    assert 'href="#guidance"' not in shown
    assert summary(results_of(scores))["guidance"] == {}


def test_one_score_is_enough_for_a_section() -> None:
    for only in SCORES:
        if only.split == "test":
            section(results_of((only,)))


def test_examples_are_those_that_the_best_policy_turned() -> None:
    outcomes = {0: (False, True), 1: (True, False), 2: (True, True), 3: (False, True)}
    predictions = [
        each
        for number, (own, guided) in outcomes.items()
        for each in (
            predicted("never", number, own),
            predicted("first_n_2", number, guided, leaked=number == 0),
            predicted("first", number, True),
        )
    ]
    results = results_of(predictions=predictions)
    right = turned(results, found_in(), right=True)
    assert right is not None
    assert (right.answers, right.total) == (2, 4)
    assert [(each.id, each.leaked) for each in right.examples] == [
        ("test-3", False),
        ("test-0", True),
    ]
    reader = section(results)
    assert "turned 2 of 4 answers from wrong to right, and 1 from right to wrong" in reader.words
    assert [tag for tag, _ in reader.tags].count("mark") == 3
    assert turned(results_of(), found_in(), right=True) is None


def test_guidance_is_found_in_the_answer_whatever_its_white_space() -> None:
    assert pieces("Go: 2 + 2\nis 4. So 4.", "2 + 2 is 4.") == [
        Piece("Go: ", False),
        Piece("2 + 2\nis 4.", True),
        Piece(" So 4.", False),
    ]
    apart = pieces("One.\nTwo. Three.  Four. So 4.", "Two.\nFour.")
    assert [part.text for part in apart if part.guided] == ["Two.", "Four."]
    assert "".join(part.text for part in apart) == "One.\nTwo. Three.  Four. So 4."
    assert pieces("Two. One.", "One.\nTwo.") == [Piece("Two. One.", False)]  # in another order
    assert pieces("So 4.", "Other words.") == [Piece("So 4.", False)]
    assert pieces("So 4.", "") == [Piece("So 4.", False)]


def test_guidance_that_does_not_stand_in_the_answer_is_shown_beside_it() -> None:
    predictions = [
        predicted("never", 0, False),
        predicted("first_n_2", 0, True, text="Written anew.", guidance="Elsewhere."),
    ]
    words = section(results_of(predictions=predictions)).words
    assert "which do not stand in the answer as they were written: Elsewhere." in words


def test_text_of_models_and_names_stay_text() -> None:
    told = f"<script>alert(3)</script>{HOSTILE}"
    hostile = [
        scored(Policy(kind="policy", name=f"at_9{HOSTILE}"), 0.2, 5.0),
        scored(Policy(kind="control", name=HOSTILE), 0.2, 5.0),
    ]
    predictions = [
        predicted("never", 0, False, text=HOSTILE),
        predicted("first_n_2", 0, True, text=f"{told} {HOSTILE}", guidance=told),
    ]
    reader = section(results_of([*SCORES, *hostile], predictions))
    assert not {"script", "img"} & {tag for tag, _ in reader.tags}
    assert reader.shown.count("<script>alert(3)</script>") == 1
    assert reader.shown.count("<img src=x onerror=alert(2)>") >= 5
    for tag, attributes in reader.tags:
        assert tag not in {"link", "style", "iframe", "image", "use"}
        assert not {"src", "href", "style"} & set(attributes)


def test_accuracy_by_length_takes_long_chains_together() -> None:
    chains = (2, 2, 3, 6, 9)
    answers = [
        predicted(policy, number, correct, steps=steps)
        for policy, marks in (("never", "rwwww"), ("first", "rrwrw"))
        for number, (mark, steps) in enumerate(zip(marks, chains, strict=True))
        for correct in (mark == "r",)
    ]
    results = results_of(predictions=answers)
    found = lengths(results, guidance(results)[0])
    assert found is not None
    assert found.steps == ["2", "3", "6 or more"]
    rows = {policy.label: cells for policy, cells in found.rows.items()}
    assert rows == {"never": [(1, 2), (0, 1), (0, 2)], "first": [(2, 2), (0, 1), (1, 2)]}
    assert "By length" in section(results).words
    told = json.loads(json.dumps(summary(results)["guidance"]))["sums"]["right_by_steps"]
    assert told["first"] == {"2": [2, 2], "3": [0, 1], "6 or more": [1, 2]}
    same = results_of(predictions=[each for each in answers if each.steps == 2])
    assert lengths(same, guidance(same)[0]) is None
    assert "By length" not in section(same).words


def test_every_task_has_its_own_part() -> None:
    other = [replace(each, task="products") for each in SCORES[:3]]
    reader = section(results_of([*other, *SCORES]))
    assert [found.task for found in guidance(results_of([*other, *SCORES]))] == ["sums", "products"]
    regions = [a["aria-label"] for _, a in reader.tags if a.get("role") == "region"]
    assert len(regions) == len(set(regions))


def test_summary_holds_the_scores_and_what_they_come_to() -> None:
    predictions = [predicted("never", 0, False), predicted("first_n_2", 0, True)]
    text = json.dumps(summary(results_of(predictions=predictions))["guidance"])
    values = json.loads(text)["sums"]
    assert [each["policy"] for each in values["scores"]] == [each.policy.label for each in SCORES]
    assert values["best"] == "first_n_2"
    assert values["points_per_100_teacher_tokens"] == pytest.approx(75.0)
    assert values["routed_for_the_same_tokens"] == pytest.approx({"random": 0.6, "entropy": 0.672})
    shares = values["kept_of_the_first_step"]["when_unsure_entropy"]
    assert shares == pytest.approx({"gain": 0.75, "teacher_tokens": 0.4})
    assert values["turned"] == {"right": 1, "wrong": 0}
    assert values["findings"] == findings(found_in())


def test_report_of_a_store_shows_what_was_put_there(tmp_path: Path) -> None:
    predictions = [predicted("never", 0, False), predicted("first_n_2", 0, True)]
    with Store(tmp_path / "run.sqlite") as store:
        store.replace_guidance(SCORES, predictions, grader="2", settings_hash="d")
        files = write_report(store, [TASK], tmp_path)
    values = json.loads(files.summary.read_text())["guidance"]
    assert values == json.loads(json.dumps(summary(results_of(SCORES, predictions))["guidance"]))
    words = Reader(files.html.read_text()).words
    assert "“First 2 steps” turned 1 of 1 answers from wrong to right" in words


@pytest.mark.parametrize(
    ("policy", "names"),
    [
        (Policy(kind="policy", name="first_n", number=3), ("First 3 steps", "steps 1 to 3")),
        (Policy(kind="policy", name="first_n", number=1), ("First step", "step 1")),
        (Policy(kind="sampled", name="pass_at", number=1), ("Right in one sample", "pass@1")),
        (Policy(kind="policy", name="at", number=2), ("Step 2 alone", "step 2")),
        (
            Policy(kind="policy", name="when_unsure", signal="min_logprob"),
            ("When unsure, by least likely token", "unsure: min logprob"),
        ),
        (Policy(kind="policy", name="mine:long"), ("mine:long", "mine:long")),
    ],
)
def test_names_for_readers(policy: Policy, names: tuple[str, str]) -> None:
    assert (label(policy), short(policy)) == names


def test_names_of_controls_for_readers() -> None:
    wrong, other = (Policy(kind="control", name=name) for name in ("wrong_chain", "other_problem"))
    assert control(wrong)[0] == "First step of a wrong answer"
    assert control(other)[0] == "First step for another question"
