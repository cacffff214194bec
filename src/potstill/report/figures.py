"""The line charts of the page, from the results.

The charts of guidance: accuracy against what the teacher costs, and by when it steps in.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from potstill.records import GuidedScore
from potstill.report import charts, guidance_text, text
from potstill.report.accuracy import SUBJECT, Results
from potstill.report.charts import Axis
from potstill.report.guidance import GuidanceSection, is_conditional
from potstill.report.scatter import Dot, Route, Shape, round_axis, scatter
from potstill.report.tradeoff import ROLES, Moment, along_training, estimate, followed, sized

MOST_CHARTS = 6
"""Students whose trade-off is drawn; the table has all."""


def in_order(results: Results) -> list[str]:
    """The students, the one that the report is about first: it gets the first colour."""
    subject = results.subject or SUBJECT
    return sorted(results.students, key=lambda student: student != subject)


def accuracy_chart(results: Results) -> Markup | None:
    """Development accuracy on the leading task along training, a line for each student."""
    lines = []
    for student in in_order(results):
        scores = results.dev_scores(student)
        points = [charts.Point(each.step or 0, *estimate(each)) for each in scores]
        chosen = next((float(each.step or 0) for each in scores if each.chosen), None)
        lines.append(charts.Line(_short(results, student), points, chosen))
    if not any(line.points for line in lines):
        return None
    return charts.line_chart(
        lines, title="DevScorer accuracy", x_label="training steps", show=_percent
    )


def loss_chart(results: Results) -> Markup | None:
    """The training logs."""
    if not results.training:
        return None
    lines = [
        charts.Line(
            _short(results, student),
            charts.thinned(
                [charts.Point(s.step, s.loss) for s in results.training if s.student == student]
            ),
        )
        for student in in_order(results)
    ]
    return charts.line_chart(
        lines, title="Training loss", x_label="training steps", show=lambda loss: f"{loss:,.3g}"
    )


def tradeoff_charts(results: Results) -> dict[str, Markup]:
    """Target and other abilities along training, a chart for each student, all to one scale."""
    if not followed(results):
        return {}
    drawn = {each: along_training(results, each) for each in in_order(results)[:MOST_CHARTS]}
    moments = [moment for along in drawn.values() for moment in along]
    reach = (
        float(max((moment.step for moment in moments), default=0)),
        max((found.high for each in moments for found in each.abilities.values()), default=0.0),
    )
    return {
        student: charts.line_chart(
            _abilities(along),
            title=f"Development accuracy of {text.in_sentence(results, student)}",
            x_label="training steps",
            show=_percent,
            reach=reach,
        )
        for student, along in drawn.items()
    }


def scaling_chart(results: Results) -> Markup | None:
    """Test accuracy on the leading task against the size of the model, a line for each family."""
    points: dict[str, list[charts.Point]] = {}
    for each in sized(results):
        point = charts.Point(each.parameters, *estimate(each.score))
        points.setdefault(each.family, []).append(point)
    if not points:
        return None
    return charts.line_chart(
        [
            charts.Line("Start" if family == "start" else _short(results, family), each)
            for family, each in points.items()
        ],
        title=f"Test accuracy on {results.leading.name}",
        x_label="weights",
        show=_percent,
        show_x=text.weights,
        log_x=True,
    )


def _short(results: Results, student: str) -> str:
    """A student's label, or its name where a chart would cut the label off."""
    label = text.label(results, student)
    return label if len(label) <= charts.LABEL_CHARACTERS else student


def _abilities(along: Sequence[Moment]) -> list[charts.Line]:
    chosen = next((float(moment.step) for moment in along if moment.chosen), None)
    return [
        charts.Line(
            name,
            [
                charts.Point(moment.step, *moment.abilities[role])
                for moment in along
                if role in moment.abilities
            ],
            chosen,
        )
        for role, name in ROLES.items()
    ]


def _percent(share: float) -> str:
    return text.percent(share, 0)


FIXED, CONDITIONAL, ROUTED, GROWING, ALONE = 1, 2, 3, 4, 6
"""The colours of policies, routing and the two alone."""

SHAPES: Mapping[int, Shape] = {ALONE: "square", CONDITIONAL: "diamond"}
"""What sets these apart where colours do not; all others are circles."""

APART = 0.06
"""How far two intervals at one step are drawn from each other, in steps."""


def curve_charts(found: GuidanceSection) -> dict[str, Markup]:
    """Accuracy against teacher tokens and, where there are prices, against dollars; by title."""
    if not (found.ends or found.policies):
        return {}
    charts = {
        "By teacher tokens": _curve(
            found, lambda s: s.teacher_tokens, "{:,.10g}".format, "teacher tokens a question"
        )
    }
    if found.priced:
        charts["By cost"] = _curve(
            found, lambda s: s.cost, guidance_text.dollars, "US dollars a question"
        )
    return charts


def timing_chart(found: GuidanceSection) -> Markup | None:
    """Accuracy where the teacher writes step j alone, and where it writes the first steps.

    Returns:
        None where the teacher steps in at one place only.
    """
    alone_at = _by_number(found, "at")
    growing = _by_number(found, "first_n")
    if max(len(alone_at), len(growing)) < 2:
        return None
    steps = max([*alone_at, *growing])
    lines = [
        Route("only this step", [(n - APART, s.accuracy) for n, s in alone_at.items()], FIXED),
        Route("all up to it", [(n + APART, s.accuracy) for n, s in growing.items()], GROWING),
    ]
    routes = [line for line in lines if len(line.points) > 1]
    drawn = [(line.series, line is lines[1]) for line in routes]
    dots = [
        _dot(score, number + (APART if last else -APART), "", series)
        for series, last in drawn
        for number, score in (growing if last else alone_at).items()
    ]
    if found.alone:
        level = found.alone.accuracy
        routes.append(Route("student alone", [(0.5, level), (steps + 0.5, level)], ALONE))
    ticks = [float(step) for step in range(1, steps + 1)]
    return scatter(
        dots,
        routes,
        across=Axis(0.5, steps + 0.5, ticks, "{:.0f}".format, "step"),
        up=round_axis(*_reach(dots, found.ends[:1]), _percent),
        title="Test accuracy by the step that the teacher writes",
    )


def _curve(
    found: GuidanceSection,
    price: Callable[[GuidedScore], float],
    show: Callable[[float], str],
    label: str,
) -> Markup:
    def point(score: GuidedScore) -> tuple[float, float]:
        return price(score), score.accuracy

    dots = [_dot(s, price(s), guidance_text.short(s.policy), ALONE) for s in found.ends]
    dots += [
        _dot(
            s, price(s), guidance_text.short(s.policy), CONDITIONAL if is_conditional(s) else FIXED
        )
        for s in found.policies
    ]
    routes = []
    if len(found.ends) == 2:
        routes.append(Route("routing at random", [point(each) for each in found.ends], ALONE))
    if found.hardest:
        between = [*found.ends, *found.curves[found.hardest]]
        points = sorted(point(each) for each in between)
        routes.append(Route("routing by doubt", points, ROUTED))
    furthest = max([dot.x for dot in dots] + [x for route in routes for x, _ in route.points])
    return scatter(
        dots,
        routes,
        across=round_axis(0.0, furthest or 1.0, show, label),
        up=round_axis(*_reach(dots, found.routing), _percent),
        title="Test accuracy",
    )


def _dot(score: GuidedScore, x: float, label: str, series: int) -> Dot:
    return Dot(
        label=label,
        x=x,
        y=score.accuracy,
        low=score.low,
        high=score.high,
        shape=SHAPES.get(series, "circle"),
        series=series,
    )


def _by_number(found: GuidanceSection, kind: str) -> dict[int, GuidedScore]:
    """The policies of a kind by their number; the first step is both kinds' first."""
    numbered = {
        int(matched[1]): each
        for each in found.policies
        if (matched := re.fullmatch(rf"{kind}_(\d+)", each.policy))
    }
    first = {1: found.always} if found.always else {}
    return dict(sorted((first | numbered).items()))


def _reach(dots: Sequence[Dot], others: Sequence[GuidedScore]) -> tuple[float, float]:
    lows = [dot.low for dot in dots] + [each.accuracy for each in others]
    highs = [dot.high for dot in dots] + [each.accuracy for each in others]
    return min(lows), max(highs)
