"""The setting that says which experiment trackers a run reports to."""

from collections.abc import Mapping

from pydantic import Field, field_validator

from potstill.settings import Settings

PACKAGES = ("tensorboard", "trackio", "mlflow", "wandb")
"""Trackers that are known to work; each needs the package of its name."""


class TrackSettings(Settings):
    """The trackers that show a run's figures beside its own page; they change no result."""

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


def with_one_track(values: object) -> object:
    """Returns a recipe's plain values with trackers under ``train.report_to`` put into ``track``.

    That was another way to name them, which earlier recipes and the folders of their runs have.

    Raises:
        ValueError: It says ``all``.
    """
    train = values.get("train") if isinstance(values, Mapping) else None
    if not isinstance(values, Mapping) or not isinstance(train, Mapping):
        return values
    if "report_to" not in train:
        return values
    given = train["report_to"]
    names = [given] if isinstance(given, str) else [str(name) for name in given or ()]
    if "all" in names:
        raise ValueError(
            "train.report_to is all; name the trackers one by one, e.g. track: {to: [tensorboard]}"
        )
    named = [name for name in names if name != "none"]
    track = values.get("track")
    moved: dict[str, object] = {
        **values,
        "train": {name: value for name, value in train.items() if name != "report_to"},
    }
    if named:
        known = dict(track) if isinstance(track, Mapping) else {}
        moved["track"] = {**known, "to": list(dict.fromkeys([*known.get("to", ()), *named]))}
    return moved
