"""Models, teachers and students alike, behind one interface."""

from potstill.models.interface import Model
from potstill.models.settings import (
    BUNDLED_FOLDER,
    ModelSettings,
    model_settings,
)
from potstill.runtime import Runtime

__all__ = [
    "BUNDLED_FOLDER",
    "Model",
    "ModelSettings",
    "model_settings",
    "open_model",
]


def open_model(settings: ModelSettings, runtime: Runtime | None = None) -> Model:
    """Opens a model, ready to be asked.

    Args:
        settings: From :func:`model_settings`.
        runtime: The run's budget, log and stop signal, and where its models are asked; without it
            the model has its own.

    Raises:
        ModelError: The model's folder, file or server cannot be used.
        MissingExtraError: The kind needs packages that are not installed.
    """
    if runtime is not None and runtime.open_elsewhere is not None:
        model: Model | None = runtime.open_elsewhere(settings, runtime)
        if model is not None:
            return model
    return settings.open(runtime)
