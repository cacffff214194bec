"""A run as a notebook shows it: what it is made of, what it holds, what was measured."""

from typing import TYPE_CHECKING

from potstill.html_tables import html_table
from potstill.records import Score
from potstill.text.points import percent_with_interval

if TYPE_CHECKING:
    from potstill.pipeline.run import Run


class NotebookView:
    """Gives a run its look in notebooks."""

    def _repr_html_(self: "Run") -> str:  # type: ignore[misc]  # it is a Run's alone
        return run_html(self)


def run_html(run: "Run") -> str:
    """Returns a run as a table of HTML; nothing is asked, loaded or measured for it."""
    recipe, store = run.recipe, run.store
    verdicts = store.verdicts()
    reasons = ", ".join(f"{name} {count:,}" for name, count in verdicts.items())
    rows = [
        ("folder", str(run.folder)),
        ("teacher", recipe.teacher.model),
        ("student", recipe.student.model),
        ("rationales", f"{sum(verdicts.values()):,} ({reasons})" if verdicts else "none yet"),
        ("checkpoints", f"{len(store.checkpoints()):,}"),
        *((f"test accuracy, {task}", cell) for task, cell in _accuracies(store.scores())),
    ]
    return html_table(("run", run.folder.name), rows)


def _accuracies(scores: list[Score]) -> list[tuple[str, str]]:
    """Returns the accuracies on each task's test questions, a line a task."""
    tasks: dict[str, list[str]] = {}
    for score in scores:
        if score.split == "test":
            cells = tasks.setdefault(score.task, [])
            share = percent_with_interval(score.correct / score.total, score.low, score.high)
            cells.append(f"{score.system.as_shown.label} {share}")
    return [(task, "; ".join(cells)) for task, cells in tasks.items()]
