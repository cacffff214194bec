"""The console's table of guided scores."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from potstill.records import GuidedScore


def guided_table(scores: Sequence[GuidedScore]) -> Table:
    """The scores on test questions: accuracy, difference from the student alone, price, leaks.

    Tokens are the teacher's, a question. Routing by signals, many rows, is left to the report.

    Args:
        scores: Of one task, in the order of the rows; others than test scores are left out.
    """
    tested = [score for score in scores if score.split == "test"]
    questions = max((score.total for score in tested), default=0)
    table = Table(
        title=f"Guidance on {questions:,} test questions, with 95% intervals",
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    table.add_column("policy", no_wrap=True)
    for heading in ("accuracy", "difference", "guided", "tokens", "leaked"):
        table.add_column(heading, justify="right", no_wrap=True)
    for score in tested:
        if score.kind == "routing" and not score.policy.startswith("routing_random_"):
            continue
        table.add_row(
            score.policy,
            f"{100 * score.accuracy:.1f} [{100 * score.low:.0f}, {100 * score.high:.0f}]",
            _difference(score),
            f"{score.guided / score.total:.0%}",
            f"{score.teacher_tokens:,.1f}",
            f"{score.leaked:,}",
        )
    return table


def _difference(score: GuidedScore) -> str:
    if score.difference is None or score.difference_low is None or score.difference_high is None:
        return ""
    low, high = (
        f"{round(100 * end) + 0:+d}" for end in (score.difference_low, score.difference_high)
    )
    return f"{round(100 * score.difference, 1) + 0.0:+.1f} [{low}, {high}]"
