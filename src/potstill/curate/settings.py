"""Settings of the curate stage."""

from typing import Literal

from pydantic import Field, model_validator

from potstill.curate.marks import MarkSettings
from potstill.curate.suitability import SuitabilityMeasure
from potstill.settings import Settings


class CurateSettings(Settings):
    """The conditions on which the teachers' rationales are kept for training."""

    right_answer: bool = True
    """Keep only rationales that reach the gold answer."""

    choose: Literal["all", "agreement", "likelihood", "rank_surprisal", "local_naturalness"] = "all"
    """Whether all teachers of a question are kept, or only the one that this measure chooses."""

    marks: MarkSettings | None = None
    """People's verdicts on rationales, from a file; null asks nobody. Beside ``right_answer``: what
    is kept has the right answer and was found sound."""

    min_words: int = Field(default=1, ge=0)
    """Shortest rationale kept, in words."""

    max_words: int | None = Field(default=None, ge=1)
    """Longest rationale kept, in words; null keeps any."""

    duplicates: bool = False
    """Keep rationales of a question that differ at most in case and spacing."""

    max_per_question: int | None = Field(default=None, ge=1)
    """Most rationales kept for one question, the first samples first; null keeps all."""

    @model_validator(mode="after")
    def _some_length_is_kept(self) -> "CurateSettings":
        if self.max_words is not None and self.max_words < self.min_words:
            raise ValueError(
                f"max_words is {self.max_words} and min_words {self.min_words}, so that no "
                "rationale would be kept"
            )
        return self

    @property
    def measure(self) -> SuitabilityMeasure | None:
        """The measure under the student's start that teachers are chosen by, if it is one."""
        if self.choose == "all" or self.choose == "agreement":
            return None
        return self.choose
