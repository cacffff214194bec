"""Settings of the generate stage."""

from pydantic import Field, model_validator

from potstill.prompts.styles import AnyStyle, style_named
from potstill.settings import Settings


class DebateSettings(Settings):
    """Several teachers see each other's answers, and answer again (after arXiv 2305.14325)."""

    rounds: int = Field(default=1, ge=1)
    """How often everybody answers again; each round costs as many samples as the first answers."""


class GenerateSettings(Settings):
    """How many rationales to draw from each teacher, and how."""

    samples: int = Field(default=4, ge=1)
    """D: rationales drawn of each teacher for a question; the most, with ``enough_right``."""

    enough_right: int | None = Field(default=None, ge=1)
    """Draw for a question only until so many rationales are right; null always draws all."""

    most_wrong: int | None = Field(default=None, ge=1)
    """With ``enough_right``: leave a question once so many of its samples are wrong; null asks on
    up to ``samples``, where a right answer may at last be luck."""

    temperature: float = Field(default=0.7, ge=0)
    """Softmax temperature of the teacher; 0 is greedy and allows one sample only."""

    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus mass that tokens are drawn from; 1 keeps all."""

    max_tokens: int = Field(default=512, ge=1)
    """Longest rationale, in the teacher's tokens."""

    top_logprobs: int = Field(default=0, ge=0, le=20)
    """How many likeliest tokens to keep at each position; 0 keeps none."""

    prompt_style: AnyStyle | None = None
    """How teachers are asked: a style, or one of your own; by default instruct_cot for chat models,
    else zero_shot_cot."""

    debate: DebateSettings | None = None
    """Have the teachers debate; null takes their first answers."""

    @model_validator(mode="after")
    def _check(self) -> "GenerateSettings":
        if self.temperature == 0 and self.samples > 1:
            raise ValueError(
                f"temperature is 0 (greedy), so all {self.samples} samples of a question would be "
                "the same text. Raise generate.temperature, or set generate.samples to 1"
            )
        if self.enough_right is not None and self.enough_right > self.samples:
            raise ValueError(
                f"enough_right is {self.enough_right}, and no question gets more than "
                f"{self.samples} samples. Raise generate.samples, or lower enough_right"
            )
        if self.most_wrong is not None and self.enough_right is None:
            raise ValueError(
                f"most_wrong is {self.most_wrong}, and without enough_right all {self.samples} "
                "samples are drawn of every question. Give enough_right, or leave most_wrong out"
            )
        if self.enough_right is not None and self.debate is not None:
            raise ValueError(
                "a debate needs every teacher's answer, right or wrong, and enough_right would "
                "leave some out. Give debate or enough_right"
            )
        if self.prompt_style is not None:
            style_named(self.prompt_style)
        return self
