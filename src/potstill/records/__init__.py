"""The records that flow through a run: frozen, with no work in them."""

from potstill.records.capability import UNKNOWN, Capability, CapabilityName
from potstill.records.completion import (
    Amount,
    Completion,
    FinishReason,
    Message,
    Request,
    Teacher,
    TokenLogprobs,
)
from potstill.records.evaluation import (
    Choice,
    Comparison,
    GuidedPrediction,
    GuidedScore,
    JudgeFigures,
    Prediction,
    Score,
    StageRecord,
    System,
)
from potstill.records.policy import GuidedKind, Policy
from potstill.records.task import AnswerType, Grade, Question, RuleName, Split, Task
from potstill.records.training import (
    Checkpoint,
    Example,
    Likelihood,
    Rationale,
    SoftTargets,
    TeacherScore,
    TeacherSpan,
    TrainingStep,
)

__all__ = [
    "UNKNOWN",
    "Amount",
    "AnswerType",
    "Capability",
    "CapabilityName",
    "Checkpoint",
    "Choice",
    "Comparison",
    "Completion",
    "Example",
    "FinishReason",
    "Grade",
    "GuidedKind",
    "GuidedPrediction",
    "GuidedScore",
    "JudgeFigures",
    "Likelihood",
    "Message",
    "Policy",
    "Prediction",
    "Question",
    "Rationale",
    "Request",
    "RuleName",
    "Score",
    "SoftTargets",
    "Split",
    "StageRecord",
    "System",
    "Task",
    "Teacher",
    "TeacherScore",
    "TeacherSpan",
    "TokenLogprobs",
    "TrainingStep",
]
