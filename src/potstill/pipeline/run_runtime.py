"""The runtime that a run's models share: account, log, and number formats found by trying."""

from collections.abc import Callable

from potstill.models import Model, ModelSettings
from potstill.models.cluster.settings import RunOnSettings
from potstill.pipeline.cost_lines import unpriced_models
from potstill.pipeline.recipe import Recipe
from potstill.runtime import Runtime
from potstill.runtime.budget import Budget
from potstill.runtime.events import EventLog
from potstill.runtime.number_formats import NumberFormats
from potstill.store import Store


def run_runtime(recipe: Recipe, store: Store) -> Runtime:
    """Opens the account of a run, which goes on from command to command, and its log."""
    folder = recipe.folder
    journal = folder / "spending.jsonl"
    unpriced = unpriced_models(recipe)
    budget = Budget(recipe.budget, journal=journal, before=store.spent(), unpriced=unpriced)
    formats = NumberFormats(folder / "number_formats.json", former=store.has_answers_of("hf"))
    return Runtime(
        budget=budget,
        events=EventLog(folder / "log.jsonl"),
        number_formats=formats,
        open_elsewhere=opened_on(recipe.run_on),
    )


def opened_on(
    run_on: RunOnSettings | None,
) -> Callable[[ModelSettings, Runtime], Model | None] | None:
    """Returns what opens models on a cluster; None where this process asks them.

    Args:
        run_on: The cluster. It is connected to when a model is first asked.
    """
    if run_on is None:
        return None

    def open_elsewhere(settings: ModelSettings, runtime: Runtime) -> Model | None:
        from potstill.models.cluster.remote_model import open_remote

        return open_remote(settings, runtime, run_on)

    return open_elsewhere
