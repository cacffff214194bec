"""Charts as SVG: lines with bands, bars and interval marks, coloured by the page's style sheet."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from potstill.report.chart_marks import Look, hover, mark
from potstill.text.short_paths import in_lines

WIDTH, HEIGHT = 400, 236
"""Width and height of a drawing; it is higher where its labels need more room."""

LEFT, RIGHT, TOP, BOTTOM = 42, 122, 12, 38
LABEL_GAP = 14
"""Least distance between the labels of two lines, in the drawing's units."""

CHARACTER_WIDTH = 6.6
"""Width of a label's character in the drawing's units, at the larger size of narrow screens."""

LABEL_CHARACTERS = 16
"""Most characters of a line of a label; a longer label takes several lines."""

LABEL_MARK = 3.4
"""Half the size of the mark before a label."""

LOG_MARGIN = 1.25
"""A logarithmic axis ends at so many times its largest value, and begins in the same way."""

LEAST_APART = 0.17
"""Least distance between the marks of a logarithmic axis, as a share of its length."""

MOST_LOG_TICKS = 7
"""Marks of a logarithmic axis of values; of more, only powers of ten stay between its ends."""

MOST_BANDED = 4
"""Lines whose bands can be told apart; those of more are drawn fainter."""

MOST_HOVERED = 60
"""Values of a line that the pointer finds; of more, every second or third one."""


class Point(NamedTuple):
    """One value, with the interval around it where there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


class Line(NamedTuple):
    """One labelled series, by ascending x."""

    label: str
    points: Sequence[Point]
    marked: float | None = None
    """The x of the point to ring."""

    look: Look = Look(1, 1)
    """The line's colour, dash and marks."""


class Axis(NamedTuple):
    """One scale and what is written on it."""

    low: float
    high: float
    ticks: Sequence[float]
    show: Callable[[float], str]
    """A value as text."""

    label: str = ""
    log: bool = False

    def share(self, value: float) -> float:
        """Returns the position of a value along the axis, from 0 to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


class ChartFrame(NamedTuple):
    """The drawing's two scales."""

    across: Axis
    up: Axis
    height: float = HEIGHT

    @property
    def floor(self) -> float:
        """The y of the drawing's lower end and of the axis there."""
        return self.height - BOTTOM

    @property
    def left(self) -> float:
        """The x of the drawing's left end, right of the longest mark of the upright axis."""
        longest = max((len(self.up.show(tick)) for tick in self.up.ticks), default=0)
        return max(LEFT, round(longest * CHARACTER_WIDTH + 9))

    def x(self, value: float) -> float:
        """Data to drawing, across."""
        return round(self.left + self.across.share(value) * (WIDTH - self.left - RIGHT), 1)

    def y(self, value: float) -> float:
        """Data to drawing, down."""
        return round(self.floor - self.up.share(value) * (self.floor - TOP), 1)


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    x_label: str,
    show: Callable[[float], str],
    show_x: Callable[[float], str] = "{:,.10g}".format,
    log_x: bool = False,
    log_y: bool = False,
    reach: tuple[float, float] = (0.0, 0.0),
) -> Markup:
    """Lines over steps or sizes, each labelled at its end, with bands where there are intervals.

    Args:
        lines: The lines to draw; those without points are left out.
        title: A name for the chart, for readers who hear the page.
        x_label: Under the x axis.
        show: A y value as text.
        show_x: An x value as text.
        log_x: Space equal ratios of x equally; the axis starts at 0 otherwise.
        log_y: The same of y, where all values are above 0.
        reach: How far x and y extend at least, so that several charts have the same scales.
    """
    lines = [line for line in lines if line.points]
    points = [point for line in lines for point in line.points]
    xs = [point.x for point in points]
    across = (
        log_axis(xs or [1.0], show_x, x_label)
        if log_x
        else _axis_from_0(max([reach[0], *xs]), show_x, x_label)
    )
    frame = ChartFrame(across, _up_axis(points, show, reach=reach[1], log=log_y), _height(lines))
    spoken = f"{title} against {x_label}. " + " ".join(_spoken(line, frame) for line in lines)
    body = [_axes(frame)]
    # Bands first, so that no line lies under a neighbour's band.
    body += [_band(frame, line) for line in lines]
    body += [_line(frame, line) for line in lines]
    body.append(_labels(frame, lines))
    body += [_hover(frame, line) for line in lines]
    return Markup(
        '<svg class="chart{}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(
        " crowded" if len(lines) > MOST_BANDED else "",
        WIDTH,
        frame.height,
        spoken,
        Markup("").join(body),
    )


def _height(lines: Sequence[Line]) -> float:
    """Returns the height of a drawing beside which all labels have room."""
    labels = sum(len(in_lines(line.label, LABEL_CHARACTERS)) for line in lines)
    return max(HEIGHT, TOP + labels * LABEL_GAP + BOTTOM)


def _axis_from_0(reach: float, show: Callable[[float], str], label: str) -> Axis:
    marks = ticks(reach)
    return Axis(0.0, max(marks[-1], reach), marks, show, label)


def _up_axis(
    points: Sequence[Point], show: Callable[[float], str], *, reach: float, log: bool
) -> Axis:
    """Returns the axis of the values: from 0, or between round values where it is logarithmic."""
    values = [point.y for point in points]
    if log and values and min(values) > 0:
        marks = log_ticks(min(values), max(values))
        return Axis(marks[0], marks[-1], marks, show, log=True)
    marks = ticks(max([reach, *(point.high or point.y for point in points)]))
    return Axis(0.0, marks[-1], marks, show)


def log_ticks(low: float, high: float) -> list[float]:
    """Returns 1, 2 and 5 times powers of ten from the last below a range to the first above it.

    Args:
        low: The range's lower end, above 0.
        high: Its upper end.
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [float(f"{lead}e{power}") for power in powers for lead in (1, 2, 5)]
    below = max((mark for mark in marks if mark <= low), default=marks[0])
    above = min((mark for mark in marks if mark >= high and mark > below), default=marks[-1])
    inside = [mark for mark in marks if below <= mark <= above]
    return inside if len(inside) <= MOST_LOG_TICKS else _powers_of_ten(inside)


def _powers_of_ten(marks: Sequence[float]) -> list[float]:
    whole = [mark for mark in marks[1:-1] if f"{mark:e}".startswith("1.0")]
    return [marks[0], *whole, marks[-1]]


def log_axis(values: Sequence[float], show: Callable[[float], str], label: str) -> Axis:
    """A logarithmic axis around some positive values, marked at those that leave room for text."""
    low, high = min(values) / LOG_MARGIN, max(values) * LOG_MARGIN
    axis = Axis(low, high, [], show, label, log=True)
    marks: list[float] = []
    for value in sorted(values):
        if not marks or axis.share(value) - axis.share(marks[-1]) >= LEAST_APART:
            marks.append(value)
    return axis._replace(ticks=marks)


def ticks(maximum: float, count: int = 4) -> list[float]:
    """Round values from 0 to the first at or above a maximum, about ``count`` steps."""
    if not maximum > 0 or not math.isfinite(maximum):
        return [0.0, 1.0]
    power = 10.0 ** math.floor(math.log10(maximum / count))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power * count >= maximum * (1 - 1e-9))
    steps = math.ceil(maximum / step - 1e-9)
    return [round(number * step, 12) for number in range(steps + 1)]


def thinned(points: Sequence[Point], most: int = 300) -> list[Point]:
    """Returns at most so many points, each a mean of neighbours; the ends of a log stay visible."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / most)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [Point(group[-1].x, sum(p.y for p in group) / len(group)) for group in groups]


def interval_mark(low: float, middle: float, high: float, *, ends: tuple[float, float]) -> Markup:
    """A value inside its interval on a scale; zero is marked where it lies inside the scale.

    Args:
        low: Lower end of the interval.
        middle: The value.
        high: Upper end.
        ends: The scale.
    """
    width, (least, most) = 180, ends

    def x(value: float) -> float:
        return round(1 + (value - least) / (most - least) * (width - 2), 1)

    zero = Markup('<line class="zero" x1="{0}" x2="{0}" y1="0" y2="14"/>').format(x(0.0))
    return Markup(
        '<svg class="interval" viewBox="0 0 {width} 14" aria-hidden="true">'
        '<line class="track" x1="1" x2="{end}" y1="7" y2="7"/>{zero}'
        '<line class="range" x1="{low}" x2="{high}" y1="7" y2="7"/>'
        '<line class="value" x1="{middle}" x2="{middle}" y1="1" y2="13"/></svg>'
    ).format(
        width=width,
        end=width - 1,
        zero=zero if least < 0 < most else Markup(""),
        low=x(low),
        high=x(high),
        middle=x(middle),
    )


def share_bar(count: float, most: float) -> Markup:
    """A bar as long as a count's share of the largest; the count itself stands beside it."""
    width = round(200 * count / most, 1) if most else 0
    return Markup(
        '<svg class="bar" viewBox="0 0 200 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="{}" height="10"/></svg>'
    ).format(width)


def column_chart(counts: Mapping[str, int], *, title: str) -> Markup:
    """Columns, each with its count above and its name below."""
    width, height = 44, 120
    most = max(counts.values(), default=0) or 1
    columns = []
    for number, (name, count) in enumerate(counts.items()):
        tall = round(count / most * (height - 40), 1)
        columns.append(
            Markup(
                '<rect x="{x}" y="{y}" width="30" height="{tall}"/>'
                '<text x="{middle}" y="{above}">{count}</text>'
                '<text class="axis" x="{middle}" y="{below}">{name}</text>'
            ).format(
                x=number * width + 7,
                y=height - 20 - tall,
                tall=tall,
                middle=number * width + 22,
                above=height - 25 - tall,
                below=height - 5,
                count=f"{count:,}",
                name=name,
            )
        )
    spoken = f"{title}: " + ", ".join(f"{name}: {count:,}" for name, count in counts.items())
    return Markup(
        '<svg class="columns" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img"'
        ' aria-label="{2}">{3}</svg>'
    ).format(max(len(counts), 1) * width, height, spoken, Markup("").join(columns))


def _spoken(line: Line, frame: ChartFrame) -> str:
    first, last = line.points[0], line.points[-1]
    show_x, show = frame.across.show, frame.up.show
    marked = "" if line.marked is None else f"; chosen at {show_x(line.marked)}"
    begins = "" if first is last else f"{show(first.y)} at {show_x(first.x)}, "
    return f"{line.label}: {begins}{show(last.y)} at {show_x(last.x)} {frame.across.label}{marked}."


def _axes(frame: ChartFrame) -> Markup:
    right, floor = WIDTH - RIGHT, frame.floor
    parts = [
        Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{y}" y2="{y}"/>'
            '<text class="axis y" x="{}" y="{}">{}</text>'
        ).format(
            frame.left,
            right,
            frame.left - 7,
            frame.y(tick) + 4,
            frame.up.show(tick),
            y=frame.y(tick),
        )
        for tick in frame.up.ticks
    ]
    parts += [
        Markup(
            '<line class="tick" x1="{x}" x2="{x}" y1="{}" y2="{}"/>'
            '<text class="axis x" x="{x}" y="{}">{}</text>'
        ).format(floor, floor + 4, floor + 17, frame.across.show(tick), x=frame.x(tick))
        for tick in frame.across.ticks
    ]
    title = Markup('<text class="axis x" x="{}" y="{}">{}</text>')
    label = title.format((frame.left + right) / 2, frame.height - 4, frame.across.label)
    return Markup("").join([*parts, label])


def _band(frame: ChartFrame, line: Line) -> Markup:
    banded = [(p.x, p.low, p.high) for p in line.points if p.low is not None and p.high is not None]
    if not banded:
        return Markup("")
    if len(banded) == 1:
        x, low, high = banded[0]
        return Markup('<line class="whisker s{0}" x1="{1}" x2="{1}" y1="{2}" y2="{3}"/>').format(
            line.look.colour, frame.x(x), frame.y(low), frame.y(high)
        )
    top = [f"{frame.x(x)},{frame.y(high)}" for x, _, high in banded]
    bottom = [f"{frame.x(x)},{frame.y(low)}" for x, low, _ in reversed(banded)]
    return Markup('<polygon class="band s{}" points="{}"/>').format(
        line.look.colour, " ".join(top + bottom)
    )


def _line(frame: ChartFrame, line: Line) -> Markup:
    path = " ".join(f"{frame.x(point.x)},{frame.y(point.y)}" for point in line.points)
    dots = line.points if len(line.points) <= 40 and line.points[0].low is not None else ()
    rings = [point for point in line.points if point.x == line.marked]
    circle = Markup('<circle class="{}" cx="{}" cy="{}" r="{}"/>')
    shape = line.look.shape
    marks = [mark(shape, "dot", frame.x(p.x), frame.y(p.y), 2.8) for p in dots]
    if not dots:
        last = line.points[-1]
        marks.append(mark(shape, "dot", frame.x(last.x), frame.y(last.y), 3.2))
    marks += [circle.format("ring", frame.x(p.x), frame.y(p.y), 6.5) for p in rings]
    return Markup('<g class="line s{} d{}"><polyline points="{}"/>{}</g>').format(
        *line.look, path, Markup("").join(marks)
    )


def _hover(frame: ChartFrame, line: Line) -> Markup:
    """Returns areas around values that say them where the pointer rests."""
    every = math.ceil(len(line.points) / MOST_HOVERED)
    show, show_x = frame.up.show, frame.across.show
    found = []
    for point in line.points[::-1][::every]:
        within = ""
        if point.low is not None and point.high is not None:
            within = f" [{show(point.low)}, {show(point.high)}]"
        told = f"{line.label}: {show(point.y)}{within} at {show_x(point.x)} {frame.across.label}"
        found.append(hover(frame.x(point.x), frame.y(point.y), told))
    return Markup("").join(found)


def _labels(frame: ChartFrame, lines: Sequence[Line]) -> Markup:
    """Each line's label at its end, moved where it would touch the one above or the axis below.

    The line's mark stands before it, where another line has a label as well.
    """
    ends = sorted((frame.y(line.points[-1].y), number) for number, line in enumerate(lines))
    texts = [in_lines(lines[number].label, LABEL_CHARACTERS) for _, number in ends]
    places = label_places([y for y, _ in ends], [len(text) for text in texts], frame.floor)
    is_marked = len(lines) > 1
    left = WIDTH - RIGHT + (18 if is_marked else 8)
    parts = []
    for y, (_, number), text in zip(places, ends, texts, strict=True):
        look = lines[number].look
        if is_marked:
            name = f"key s{look.colour}"
            parts.append(mark(look.shape, name, left - 6.5, round(y, 1), LABEL_MARK))
        parts += [
            Markup('<text class="end s{}" x="{}" y="{}">{}</text>').format(
                look.colour, left, round(y + place * LABEL_GAP + 4, 1), line
            )
            for place, line in enumerate(text)
        ]
    return Markup("").join(parts)


def label_places(wanted: Sequence[float], heights: Sequence[int], axis: float) -> list[float]:
    """Returns where the first line of each label stands, so that none touches another.

    Labels move down past those above them; where they would reach below the lower axis, all that
    lie there move up.

    Args:
        wanted: The height of each line's end in the drawing, from the top down.
        heights: The lines of text of each label.
        axis: The height of the lower axis.
    """
    places: list[float] = []
    free = -math.inf
    for y, lines in zip(wanted, heights, strict=True):
        places.append(max(y, free))
        free = places[-1] + lines * LABEL_GAP
    floor = axis + LABEL_GAP
    for number in reversed(range(len(places))):
        places[number] = min(places[number], floor - heights[number] * LABEL_GAP)
        floor = places[number]
    return places
