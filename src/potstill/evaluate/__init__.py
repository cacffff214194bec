"""evaluate: checkpoints → predictions, scores, the choice of checkpoint."""

from potstill.evaluate.candidates import DevScorer
from potstill.evaluate.measure import EvalContext
from potstill.evaluate.model_card import (
    StudentOrigin,
    gain,
)
from potstill.evaluate.model_export import export_model, word_as_trained
from potstill.evaluate.settings import (
    CardSettings,
    EvaluateSettings,
    GenericSettings,
    PairSettings,
    VoteSettings,
)
from potstill.evaluate.stage import Evaluation, evaluate
from potstill.evaluate.systems import (
    EvalModels,
    EvalTask,
    Start,
    TaskSets,
    baseline_systems,
    entries,
    roles,
    student_system,
)

__all__ = [
    "CardSettings",
    "DevScorer",
    "EvalContext",
    "EvalModels",
    "EvalTask",
    "EvaluateSettings",
    "Evaluation",
    "GenericSettings",
    "PairSettings",
    "Start",
    "StudentOrigin",
    "TaskSets",
    "VoteSettings",
    "baseline_systems",
    "entries",
    "evaluate",
    "export_model",
    "gain",
    "roles",
    "student_system",
    "word_as_trained",
]
