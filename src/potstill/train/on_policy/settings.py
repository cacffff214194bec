"""The settings of on-policy training: the student writes, a teacher scores, the student learns.

Nothing here loads torch, nor reads a model: recipes are checked by it.
"""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from potstill.prompts.formats import format_named
from potstill.settings import Settings
from potstill.train.on_policy.limit_settings import LimitSettings

if TYPE_CHECKING:
    from potstill.train.settings import StudentSettings


class ScoreSettings(Settings):
    """The part of each answer that the teacher scores, and the tokens of it that are learned."""

    first_tokens: int | None = Field(default=None, ge=1)
    """Have only the first so many of the student's tokens written and scored; null: the whole
    answer. The beginning of an answer settles most of it (arXiv 2602.15260)."""

    first_steps: int | None = Field(default=None, ge=1)
    """Have only the first so many steps scored, lines or sentences; null: the whole answer."""

    share: float = Field(default=1.0, gt=0, le=1)
    """Share of an answer's tokens that is learned, those that ``by`` ranks first. Half of them may
    teach as much as all (arXiv 2604.14084)."""

    by: Literal["entropy", "disagreement"] = "entropy"
    """The ranking of tokens: by the student's own entropy, or by how far the teacher's
    log-probability of the token that the student wrote is from the student's."""

    @model_validator(mode="after")
    def _one_length(self) -> "ScoreSettings":
        if self.first_tokens is not None and self.first_steps is not None:
            raise ValueError("first_tokens and first_steps are both given; give one of them")
        return self


class OnPolicySettings(Settings):
    """Learn from a teacher's probabilities of what the student itself writes, round by round."""

    teacher: str = "teacher"
    """The teacher that scores, by its name in the recipe."""

    steps_per_round: int = Field(default=10, ge=1)
    """Optimiser steps on one round's answers; then the student, as it is by then, writes new ones.
    So no answer is older than this, in steps, when it is learned."""

    questions: int | None = Field(default=None, ge=1)
    """Questions of a round, drawn from the training questions; null: as many as have each answer
    learned once."""

    samples: int = Field(default=1, ge=1)
    """Answers that the student writes to each question of a round."""

    temperature: float = Field(default=1.0, ge=0)
    """Temperature at which the student writes; 0 is greedy."""

    max_tokens: int = Field(default=512, ge=1)
    """Longest answer, in the student's tokens."""

    top: int = Field(default=20, ge=1)
    """K: how many of the teacher's likeliest tokens are kept at each place of an answer."""

    score: ScoreSettings = ScoreSettings()

    mix: float = Field(default=0.0, ge=0, lt=1)
    """Share of each step's examples that are the teacher's rationales, learned by their text; 0:
    the student's own answers alone."""

    start_from: str | None = None
    """A student of the recipe whose last checkpoint is the start, e.g. ``rationales``; null: the
    start itself."""

    limits: LimitSettings | None = LimitSettings()
    """The limits that stop a collapsing student, at its last good checkpoint; null: none."""

    @property
    def longest(self) -> int:
        """Most tokens that the student writes of an answer."""
        return min(self.max_tokens, self.score.first_tokens or self.max_tokens)


def check_on_policy(student: "StudentSettings") -> None:
    """Refuses what an on-policy student cannot learn, or would learn from itself.

    Raises:
        ValueError: The message says what, and the way out.
    """
    on_policy = student.on_policy
    if on_policy is None:
        return
    if student.matching.distribution < 1:
        raise ValueError(
            "on_policy learns the teacher's probabilities of what the student writes; its words "
            "alone teach nothing. Set matching to distribution, or to {divergence: reverse_kl}; "
            "on_policy.mix has rationales learned beside"
        )
    if student.unlikelihood is not None:
        raise ValueError("on_policy and unlikelihood are both given; give one of them")
    if student.thinking != "drop":
        raise ValueError("on_policy scores answers without thinking. Set thinking to drop")
    asked_in = format_named(student.asked_in)
    if asked_in.role is not None or not asked_in.needs_rationale or asked_in.needs_exemplars:
        raise ValueError(
            f"on_policy has the student write rationales to bare questions, and it is asked in "
            f"{asked_in.name}. Put such a format first, e.g. chat or fine_tune_cot"
        )
    if student.replay is not None and not on_policy.mix:
        raise ValueError("replay is a part of what on_policy.mix has learned beside; set mix, too")
