"""Gain against price: every checkpoint's target ability by its generic ability, and the best ones.

A path leads each student from its start through its checkpoints. The front holds those checkpoints
that no other one exceeds in one ability without falling short in the other (Pareto).
"""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from potstill.records import System
from potstill.report import text
from potstill.report.accuracy import Results
from potstill.report.scatter import Dot, Route, round_axis, scatter
from potstill.report.system_colours import START_LOOK, look_of, students_in_order
from potstill.report.tradeoff import ROLES, Estimate, along_training

PRICES = ("generic", "out_of_distribution")
"""The abilities that training is paid with: the first of these that the run followed."""


class PricedCheckpoint(NamedTuple):
    """One checkpoint on development questions; step 0 is the start."""

    student: System
    step: int
    target: Estimate
    price: Estimate
    """The ability that training is paid with."""

    rules: Sequence[str]
    """The selection rules that choose it for its student."""

    used: bool
    in_front: bool


class PriceFigure(NamedTuple):
    """The figure and the numbers behind it."""

    ability: str
    """The name of the ability that training is paid with, for readers."""

    checkpoints: Sequence[PricedCheckpoint]
    chart: Markup


def price_figure(results: Results) -> PriceFigure | None:
    """Returns the figure; None where no ability but the target's was measured along training."""
    for role in PRICES:
        checkpoints = _checkpoints(results, role)
        if any(one.step for one in checkpoints):
            return PriceFigure(
                ROLES[role].lower(), checkpoints, _chart(results, checkpoints, ROLES[role].lower())
            )
    return None


def _checkpoints(results: Results, role: str) -> list[PricedCheckpoint]:
    found = []
    for student in students_in_order(results):
        rules: dict[int, list[str]] = {}
        for choice in results.choices:
            if choice.system == student:
                rules.setdefault(choice.step, []).append(choice.rule)
        found += [
            PricedCheckpoint(
                student,
                moment.step,
                moment.abilities["target"],
                moment.abilities[role],
                rules.get(moment.step, ()),
                moment.chosen,
                in_front=False,
            )
            for moment in along_training(results, student)
            if "target" in moment.abilities and role in moment.abilities
        ]
    best = pareto_front([(one.price.value, one.target.value) for one in found])
    return [one._replace(in_front=place in best) for place, one in enumerate(found)]


def pareto_front(points: Sequence[tuple[float, float]]) -> set[int]:
    """Returns the places of the points that no other exceeds without falling short elsewhere.

    Args:
        points: Two values each, of which more is better; equal points stand in the front together.
    """
    return {
        place
        for place, (x, y) in enumerate(points)
        if not any(
            other_x >= x and other_y >= y and (other_x, other_y) != (x, y)
            for other_x, other_y in points
        )
    }


def _chart(results: Results, checkpoints: Sequence[PricedCheckpoint], ability: str) -> Markup:
    dots = _dots(results, checkpoints)
    routes = _paths(results, checkpoints)
    front = sorted({(one.price.value, one.target.value) for one in checkpoints if one.in_front})
    if len(front) > 1:
        routes.append(Route("Pareto front", front, START_LOOK))
    prices = [one.price.value for one in checkpoints]
    low, high = min(dot.low for dot in dots), max(dot.high for dot in dots)
    return scatter(
        dots,
        routes,
        across=round_axis(min(prices), max(prices), _percent, f"{ability} accuracy"),
        up=round_axis(low, high, _percent),
        title="Development accuracy on the target",
    )


def _dots(results: Results, checkpoints: Sequence[PricedCheckpoint]) -> list[Dot]:
    """Returns a dot for each checkpoint; a start that several students share stands once."""
    dots: dict[object, Dot] = {}
    for one in checkpoints:
        look = look_of(results, one.student) if one.step else START_LOOK
        system = one.student if one.step else results.start_of(one.student)
        where = f"step {one.step:,}" if one.step else "start"
        dots[system, one.step] = Dot(
            label=_label(
                one, is_named=one.student == students_in_order(results)[0] or not one.step
            ),
            x=one.price.value,
            y=one.target.value,
            low=one.target.low,
            high=one.target.high,
            shape=look.shape,
            colour=look.colour,
            name=f"{text.label(one.student)}, {where}{_chosen_by(one)}" if one.step else "Start",
        )
    return list(dots.values())


def _chosen_by(checkpoint: PricedCheckpoint) -> str:
    rules = text.listed([text.rule_name(rule) for rule in checkpoint.rules])
    return f", chosen by {rules}" if rules else ""


def _label(checkpoint: PricedCheckpoint, *, is_named: bool) -> str:
    """Returns what stands beside a dot; for all but the page's student the pointer says it."""
    if not is_named:
        return ""
    if not checkpoint.step:
        return "start"
    if checkpoint.used:
        return f"used: step {checkpoint.step:,}"
    return ", ".join(text.rule_name(rule) for rule in checkpoint.rules)


def _paths(results: Results, checkpoints: Sequence[PricedCheckpoint]) -> list[Route]:
    paths: dict[System, list[tuple[float, float]]] = {}
    for one in checkpoints:
        paths.setdefault(one.student, []).append((one.price.value, one.target.value))
    return [
        Route(text.label(student), points, look_of(results, student))
        for student, points in paths.items()
        if len(points) > 1
    ]


def _percent(share: float) -> str:
    return text.percent(share, 0)
