"""What a run tells its report beyond its store: its folder, and how its results stand to it."""

from typing import TYPE_CHECKING

from potstill.pipeline.cost_lines import unpriced_models
from potstill.pipeline.stale import unsure_results
from potstill.report import RunFacts

if TYPE_CHECKING:
    from potstill.pipeline.run import Run


def report_facts(run: "Run") -> RunFacts:
    """Returns what is known of a run beyond its store.

    Raises:
        PotstillError: A task of the recipe cannot be read.
    """
    return RunFacts(
        folder=str(run.folder),
        has_model=(run.folder / "model").is_dir(),
        stale=unsure_results(run),
        unpriced=unpriced_models(run.recipe) if run.store.spent().tokens else (),
        used_at=run.store.last_used(),
    )
