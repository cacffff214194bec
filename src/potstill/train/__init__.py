"""train: rationales → students' checkpoints."""

from potstill.train.settings import (
    LoraSettings,
    MatchingSettings,
    ReplaySettings,
    StopSettings,
    StudentSettings,
    TrainSettings,
)
from potstill.train.stage import Models, TrainContext, train

__all__ = [
    "LoraSettings",
    "MatchingSettings",
    "Models",
    "ReplaySettings",
    "StopSettings",
    "StudentSettings",
    "TrainContext",
    "TrainSettings",
    "train",
]
