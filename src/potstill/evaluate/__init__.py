"""evaluate: checkpoints → predictions, scores, the choice of checkpoint."""

from potstill.evaluate.development import Development
from potstill.evaluate.entries import Entry, TaskSets, entries, roles
from potstill.evaluate.export import export_model
from potstill.evaluate.measuring import Bench
from potstill.evaluate.settings import (
    EvaluateSettings,
    GenericSettings,
    PairSettings,
    VoteSettings,
)
from potstill.evaluate.stage import Evaluation, evaluate
from potstill.evaluate.systems import Contenders, Start, baseline_systems, student_system

__all__ = [
    "Bench",
    "Contenders",
    "Development",
    "Entry",
    "EvaluateSettings",
    "Evaluation",
    "GenericSettings",
    "PairSettings",
    "Start",
    "TaskSets",
    "VoteSettings",
    "baseline_systems",
    "entries",
    "evaluate",
    "export_model",
    "roles",
    "student_system",
]
