"""The charts of the page: accuracy and loss along training, trade-offs, sizes, and guidance.

Guidance has two kinds of chart: accuracy against the teacher's tokens or dollars, with the lines
that routing of whole questions reaches, and accuracy by the step at which the teacher steps in.
"""

from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from potstill.records import GuidedScore, Score, System, TrainingStep
from potstill.report import charts, guidance_text, text
from potstill.report.accuracy import Results
from potstill.report.chart_marks import Look, Shape
from potstill.report.charts import Axis
from potstill.report.guidance import GuidanceSection
from potstill.report.scatter import Dot, Route, round_axis, scatter
from potstill.report.system_colours import START_LOOK, look_of, students_in_order
from potstill.report.tradeoff import ROLES, Moment, along_training, estimate, followed, sized

MOST_LOGGED = 200
"""Lines of a student's training log in the table; of more, every second or third one, the last
always."""

MOST_CHARTS = 6
"""Students whose trade-off is drawn; the table has all."""


def accuracy_chart(results: Results) -> Markup | None:
    """Development accuracy on the leading task along training, a line for each student."""
    lines = []
    for student, scores in development_scores(results).items():
        chosen = next((float(score.step or 0) for score in scores if score.chosen), None)
        points = [charts.Point(score.step or 0, *estimate(score)) for score in scores]
        look = look_of(results, student)
        lines.append(charts.Line(text.label(student), points, chosen, look))
    if not any(line.points for line in lines):
        return None
    return charts.line_chart(
        lines, title="Development accuracy", x_label="training steps", show=_percent
    )


def development_scores(results: Results) -> dict[System, list[Score]]:
    """Returns each student's scores on the leading task's development questions, by step.

    The first is that of its start, without a step, where the start was measured on them.
    """
    scores = {student: results.dev_scores(student) for student in students_in_order(results)}
    return {
        student: [*results.dev_scores(results.start_of(student)), *own]
        for student, own in scores.items()
        if own
    }


def loss_chart(results: Results) -> Markup | None:
    """The training logs, on a logarithmic axis; losses of 0 are drawn on one from 0."""
    if not results.training:
        return None
    lines = [
        charts.Line(
            text.label(student),
            charts.thinned(
                [charts.Point(s.step, s.loss) for s in results.training if s.system == student]
            ),
            look=look_of(results, student),
        )
        for student in students_in_order(results)
    ]
    return charts.line_chart(
        lines,
        title="Training loss",
        x_label="training steps",
        show=lambda loss: f"{loss:,.3g}",
        log_y=True,
    )


def thinned_log(results: Results) -> list[TrainingStep]:
    """Returns the training logs as a table shows them: at most :data:`MOST_LOGGED` lines each."""
    lines = []
    for student in students_in_order(results):
        own = [line for line in results.training if line.system == student]
        every = -(-len(own) // MOST_LOGGED) or 1
        lines += own[::-1][::every][::-1]
    return lines


def rate_chart(results: Results) -> Markup | None:
    """Returns the learning rate along training; None where the store keeps none."""
    rates = {
        student: [
            charts.Point(line.step, line.learning_rate)
            for line in results.training
            if line.system == student and line.learning_rate is not None
        ]
        for student in students_in_order(results)
    }
    if not any(rates.values()):
        return None
    lines = [
        charts.Line(text.label(student), charts.thinned(points), look=look_of(results, student))
        for student, points in rates.items()
    ]
    return charts.line_chart(
        lines,
        title="Learning rate",
        x_label="training steps",
        show=learning_rate,
    )


def learning_rate(value: float) -> str:
    """Returns a learning rate as short as it can be: ``0``, ``7.5e-4``."""
    mantissa, _, power = f"{value:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(power)}" if value else "0"


def tradeoff_charts(results: Results) -> dict[System, Markup]:
    """Target and other abilities along training, a chart for each student, all to one scale."""
    if not followed(results):
        return {}
    students = students_in_order(results)[:MOST_CHARTS]
    drawn = {student: along_training(results, student) for student in students}
    moments = [moment for along in drawn.values() for moment in along]
    reach = (
        float(max((moment.step for moment in moments), default=0)),
        max((share.high for m in moments for share in m.abilities.values()), default=0.0),
    )
    return {
        student: charts.line_chart(
            _abilities(along, look_of(results, student).colour),
            title=f"Development accuracy of {text.in_sentence(student)}",
            x_label="training steps",
            show=_percent,
            reach=reach,
        )
        for student, along in drawn.items()
    }


def scaling_chart(results: Results) -> Markup | None:
    """Test accuracy on the leading task against the size of the model, a line for each family."""
    points: dict[str, list[charts.Point]] = {}
    for model in sized(results):
        point = charts.Point(model.parameters, *estimate(model.score))
        points.setdefault(model.family, []).append(point)
    if not points:
        return None
    return charts.line_chart(
        [
            charts.Line(
                "Start" if family == "start" else text.label(System(family)),
                by_size,
                look=_family_look(results, family),
            )
            for family, by_size in points.items()
        ],
        title=f"Test accuracy on {results.leading.name}",
        x_label="weights",
        show=_percent,
        show_x=text.count_in_short,
        log_x=True,
    )


def _family_look(results: Results, family: str) -> Look:
    """Returns the colour and form of the first student of a family, of whichever size."""
    own = (student for student in students_in_order(results) if student.model == family)
    first = next(own, None)
    return START_LOOK if first is None else look_of(results, first)


def _abilities(along: Sequence[Moment], colour: int) -> list[charts.Line]:
    """Returns a line for each ability, all in the student's colour and each with its own form."""
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
            Look(colour, form),
        )
        for form, (role, name) in enumerate(ROLES.items(), start=1)
    ]


def _percent(share: float) -> str:
    return text.percent(share, 0)


BY_TOKENS, BY_COST = "By teacher tokens", "By cost"
"""The titles of the charts of accuracy against a price."""

PRICES_OF_CHARTS: Mapping[str, str] = {BY_TOKENS: "Teacher tokens", BY_COST: "Dollars"}
"""The column of the table of policies that holds the price, by the chart's title."""

FIXED, CONDITIONAL, ROUTED, GROWING, ALONE = (Look(number, number) for number in (1, 2, 3, 4, 6))
"""The colours and dashes of policies, routing and the two alone."""

SHAPES: Mapping[Look, Shape] = {ALONE: "square", CONDITIONAL: "diamond"}
"""The marks that set these apart where colours do not; all others are circles."""

APART = 0.06
"""The distance at which two intervals of one step are drawn from each other, in steps."""


def curve_charts(section: GuidanceSection) -> dict[str, Markup]:
    """Accuracy against teacher tokens and, where there are prices, against dollars; by title."""
    if not (section.ends or section.policies):
        return {}
    charts = {
        BY_TOKENS: _price_chart(
            section, lambda s: s.teacher_tokens, "{:,.10g}".format, "teacher tokens a question"
        )
    }
    if section.priced:
        charts[BY_COST] = _price_chart(
            section, lambda s: s.cost, guidance_text.dollars, "US dollars a question"
        )
    return charts


def timing_chart(section: GuidanceSection) -> Markup | None:
    """Accuracy where the teacher writes step j alone, and where it writes the first steps.

    Returns:
        None where the teacher steps in at one place only.
    """
    alone_at = _by_number(section, "at")
    growing = _by_number(section, "first_n")
    if max(len(alone_at), len(growing)) < 2:
        return None
    steps = max([*alone_at, *growing])
    lines = [
        Route("only this step", [(n - APART, s.accuracy) for n, s in alone_at.items()], FIXED),
        Route("all up to it", [(n + APART, s.accuracy) for n, s in growing.items()], GROWING),
    ]
    routes = [line for line in lines if len(line.points) > 1]
    drawn = [(line.look, line is lines[1]) for line in routes]
    dots = [
        _dot(score, number + (APART if last else -APART), "", look)
        for look, last in drawn
        for number, score in (growing if last else alone_at).items()
    ]
    if section.alone:
        level = section.alone.accuracy
        routes.append(Route("student alone", [(0.5, level), (steps + 0.5, level)], ALONE))
    ticks = [float(step) for step in range(1, steps + 1)]
    return scatter(
        dots,
        routes,
        across=Axis(0.5, steps + 0.5, ticks, "{:.0f}".format, "step"),
        up=round_axis(*_reach(dots, section.ends[:1]), _percent),
        title="Test accuracy by the step that the teacher writes",
    )


def _price_chart(
    section: GuidanceSection,
    price: Callable[[GuidedScore], float],
    show: Callable[[float], str],
    label: str,
) -> Markup:
    """Accuracy against a price, with the lines that routing whole questions reaches.

    Args:
        section: The scores of one task.
        price: The price of a policy, a question.
        show: Writes a price at a tick of the axis.
        label: The axis' own.
    """

    def point(score: GuidedScore) -> tuple[float, float]:
        return price(score), score.accuracy

    dots = [_dot(s, price(s), guidance_text.short(s.policy), ALONE) for s in section.ends]
    for score in section.policies:
        look = CONDITIONAL if score.policy.is_conditional else FIXED
        dots.append(_dot(score, price(score), guidance_text.short(score.policy), look))
    routes = []
    if len(section.ends) == 2:
        ends = [point(score) for score in section.ends]
        routes.append(Route("routing at random", ends, ALONE))
    if section.hardest:
        between = [*section.ends, *section.curves[section.hardest]]
        routes.append(Route("routing by doubt", sorted(map(point, between)), ROUTED))
    furthest = max([dot.x for dot in dots] + [x for route in routes for x, _ in route.points])
    return scatter(
        dots,
        routes,
        across=round_axis(0.0, furthest or 1.0, show, label),
        up=round_axis(*_reach(dots, section.routing), _percent),
        title="Test accuracy",
    )


def _dot(score: GuidedScore, x: float, label: str, look: Look) -> Dot:
    return Dot(
        label=label,
        name=guidance_text.label(score.policy),
        x=x,
        y=score.accuracy,
        low=score.low,
        high=score.high,
        shape=SHAPES.get(look, "circle"),
        colour=look.colour,
    )


def _by_number(section: GuidanceSection, name: str) -> dict[int, GuidedScore]:
    """The policies ``at`` or ``first_n`` by their number; the first step is both kinds' first."""
    numbered = {
        int(score.policy.number): score
        for score in section.policies
        if score.policy.name == name and score.policy.number is not None
    }
    first = {1: section.always} if section.always else {}
    return dict(sorted((first | numbered).items()))


def _reach(dots: Sequence[Dot], others: Sequence[GuidedScore]) -> tuple[float, float]:
    lows = [dot.low for dot in dots] + [score.accuracy for score in others]
    highs = [dot.high for dot in dots] + [score.accuracy for score in others]
    return min(lows), max(highs)
