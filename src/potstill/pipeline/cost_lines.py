"""Notes on a run's costs, in words for the terminal and the report."""

from collections.abc import Iterator

from potstill.guide.experiment import STAGE as GUIDE_STAGE
from potstill.pipeline.judge_lines import described_judge
from potstill.pipeline.recipe import Recipe
from potstill.pipeline.unknown_costs import without_prices
from potstill.report.text import cost_note
from potstill.runtime.cost_words import missing_prices
from potstill.sampling.judge import STAGE as JUDGE_STAGE
from potstill.store import Store


def unpriced_models(recipe: Recipe) -> list[str]:
    """Returns the teachers, and the judge, that are paid for and whose prices are not known."""
    models = without_prices([*recipe.named_teachers.values(), recipe.judge])
    return list(dict.fromkeys(model.model for model in models))


def cost_lines(recipe: Recipe, store: Store) -> list[str]:
    """Returns what the report says of a run's costs: the judge's, and prices that are not known."""
    unknown = missing_prices(unpriced_models(recipe)) if store.spent().tokens else ""
    return [*judge_lines(recipe, store), *filter(None, [unknown])]


def judge_lines(recipe: Recipe, store: Store) -> list[str]:
    """Returns how the judge did in each stage, and its cost; nothing where none was asked."""
    lines = described_judge(
        store.judge_figures(),
        store.stages(),
        is_priced=not without_prices([recipe.judge]),
        uncounted=store.uncounted(JUDGE_STAGE),
    )
    return list(lines)


def guide_cost_notes(recipe: Recipe, store: Store) -> Iterator[str]:
    """Yields what is to be known of a policy's cost a question."""
    unpriced = [model.model for model in without_prices([recipe.teacher])]  # it guides
    if unpriced:
        yield f"Cost a question is not known. {missing_prices(unpriced)}"
    if note := cost_note(store.uncounted(GUIDE_STAGE)):
        yield f"Cost a question: {note}"
