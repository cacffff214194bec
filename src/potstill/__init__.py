"""potstill distils multi-step reasoning from a large teacher model into a small student.

The public names are loaded when first used, so that importing the package is quick::

    import potstill

    recipe = potstill.load_recipe("recipe.yaml")
    with potstill.Run(recipe) as run:
        run.generate()
        run.curate()
        run.train()
        run.evaluate()
        run.report()
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from potstill.errors import PotstillError as PotstillError
    from potstill.experiment.run_comparison import compare as compare
    from potstill.models import Model as Model
    from potstill.models import model_settings as model_settings
    from potstill.models import open_model as open_model
    from potstill.models.score_texts import ScoredText as ScoredText
    from potstill.models.score_texts import score as score
    from potstill.pipeline.recipe import Recipe as Recipe
    from potstill.pipeline.recipe import load_recipe as load_recipe
    from potstill.pipeline.run import Run as Run
    from potstill.records import Completion as Completion
    from potstill.records import GivenText as GivenText
    from potstill.records import Grade as Grade
    from potstill.records import Question as Question
    from potstill.records import Request as Request
    from potstill.records import Task as Task
    from potstill.runtime.progress import Meter as Meter
    from potstill.store import Store as Store
    from potstill.tasks import grade as grade
    from potstill.tasks import load_task as load_task
    from potstill.tasks import task_settings as task_settings

_HOMES = {
    "Completion": "records",
    "GivenText": "records",
    "Grade": "records",
    "Meter": "runtime.progress",
    "Model": "models",
    "PotstillError": "errors",
    "Question": "records",
    "Recipe": "pipeline.recipe",
    "Request": "records",
    "Run": "pipeline.run",
    "ScoredText": "models.score_texts",
    "Store": "store",
    "Task": "records",
    "compare": "experiment.run_comparison",
    "grade": "tasks",
    "load_recipe": "pipeline.recipe",
    "load_task": "tasks",
    "model_settings": "models",
    "open_model": "models",
    "score": "models.score_texts",
    "task_settings": "tasks",
}
"""The module each public name lives in."""

__all__ = [
    "Completion",
    "GivenText",
    "Grade",
    "Meter",
    "Model",
    "PotstillError",
    "Question",
    "Recipe",
    "Request",
    "Run",
    "ScoredText",
    "Store",
    "Task",
    "compare",
    "grade",
    "load_recipe",
    "load_task",
    "model_settings",
    "open_model",
    "score",
    "task_settings",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"potstill.{_HOMES[name]}"), name)
    if name == "__version__":
        return _installed_version()
    raise AttributeError(f"module 'potstill' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def _installed_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("potstill")
    except PackageNotFoundError:  # run from its source folder
        return "0+unknown"
