"""What a guided answer is made of: the two sides, what is asked of them, what comes of it.

When the teacher steps in: the policies, as a recipe or a request names them.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from potstill.guide.uncertainty import SignalName, Signals
from potstill.records import Completion, Message, Request
from potstill.settings import Settings
from potstill.text.steps import StepKind

Who = Literal["student", "teacher"]
GuidanceKind = Literal["step", "question", "hint"]


def lead_after(prompt: str | tuple[Message, ...]) -> str:
    """What stands between a prompt and a model's first step, where no data format says it."""
    return " " if isinstance(prompt, str) and not prompt[-1:].isspace() else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Participant:
    """How the student or the teacher is asked for a whole answer."""

    request: Request
    """Prompt and sampling; its ``answer_prefix`` is empty."""

    lead: str = ""
    """What stands between prompt and first step, such as a space."""

    def at(self, prefix: str) -> Request:
        """What is asked where the answer says ``prefix`` so far."""
        return replace(self.request, answer_prefix=self.lead + prefix if prefix else "")

    def own(self, text: str) -> str:
        """A whole answer without the lead that it begins with."""
        lead = self.lead.strip()
        return text.lstrip().removeprefix(lead) if lead else text

    def step(self, prefix: str, stop: tuple[str, ...], max_tokens: int) -> Request:
        """What is asked for one greedy step after ``prefix``.

        A lead that a stop string would end is given; a space is left to the model, as its tokens
        join it to the word behind it.
        """
        request = self.at(prefix)
        if not prefix and self.lead.strip(" "):
            request = replace(request, answer_prefix=self.lead)
        return replace(
            request,
            samples=(0,),
            temperature=0.0,
            top_p=1.0,
            top_logprobs=0,
            max_tokens=min(request.max_tokens, max_tokens),
            stop=(*request.stop, *stop),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class GuidanceConfig:
    """How answers are guided, whatever the policy."""

    steps: StepKind = "sentences"
    kind: GuidanceKind = "step"
    step_tokens: int = 64
    """Longest step, in the tokens of the model that writes it."""

    budget: int | None = None
    """Most teacher tokens an answer; None: as many as its steps take."""

    draws: int = 0
    """Samples of the student's first step, for its disagreement."""

    temperature: float = 0.7
    """Softmax temperature of those samples."""


class ModelCall(NamedTuple):
    """A request to one of the two; all of its samples are wanted."""

    who: Who
    request: Request
    last: bool = False
    """Whether its text ends the answer, so that it can be passed on while it is written."""

    said: str = ""
    """What the answer says so far for good; a step that is still written may be dropped again."""


@dataclass(kw_only=True, slots=True)
class Usage:
    """What one of the two has taken for an answer."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    """US dollars."""

    def add(self, completions: Sequence[Completion]) -> None:
        """Count what was paid; the samples of a request share its prompt."""
        for completion in completions:
            self.completion_tokens += completion.completion_tokens
            self.cost += completion.cost
        self.prompt_tokens += max((each.prompt_tokens for each in completions), default=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class GuidedAnswer:
    """An answer written under a policy."""

    prefix: str
    """The steps kept and guided before the student's last words."""

    endings: tuple[Completion, ...]
    """The student's last words, one completion a sample."""

    guidance: tuple[str, ...]
    """What the teacher wrote, step by step; empty where it did not step in."""

    silent: bool
    """Whether the teacher was wanted and did not answer, so that the student went on alone."""

    signals: Signals | None
    """How sure the student was, where the policy looks."""

    student: Usage
    """Drafts that were dropped included."""

    teacher: Usage

    @property
    def texts(self) -> list[str]:
        """The whole answers, by sample."""
        return [self.prefix + ending.text for ending in self.endings]


GuidedDecoder = Generator[ModelCall, Sequence[Completion], GuidedAnswer]
"""Yields what is to be asked and is sent the completions; none where nobody is there to ask."""


When = Literal["never", "first", "at", "first_n", "when_unsure", "learned"]


class Policy(Settings):
    """When the teacher writes a step.

    In short ``never``, ``first``, ``learned`` or ``when_unsure``, or a mapping of one item such as
    ``at: 2`` (the second step alone) and ``first_n: 3`` (the first three steps).
    """

    when: When
    """Which policy it is."""

    steps: int = Field(default=1, ge=1)
    """at: which step the teacher writes, counted from 1; first_n: how many."""

    signal: SignalName = "min_logprob"
    """when_unsure: what of the student's own first step is looked at."""

    threshold: float | None = None
    """when_unsure, learned: guided from here on; null: chosen on development questions."""

    @property
    def conditional(self) -> bool:
        """Whether the student's own first step decides."""
        return self.when in ("when_unsure", "learned")

    @property
    def places(self) -> range:
        """The steps that the teacher writes, counted from 0, where it steps in at all."""
        if self.when == "never":
            return range(0)
        if self.when == "at":
            return range(self.steps - 1, self.steps)
        return range(self.steps if self.when == "first_n" else 1)

    @property
    def name(self) -> str:
        """Unique among the policies of a run that differ."""
        if self.when in ("at", "first_n"):
            return f"{self.when}_{self.steps}"
        return f"when_unsure_{self.signal}" if self.when == "when_unsure" else self.when


def policy_settings(raw: object) -> object:
    """The long form of a policy that was given in short."""
    if isinstance(raw, str):
        return {"when": raw}
    if isinstance(raw, Mapping) and len(raw) == 1:
        ((name, value),) = raw.items()
        if name in ("at", "first_n"):
            return {"when": name, "steps": value}
        if name == "when_unsure" and isinstance(value, Mapping):
            return {"when": name, **value}
    return raw


AnyPolicy = Annotated[Policy, BeforeValidator(policy_settings)]
