"""What the models of a run share: its account, its log, the number formats found by trying."""

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
    return Runtime(budget=budget, events=EventLog(folder / "log.jsonl"), number_formats=formats)
