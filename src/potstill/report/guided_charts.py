"""The charts of guidance: accuracy against what the teacher costs, and by when it steps in."""

import re
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from potstill.records import GuidedScore
from potstill.report import guided_words
from potstill.report.charts import Axis
from potstill.report.guidance import Guidance, is_conditional
from potstill.report.scatter import Dot, Route, Shape, round_axis, scatter
from potstill.report.words import percent

FIXED, CONDITIONAL, ROUTED, GROWING, ALONE = 1, 2, 3, 4, 6
"""The colours of policies, routing and the two alone."""

SHAPES: Mapping[int, Shape] = {ALONE: "square", CONDITIONAL: "diamond"}
"""What sets these apart where colours do not; all others are circles."""

APART = 0.06
"""How far two intervals at one step are drawn from each other, in steps."""


def curve_charts(found: Guidance) -> dict[str, Markup]:
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
            found, lambda s: s.cost, guided_words.dollars, "US dollars a question"
        )
    return charts


def timing_chart(found: Guidance) -> Markup | None:
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
    found: Guidance,
    price: Callable[[GuidedScore], float],
    show: Callable[[float], str],
    label: str,
) -> Markup:
    def point(score: GuidedScore) -> tuple[float, float]:
        return price(score), score.accuracy

    dots = [_dot(s, price(s), guided_words.short(s.policy), ALONE) for s in found.ends]
    dots += [
        _dot(s, price(s), guided_words.short(s.policy), CONDITIONAL if is_conditional(s) else FIXED)
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


def _by_number(found: Guidance, kind: str) -> dict[int, GuidedScore]:
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


def _percent(share: float) -> str:
    return percent(share, 0)
