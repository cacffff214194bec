"""A plan as it is shown: a table of what is asked, then the cost, the budget and the time.

The table has a row for each need::

    stage     what        stored  to ask  requests  tokens   tokens      at most  cost
                                                    read     written
    generate  rationales      40     360        90   12.3k  45.1k ±8%       184k  $0.31
"""

import math
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from potstill.models.openai.cost import taken
from potstill.models.settings import OpenAISettings
from potstill.plan.estimate import Spread, total
from potstill.plan.needs import Figures
from potstill.plan.plan import Plan, PlannedTeacher
from potstill.plan.server_table import describe_capabilities
from potstill.runtime.progress import clock, dollars


def plan_page(plan: Plan) -> RenderableType:
    """The plan as rich shows it."""
    state = "begun" if plan.begun else "not begun"
    head = Text(f"{plan.task}: {plan.questions:,} training questions; {plan.run}, {state}")
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for label, value in _facts(plan):
        facts.add_row(label, Text(value))
    return Group(head, Text(), _table(plan), Text(), facts)


def _table(plan: Plan) -> Table:
    paid = any(teacher.settings.is_paid for teacher in plan.teachers)
    between = 1 if paid else 2  # with costs, 80 columns hold no wider gaps
    table = Table(box=None, padding=(0, between, 0, 0), pad_edge=False, header_style="bold")
    for name in ("stage", "what"):
        table.add_column(name, overflow="fold")
    for name in ("stored", "to ask", "requests", "tokens\nread", "tokens\nwritten", "at most"):
        table.add_column(name, justify="right", no_wrap=True)
    if paid:
        table.add_column("cost", justify="right", no_wrap=True)
    stage = ""
    for figures in plan.figures:
        need = figures.need
        shown_stage = need.stage if need.stage != stage else ""
        stage = need.stage
        table.add_row(shown_stage, Text(_short_purpose(need.what)), *_row([figures], paid=paid))
    if len(plan.figures) > 1:
        table.add_row("in all", "", *_row(plan.figures, paid=paid), style="bold")
    return table


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
        yield _cost(total(item.usd for item in figures))


def _cost(usd: Spread) -> str:
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
        if isinstance(teacher.settings, OpenAISettings):
            yield "  can", describe_capabilities(teacher.capabilities)
    for line in plan.lacks:
        yield "refused", line
    if any(teacher.settings.is_paid for teacher in plan.teachers):
        yield "cost", _describe_cost(plan)
    if plan.budget.usd is not None or plan.budget.tokens is not None:
        yield "budget", _describe_budget(plan)
    yield "time", _describe_time(plan)


def _describe_teacher(teacher: PlannedTeacher) -> str:
    settings, known = teacher.settings, teacher.known
    at = ""
    if settings.address is not None and not known.prices.listed:
        at = f" at {settings.address}"
    parts = [f"{settings.model}{at}; prompts counted {known.counter.how}"]
    count = known.rationales.count
    if count:
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
        return "nothing"
    if usd.expected is None:
        return f"at most {dollars(usd.most)}"
    interval = ""
    if dollars(usd.low) != dollars(usd.high) and usd.high < usd.most:
        interval = f" (95%: {dollars(usd.low)} to {dollars(usd.high)})"
    return f"about {dollars(usd.expected)}{interval}, at most {dollars(usd.most)}"


def _describe_budget(plan: Plan) -> str:
    # Of the two limits, the one that leaves the smaller share of what is still to be spent decides.
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
        return "is not touched"
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
