"""The page's head: what was gained and paid, whether it can be trusted, and what to do next."""

import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from guided_run import predicted, results_of, routed, scored
from report_run import (
    ANSWERS_ONLY,
    RATIONALES,
    RECIPE,
    START,
    FilledRun,
    Reader,
    checkpoint,
    compared,
    score,
    task,
)

from potstill.records import Choice, Completion, GuidedScore, Policy, Request, System, Task
from potstill.report import RunFacts, write_report
from potstill.report.accuracy import Results, read_results
from potstill.report.announcements import announced_headline, announcements
from potstill.report.cautions import cautions
from potstill.report.findings import findings
from potstill.report.next_steps import next_steps
from potstill.report.origin_line import origin, pair
from potstill.report.page import page
from potstill.report.routing_findings import routing_findings
from potstill.report.tiles import price_elsewhere, tiles
from potstill.start_comparison import start_comparisons
from potstill.store import Store
from potstill.tasks.overlap import Overlap
from potstill.text.points import MINUS

FACTS = RunFacts(folder="runs/demo", has_model=True, used_at=1_795_953_600.0)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[FilledRun]:
    tasks = [
        task("two_step_arithmetic", 120, 300),
        task("multi_step_arithmetic", 0, 200),
        task("coin_toss", 0, 200, "yes_no"),
        task("last_letters", 0, 200),
    ]
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    with Store(tmp_path / "run.sqlite") as store:
        yield FilledRun(store, tasks, random.Random(0))


def measured(
    run: FilledRun,
    changes: Sequence[float],
    *,
    p: float | None = None,
    steps: Sequence[int] = (200, 400),
    chosen: int = 200,
) -> None:
    """Stores a student whose accuracy differs so from its start's 50%, task by task."""
    student = replace(RATIONALES, step=chosen)
    alone = replace(ANSWERS_ONLY, step=chosen)
    scores = [score(student, run.tasks[0].name, 60, 100, "dev")]
    comparisons = []
    for on, change in zip(run.tasks, changes, strict=False):
        total = len(on.splits["test"])
        scores += [
            score(START, on.name, total // 2, total),
            score(student, on.name, round(total * (0.5 + change)), total),
            score(alone, on.name, round(total * 0.4), total),
        ]
        comparisons += [
            compared(on, student, START, change, p),
            compared(on, alone, START, -0.1, 0.001),
        ]
    checkpoints = [checkpoint(System("rationales"), step) for step in steps]
    choice = Choice(student="rationales", rule="in_distribution", step=chosen, used=True)
    run.store.replace_training([], checkpoints, settings_hash="b")
    run.store.replace_evaluation(scores, [], comparisons, [choice], grader="2", settings_hash="c")
    run.store.add_stage_time("train", 78.0)


def read(run: FilledRun, facts: RunFacts = FACTS, **more: Any) -> Results:
    return read_results(run.store, run.tasks, run.store.path.parent, facts=facts, **more)


def overlap(on: Task, **counts: Any) -> Overlap:
    known: dict[str, Any] = {"same_text": 0, "ngram": 0, "hit": 0, "same_template": 0}
    total = len(on.splits["test"])
    return Overlap(
        task=on.name, split="test", total=total, examples=(), ids=frozenset(), **(known | counts)
    )


def words(results: Results) -> dict[str, list[str]]:
    """The figure and the sentences of each tile."""
    return {
        tile.name: [
            tile.figure,
            *(f"{one.text} {one.code}".strip() for one in (*tile.sentences, *tile.further)),
        ]
        for tile in tiles(results)
    }


def test_the_tiles_of_a_gain_that_cost_two_other_tasks(run: FilledRun) -> None:
    measured(run, (0.4, 0.01, -0.38, -0.45))
    told = words(read(run))
    assert told["Gained"] == [
        "+40 points",
        "50.0% → 90.0% on two_step_arithmetic, 95% interval +33 to +47.",
        f"Answers alone end at 40.0%: {MINUS}10.0 points to the start.",
    ]
    assert told["Paid"] == [
        f"{MINUS}38 and {MINUS}45 points",
        "coin_toss: 83 answers that were right are now wrong.",  # 0.38 * 200 + 7
        "last_letters: 97 answers that were right are now wrong.",
        "1 min 18 s, 0 tokens, $0.",
    ]
    assert price_elsewhere(read(run)) == told["Paid"][:3]


def test_a_loss_leads_to_its_questions(run: FilledRun) -> None:
    measured(run, (0.4, 0.01, -0.38, -0.45))
    html = write_report(run.store, run.tasks, run.store.path.parent).html.read_text("utf-8")
    page = Reader(html)
    links = [attributes.get("href") for tag, attributes in page.tags if tag == "a"]
    assert "#questions?task=coin_toss&start=right&student=wrong" in links


def test_a_difference_that_holm_does_not_show_is_neither_gain_nor_loss(run: FilledRun) -> None:
    measured(run, (0.02, 0.01, -0.03, -0.04), p=0.02)  # four tests: 0.08
    results = read(run)
    assert [one.adjusted_p for one in results.against_start.values()] == [0.08] * 4
    told = words(results)
    assert told["Gained"][0] == "no gain shown"
    assert told["Paid"][0] == "no loss shown"
    assert (
        f"No loss is shown on other tasks: multi_step_arithmetic +1.0, coin_toss {MINUS}3.0 and "
        f"last_letters {MINUS}4.0 points." in told["Paid"]
    )


def test_the_start_counts_as_it_does_best(run: FilledRun) -> None:
    measured(run, (0.4, 0.0, 0.0, 0.0))
    ways = [System("start", variant=variant) for variant in ("", "zero_shot", "few_shot")]
    student, on = System("rationales", step=200), run.tasks[0]
    pairs = [
        compared(on, student, way, change, 0.01)
        for way, change in zip(ways, (0.4, 0.45, 0.1), strict=True)
    ]
    pairs.append(compared(on, student, System("start", variant="fine_tune_cot"), -0.2, 0.01))
    (found,) = start_comparisons(pairs, student, START).values()
    assert (found.comparison.second.variant, found.comparison.difference) == ("few_shot", 0.1)
    assert found.adjusted_p == 0.01  # one task, so nothing to adjust


def test_answers_under_another_grader_are_no_further_test(run: FilledRun) -> None:
    measured(run, (0.4, 0.0, 0.0, -0.4))
    roles = {run.tasks[3].name: "generic_other_rule"}
    found = read(run, roles=roles).against_start
    assert list(found) == [one.name for one in run.tasks[:3]]
    assert {one.tasks for one in found.values()} == {3}


def test_a_loss_of_one_task_only_is_not_known_where_no_other_was_measured(run: FilledRun) -> None:
    measured(run, (0.4,))
    assert words(read(run))["Paid"][:2] == [
        "not known",
        "No other task was measured before and after, so what it lost there is not known: "
        "evaluate.tasks",
    ]


@pytest.mark.parametrize(
    ("change", "verdict"),
    [(0.01, "is not shown to be better"), (-0.2, "is shown to be worse")],
)
def test_a_student_that_does_not_gain_is_announced(
    run: FilledRun, change: float, verdict: str
) -> None:
    measured(run, (change, 0.0, 0.0, 0.0))
    results = read(run)
    headline = announced_headline(results)
    assert headline.startswith(
        f"The chosen student (rationale tuning) {verdict} than the start checkpoint on "
        f"two_step_arithmetic: {50 + 100 * change:.1f}% and 50.0%"
    )
    assert headline.count("the start checkpoint") == 1, "its comparison is told once"
    files = write_report(run.store, run.tasks, run.store.path.parent)
    assert files.headline == headline
    shown = Reader(files.html.read_text("utf-8")).words
    assert shown.index(verdict) < shown.index("Can you trust it?")
    assert "not_better" in [caution.kind for caution in findings(results).cautions]
    assert next_steps(results)[0].kind == "not_better"


def test_a_student_that_gains_is_not_announced(run: FilledRun) -> None:
    measured(run, (0.4, 0.0, 0.0, 0.0))
    assert announced_headline(read(run)).startswith("Rationale tuning reaches 90.0%")


def kinds(results: Results) -> list[str]:
    return [caution.kind for caution in cautions(results)]


def test_cautions_are_in_the_order_of_their_weight(run: FilledRun) -> None:
    measured(run, (0.4, 0.0, 0.0, 0.0), chosen=400)
    failed = Completion(
        request=Request(prompt="?"), sample=0, text="", finish_reason="error", error="busy"
    )
    run.store.add_completions("openai:large", [failed], stage="generate")
    found = [
        overlap(run.tasks[0], same_template=120, same_text=2, ngram=1, hit=3),
        overlap(run.tasks[2]),
    ]
    results = read(run, replace_facts(stale=["the scores"]), overlaps=found)
    assert kinds(results) == [
        "stale", "shared_texts", "shared_templates", "last_step", "failures", "one_seed",
    ]  # fmt: skip
    texts = [caution.text for caution in cautions(results)]
    assert "3 training questions share text with 3 of 300 test questions" in texts[1]
    assert texts[2] == "All 120 training questions share a template with the test questions."
    one = [overlap(run.tasks[0], same_template=1, same_text=1, hit=1)]
    texts = [caution.text for caution in cautions(read(run, overlaps=one))]
    assert "1 training question shares text with 1 of 300 test questions" in texts[0]
    assert texts[1].startswith("1 of 120 training questions shares a template")


def replace_facts(**changes: Any) -> RunFacts:
    return replace(FACTS, **changes)


@pytest.mark.parametrize(("cut", "is_told"), [(6, False), (7, True)])
def test_more_than_two_percent_cut_or_unanswered_is_a_caution(
    run: FilledRun, cut: int, is_told: bool
) -> None:
    measured(run, (0.4, 0.0, 0.0, 0.0))
    scores = [
        replace(one, truncated=cut, no_answer=0)
        if (one.system.model, one.task) == ("rationales", run.tasks[0].name)
        else replace(one, truncated=0, no_answer=0)
        for one in run.store.scores()
    ]
    results = replace(read(run), scores=scores)
    assert ("unread_answers" in kinds(results)) is is_told
    if is_told:
        texts = [caution.text for caution in cautions(results)]
        assert "Of the student's answers to two_step_arithmetic 2.3% are cut off." in texts


def test_what_was_not_looked_at_is_a_caution_and_not_sound(run: FilledRun) -> None:
    measured(run, (0.4, 0.0, 0.0, 0.0))
    assert "unknown_overlap" in kinds(read(run))
    (otherwise,) = [one for one in words(read(run))["Can you trust it?"] if "Otherwise" in one]
    assert "shared" not in otherwise
    sound = read(run, overlaps=[overlap(one) for one in run.tasks])
    assert (
        "Otherwise: 300 paired questions, no text shared with test questions, no template shared "
        "with them, test questions chose nothing." in words(sound)["Can you trust it?"]
    )


def test_a_run_without_a_start_does_not_say_what_was_gained(run: FilledRun) -> None:
    measured(run, (0.4,))
    alone = [one for one in run.store.scores() if one.system.model == "rationales"]
    results = replace(read(run), scores=alone, comparisons=[])
    assert words(results)["Gained"][0] == "not known"
    assert "not_better" in kinds(results)


def test_repeated_rationales_are_fit_to_be_learned(run: FilledRun) -> None:
    measured(run, (0.4, 0.0, 0.0, 0.0), chosen=400)
    results = read(run)
    counts = results.rationale_counts

    def steps(**verdicts: int) -> list[str]:
        changed = counts._replace(verdicts=Counter(verdicts))
        return [step.kind for step in next_steps(replace(results, rationale_counts=changed))]

    assert "few_kept" in steps(kept=4, wrong_answer=6)
    assert "few_kept" not in steps(kept=1, duplicate=8, wrong_answer=1)


def test_next_steps_follow_the_findings(run: FilledRun) -> None:
    measured(run, (0.4, 0.0, -0.3, 0.0), chosen=400)
    steps = next_steps(read(run, overlaps=[overlap(run.tasks[0], same_template=9)]))
    assert [(step.kind, step.code) for step in steps] == [
        ("not_converged", "train.steps=800"),
        ("losses", ""),
        ("follow_price", "evaluate.generic"),
        ("template", "task.split=template"),
        ("seeds", "potstill experiment RECIPE --seeds 3"),
        ("use", "runs/demo/model"),
        ("serve", "potstill serve runs/demo"),
    ]


def test_one_checkpoint_alone_is_a_caution(run: FilledRun) -> None:
    measured(run, (0.4, 0.0, 0.0, 0.0), steps=[400], chosen=400)
    (told,) = [one.text for one in cautions(read(run)) if one.kind == "last_step"]
    assert told.startswith("There is but one checkpoint, at step 400: whether less or more")
    measured(run, (0.4, 0.0, 0.0, 0.0), steps=[200, 400], chosen=200)
    assert "last_step" not in kinds(read(run))


def test_a_path_on_a_tile_may_end_a_line_behind_its_slashes(run: FilledRun) -> None:
    measured(run, (0.4, 0.0, -0.3, 0.0))
    files = write_report(run.store, run.tasks, run.store.path.parent, facts=FACTS)
    assert "<code>runs/<wbr>demo/<wbr>model</code>" in files.html.read_text("utf-8")


def test_empty_sections_name_the_run_as_the_next_step_does(run: FilledRun) -> None:
    run.generate_and_curate()
    run.train()
    files = write_report(run.store, run.tasks, run.store.path.parent, facts=FACTS)
    shown = Reader(files.html.read_text("utf-8")).words
    assert shown.count("potstill evaluate runs/demo") > 1
    assert "recipe.yaml" not in re.sub(r"holds no recipe\.yaml", "", shown)
    assert "Nothing was measured along training" in shown


def test_the_answers_lost_are_read_from_the_worst_task_on(run: FilledRun) -> None:
    measured(
        run,
        (
            0.4,
            -0.05,
            -0.38,
            -0.45,
        ),
    )
    (step,) = [one for tile in tiles(read(run)) if tile.name == "Next" for one in tile.sentences
               if "answers lost" in one.text]  # fmt: skip
    assert step.changed is not None
    worst = min(read(run).against_start.values(), key=lambda one: one.comparison.difference)
    assert step.changed.task == worst.comparison.task
    assert f"first the {worst.comparison.only_second} on {step.changed.task}" in step.text


def test_a_sound_run_is_served(run: FilledRun) -> None:
    measured(run, (0.4, 0.0, 0.0, 0.0))
    told = words(read(run, overlaps=[overlap(run.tasks[0])]))["Next"]
    assert told == [
        "serve it",
        "Two more seeds: potstill experiment RECIPE --seeds 3",
        'Ask it: potstill ask runs/demo "QUESTION"',
        "Serve it: potstill serve runs/demo",
        "Load it by transformers: runs/demo/model",
    ]


def test_an_unfinished_run_says_what_is_missing(run: FilledRun) -> None:
    assert origin(read(run))[-1] == "without results of generate, curate, train and evaluate"
    assert words(read(run))["Next"][1] == "The run is not complete. Go on: potstill run runs/demo"
    run.generate_and_curate()
    run.train()
    assert origin(read(run))[-1] == "without results of evaluate"
    told = words(read(run))
    assert told["Gained"][0] == "not measured yet"
    assert told["Next"][1] == "The run is not complete. Go on: potstill evaluate runs/demo"


def test_a_run_at_work_is_to_be_waited_for(run: FilledRun) -> None:
    at_work = replace_facts(is_at_work=True)
    assert origin(read(run, at_work))[-1].startswith("at work, still without results of generate")
    told = words(read(run, at_work))["Next"]
    assert told == [
        "let the run end",
        "The run is at work. See how far it is: potstill status runs/demo",
    ]
    html = page(read(run, at_work))
    assert "The run is at work, and this section is filled when its stage has ended." in html
    assert "Fill this section with" not in html and "Give <code>" not in html


def test_the_origin_of_a_page(run: FilledRun) -> None:
    measured(run, (0.4,))
    folder, date, version, seed, state = origin(read(run))
    assert (folder, date, seed, state) == ("runs/demo", "29 Nov 2026", "seed 7", "complete")
    assert version.startswith("potstill ")
    assert pair(read(run)) == "bundled:teacher → bundled:student"
    assert [*origin(read(run, replace_facts(stale=["train"])))][-1] == (
        "results not all of today's recipe"
    )
    unknown = origin(read(run, RunFacts()))
    assert unknown[:2] == ["runs/demo", "date not known"]  # as the recipe names it


def test_unknown_costs_are_said(run: FilledRun) -> None:
    measured(run, (0.4,))
    paid = words(read(run, replace_facts(unpriced=["openai:new"])))["Paid"]
    assert "a cost that is not known (no price for openai:new)." in paid[-1]


def test_nothing_paid_is_no_dash_which_stands_for_a_price_that_is_not_known(
    run: FilledRun,
) -> None:
    measured(run, (0.4,))
    run.store.add_stage_time("train", 75.0)
    assert words(read(run))["Paid"][-1].endswith(" tokens, $0.")
    for unpriced, cost in (([], "$0"), (["openai:new"], "\N{EN DASH}")):
        facts = replace_facts(unpriced=unpriced)
        page = write_report(run.store, run.tasks, run.store.path.parent, facts=facts).html
        section = page.read_text("utf-8").partition('<section id="cost"')[2].partition("</section>")
        rows = re.findall(r"<tr(?: class=.total.)?><th scope=.row.>.*</tr>", section[0])
        assert len(rows) >= 2 and all(f">{cost}</td></tr>" in row for row in rows)
        assert ("there is no price for openai:new." in section[0]) == bool(unpriced)


def test_the_summary_holds_the_findings(run: FilledRun) -> None:
    measured(run, (0.4, 0.01, -0.38, -0.45))
    folder = run.store.path.parent
    found = json.loads(write_report(run.store, run.tasks, folder).summary.read_text())["findings"]
    assert found["student"] == "rationales"
    assert found["lost_answers"] == 83 + 97
    assert [one["shown"] for one in found["against_start"]] == [True, False, True, True]
    assert [tile["name"] for tile in found["tiles"]] == [
        "Gained", "Paid", "Can you trust it?", "Next",
    ]  # fmt: skip


def guided(scores: Sequence[GuidedScore], right: dict[str, int]) -> Results:
    """Results of ten questions, of which each way has so many right, the first ones."""
    predictions = [
        predicted(way, number, number < count)
        for way, count in right.items()
        for number in range(10)
    ]
    return results_of(scores, predictions)


def test_a_guided_run_says_first_that_routing_beats_it() -> None:
    scores = [scored("never", 0.4), scored("teacher", 0.9, 100.0), scored("first", 0.3, 60.0)]
    # Right alone: 4, by the teacher: 9, guided: 3. The line has 0.4 + 60% of 0.5 = 0.7.
    results = guided(scores, {"never": 4, "teacher": 9, "first": 3})
    (finding,) = routing_findings(results)
    assert finding.at_random == pytest.approx(0.7)
    assert finding.against_random.difference == pytest.approx(-0.4)
    assert finding.is_beaten
    assert announced_headline(results).startswith(
        "Routing beats guidance: for 60.0 teacher tokens a question, whole questions sent to the "
        "teacher at random reach an expected 70.0% on sums; the best policy that writes "
        f"steps, “First step”, reaches 30.0%, a difference of {MINUS}40.0 points, 95% interval"
    )


def test_guidance_that_is_level_with_routing_is_not_said_to_beat_it() -> None:
    scores = [scored("never", 0.4), scored("teacher", 0.9, 100.0), scored("first", 0.7, 60.0)]
    (sentence,) = announcements(guided(scores, {"never": 4, "teacher": 9, "first": 7}))
    assert sentence.startswith("Guidance is not shown to beat routing: ")
    assert "so that no difference is shown" in sentence


def test_guidance_ahead_of_chance_and_behind_routing_by_doubt_says_so() -> None:
    scores = [
        scored("never", 0.4),
        scored("teacher", 0.5, 100.0),
        scored("first", 0.9, 50.0),
        routed("entropy", 0.5, 0.95),
    ]
    results = guided(scores, {"never": 4, "teacher": 5, "first": 9})
    (finding,) = routing_findings(results)
    assert finding.is_shown_ahead and not finding.is_beaten
    (sentence,) = announcements(results)
    assert sentence.startswith(
        "Routing by entropy reaches more than guidance: for 50.0 teacher tokens a question, an "
        "expected 95.0% on sums"
    )


def test_routing_as_a_policy_is_not_taken_for_the_guidance_that_it_beats() -> None:
    route = replace(
        scored("never", 0.8, 60.0),
        policy=Policy(kind="policy", name="route", signal="entropy", number=0.6),
    )
    scores = [scored("never", 0.4), scored("teacher", 0.9, 100.0), scored("first", 0.3, 60.0)]
    right = {"never": 4, "teacher": 9, "first": 3}
    (sentence,) = announcements(guided([*scores, route], right))
    assert sentence.startswith("Routing beats guidance: for 60.0 teacher tokens a question")
    assert "the best policy that writes steps, “First step”, reaches 30.0%" in sentence
    assert announcements(guided([*scores[:2], route], right)) == []


def test_guidance_ahead_of_every_routing_is_not_announced() -> None:
    scores = [scored("never", 0.4), scored("teacher", 0.5, 100.0), scored("first", 0.9, 50.0)]
    assert announcements(guided(scores, {"never": 4, "teacher": 5, "first": 9})) == []
