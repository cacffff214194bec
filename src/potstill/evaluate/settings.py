"""Settings of the evaluate stage."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from potstill.settings import Settings
from potstill.tasks import TaskSettings, task_settings


def _further_task(raw: object) -> TaskSettings:
    return task_settings(raw, at="evaluate.tasks")


class EvaluateSettings(Settings):
    """What the systems are measured on, and how they are asked."""

    tasks: tuple[Annotated[TaskSettings, BeforeValidator(_further_task)], ...] = ()
    """Tasks beside the recipe's own, whose test splits show transfer and forgetting."""

    max_tokens: int = Field(default=512, ge=1)
    """Longest answer, in the answering model's tokens; answers are greedy."""

    bootstrap: int = Field(default=10_000, ge=100)
    """Resamples behind the interval of a difference."""
