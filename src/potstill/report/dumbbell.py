"""A chart of two values a row, before and after: start and student on each task, and the teacher.

It is drawn twice, for a wide and for a narrow screen; the style sheet shows one of them.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

from markupsafe import Markup

from potstill.report.text import percent
from potstill.text.short_paths import in_lines

Verdict = Literal["gain", "loss", "unshown"]
"""Whether the difference of a row is shown."""


class Ends(NamedTuple):
    """A value with its interval, as shares."""

    value: float
    low: float
    high: float


class DumbbellRow(NamedTuple):
    """One task."""

    name: str
    note: str
    """A few words under the name."""

    before: float | None
    after: Ends
    goal: float | None
    """The teacher's accuracy, from 0 to 1; None where it was not measured."""

    change: str
    """The difference as text; empty where there is nothing to compare with."""

    verdict: Verdict
    link: str
    """The address that a click on the row leads to; empty for none."""

    @property
    def spoken(self) -> str:
        """The row's values in a sentence."""
        parts = [f"student {percent(self.after.value)}"]
        parts[0] += f" [{percent(self.after.low)}, {percent(self.after.high)}]"
        if self.before is not None:
            parts.insert(0, f"start {percent(self.before)}")
        if self.goal is not None:
            parts.append(f"teacher {percent(self.goal)}")
        if self.change:
            unshown = ", no difference shown" if self.verdict == "unshown" else ""
            parts.append(f"{self.change} points{unshown}")
        return f"{self.name}: {'; '.join(parts)}"


class _Measures(NamedTuple):
    """Sizes and distances of one drawing, in its units."""

    name: str
    width: int
    left: int
    right: int
    row: int
    """Height of a row whose name has one line."""

    line: int
    """Distance of the row's line from the row's top."""

    characters: int
    """Most characters of a line of a task's name; a longer name takes several lines."""

    name_line: int
    """Height of a further line of a name."""

    def lines(self, row: DumbbellRow) -> list[str]:
        """Returns a row's name as lines."""
        return in_lines(row.name, self.characters)

    def height(self, row: DumbbellRow) -> int:
        """Returns a row's height."""
        return self.row + self.further(row)

    def further(self, row: DumbbellRow) -> int:
        """Returns the height of the lines that a row's name has beyond the first."""
        return (len(self.lines(row)) - 1) * self.name_line


WIDE = _Measures("wide", 960, 260, 90, 62, 26, 26, 18)
NARROW = _Measures("narrow", 350, 12, 14, 78, 54, 40, 16)
"""The two drawings; on a narrow screen the name and the change stand above the line."""

TOP, FOOT = 12, 30
COVERED = 6
"""Nearer than this the start stands around the student, which would cover it."""


def dumbbell(rows: Sequence[DumbbellRow], *, title: str) -> Markup:
    """Returns the chart in both drawings.

    Args:
        rows: At least one.
        title: A name for the chart, for readers who hear the page.
    """
    return Markup("\n").join(_drawing(rows, title, measures) for measures in (WIDE, NARROW))


def _drawing(rows: Sequence[DumbbellRow], title: str, at: _Measures) -> Markup:
    tops = list(accumulate((at.height(row) for row in rows), initial=TOP))
    height = tops.pop() + FOOT
    drawn = (_row(row, top, at) for row, top in zip(rows, tops, strict=True))
    body = Markup("").join([_axis(at, height), *drawn])
    return Markup(
        '<svg class="dumbbell {}" viewBox="0 0 {} {}" role="group" aria-label="{}">{}</svg>'
    ).format(at.name, at.width, height, title, body)


def _x(at: _Measures, share: float) -> float:
    return round(at.left + share * (at.width - at.left - at.right), 1)


def _axis(at: _Measures, height: int) -> Markup:
    marks = (0.0, 0.25, 0.5, 0.75, 1.0)
    line = Markup(
        '<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{end}"/>'
        '<text class="axis x{edge}" x="{x}" y="{foot}">{label}</text>'
    )
    edges = {0.0: " first", 1.0: " last"} if at is NARROW else {}
    return Markup("").join(
        line.format(
            x=_x(at, mark),
            top=TOP,
            end=height - FOOT + 2,
            foot=height - 8,
            label=f"{mark:.0%}",
            edge=edges.get(mark, ""),
        )
        for mark in marks
    )


def _row(row: DumbbellRow, top: int, at: _Measures) -> Markup:
    y = top + at.line + (at.further(row) if at is NARROW else at.further(row) // 2)
    drawn = Markup("").join([_hit(row, at, top), _names(row, top, at), _values(row, y, at)])
    group = Markup('<g class="row {}"><title>{}</title>{}</g>').format(
        row.verdict, row.spoken, drawn
    )
    if not row.link:
        return group
    return Markup('<a href="{}" aria-label="{}">{}</a>').format(
        row.link, f"{row.spoken}. The questions that changed", group
    )


def _hit(row: DumbbellRow, at: _Measures, top: int) -> Markup:
    """Returns the area of a row that answers the pointer."""
    return Markup('<rect class="hit" x="0" y="{}" width="{}" height="{}"/>').format(
        top, at.width, at.height(row) - 4
    )


def _names(row: DumbbellRow, top: int, at: _Measures) -> Markup:
    first, note = (24, 44) if at is WIDE else (16, 34)
    names = [
        Markup('<text class="task" x="0" y="{}">{}</text>').format(
            top + first + place * at.name_line, line
        )
        for place, line in enumerate(at.lines(row))
    ]
    names.append(
        Markup('<text class="axis" x="0" y="{}">{}</text>').format(
            top + note + at.further(row), row.note
        )
    )
    change = Markup('<text class="change{}" x="{}" y="{}">{}</text>')
    if at is WIDE:
        height = top + 32 + at.further(row) // 2
        return Markup("").join(
            [*names, change.format("", at.width - at.right + 22, height, row.change)]
        )
    return Markup("").join([*names, change.format(" end", at.width, top + 16, row.change)])


def _values(row: DumbbellRow, y: int, at: _Measures) -> Markup:
    low, high = _x(at, row.after.low), _x(at, row.after.high)
    circle = Markup('<circle class="{}" cx="{}" cy="{}" r="{}"/>')
    after = circle.format("after", _x(at, row.after.value), y, 7)
    parts = [
        Markup('<rect class="range" x="{}" y="{}" width="{}" height="14"/>').format(
            low, y - 7, round(max(high - low, 1), 1)
        )
    ]
    if row.before is not None:
        before = _x(at, row.before)
        parts.append(
            Markup('<line class="way" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
                before, _x(at, row.after.value), y=y
            )
        )
        if abs(before - _x(at, row.after.value)) < COVERED:
            parts += [after, circle.format("before around", before, y, 10)]
        else:
            parts += [circle.format("before", before, y, 6.5), after]
    else:
        parts.append(after)
    if row.goal is not None:
        goal = _x(at, row.goal)
        corners = f"{goal - 6.5:.1f},{y - 20} {goal + 6.5:.1f},{y - 20} {goal},{y - 11}"
        parts.append(Markup('<polygon class="goal" points="{}"/>').format(corners))
    return Markup("").join(parts)
