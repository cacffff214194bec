"""train: rationales → students' checkpoints. The way through it begins at :func:`train`."""

from potstill.train.begun_trainings import resumable_step, training_folders
from potstill.train.settings import (
    LoraSettings,
    MatchingSettings,
    PrefixSettings,
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
    "PrefixSettings",
    "ReplaySettings",
    "StopSettings",
    "StudentSettings",
    "TrainSettings",
    "resumable_step",
    "train",
    "training_folders",
]
