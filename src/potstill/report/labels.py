"""Where the labels of a drawing go: near what they name, over nothing else."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

CHARACTER, TALL = 6.3, 14.0
"""How wide a character and how tall a line of text is, in the drawing's units."""

DIRECTIONS = 16
DISTANCES = (8.0, 16.0, 28.0, 42.0, 58.0, 76.0)
"""How far from its anchor a label is tried, nearest first."""

FAR = 20.0
"""From this distance on, a line leads from the anchor to its label."""

LED = 10
"""Parts of such a line, each of whose ends is looked at."""

CROWD = 30.0
"""How near marks are that crowd a label."""

CROSSED, LED_OVER, TAKEN, OUTSIDE = 10.0, 60.0, 2_000.0, 9_000.0
"""The price of lying on a line, of a leader over a label or mark, of lying on one of these, and
of lying outside the drawing."""


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


class Label(NamedTuple):
    """A text to be placed beside one of some points."""

    text: str
    anchors: Sequence[tuple[float, float]]


class Place(NamedTuple):
    """Where a label stands."""

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
        shares = [number / LED for number in range(2, LED)]
        return [(x + (end_x - x) * share, y + (end_y - y) * share) for share in shares]


def placed(
    labels: Sequence[Label],
    *,
    area: Box,
    marks: Sequence[Box],
    crossed: Sequence[tuple[float, float]],
) -> list[Place]:
    """Find a place for each label, those with the least choice first.

    Args:
        labels: What is to be placed.
        area: Where labels may stand.
        marks: What no label may cover.
        crossed: Points of lines, which labels had better not cover.
    """
    taken, lines = list(marks), list(crossed)
    found: dict[int, Place] = {}
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
        found[number] = best
    return [found[number] for number in range(len(labels))]


def _freedom(label: Label, marks: Sequence[Box]) -> tuple[int, int]:
    """How late a label can be placed: those of points go first, the most crowded before others."""
    x, y = label.anchors[0]
    near = Box(x - CROWD, y - CROWD, x + CROWD, y + CROWD)
    return len(label.anchors), -sum(near.meets(mark) for mark in marks)


def _around(text: str, anchor: tuple[float, float], distances: Sequence[float]) -> Iterator[Place]:
    """The places around an anchor, so that the label's edge has the distance tried."""
    wide, (x, y) = len(text) * CHARACTER / 2, anchor
    upright = {DIRECTIONS // 4, DIRECTIONS * 3 // 4}
    for distance in distances:
        for number in range(DIRECTIONS):
            if distance > FAR and number in upright:
                continue  # a leader that stands upright would look like an interval
            turn = 2 * math.pi * number / DIRECTIONS
            middle = x + math.cos(turn) * (distance + wide)
            height = y + math.sin(turn) * (distance + TALL / 2)
            box = Box(middle - wide, height - TALL / 2, middle + wide, height + TALL / 2)
            yield Place(box, anchor, distance > FAR)


def _price(
    place: Place, area: Box, taken: Sequence[Box], crossed: Sequence[tuple[float, float]]
) -> float:
    box, (x, y) = place.box, place.nearest
    price = math.hypot(x - place.anchor[0], y - place.anchor[1])
    over = [box.left < area.left, box.right > area.right]
    price += OUTSIDE * sum([*over, box.top < area.top, box.bottom > area.bottom])
    price += TAKEN * sum(box.meets(other) for other in taken)
    price += CROSSED * sum(box.holds(*point) for point in crossed)
    price += LED_OVER * sum(other.holds(*point) for other in taken for point in place.line)
    return price
