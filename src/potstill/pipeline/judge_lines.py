"""How a judge did, in words for the terminal and the report."""

from collections.abc import Iterator, Sequence

from potstill.records import JudgeFigures, StageRecord
from potstill.report.text import cost_note
from potstill.sampling.judge import STAGE
from potstill.statistics import accuracy_interval


def described_judge(
    figures: Sequence[JudgeFigures],
    stages: Sequence[StageRecord],
    *,
    is_priced: bool = True,
    uncounted: int = 0,
) -> Iterator[str]:
    """Yields a line for each stage and task that a judge read answers for, and one for its cost.

    Args:
        figures: How the judge did.
        stages: The time and cost of each stage.
        is_priced: Whether the judge's prices are known.
        uncounted: How many of its answers stand at the most that they can cost.
    """
    for one in figures:
        line = (
            f"{one.stage} on {one.task}: the judge {one.model} read an answer in "
            f"{one.answered:,} of {one.unread:,} texts that the rules read none in"
        )
        if one.silent:
            line += f"; {one.silent:,} it gave no verdict on"
        if one.compared:
            share = accuracy_interval(one.agreed, one.compared)
            line += (
                f". Of {one.compared:,} that both were to read it read the same answer as the "
                f"rules in {one.agreed:,} ({one.agreed / one.compared:.1%}, 95% interval "
                f"{share.low:.1%} to {share.high:.1%})"
            )
        yield f"{line}."
    spent = next((stage for stage in stages if stage.name == STAGE), None)
    if figures and spent is not None:
        cost = f"cost ${spent.cost:,.4f}"
        if not is_priced:
            stated = f"${spent.cost:,.4f} by its server" if spent.cost else "not known"
            cost = f"its cost is {stated}: its prices are not known"
        line = f"The judge wrote {spent.tokens:,} tokens so far and {cost}."
        yield f"{line} {cost_note(uncounted)}".rstrip()
