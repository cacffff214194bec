"""A plan as it is shown: a table of what is asked, and below it what that costs and takes."""

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
from potstill.runtime.progress import clock, dollars


def plan_page(plan: Plan) -> RenderableType:
    """The whole plan."""
    state = "begun" if plan.begun else "not begun"
    head = Text(f"{plan.task}: {plan.questions:,} training questions; {plan.run}, {state}")
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for label, value in _facts(plan):
        facts.add_row(label, Text(value))
    return Group(head, Text(), _table(plan), Text(), facts)


def _table(plan: Plan) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("stage", "what"):
        table.add_column(name, overflow="fold")
    for name in ("stored", "to ask", "requests", "tokens\nread", "tokens\nwritten", "at most"):
        table.add_column(name, justify="right", no_wrap=True)
    paid = any(isinstance(each.settings, OpenAISettings) for each in plan.teachers)
    if paid:
        table.add_column("cost", justify="right", no_wrap=True)
    stage = ""
    for each in plan.figures:
        shown = each.need.stage if each.need.stage != stage else ""
        stage = each.need.stage
        table.add_row(shown, Text(_brief(each.need.what)), *_row([each], paid=paid))
    if len(plan.figures) > 1:
        table.add_row("in all", "", *_row(plan.figures, paid=paid), style="bold")
    return table


def _brief(what: str) -> str:
    """What is asked, as its row says it below its stage and the rows before."""
    first, comma, rest = what.removeprefix("teacher on ").partition(", final ")
    return f"  final {rest}" if comma else first


def _row(figures: Sequence[Figures], *, paid: bool) -> Iterator[str]:
    """One line of amounts, of one need or of all."""
    yield f"{sum(each.need.there for each in figures):,}"
    bound = "≤ " if any(each.need.later for each in figures) else ""
    for counts in (each.samples for each in figures), (each.requests for each in figures):
        yield f"{bound}{total(counts).most:,.0f}"
    yield _short(total(each.prompt_tokens for each in figures).likely)
    written = total(each.completion_tokens for each in figures)
    yield _interval(written)
    yield _short(written.most)
    if paid:
        yield _cost(total(each.usd for each in figures))


def _cost(usd: Spread) -> str:
    if math.isinf(usd.most):
        return "?"
    return f"≤ {dollars(usd.most)}" if usd.expected is None else dollars(usd.expected)


def _interval(spread: Spread) -> str:
    """What is expected, with how far it may be off."""
    if spread.expected is None:
        return "?"
    reach = max(spread.high - spread.expected, spread.expected - spread.low)
    share = reach / spread.expected if spread.expected else 0.0
    return _short(spread.expected) + (f" ±{share:.0%}" if share >= 0.005 else "")


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    for teacher in plan.teachers:
        yield teacher.name, _described(teacher)
    if any(isinstance(each.settings, OpenAISettings) for each in plan.teachers):
        yield "cost", _costs(plan)
    if plan.budget.usd is not None or plan.budget.tokens is not None:
        yield "budget", _budget(plan)
    yield "time", _time(plan)


def _described(teacher: PlannedTeacher) -> str:
    settings, known = teacher.settings, teacher.known
    at = ""
    if isinstance(settings, OpenAISettings) and not known.prices.listed:
        at = f" at {settings.base_url}"
    parts = [f"{settings.model}{at}; prompts counted {known.counter.how}"]
    count = known.rationales.count
    if count:
        parts.append(f"answers as long as its {count:,} stored rationales")
    else:
        parts.append("how long its answers are is not known; --probe 20 measures it")
    if isinstance(settings, OpenAISettings):
        parts.append(_prices(teacher))
    return "; ".join(parts)


def _prices(teacher: PlannedTeacher) -> str:
    prices, settings = teacher.known.prices, teacher.settings
    assert isinstance(settings, OpenAISettings)
    if not prices.known:
        return "its prices are not known"
    source = f"price table of {taken()}" if prices.listed else "the recipe's prices"
    batch = ", by its batch endpoint" if settings.mode == "batch" else ""
    return (
        f"{dollars(prices.prompt)} and {dollars(prices.completion)} a million tokens read and "
        f"written{batch} ({source})"
    )


def _costs(plan: Plan) -> str:
    usd = plan.usd
    if math.isinf(usd.most):
        unknown = [each.name for each in plan.teachers if not each.known.prices.known]
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


def _budget(plan: Plan) -> str:
    limits, shares, of_most = [], [], []
    for limit, spent, spread, shown in (
        (plan.budget.usd, plan.spent.usd, plan.usd, dollars),
        (plan.budget.tokens, float(plan.spent.tokens), plan.tokens, _tokens),
    ):
        if limit is not None and spread.likely:
            limits.append(f"{shown(limit)} ({shown(spent)} spent)")
            shares.append((limit - spent) / spread.likely)
            of_most.append((limit - spent) / spread.most)
    if not limits:
        return "is not touched"
    return f"{' and '.join(limits)}: {_verdict(plan, min(shares), min(of_most))}"


def _verdict(plan: Plan, share: float, share_of_most: float) -> str:
    """Whether the budget suffices, and how far it goes where it does not."""
    if share_of_most >= 1:
        return "suffices"
    costs = [_counted(plan, each) for each in plan.figures]
    if share >= 1:
        return "suffices for what is expected, not for the most"
    known = all(each.expected is not None for each in costs)
    guess = "" if known else " if every answer is as long as it may be"
    left = max(share, 0.0) * total(costs).likely
    for each, cost in zip(plan.figures, costs, strict=True):
        if cost.likely > left:
            need, lacking = each.need, each.samples.likely
            done = (need.there + lacking * left / cost.likely) / (need.there + lacking)
            of = f"{done * need.questions:,.0f} of {need.questions:,} questions"
            return f"stops after about {of} ({need.what}){guess}"
        left -= cost.likely
    return "stops before the end"


def _counted(plan: Plan, each: Figures) -> Spread:
    """What the budget counts of it: dollars, or tokens where it is in tokens alone."""
    if plan.budget.usd is not None:
        return each.usd
    return each.prompt_tokens.plus(each.completion_tokens)


def _time(plan: Plan) -> str:
    told: dict[str, list[str]] = {}
    for each in plan.teachers:
        told.setdefault(_lasting(each), []).append(each.name)
    if len(told) == 1:
        return next(iter(told))
    return "; ".join(f"{', '.join(names)}: {lasting}" for lasting, names in told.items())


def _lasting(teacher: PlannedTeacher) -> str:
    seconds, how = teacher.pace
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
