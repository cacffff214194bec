"""The page: results → one HTML file that loads nothing."""

from collections.abc import Callable, Mapping, Sequence

from potstill.records import Comparison, System
from potstill.report import charts, guidance_text, text, tradeoff
from potstill.report import teacher_tables as of_teachers
from potstill.report.accuracy import OTHER_RULE, Results
from potstill.report.announcements import announcements
from potstill.report.before_after import before_after
from potstill.report.comparison_matrix import comparison_matrix
from potstill.report.data_funnel import funnel
from potstill.report.figures import (
    PRICES_OF_CHARTS,
    accuracy_chart,
    curve_charts,
    development_scores,
    learning_rate,
    loss_chart,
    rate_chart,
    scaling_chart,
    thinned_log,
    timing_chart,
    tradeoff_charts,
)
from potstill.report.guidance import (
    GuidanceSection,
    gains,
    guidance,
    lengths,
    per_100_tokens,
    turned,
)
from potstill.report.next_steps import run_argument
from potstill.report.origin_line import origin, pair
from potstill.report.page_assets import asset, embedded, page_environment
from potstill.report.price_chart import price_figure
from potstill.report.question_links import changed_questions
from potstill.report.questions import browser_data
from potstill.report.recommendation import recommended
from potstill.report.round_charts import round_section
from potstill.report.stage_machines import stage_machines
from potstill.report.system_colours import students_in_order
from potstill.report.tables import summary
from potstill.report.tiles import tiles
from potstill.text.chosen_on_test import CHOSEN_ON_TEST
from potstill.text.points import points

MOST_COMPARISONS = 12
"""Comparisons of a task that stand open; of more, those without the chosen student are folded."""

FILTERS: dict[str, Callable[..., object]] = {
    "label": text.label,
    "in_sentence": text.in_sentence,
    "percent": text.percent,
    "points": points,
    "interval": text.interval,
    "score_share": lambda score: text.percent(score.correct / score.total) if score else text.DASH,
    "bounds": text.bounds,
    "p_value": text.p_value,
    "duration": text.duration,
    "dollars": text.dollars,
    "cost_note": text.cost_note,
    "weights": text.count_in_short,
    "rule_name": text.rule_name,
    "listed": text.listed,
    "policy": guidance_text.label,
    "routed": guidance_text.routed,
    "signal": guidance_text.signal,
    "question_dollars": guidance_text.dollars,
    "per_100_tokens": per_100_tokens,
    "teacher_accuracy": of_teachers.accuracy,
    "teacher_change": of_teachers.change_of,
    "teacher_share": of_teachers.share,
    "teacher_nats": of_teachers.nats,
    "learning_rate": learning_rate,
    "exact": lambda values: "|".join("" if one is None else f"{one:.6g}" for one in values),
    "exact_percent": lambda values: "|".join(
        "" if one is None else f"{100 * one:.6g}" for one in values
    ),
    "share": lambda value: "" if value is None else text.percent(value),
    "figure": lambda value: "" if value is None else f"{value:.3g}",
}
"""The functions by which the template writes numbers."""


def page(
    results: Results,
    values: Mapping[str, object] | None = None,
    browser: Mapping[str, object] | None = None,
) -> str:
    """Returns the page of a run. Text of models and questions is data, escaped everywhere.

    Args:
        results: The run's results.
        values: Their summary, where it is made already.
        browser: The questions as :func:`potstill.report.questions.browser_data` gives them, where
            they are made already; else they are made without the prompts and thinking of the store.
    """
    environment = page_environment(FILTERS)
    environment.tests["gaining"] = lambda score: gains(score) and score.teacher_tokens > 0
    browser, guided = browser or browser_data(results), guidance(results)
    return environment.get_template("page.html.jinja").render(
        results=results,
        **_head(results),
        guidance_findings=guidance_text.foremost(results, guided),
        **_prices(results),
        questions=browser,
        embedded=embedded(browser),
        guidance=[_guided(results, found) for found in guided],
        **_data(results),
        **_training(results),
        **_compared(results),
        machines=stage_machines(results.machines),
        column_roles=text.COLUMN_ROLES,
        run_argument=run_argument(results),
        other_rule=OTHER_RULE,
        chosen_on_test=CHOSEN_ON_TEST,
        interval_mark=charts.interval_mark,
        share_bar=charts.share_bar,
        column_chart=charts.column_chart,
        style=asset("page.css", "questions.css"),
        summary=embedded(summary(results) if values is None else values),
        scripts=[asset("page_tools.js"), asset("page.js")],
    )


def _head(results: Results) -> dict[str, object]:
    """Returns where the run comes from, its findings, and each task before and after."""
    return {
        "origin": origin(results),
        "pair": pair(results),
        "announcements": announcements(results),
        "tiles": tiles(results),
        "changed": before_after(results),
        "changed_questions": changed_questions,
        "headline": text.headline(results),
        "findings": text.further_findings(results),
    }


def _prices(results: Results) -> dict[str, object]:
    """Returns what was gained against what was paid, along training, by rule and by size."""
    students = students_in_order(results)
    candidates = _candidates(results, students)
    is_followed = tradeoff.followed(results)
    return {
        "price": price_figure(results),
        "is_target_followed": any(results.dev_scores(student) for student in results.students),
        "roles": tradeoff.ROLES,
        "followed": [role for role in tradeoff.ROLES if results.with_role(role)],
        "moments": {student: tradeoff.along_training(results, student) for student in students}
        if is_followed
        else {},
        "tradeoff_charts": tradeoff_charts(results),
        "candidates": candidates,
        "choice_finding": text.choice_finding(candidates),
        "sized": tradeoff.sized(results),
        "scaling_chart": scaling_chart(results),
    }


def _data(results: Results) -> dict[str, object]:
    """Returns the way from questions to examples, and who wrote them."""
    several = of_teachers.teachers(results)
    return {
        "funnel": funnel(results),
        "marks_finding": text.marks_finding(results.rationale_counts),
        "verdicts": results.rationale_counts.verdicts,
        "kept_counts": _kept_counts(results),
        "teachers": several,
        "teachers_finding": of_teachers.finding(several) if several else "",
    }


def _training(results: Results) -> dict[str, object]:
    """Returns the students along their training, and how checkpoints are chosen."""
    return {
        "accuracy_chart": accuracy_chart(results),
        "development": development_scores(results),
        "loss_chart": loss_chart(results),
        "rate_chart": rate_chart(results),
        "logged": thinned_log(results),
        "rules": _rules(results) or ["in_distribution"],
        "rule_means": text.RULES,
        "training_notes": text.training_notes(results.last_checkpoints),
        "soft_findings": {
            kind: text.soft_findings(results.last_checkpoints, reached=kind == "note")
            for kind in ("warning", "note")
        },
        "on_policy": round_section(results),
    }


def _compared(results: Results) -> dict[str, object]:
    """Returns the comparisons, as a matrix and each by itself."""
    measured = _by_task(results)
    shown = [comparison for listed in measured.values() for comparison in listed]
    comparisons, folded = _divided(results, measured)
    return {
        "matrix": comparison_matrix(results),
        "comparisons": comparisons,
        "folded": folded,
        "widest": max((max(abs(c.low), abs(c.high)) for c in shown), default=1.0) or 1.0,
    }


def _by_task(results: Results) -> dict[str, list[Comparison]]:
    """Returns the comparisons of each task that has any, the headline's first.

    Then those of the chosen student.
    """
    main = results.main_comparison
    pair = (main.first, main.second) if main else None
    grouped = {
        task: [
            comparison
            for comparison in results.comparisons
            if comparison.task == task and comparison.first.taken and comparison.second.taken
        ]
        for task in results.task_names
    }
    return {
        task: sorted(
            listed,
            key=lambda c: ((c.first, c.second) != pair, c.first.as_shown != results.chosen),
        )
        for task, listed in grouped.items()
        if listed
    }


def _divided(
    results: Results, by_task: Mapping[str, Sequence[Comparison]]
) -> tuple[dict[str, list[Comparison]], dict[str, list[Comparison]]]:
    """Divides each task's comparisons into those that stand open and those that are folded.

    Where a task has many, the chosen student's stand open; the others are sorted by their first.
    """
    places = {system: place for place, system in enumerate(results.systems)}
    shown, folded = {}, {}
    for task, listed in by_task.items():
        of_chosen = [
            comparison
            for comparison in listed
            if results.chosen in (comparison.first.as_shown, comparison.second.as_shown)
        ]
        is_long = len(listed) > MOST_COMPARISONS and 0 < len(of_chosen) < len(listed)
        shown[task] = of_chosen if is_long else list(listed)
        if is_long:
            others = [comparison for comparison in listed if comparison not in of_chosen]
            folded[task] = sorted(others, key=lambda c: places.get(c.first.as_shown, len(places)))
    return shown, folded


def _guided(results: Results, found: GuidanceSection) -> dict[str, object]:
    """The figures that the section on guidance shows for one task."""
    shown = (*found.policies, *found.controls, *found.unaided)
    ends = [abs(end or 0.0) for s in shown for end in (s.difference_low, s.difference_high)]
    return {
        "found": found,
        "recommended": recommended(results, found.task),
        "findings": guidance_text.findings(found),
        "charts": curve_charts(found),
        "priced_by": PRICES_OF_CHARTS,
        "timing": timing_chart(found),
        "lengths": lengths(results, found),
        "groups": {"Alone": found.ends, "With the teacher's steps": found.policies},
        "routing": {"Whole questions sent to the teacher": found.routing},
        "widest": max(ends, default=1.0) or 1.0,
        "turned": {
            "right": turned(results, found, right=True),
            "wrong": turned(results, found, right=False),
        },
        "control": guidance_text.control,
    }


def _rules(results: Results) -> list[str]:
    """Returns the selection rules that had the tasks they need, the recipe's first."""
    in_order = sorted(results.choices, key=lambda choice: not choice.used)
    return list(dict.fromkeys(choice.rule for choice in in_order))


def _candidates(
    results: Results, students: Sequence[System]
) -> dict[System, list[tradeoff.ChosenCheckpoint]]:
    """Returns the checkpoints that rules choose for each student; none where one rule is known."""
    if len(_rules(results)) < 2:
        return {}
    chosen = {student: tradeoff.candidates(results, student) for student in students}
    return {student: checkpoints for student, checkpoints in chosen.items() if checkpoints}


def _kept_counts(results: Results) -> Mapping[str, int]:
    """Returns how many training questions have 0, 1, 2 ... kept rationales, in at most 12 spans."""
    kept = results.rationale_counts.kept_by_question
    per_question = [kept[question.id] for question in results.leading.splits["train"]]
    most = max(per_question, default=0)
    wide = max(1, -(-(most + 1) // 12))
    spans = [(low, low + wide - 1) for low in range(0, most + 1, wide)]
    return {
        f"{low}" if low == high else f"{low}{text.DASH}{high}": sum(
            low <= n <= high for n in per_question
        )
        for low, high in spans
    }
