"""generate: questions → completions of the teacher."""

from potstill.generate.settings import DebateSettings, GenerateSettings
from potstill.generate.stage import GenerateResult, generate, teacher_asking
from potstill.sampling.debate import answer_again

__all__ = [
    "DebateSettings",
    "GenerateResult",
    "GenerateSettings",
    "answer_again",
    "generate",
    "teacher_asking",
]
