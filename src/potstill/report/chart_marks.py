"""The marks of charts: a shape for each form, and areas that say a value under the pointer."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from markupsafe import Markup

Shape = Literal["circle", "square", "diamond", "triangle", "hanging triangle"]

SHAPES: Mapping[int, Shape] = {
    1: "circle",
    2: "square",
    3: "diamond",
    4: "triangle",
    5: "hanging triangle",
    6: "circle",
}
"""The mark of each form; with dashes and labels it tells lines apart without their colours."""


class Look(NamedTuple):
    """The look of a system or a line, which tells it from others."""

    colour: int
    """The number of its colour, from 1 to 6."""

    form: int
    """The number of its mark and dash, from 1 to 6."""

    @property
    def shape(self) -> Shape:
        """The shape of its marks."""
        return SHAPES[self.form]


def mark(shape: Shape, name: str, x: float, y: float, size: float, title: str = "") -> Markup:
    """Returns a mark.

    Args:
        shape: The shape.
        name: Its class.
        x: Its middle, in the drawing's units.
        y: Likewise.
        size: Half its extent.
        title: The text shown where the pointer rests on it.
    """
    told = Markup("<title>{}</title>").format(title) if title else Markup("")
    if shape == "circle":
        return Markup('<circle class="{}" cx="{}" cy="{}" r="{}">{}</circle>').format(
            name, x, y, size, told
        )
    if shape in ("square", "diamond"):
        half = size * 0.9
        turned = Markup(' transform="rotate(45 {} {})"').format(x, y) if shape == "diamond" else ""
        return Markup(
            '<rect class="{}" x="{}" y="{}" width="{size}" height="{size}"{}>{}</rect>'
        ).format(name, round(x - half, 1), round(y - half, 1), turned, told, size=half * 2)
    up = -1 if shape == "triangle" else 1
    corners = f"{x},{y + up * size:.1f} {x - size:.1f},{y - up * size:.1f} "
    corners += f"{x + size:.1f},{y - up * size:.1f}"
    return Markup('<polygon class="{}" points="{}">{}</polygon>').format(name, corners, told)


def hover(x: float, y: float, title: str) -> Markup:
    """Returns an area that cannot be seen, and says a value where the pointer rests."""
    return Markup('<circle class="hover" cx="{}" cy="{}" r="8"><title>{}</title></circle>').format(
        x, y, title
    )
