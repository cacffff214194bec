"""generate: questions → completions of the teacher."""

from potstill.generate.adaptive import Drawn
from potstill.generate.debate import answer_again
from potstill.generate.settings import DebateSettings, GenerateSettings
from potstill.generate.stage import generate, teacher_asking

__all__ = [
    "DebateSettings",
    "Drawn",
    "GenerateSettings",
    "answer_again",
    "generate",
    "teacher_asking",
]
