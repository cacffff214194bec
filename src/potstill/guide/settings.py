"""Settings of the guide stage, and those that it shares with the guided server."""

from collections import Counter
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from potstill.guide.types import (
    LOOKING,
    AnyPolicy,
    GuidanceConfig,
    GuidanceKind,
    PolicySettings,
)
from potstill.prompts.styles import STYLES, AnyStyle
from potstill.settings import InvalidSettings, SettingFault, Settings
from potstill.text.steps import StepKind

ControlName = Literal[
    "own_first", "wrong_chain", "other_problem", "random_step", "hint", "question"
]


QUESTION_STYLES = ("quest_cot", "instruct_quest_cot", "zero_shot_quest_cot")
"""Prompt styles in which a teacher is asked for the question to begin with: one that shows worked
questions, one for chats and one for neither."""


class GuidanceSettings(Settings):
    """How a step of guidance looks, in the experiment and in the server alike."""

    kind: GuidanceKind = "step"
    """The teacher's words: its step, the question it begins with, or the step's quantities."""

    step_tokens: int = Field(default=64, ge=1)
    """Longest step, in tokens of the model that writes it."""

    budget: int | None = Field(default=None, ge=0)
    """Most teacher tokens an answer; null: as many as its steps take."""

    draws: int = Field(default=0, ge=0)
    """Samples of the student's own first step that its disagreement is read from."""

    def guidance_config(self, steps: StepKind, *, temperature: float = 0.7) -> GuidanceConfig:
        """How answers are guided.

        Args:
            steps: The layout that tells where a step of the student's answers ends.
            temperature: Softmax temperature of ``draws``.
        """
        return GuidanceConfig(
            steps=steps,
            kind=self.kind,
            step_tokens=self.step_tokens,
            budget=self.budget,
            draws=self.draws,
            temperature=temperature,
        )


class GuideSettings(GuidanceSettings):
    """The policies that are followed, the teacher's part, and the baselines held against it."""

    student: str | None = None
    """The trained student that is guided; null: the best that writes rationales,
    by evaluation's choice."""

    policies: tuple[AnyPolicy, ...] = (PolicySettings(when="never"), PolicySettings(when="first"))
    """When the teacher steps in; ``never`` and ``first`` are always measured."""

    steps: StepKind | None = None
    """The layout that tells where a step ends; null: that of the student's kept rationales."""

    budget: int | None = Field(default=None, ge=1)
    """Most teacher tokens an answer; null: as many as its steps take."""

    overall_budget: int | None = Field(default=None, ge=1)
    """Most teacher tokens of all steps together, however often resumed; null: no limit. Answers of
    the teacher alone and chains for controls are not among them."""

    draws: int = Field(default=4, ge=0)
    """Samples of the student's own first step that its disagreement is read from."""

    temperature: float = Field(default=0.7, gt=0)
    """Softmax temperature of those samples, and of the teacher's chains that may go wrong."""

    controls: tuple[ControlName, ...] = ()
    """Things put in the place of the teacher's first step, to see what it is that helps."""

    chains: int = Field(default=8, ge=1)
    """wrong_chain: chains drawn from the teacher for each question, of which one may be wrong."""

    pass_at: tuple[int, ...] = ()
    """Each k of pass@k of the student alone, e.g. [1, 5, 10, 20]; empty: not measured."""

    pass_temperature: float = Field(default=0.7, gt=0)
    """Softmax temperature of the samples behind pass@k."""

    routing: bool = True
    """Send whole questions to the teacher for comparison, at random and by the student's doubt."""

    self_guidance: tuple[AnyStyle, ...] = ()
    """Prompt styles that the student's start is asked in, e.g. zero_shot_cot beside
    zero_shot_quest_cot, in which it asks itself how to begin."""

    keep_gain: float = Field(default=0.9, gt=0, le=1)
    """Conditional policies: how much of the development gain of ``first`` a threshold keeps."""

    teacher_tokens: float | None = Field(default=None, ge=0)
    """Most teacher tokens a question, on average, that you would pay for: what wins within them is
    recommended. null: by price."""

    max_tokens: int | None = Field(default=None, ge=1)
    """Longest answer, in the student's tokens; null: ``evaluate.max_tokens``."""

    bootstrap: int = Field(default=10_000, ge=100)
    """Resamples behind the interval of a difference."""

    @field_validator("pass_at")
    @classmethod
    def _counts(cls, counts: tuple[int, ...]) -> tuple[int, ...]:
        if any(count < 1 for count in counts):
            raise ValueError("give numbers of samples from 1 on")
        return counts

    @model_validator(mode="after")
    def _questions_can_be_asked_for(self) -> Self:
        if self.asks_for_questions:
            setting = "kind" if self.kind == "question" else "controls"
            for style in QUESTION_STYLES:
                if style not in STYLES:
                    words = f": question is asked in {style}, and {STYLES.unknown(style)}."
                    raise InvalidSettings([SettingFault((setting,), words)], at="guide")
        return self

    @property
    def asks_for_questions(self) -> bool:
        """Whether the teacher is asked for the question that an answer begins with."""
        return self.kind == "question" or "question" in self.controls

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        for field, names in (
            ("policies", [policy.label for policy in self.policies]),
            ("controls", self.controls),
            ("pass_at", [str(count) for count in self.pass_at]),
            ("self_guidance", [s if isinstance(s, str) else s.key for s in self.self_guidance]),
        ):
            twice = [name for name, times in Counter(names).items() if times > 1]
            if twice:
                raise ValueError(f"{field} names {twice[0]} twice")
        looked_at = {p.signal for p in self.policies if p.when in LOOKING}
        if not self.draws and "disagreement" in looked_at:
            raise ValueError(
                "a policy looks at disagreement, and draws is 0. Set guide.draws, e.g. to 4"
            )
        return self

    @property
    def followed(self) -> tuple[PolicySettings, ...]:
        """The policies with ``never`` and ``first``, which the others are held against."""
        labels = [policy.label for policy in self.policies]
        always = [PolicySettings(when="never"), PolicySettings(when="first")]
        return (*(policy for policy in always if policy.label not in labels), *self.policies)

    @property
    def undecided(self) -> list[PolicySettings]:
        """The policies whose gates development questions settle."""
        return [
            policy
            for policy in self.followed
            if policy.has_threshold and (policy.threshold is None or policy.when == "learned")
        ]

    @property
    def needing_continuation(self) -> list[PolicySettings]:
        """The policies for which the teacher goes on from steps that are there."""
        return [policy for policy in self.followed if policy.needs_continuation]

    def config(self, layout: StepKind) -> GuidanceConfig:
        """How answers are guided, where the student's kept rationales have this layout."""
        return self.guidance_config(self.steps or layout, temperature=self.temperature)
