"""train: rationales → students' checkpoints."""

from potstill.train.settings import LoraSettings, StudentSettings, TrainSettings
from potstill.train.stage import train

__all__ = ["LoraSettings", "StudentSettings", "TrainSettings", "train"]
