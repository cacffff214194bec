"""generate: questions → completions of the teacher."""

from potstill.generate.settings import DebateSettings, GenerateSettings
from potstill.generate.stage import GenerateResult, generate, teacher_asking

__all__ = [
    "DebateSettings",
    "GenerateResult",
    "GenerateSettings",
    "generate",
    "teacher_asking",
]
