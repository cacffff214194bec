"""Charts of labelled points: where labels go, and round scales."""

from itertools import combinations

import pytest
from report_run import Reader

from potstill.report.chart_marks import Look
from potstill.report.scatter import Box, Dot, Label, Route, place_labels, round_axis, scatter


def test_labels_of_crowded_points_cover_nothing() -> None:
    points = [(60.0 + 9 * (number % 3), 100.0 + 11 * (number // 3)) for number in range(9)]
    marks = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    area = Box(0, 0, 400, 300)
    labels = [Label(f"policy {number}", [point]) for number, point in enumerate(points)]
    boxes = [place.box for place in place_labels(labels, area=area, marks=marks, crossed=[])]
    assert not any(one.meets(two) for one, two in combinations(boxes, 2))
    assert not any(box.meets(mark) for box in boxes for mark in marks)
    for box in boxes:
        assert area.left <= box.left < box.right <= area.right
        assert area.top <= box.top < box.bottom <= area.bottom


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.34, 0.95, [0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 141.0, [0.0, 50.0, 100.0, 150.0]),
        (0.1, 0.5, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        (0.5, 0.5, [0.5, 0.5]),
    ],
)
def test_scales_run_between_round_values(low: float, high: float, ticks: list[float]) -> None:
    axis = round_axis(low, high, str)
    assert axis.ticks[0] <= low or low == high
    assert axis.ticks[-1] >= high
    assert axis.high > axis.low
    if low != high:
        assert axis.ticks == ticks


def test_points_lie_on_the_scales_inside_their_whiskers() -> None:
    dots = [Dot("low", 0.0, 0.2, 0.0, 0.4), Dot("<high>", 10.0, 1.0, 0.9, 1.0, "square", 2)]
    chart = scatter(
        dots,
        [Route("between", [(0.0, 0.2), (10.0, 1.0)], Look(6, 6))],
        across=round_axis(0.0, 10.0, "{:.0f}".format, "tokens"),
        up=round_axis(0.0, 1.0, "{:.0%}".format),
        title="Accuracy",
    )
    reader = Reader(chart)
    assert reader.tags[0][1]["aria-label"] == (
        "Accuracy against tokens. low: 20% (0% to 40%) at 0. <high>: 100% (90% to 100%) at 10. "
        "between: 20% at 0, 100% at 10."
    )
    low, high = [a for _, a in reader.tags if (a.get("class") or "").startswith("error")]
    (circle,) = [a for tag, a in reader.tags if tag == "circle"]
    assert circle["cx"] == low["x1"]
    middle = (float(low["y1"] or 0) + float(low["y2"] or 0)) / 2
    assert float(circle["cy"] or 0) == pytest.approx(middle, abs=0.11)
    # 100% is the top of the scale, and 10 tokens its right end.
    grid = [a for _, a in reader.tags if a.get("class") == "grid"]
    assert float(high["y2"] or 0) == min(float(a["y1"] or 0) for a in grid)
    assert high["x1"] == grid[0]["x2"] or float(high["x1"] or 0) == float(grid[0]["x2"] or 0)
