"""A plan as it is shown: a table of what is asked, then the cost, the budget and the time.

The table has a row for each need::

    stage     what        stored  to ask  requests  tokens   tokens      at most  cost
                                                    read     written
    generate  rationales      40     360        90   12.3k  45.1k ±8%       184k  $0.31
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from potstill.models.openai.cost import taken
from potstill.models.settings import RecordedSettings, ServerSettings
from potstill.plan.estimate import Spread, total
from potstill.plan.needs import Figures
from potstill.plan.plan import Plan, PlannedTeacher
from potstill.plan.server_table import describe_capabilities
from potstill.plan.student_table import student_facts
from potstill.plan.worker_table import worker_facts
from potstill.runtime.cost_words import dollars
from potstill.runtime.fact_lines import FactLines, ShortWords
from potstill.runtime.tally import clock
from potstill.sampling.judge import MAX_TOKENS

_STAGE_WIDTH = 10
"""Columns of a stage's name and the gap behind it."""


def plan_page(plan: Plan) -> RenderableType:
    """The plan as rich shows it."""
    state = "begun" if plan.begun else "not begun"
    head = f"{plan.task}: {plan.questions:,} training questions; {plan.run}, {state}"
    return Group(ShortWords(head), Text(), _table(plan), Text(), FactLines(list(_facts(plan))))


class _AmountRow(NamedTuple):
    """One row of the table: what is asked, and its amounts."""

    stage: str
    what: str
    amounts: Sequence[str]
    bold: bool = False

    @property
    def label(self) -> str:
        """The stage and what is asked, below each other from row to row."""
        return f"{self.stage:<{_STAGE_WIDTH}}{self.what}".rstrip()


class _AmountTable:
    """The rows, as wide as the terminal allows.

    A row's amounts stand behind its label where that leaves room, else on a line below it; no word
    is broken and no amount left out.
    """

    def __init__(self, names: Sequence[str], rows: Sequence[_AmountRow]) -> None:
        self._heads = [name.split("\n") for name in names]
        self._rows = rows
        columns = zip(*(row.amounts for row in rows), strict=True)
        self._widths = [
            max(map(len, [*head, *column]))
            for head, column in zip(self._heads, columns, strict=True)
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the lines."""
        width = options.max_width
        labels = [row.label for row in self._rows]
        roomy = max(map(len, labels)) + sum(self._widths) + 2 * len(self._widths)
        gap = 2 if roomy <= width else 1
        amounts_width = sum(self._widths) + gap * len(self._widths)
        label_width = min(max(map(len, labels)), max(0, width - amounts_width))
        lines = max(map(len, self._heads))
        heads = [[""] * (lines - len(head)) + head for head in self._heads]
        titles = [""] * (lines - 1) + [f"{'stage':<{_STAGE_WIDTH}}what"]
        for title, *cells in zip(titles, *heads, strict=True):
            yield from self._lines(title, cells, label_width, gap, style="bold")
        for row in self._rows:
            style = "bold" if row.bold else ""
            yield from self._lines(row.label, row.amounts, label_width, gap, style=style)

    def _lines(
        self, label: str, cells: Sequence[str], label_width: int, gap: int, *, style: str
    ) -> Iterator[Text]:
        """Yields a row as one line, or as two where its label is longer than the room for it."""
        amounts = "".join(
            " " * gap + f"{cell:>{width}}" for cell, width in zip(cells, self._widths, strict=True)
        )
        if len(label) > label_width:
            yield Text(label, style=style)
            label = ""
        yield Text(f"{label:<{label_width}}{amounts}", style=style, no_wrap=True)


def _table(plan: Plan) -> _AmountTable:
    paid = any(teacher.settings.is_paid for teacher in plan.teachers)
    names = ["stored", "to ask", "requests", "tokens\nread", "tokens\nwritten", "at most"]
    rows = []
    stage = ""
    for figures in plan.figures:
        need = figures.need
        shown_stage = need.stage if need.stage != stage else ""
        stage = need.stage
        amounts = tuple(_row([figures], paid=paid))
        rows.append(_AmountRow(shown_stage, _short_purpose(need.what), amounts))
    if len(plan.figures) > 1:
        rows.append(_AmountRow("in all", "", tuple(_row(plan.figures, paid=paid)), bold=True))
    return _AmountTable([*names, "cost"] if paid else names, rows)


def _short_purpose(what: str) -> str:
    """A need's purpose in a row that stands below its stage and the rows before."""
    first, comma, rest = what.removeprefix("teacher on ").partition(", final ")
    return f"  final {rest}" if comma else first


def _row(figures: Sequence[Figures], *, paid: bool) -> Iterator[str]:
    """The amounts in one row, of one need or of all."""
    yield f"{sum(item.need.there for item in figures):,}"
    bound = "≤ " if any(item.need.later for item in figures) else ""
    yield f"{bound}{total(item.samples for item in figures).most:,.0f}"
    yield f"{bound}{total(item.requests for item in figures).most:,.0f}"
    yield _short(total(item.prompt_tokens for item in figures).likely)
    written = total(item.completion_tokens for item in figures)
    yield _with_interval(written)
    yield _short(written.most)
    if paid:
        priced = all(item.is_priced for item in figures)
        yield _cost(total(item.usd for item in figures), priced=priced)


def _cost(usd: Spread, *, priced: bool) -> str:
    if not usd.most and not priced:
        return "-"  # nothing more, and what was paid so far is not known
    if math.isinf(usd.most):
        return "?"
    return f"≤ {dollars(usd.most)}" if usd.expected is None else dollars(usd.expected)


def _with_interval(spread: Spread) -> str:
    """The expected amount, with the share of it by which it may be off."""
    if spread.expected is None:
        return "?"
    reach = max(spread.high - spread.expected, spread.expected - spread.low)
    share = reach / spread.expected if spread.expected else 0.0
    return _short(spread.expected) + (f" ±{share:.0%}" if share >= 0.005 else "")


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    for teacher in plan.teachers:
        yield teacher.name, _describe_teacher(teacher)
        if isinstance(teacher.settings, ServerSettings):
            yield "  can", describe_capabilities(teacher.capabilities)
    for line in plan.lacks:
        yield "refused", line
    if plan.judge is not None:
        yield "judge", _describe_judge(plan.judge)
    if any(teacher.settings.is_paid for teacher in plan.teachers):
        yield "cost", _describe_cost(plan)
    if plan.budget.usd is not None or plan.budget.tokens is not None:
        yield "budget", _describe_budget(plan)
    yield "time", _describe_time(plan)
    yield from student_facts(plan.students)
    if plan.students.students:
        yield "in all", _describe_time_in_all(plan)
    if plan.workers is not None:
        yield from worker_facts(plan.workers)
    for warning in plan.warnings:
        yield "warning", warning
    for key in plan.keys:
        yield "key", key
    for fault in plan.faults:
        yield "stops", fault


def _describe_teacher(teacher: PlannedTeacher) -> str:
    settings, known = teacher.settings, teacher.known
    at = ""
    if settings.address is not None and not known.prices.listed:
        at = f" at {settings.address}"
    parts = [f"{settings.model}{at}; prompts counted {known.counter.how}"]
    count = known.rationales.count
    if isinstance(settings, RecordedSettings):
        if teacher.absent:
            parts.append(f"the file lacks {teacher.absent:,} of the samples, which are not asked")
    elif count:
        parts.append(f"answers as long as its {count:,} stored rationales")
    else:
        parts.append("how long its answers are is not known; --probe 20 measures it")
    if settings.is_paid:
        parts.append(_describe_prices(teacher))
    return "; ".join(parts)


def _describe_prices(teacher: PlannedTeacher) -> str:
    prices, settings = teacher.known.prices, teacher.settings
    if not prices.known:
        return "its prices are not known"
    source = f"price table of {taken()}" if prices.listed else "the recipe's prices"
    batch = ", by its batch endpoint" if settings.in_batches else ""
    return (
        f"{dollars(prices.prompt)} and {dollars(prices.completion)} a million tokens read and "
        f"written{batch} ({source})"
    )


def _describe_cost(plan: Plan) -> str:
    usd = plan.usd
    if math.isinf(usd.most):
        unknown = [teacher.name for teacher in plan.teachers if not teacher.known.prices.known]
        return (
            f"not known; set prompt_price and completion_price of {' and '.join(unknown)}, in US "
            "dollars a million tokens"
        )
    if not usd.most:
        unpriced = any(not figures.is_priced for figures in plan.figures)
        paid = plan.spent.tokens and unpriced
        return "nothing more; what was paid so far is not known" if paid else "nothing"
    if usd.expected is None:
        return f"at most {dollars(usd.most)}"
    interval = ""
    if dollars(usd.low) != dollars(usd.high) and usd.high < usd.most:
        interval = f" (95%: {dollars(usd.low)} to {dollars(usd.high)})"
    return f"about {dollars(usd.expected)}{interval}, at most {dollars(usd.most)}"


def _describe_judge(model: str) -> str:
    return (
        f"{model} reads each rationale and measured answer that the rules cannot, with at most "
        f"{MAX_TOKENS:,} tokens; how many these are is not known before, so it is in no figure "
        "here, and counts against the budget"
    )


def _describe_budget(plan: Plan) -> str:
    # The limit that leaves the smaller share of what is still to be spent decides.
    limits, shares, shares_of_most = [], [], []
    for limit, spent, spread, format_amount in (
        (plan.budget.usd, plan.spent.usd, plan.usd, dollars),
        (plan.budget.tokens, float(plan.spent.tokens), plan.tokens, _tokens),
    ):
        if limit is not None and spread.likely:
            limits.append(f"{format_amount(limit)} ({format_amount(spent)} spent)")
            shares.append((limit - spent) / spread.likely)
            shares_of_most.append((limit - spent) / spread.most)
    if not limits:
        return "is touched by the judge alone" if plan.judge is not None else "is not touched"
    return f"{' and '.join(limits)}: {_describe_reach(plan, min(shares), min(shares_of_most))}"


def _describe_reach(plan: Plan, share: float, share_of_most: float) -> str:
    """Whether the budget suffices, and how far it goes where it does not.

    Args:
        plan: The whole plan.
        share: The rest of the budget, as a share of the expected cost.
        share_of_most: The same as a share of the most that the run can cost.
    """
    if share_of_most >= 1:
        return "suffices"
    costs = [_counted(plan, figures) for figures in plan.figures]
    if share >= 1:
        return "suffices for what is expected, not for the most"
    known = all(cost.expected is not None for cost in costs)
    guess = "" if known else " if every answer is as long as it may be"
    left = max(share, 0.0) * total(costs).likely
    for figures, cost in zip(plan.figures, costs, strict=True):
        if cost.likely > left:
            need, lacking = figures.need, figures.samples.likely
            done = (need.there + lacking * left / cost.likely) / (need.there + lacking)
            reached = f"{done * need.questions:,.0f} of {need.questions:,} questions"
            return f"stops after about {reached} ({need.what}){guess}"
        left -= cost.likely
    return "stops before the end"


def _counted(plan: Plan, figures: Figures) -> Spread:
    """The amount that the budget counts: dollars, or tokens where it is in tokens alone."""
    if plan.budget.usd is not None:
        return figures.usd
    return figures.prompt_tokens.plus(figures.completion_tokens)


def _describe_time(plan: Plan) -> str:
    names_by_time: dict[str, list[str]] = {}
    for teacher in plan.teachers:
        names_by_time.setdefault(_describe_seconds(teacher), []).append(teacher.name)
    if len(names_by_time) == 1:
        return next(iter(names_by_time))
    return "; ".join(f"{', '.join(names)}: {time}" for time, names in names_by_time.items())


def _describe_time_in_all(plan: Plan) -> str:
    """Returns the time of asking and training together, and says what it leaves out."""
    asking, training = plan.seconds
    rest = ["measuring"] if plan.students.measured_here else []
    if asking is None:
        parts, rest = f"training about {clock(training)}", ["asking", *rest]
    else:
        parts = f"about {clock(asking + training)}: asking {clock(asking)}, training "
        parts += clock(training)
    return f"{parts}; the time of {' and '.join(rest)} is not known" if rest else parts


def _describe_seconds(teacher: PlannedTeacher) -> str:
    seconds, how = teacher.throughput
    return f"about {clock(seconds)} ({how})" if seconds else how


def _short(amount: float) -> str:
    """A count in at most five characters."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if amount >= size:
            digits = 3 if amount < 999.5 * size else 4
            return f"{amount / size:.{digits}g}{unit}"
    return f"{amount:.0f}"


def _tokens(amount: float) -> str:
    return f"{amount:,.0f} tokens"
