"""The setting that says which experiment trackers a run reports to."""

from pydantic import Field, field_validator

from potstill.settings import Settings

PACKAGES = ("tensorboard", "trackio", "mlflow", "wandb")
"""Trackers that are known to work; each needs the package of its name."""


class TrackSettings(Settings):
    """Where a run's figures are shown beside its own page; no part of what determines a result."""

    to: tuple[str, ...] = Field(min_length=1)
    """Trackers of accelerate: ``tensorboard``, ``trackio``, ``mlflow``, ``wandb``."""

    project: str = Field(default="potstill", min_length=1)
    """The project or experiment that the run stands in; TensorBoard has none."""

    name: str | None = None
    """The run's name there; null: the name of its folder."""

    @field_validator("to")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len({*names}) < len(names):
            raise ValueError("a tracker stands there twice; name each once")
        return names
