"""train: rationales → students' checkpoints. The way through it begins at :func:`train`."""

from potstill.train.settings import (
    LoraSettings,
    MatchingSettings,
    ReplaySettings,
    StopSettings,
    StudentSettings,
    TrainSettings,
)
from potstill.train.stage import Models, train

__all__ = [
    "LoraSettings",
    "MatchingSettings",
    "Models",
    "ReplaySettings",
    "StopSettings",
    "StudentSettings",
    "TrainSettings",
    "train",
]
