"""generate: questions → completions of the teacher."""

from potstill.generate.settings import ExemplarSettings, GenerateSettings
from potstill.generate.stage import generate, teacher_asking

__all__ = ["ExemplarSettings", "GenerateSettings", "generate", "teacher_asking"]
