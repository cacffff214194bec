"""Facts for a run's report that its store does not hold: its folder, and stale results."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

from potstill.pipeline.cost_lines import unpriced_models
from potstill.pipeline.stale import StaleStage, shown, unsure_results
from potstill.report import RunFacts
from potstill.report.run_facts import ChangedSetting
from potstill.store import lock_holder

if TYPE_CHECKING:
    from potstill.pipeline.run import Run


def report_facts(run: "Run", stale: Sequence[StaleStage]) -> RunFacts:
    """Returns what is known of a run beyond its store.

    Args:
        run: The run.
        stale: Its stale stages.

    Raises:
        PotstillError: A task of the recipe cannot be read.
    """
    return RunFacts(
        folder=str(run.folder),
        has_model=(run.folder / "model").is_dir(),
        is_at_work=run.store.read_only and lock_holder(run.folder / "run.sqlite") is not None,
        stale=unsure_results(run.store, stale),
        unpriced=unpriced_models(run.recipe) if run.store.spent().tokens else (),
        used_at=run.store.last_used(),
        changed=[one for one in changed_settings(run.recipe) if one.name != "run"],
    )


def changed_settings(settings: BaseModel, place: str = "") -> Iterator[ChangedSetting]:
    """Yields the settings that are not as they are by default, by their names in a recipe.

    Args:
        settings: A recipe, or a section of one.
        place: The section's name with a full stop behind it; empty for the recipe.
    """
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        default = field.get_default(call_default_factory=True)
        if value == default:
            continue
        if isinstance(value, BaseModel):
            yield from changed_settings(value, f"{place}{name}.")
            continue
        former = "" if default is PydanticUndefined else shown(_plain(default))
        yield ChangedSetting(f"{place}{name}", shown(_plain(value)), former)


def _plain(value: object) -> object:
    """Returns a value without classes; of sections in a mapping, what differs from the defaults."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return to_jsonable_python(value)
