"""A chart as SVG: labelled points with their intervals, and lines between values beside them.

Labels are placed one after the other (:func:`place_labels`): each at the cheapest of many places
around what it names, where lying on a line, a mark, another label or outside has a price.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from potstill.report.chart_marks import Look, Shape, mark
from potstill.report.charts import Axis

WIDTH, HEIGHT = 400, 310

LEFT, RIGHT, TOP, BOTTOM = 42, 14, 10, 40


class Box(NamedTuple):
    """A rectangle, its upper left corner first."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        """Whether two rectangles overlap."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies inside."""
        return self.left < x < self.right and self.top < y < self.bottom


AREA = Box(LEFT + 2, TOP - 8, WIDTH, HEIGHT - BOTTOM - 2)
"""The box that labels may stand in."""


MARK = 4.0
"""Half the size of a mark."""


class Dot(NamedTuple):
    """A value with its interval."""

    label: str
    """The value's name in the drawing; empty where its line names it."""

    x: float
    y: float
    low: float
    high: float
    shape: Shape = "circle"
    colour: int = 1
    """The number of its colour, from 1 to 6."""

    name: str = ""
    """The value's name shown under the pointer, where it has no label."""


class Route(NamedTuple):
    """A labelled line through some points."""

    label: str
    points: Sequence[tuple[float, float]]
    look: Look
    """The line's colour and dash."""


class ScatterFrame(NamedTuple):
    """The drawing's two scales."""

    across: Axis
    up: Axis

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Data to drawing."""
        return (
            round(LEFT + self.across.share(x) * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - self.up.share(y) * (HEIGHT - TOP - BOTTOM), 1),
        )


def scatter(
    dots: Sequence[Dot], routes: Sequence[Route], *, across: Axis, up: Axis, title: str
) -> Markup:
    """Points with whiskers, and lines; each has its label where nothing else is.

    Args:
        dots: At least one.
        routes: Lines that lie below the points.
        across: The horizontal scale.
        up: The vertical scale.
        title: A name for the chart, for readers who hear the page.
    """
    frame = ScatterFrame(across, up)
    spoken = f"{title} against {across.label}. " + " ".join(_spoken(frame, dots, routes))
    paths = [[frame.at(*point) for point in route.points] for route in routes]
    body = [_axes(frame)]
    body += [_route(route, path) for route, path in zip(routes, paths, strict=True)]
    body += [_whisker(frame, dot) for dot in dots]
    marks = [_mark(frame, dot) for dot in dots]  # above the leaders, which end in them
    body += [*_labels(frame, dots, routes, paths), *marks]
    return Markup(
        '<svg class="chart scatter" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(WIDTH, HEIGHT, spoken, Markup("").join(body))


def round_axis(
    low: float, high: float, show: Callable[[float], str], label: str = "", count: int = 5
) -> Axis:
    """A scale between round values, in about so many steps, from 0 where that is near."""
    low = 0.0 if low < (high - low) / 2 else low
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(power * m for m in (1, 2, 5, 10, 20) if power * m * count >= span * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]
    return Axis(ticks[0], ticks[-1], ticks, show, label)


def _spoken(frame: ScatterFrame, dots: Sequence[Dot], routes: Sequence[Route]) -> Iterator[str]:
    show, show_x = frame.up.show, frame.across.show
    for dot in dots:
        if dot.label:
            ends = f"{show(dot.low)} to {show(dot.high)}"
            yield f"{dot.label}: {show(dot.y)} ({ends}) at {show_x(dot.x)}."
    for route in routes:
        values = ", ".join(f"{show(y)} at {show_x(x)}" for x, y in route.points)
        yield f"{route.label}: {values}."


def _axes(frame: ScatterFrame) -> Markup:
    right, floor = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for tick in frame.up.ticks:
        _, y = frame.at(frame.across.low, tick)
        parts.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{y}" y2="{y}"/>'
                '<text class="axis y" x="{}" y="{}">{}</text>'
            ).format(LEFT, right, LEFT - 7, round(y + 4, 1), frame.up.show(tick), y=y)
        )
    for tick in frame.across.ticks:
        x, _ = frame.at(tick, frame.up.low)
        parts.append(
            Markup(
                '<line class="tick" x1="{x}" x2="{x}" y1="{}" y2="{}"/>'
                '<text class="axis x" x="{x}" y="{}">{}</text>'
            ).format(floor, floor + 4, floor + 17, frame.across.show(tick), x=x)
        )
    title = Markup('<text class="axis x" x="{}" y="{}">{}</text>')
    parts.append(title.format((LEFT + right) / 2, HEIGHT - 5, frame.across.label))
    return Markup("").join(parts)


def _route(route: Route, path: Sequence[tuple[float, float]]) -> Markup:
    points = " ".join(f"{x},{y}" for x, y in path)
    return Markup('<g class="line s{} d{}"><polyline points="{}"/></g>').format(*route.look, points)


def _whisker(frame: ScatterFrame, dot: Dot) -> Markup:
    x, bottom = frame.at(dot.x, dot.low)
    _, top = frame.at(dot.x, dot.high)
    return Markup('<line class="error s{0}" x1="{1}" x2="{1}" y1="{2}" y2="{3}"/>').format(
        dot.colour, x, bottom, top
    )


def _mark(frame: ScatterFrame, dot: Dot) -> Markup:
    show, show_x = frame.up.show, frame.across.show
    told = (
        f"{dot.name or dot.label}: {show(dot.y)} [{show(dot.low)}, {show(dot.high)}] at "
        f"{show_x(dot.x)} {frame.across.label}"
    )
    return mark(dot.shape, f"mark s{dot.colour}", *frame.at(dot.x, dot.y), MARK, told)


def _labels(
    frame: ScatterFrame,
    dots: Sequence[Dot],
    routes: Sequence[Route],
    paths: Sequence[Sequence[tuple[float, float]]],
) -> Iterator[Markup]:
    """The labels of the points, then of the lines, which have more places to choose from."""
    named = [(dot, frame.at(dot.x, dot.y)) for dot in dots if dot.label]
    wanted = [Label(dot.label, [at]) for dot, at in named]
    wanted += [
        Label(route.label, _anchors(path)) for route, path in zip(routes, paths, strict=True)
    ]
    whiskers = (_between(frame.at(dot.x, dot.low), frame.at(dot.x, dot.high)) for dot in dots)
    lines = (_between(*ends) for path in paths for ends in pairwise(path))
    places = place_labels(
        wanted,
        area=AREA,
        marks=[_mark_box(frame.at(dot.x, dot.y)) for dot in dots],
        crossed=[point for points in (*whiskers, *lines) for point in points],
    )
    colours = [dot.colour for dot, _ in named] + [route.look.colour for route in routes]
    for label, place, colour in zip(wanted, places, colours, strict=True):
        if place.leader:
            yield _leader(place)
        yield Markup('<text class="label s{}" x="{}" y="{}">{}</text>').format(
            colour,
            round((place.box.left + place.box.right) / 2, 1),
            round(place.box.bottom - 3.5, 1),
            label.text,
        )


class Place(NamedTuple):
    """The place of a label."""

    box: Box
    anchor: tuple[float, float]
    leader: bool
    """Whether it is so far off that a line leads to it."""

    @property
    def nearest(self) -> tuple[float, float]:
        """The point of the label that is nearest to its anchor."""
        x = min(max(self.anchor[0], self.box.left), self.box.right)
        y = min(max(self.anchor[1], self.box.top), self.box.bottom)
        return round(x, 1), round(y, 1)

    @property
    def line(self) -> list[tuple[float, float]]:
        """Points of the line that leads to the label, but for its beginning in the mark."""
        if not self.leader:
            return []
        (x, y), (end_x, end_y) = self.anchor, self.nearest
        shares = [number / LEADER_PARTS for number in range(2, LEADER_PARTS)]
        return [(x + (end_x - x) * share, y + (end_y - y) * share) for share in shares]


def _leader(place: Place) -> Markup:
    (x, y), (end_x, end_y) = place.anchor, place.nearest
    return Markup('<line class="leader" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
        x, y, end_x, end_y
    )


def _mark_box(at: tuple[float, float]) -> Box:
    reach = MARK + 1.5
    return Box(at[0] - reach, at[1] - reach, at[0] + reach, at[1] + reach)


def _anchors(path: Sequence[tuple[float, float]], count: int = 8) -> list[tuple[float, float]]:
    """Points along a line that its label may stand beside."""
    points = [point for ends in pairwise(path) for point in _between(*ends)]
    return points[:: max(1, len(points) // count)] or list(path)


def _between(begin: tuple[float, float], end: tuple[float, float]) -> list[tuple[float, float]]:
    """Points from one to the other, no further apart than a line of text is tall."""
    steps = max(1, math.ceil(math.dist(begin, end) / 5))
    shares = [number / steps for number in range(steps + 1)]
    return [
        (begin[0] + (end[0] - begin[0]) * share, begin[1] + (end[1] - begin[1]) * share)
        for share in shares
    ]


CHARACTER_WIDTH, LINE_HEIGHT = 6.3, 14.0
"""Sizes of text, in the drawing's units."""


DIRECTIONS = 16

DISTANCES = (8.0, 16.0, 28.0, 42.0, 58.0, 76.0)
"""The distances from its anchor at which a label is tried, the nearest first."""


LEADER_FROM = 20.0
"""The distance from which on a line leads from the anchor to its label."""


LEADER_PARTS = 10
"""Parts of such a line, each of whose ends is looked at."""


CROWDED_WITHIN = 30.0
"""The greatest distance of marks that crowd a label."""


ON_LINE_PRICE = 10.0
LEADER_OVER_PRICE = 60.0
ON_MARK_PRICE = 2_000.0
OUTSIDE_PRICE = 9_000.0
"""The prices of a place on a line, with a leader over a label or mark, on one of these, and outside
the drawing; each outweighs many of the one before."""


class Label(NamedTuple):
    """A text to be placed beside one of some points."""

    text: str
    anchors: Sequence[tuple[float, float]]


def place_labels(
    labels: Sequence[Label],
    *,
    area: Box,
    marks: Sequence[Box],
    crossed: Sequence[tuple[float, float]],
) -> list[Place]:
    """Find a place for each label, those with the least choice first.

    Args:
        labels: The labels to place.
        area: The box that labels may stand in.
        marks: The marks no label may cover.
        crossed: Points of lines, which labels had better not cover.
    """
    taken, lines = list(marks), list(crossed)
    placed: dict[int, Place] = {}
    for number in sorted(range(len(labels)), key=lambda number: _freedom(labels[number], marks)):
        label = labels[number]
        # A line has many places for its label, so that none of them needs to be far.
        distances = DISTANCES if len(label.anchors) == 1 else DISTANCES[:2]
        places = [
            place for anchor in label.anchors for place in _around(label.text, anchor, distances)
        ]
        best = min(places, key=lambda place: _price(place, area, taken, lines))
        taken.append(best.box)
        lines += best.line
        placed[number] = best
    return [placed[number] for number in range(len(labels))]


def _freedom(label: Label, marks: Sequence[Box]) -> tuple[int, int]:
    """How late a label can be placed: those of points go first, the most crowded before others."""
    x, y = label.anchors[0]
    near = Box(x - CROWDED_WITHIN, y - CROWDED_WITHIN, x + CROWDED_WITHIN, y + CROWDED_WITHIN)
    return len(label.anchors), -sum(near.meets(mark) for mark in marks)


def _around(text: str, anchor: tuple[float, float], distances: Sequence[float]) -> Iterator[Place]:
    """The places around an anchor, so that the label's edge has the distance tried."""
    wide, (x, y) = len(text) * CHARACTER_WIDTH / 2, anchor
    upright = {DIRECTIONS // 4, DIRECTIONS * 3 // 4}
    for distance in distances:
        for number in range(DIRECTIONS):
            if distance > LEADER_FROM and number in upright:
                continue  # a leader that stands upright would look like an interval
            turn = 2 * math.pi * number / DIRECTIONS
            middle = x + math.cos(turn) * (distance + wide)
            height = y + math.sin(turn) * (distance + LINE_HEIGHT / 2)
            top = height - LINE_HEIGHT / 2
            box = Box(middle - wide, top, middle + wide, top + LINE_HEIGHT)
            yield Place(box, anchor, distance > LEADER_FROM)


def _price(
    place: Place, area: Box, taken: Sequence[Box], crossed: Sequence[tuple[float, float]]
) -> float:
    box, (x, y) = place.box, place.nearest
    price = math.hypot(x - place.anchor[0], y - place.anchor[1])
    over = [box.left < area.left, box.right > area.right]
    price += OUTSIDE_PRICE * sum([*over, box.top < area.top, box.bottom > area.bottom])
    price += ON_MARK_PRICE * sum(box.meets(other) for other in taken)
    price += ON_LINE_PRICE * sum(box.holds(*point) for point in crossed)
    price += LEADER_OVER_PRICE * sum(other.holds(*point) for other in taken for point in place.line)
    return price
