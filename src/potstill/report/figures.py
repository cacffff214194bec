"""The line charts of the page, from the results."""

from collections.abc import Sequence

from markupsafe import Markup

from potstill.report import charts, words
from potstill.report.results import SUBJECT, Results
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
        lines, title="Development accuracy", x_label="training steps", show=_percent
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
            title=f"Development accuracy of {words.in_sentence(results, student)}",
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
        show_x=words.weights,
        log_x=True,
    )


def _short(results: Results, student: str) -> str:
    """A student's label, or its name where a chart would cut the label off."""
    label = words.label(results, student)
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
    return words.percent(share, 0)
