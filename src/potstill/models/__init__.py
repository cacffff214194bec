"""What can be asked: every model, teacher or student, behind one interface."""

from pathlib import Path

from potstill.errors import ConfigError
from potstill.models.interface import Model
from potstill.models.settings import (
    BUNDLED,
    LocalSettings,
    ModelSettings,
    OpenAISettings,
    RecordedSettings,
    VLLMSettings,
    model_settings,
)
from potstill.runtime import Runtime

__all__ = [
    "BUNDLED_FOLDER",
    "Model",
    "ModelSettings",
    "local_source",
    "model_settings",
    "open_model",
]

BUNDLED_FOLDER = Path(__file__).parent / "bundled"
"""A folder for each bundled model."""


def open_model(settings: ModelSettings, control: Runtime | None = None) -> Model:
    """The model behind these settings, ready to be asked.

    Args:
        settings: From :func:`model_settings`.
        control: The run's account, watch and brake; without it the model has its own.

    Raises:
        ModelError: The model's folder, file or server cannot be used.
        MissingExtraError: The kind needs packages that are not installed.
    """
    if isinstance(settings, OpenAISettings):
        from potstill.models.openai.model import OpenAIModel

        return OpenAIModel(settings, control)
    if isinstance(settings, VLLMSettings):
        from potstill.models.vllm.model import VLLMModel

        return VLLMModel(settings, control)
    if isinstance(settings, RecordedSettings):
        from potstill.models.recorded import RecordedModel

        return RecordedModel(settings)
    assert isinstance(settings, LocalSettings)
    from potstill.models.local.model import HFModel

    return HFModel(settings, source=local_source(settings))


def local_source(settings: ModelSettings) -> str:
    """The hub name or folder that a ``bundled:`` or ``hf:`` model is loaded from.

    Raises:
        ConfigError: The model is of another kind, or no model of that name is bundled.
    """
    kind, _, where = settings.model.partition(":")
    if kind == "hf":
        return where
    if kind == "bundled" and where in BUNDLED:
        return str(BUNDLED_FOLDER / where)
    raise ConfigError(
        f"{settings.model!r} is not a model that can be trained; "
        "give hf:NAME, hf:FOLDER, bundled:teacher or bundled:student."
    )
