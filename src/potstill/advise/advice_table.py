"""An advice as it is shown: tables of at most 80 columns, words, and JSON.

::

    teachers  tried  right         kept  tokens  price    words
    ────────────────────────────────────────────────────────────
    teacher      33  97% [85, 99]    32      41  $0.0012  8 to 24

    teachers  rank-surprisal   local naturalness  likelihood
    ─────────────────────────────────────────────────────────────
    teacher   4.31 ±0.22 (1)   -1.84 ±0.10 (2)    -1.61 ±0.08 (1)
"""

from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from potstill.advise.advice import Advice, AdvicePlan
from potstill.advise.groups import GroupComparison, GroupDifference, PlacedMeasure, TrialGroup
from potstill.advise.trial import TrialRequests
from potstill.curate.suitability import MEASURES
from potstill.plan.estimate import Spread, total
from potstill.runtime.cost_words import dollars
from potstill.statistics import Interval
from potstill.text.points import MINUS

DASH = "\N{EN DASH}"

_HEADS = {"teacher": "teachers", "thinking": "thinking", "length": "lengths"}


# before it is asked ------------------------------------------------------------------------------


def plan_lines(plan: AdvicePlan) -> Iterator[str]:
    """Yields what the trial will ask and cost, a line each."""
    for one in plan.trial:
        yield f"advise: {one.way.label}, {_asked_words(one)}"
    figures = [figures for one in plan.trial for figures in one.figures]
    usd = total(one.usd for one in figures)
    tokens = total(one.prompt_tokens.plus(one.completion_tokens) for one in figures)
    paid = any(one.missing and one.way.settings.is_paid for one in plan.trial)
    if paid:
        priced = all(one.is_priced for one in figures)
        cost = _usd_words(usd) if priced else "not known, for want of prices"
        budget = _budget_words(plan, usd, tokens)
        yield f"advise: cost {cost}; at most {tokens.most:,.0f} tokens{budget}"
    else:
        yield "advise: nothing more is to be paid"
    if plan.judge is not None:
        yield f"advise: {plan.judge} judges what the rules cannot read, which is not counted here"


def _asked_words(one: TrialRequests) -> str:
    need = one.figures[0].need
    lacking = sum(len(request.samples) for request in need.sure)
    text = f"{need.there + lacking:,} rationales: {need.there:,} stored, {lacking:,} to ask"
    absent = sum(len(request.samples) for request in one.requests) - need.there - lacking
    return f"{text}, {absent:,} not to be had" if absent else text


def _usd_words(usd: Spread) -> str:
    if not usd.most:
        return "$0.00"
    most = f"at most {dollars(usd.most)}"
    return most if usd.expected is None else f"about {dollars(usd.expected)}, {most}"


def _budget_words(plan: AdvicePlan, usd: Spread, tokens: Spread) -> str:
    """Whether the budget is enough; empty where there is none."""
    limits, enough = [], True
    for limit, spent, most, words in (
        (plan.budget.usd, plan.spent.usd, usd.most, dollars),
        (plan.budget.tokens, float(plan.spent.tokens), tokens.most, _token_words),
    ):
        if limit is not None:
            limits.append(f"{words(limit)} ({words(spent)} spent)")
            enough = enough and spent + most <= limit
    if not limits:
        return ""
    return f"; budget {' and '.join(limits)} {'suffices' if enough else 'may end it early'}"


def _token_words(amount: float) -> str:
    return f"{amount:,.0f} tokens"


# what came of it ---------------------------------------------------------------------------------


def advice_page(advice: Advice) -> list[RenderableType]:
    """Returns the tables of an advice, then its words; each is shown by itself."""
    shown: list[RenderableType] = []
    for comparison in advice.comparisons:
        if comparison.groups:
            shown += [_cost_table(comparison), Text(), _measure_table(comparison), Text()]
    words = Table.grid(padding=(0, 1, 0, 0))
    words.add_column(no_wrap=True)
    words.add_column(overflow="fold")
    for line in advice.cautions:
        words.add_row("-", Text(line))
    return [*shown, Group(*map(Text, advice.sentences), words)]


def _table(comparison: GroupComparison, heads: Sequence[str]) -> Table:
    """An empty table, whose first column names the groups."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), show_edge=False, pad_edge=False)
    table.add_column(_HEADS[comparison.groups[0].kind], no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _cost_table(comparison: GroupComparison) -> Table:
    """Returns the table of the groups' rationales, with the tokens and price of a kept one."""
    table = _table(comparison, ["tried", "right", "kept", "tokens", "price", "words"])
    for group in comparison.groups:
        table.add_row(
            Text(group.name),
            f"{group.rationales:,}",
            _right_words(group),
            f"{group.kept:,}",
            DASH if group.tokens is None else f"{group.tokens:,.0f}",
            DASH if group.usd is None else dollars(group.usd),
            DASH if group.words is None else f"{group.words[0]:,} to {group.words[1]:,}",
        )
    return table


def _measure_table(comparison: GroupComparison) -> Table:
    """The groups by each measure, with their places."""
    table = _table(comparison, ["rank-surprisal", "local naturalness", "likelihood"])
    for group in comparison.groups:
        cells = [_measure_words(group.measures.get(measure)) for measure in MEASURES]
        table.add_row(Text(group.name), *cells)
    return table


def _right_words(group: TrialGroup) -> str:
    if not group.rationales:
        return DASH
    share = f"{100 * group.right / group.rationales:.0f}%"
    interval = group.right_interval
    return (
        share
        if interval is None
        else (f"{share} [{100 * interval.low:.0f}, {100 * interval.high:.0f}]")
    )


def _measure_words(placed: PlacedMeasure | None) -> str:
    """``4.31 ±0.22 (1)``; without the reach where there is no interval."""
    if placed is None:
        return DASH
    value, interval = placed.estimate
    reach = "" if interval is None else f" ±{interval.high - value:.2f}"
    return f"{value:.2f}{reach} ({placed.place})".replace("-", MINUS)


# JSON --------------------------------------------------------------------------------------------


def advice_json(plan: AdvicePlan, advice: Advice) -> dict[str, Any]:
    """Returns an advice as JSON values; numbers are as they were computed."""
    figures = [figures for one in plan.trial for figures in one.figures]
    return {
        "run": advice.run,
        "student": advice.student,
        "asked": {
            one.way.label: {
                "stored": one.figures[0].need.there,
                "to_ask": sum(len(request.samples) for request in one.figures[0].need.sure),
            }
            for one in plan.trial
        },
        "usd_at_most": _finite(total(one.usd for one in figures).most),
        "usd_spent": advice.spent.usd,
        "tokens_spent": advice.spent.tokens,
        "groups": [
            _group_json(group) for comparison in advice.comparisons for group in comparison.groups
        ],
        "differences": [
            _difference_json(difference)
            for comparison in advice.comparisons
            for difference in comparison.differences
        ],
        "advice": advice.sentences,
        "cautions": advice.cautions,
    }


def _group_json(group: TrialGroup) -> dict[str, Any]:
    measures: dict[str, Any] = {
        measure: None
        if (placed := group.measures.get(measure)) is None
        else {
            "value": placed.estimate.value,
            **_ends(placed.estimate.interval),
            "place": placed.place,
        }
        for measure in MEASURES
    }
    return {
        "kind": group.kind,
        "name": group.name,
        "rationales": group.rationales,
        "questions": group.questions,
        "right": group.right,
        "right_interval": _ends(group.right_interval),
        "kept": group.kept,
        "measured": group.measured,
        "tokens_a_kept_rationale": group.tokens,
        "usd_a_kept_rationale": group.usd,
        "words": group.words,
        **measures,
    }


def _difference_json(difference: GroupDifference) -> dict[str, Any]:
    return {
        "kind": difference.kind,
        "measure": difference.measure,
        "best": difference.best,
        "other": difference.other,
        "difference": difference.estimate.value,
        **_ends(difference.estimate.interval),
        "shown": difference.is_shown,
    }


def _ends(interval: Interval | None) -> dict[str, float | None]:
    return {
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
    }


def _finite(amount: float) -> float | None:
    return amount if amount < float("inf") else None
