"""The report's part on on-policy training: its rounds, and what accuracy costs in teacher tokens.

The figures of the rounds are small charts to one scale of training steps, with the same as a table
behind them. Teacher tokens are those that a teacher read and wrote for a student: for its
rationales, for the scores of its own answers, or, with guidance, for its answers to the test
questions.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from markupsafe import Markup

from potstill.prompts.formats import format_named
from potstill.records import Checkpoint, Collapse, Score, System, TrainingRound
from potstill.report import charts, guidance_text, text
from potstill.report.accuracy import Results
from potstill.report.chart_marks import Look
from potstill.report.guidance import guidance
from potstill.report.scatter import Dot, round_axis, scatter
from potstill.report.system_colours import START_LOOK, look_of

Way = Literal[
    "no teacher",
    "rationales",
    "distribution matching",
    "on-policy",
    "prefix form",
    "guidance at inference",
]
"""The ways by which a teacher's tokens reach a student."""


class TaughtSystem(NamedTuple):
    """A measured system, and the teacher tokens behind it."""

    name: str
    label: str
    """The system's label for programs, followed by the policy where it is guided."""

    way: Way
    teacher_tokens: float
    accuracy: float
    low: float
    high: float
    look: Look
    """The system's colour and mark all over the page; with guidance, the student's."""


class RoundSection(NamedTuple):
    """The section of the report on on-policy training."""

    rounds: Mapping[System, Sequence[TrainingRound]]
    collapses: Mapping[System, Collapse]
    charts: Mapping[str, Markup]
    """Small charts by their titles."""

    columns: Mapping[str, str]
    """The column of the table of rounds that a chart draws, by the chart's title."""

    taught: Sequence[TaughtSystem]
    """Every measured system on the leading task, by its teacher tokens."""

    price_chart: Markup | None


Figure = Callable[[TrainingRound], float | None]

FIGURES: Mapping[str, tuple[Figure, Callable[[float], str]]] = {
    "Right": (lambda own: _share(own.right, own), lambda share: text.percent(share, 0)),
    "Ended by themselves": (
        lambda own: _share(own.ended, own),
        lambda share: text.percent(share, 0),
    ),
    "Among the top K": (lambda own: own.mass, lambda share: text.percent(share, 0)),
    "Repeated runs of four": (lambda own: own.repeated, lambda share: text.percent(share, 0)),
    "Entropy of the student": (lambda own: own.entropy, "{:,.3g}".format),
    "Surprise of the teacher": (
        lambda own: None if own.teacher_logprob is None else -own.teacher_logprob,
        "{:,.3g}".format,
    ),
    "Tokens an answer": (lambda own: own.length, "{:,.10g}".format),
    "Teacher tokens a round": (lambda own: float(own.teacher_tokens), "{:,.10g}".format),
}
"""The small charts: a figure of a round, and how it is written. Shares, nats a token, tokens."""


COLUMNS: Mapping[str, str] = {
    "Right": "Answers|Right",
    "Ended by themselves": "Answers|Ended",
    "Among the top K": "In the top K (%)",
    "Repeated runs of four": "Repeated (%)",
    "Entropy of the student": "Entropy",
    "Surprise of the teacher": "Teacher\N{RIGHT SINGLE QUOTATION MARK}s log-probability",
    "Tokens an answer": "Tokens an answer",
    "Teacher tokens a round": "Teacher tokens",
}
"""The column of the table of rounds that a small chart draws, by the chart's title."""


def round_section(results: Results) -> RoundSection | None:
    """Returns the section; None for a run without on-policy students."""
    rounds: dict[System, list[TrainingRound]] = {}
    for own in results.rounds:
        rounds.setdefault(own.system, []).append(own)
    if not rounds:
        return None
    collapses = {collapse.system: collapse for collapse in results.collapses}
    taught = taught_systems(results)
    return RoundSection(
        rounds=rounds,
        collapses=collapses,
        charts=_round_charts(results, rounds, collapses),
        columns=COLUMNS,
        taught=taught,
        price_chart=_price_chart(taught),
    )


def taught_systems(results: Results) -> list[TaughtSystem]:
    """Returns every system that was measured on the leading task, by its teacher tokens."""
    last = {checkpoint.system: checkpoint for checkpoint in results.last_checkpoints}
    task = results.leading.name
    found = []
    for system in results.systems:
        score = results.test_score(system, task)
        if score is None or system.variant or (system != System("start") and system not in last):
            continue
        way: Way = "no teacher" if system not in last else _way(results, last[system])
        tokens = _training_tokens(results, system, last) if system in last else 0.0
        found.append(_taught(results, system, score, way, tokens))
    found += _guided(results, {one.label: one.teacher_tokens for one in found})
    return sorted(found, key=lambda one: one.teacher_tokens)


def _taught(
    results: Results, system: System, score: Score, way: Way, tokens: float
) -> TaughtSystem:
    accuracy, look = score.correct / score.total, look_of(results, system)
    return TaughtSystem(
        text.label(system), system.label, way, tokens, accuracy, score.low, score.high, look
    )


def _guided(results: Results, trained: Mapping[str, float]) -> list[TaughtSystem]:
    """Returns the policies of guidance, each with the tokens of its answers to all questions."""
    section = next((one for one in guidance(results) if one.task == results.leading.name), None)
    if section is None:
        return []
    settings = results.settings.get("guide")
    named = settings.get("student") if isinstance(settings, Mapping) else None
    subject = str(named or (results.chosen.label if results.chosen else ""))
    own = (student for student in results.students if student.label == subject)
    student = next(own, None)
    look = START_LOOK if student is None else look_of(results, student)
    return [
        TaughtSystem(
            f"{subject}, {guidance_text.short(score.policy)}",
            f"{subject}, {score.policy.label}",
            "guidance at inference",
            trained.get(subject, 0.0) + score.teacher_tokens * score.total,
            score.accuracy,
            score.low,
            score.high,
            look,
        )
        for score in section.policies
    ]


def _student_settings(results: Results, name: str) -> Mapping[str, object]:
    """Returns a student's on-policy settings in the recipe; empty where it has none."""
    found: object = results.settings
    for part in ("train", "students", name, "on_policy"):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _way(results: Results, checkpoint: Checkpoint) -> Way:
    if any(own.system == checkpoint.system for own in results.rounds):
        score = _student_settings(results, checkpoint.student).get("score")
        parts = score if isinstance(score, Mapping) else {}
        is_prefix = bool(parts.get("first_tokens") or parts.get("first_steps"))
        return "prefix form" if is_prefix else "on-policy"
    if not format_named(checkpoint.data_format).needs_rationale:
        return "no teacher"
    return "rationales" if checkpoint.soft_share is None else "distribution matching"


def _training_tokens(
    results: Results, system: System, last: Mapping[System, Checkpoint], depth: int = 0
) -> float:
    """Returns the teacher tokens behind a student: of rationales, of scores, and of its start's."""
    checkpoint = last[system]
    way = _way(results, checkpoint)
    if way == "no teacher":
        return 0.0
    kept = results.rationale_counts.kept
    if way in ("rationales", "distribution matching"):  # fewer of them: their share of the tokens
        return results.rationale_tokens * min(checkpoint.examples / max(kept, 1), 1.0)
    own = _student_settings(results, checkpoint.student)
    tokens = float(sum(one.teacher_tokens for one in results.rounds if one.system == system))
    before = System(str(own.get("start_from")), system.start)
    if before in last and depth < len(last):
        return tokens + _training_tokens(results, before, last, depth + 1)
    return tokens + (results.rationale_tokens if own.get("mix") else 0.0)


def _round_charts(
    results: Results,
    rounds: Mapping[System, Sequence[TrainingRound]],
    collapses: Mapping[System, Collapse],
) -> dict[str, Markup]:
    furthest = float(max(own.step for listed in rounds.values() for own in listed))
    drawn = {}
    for title, (figure, show) in FIGURES.items():
        lines = [
            charts.Line(
                text.label(system),
                [
                    charts.Point(own.step, value)
                    for own in listed
                    if own.answers and (value := figure(own)) is not None
                ],
                float(collapses[system].step) if system in collapses else None,
                look_of(results, system),
            )
            for system, listed in rounds.items()
        ]
        if any(line.points for line in lines):
            drawn[title] = charts.line_chart(
                lines, title=title, x_label="training steps", show=show, reach=(furthest, 0.0)
            )
    return drawn


def _price_chart(taught: Sequence[TaughtSystem]) -> Markup | None:
    if not taught:
        return None
    dots = [
        Dot(
            one.name,
            one.teacher_tokens,
            one.accuracy,
            one.low,
            one.high,
            one.look.shape,
            one.look.colour,
        )
        for one in taught
    ]
    furthest = max(dot.x for dot in dots)
    low, high = min(dot.low for dot in dots), max(dot.high for dot in dots)
    return scatter(
        dots,
        [],
        across=round_axis(0.0, furthest or 1.0, _thousands, "teacher tokens"),
        up=round_axis(low, high, lambda share: text.percent(share, 0)),
        title="Test accuracy",
    )


def _thousands(tokens: float) -> str:
    return f"{tokens / 1000:,.10g}k" if tokens >= 1000 else f"{tokens:,.10g}"


def _share(count: int | None, own: TrainingRound) -> float | None:
    return None if count is None or not own.answers else count / own.answers
