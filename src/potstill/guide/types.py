"""The parts of guidance: who takes part, what they are asked, the answer, and the policies.

First-step guidance (arXiv 2311.07945): a small student often reasons well once it has begun well,
so the teacher writes the first step of the answer and the student goes on from there::

    question   Ann has 3 bags of 4 apples and eats 2. How many are left?
    teacher    Ann has 3 * 4 = 12 apples.                  one step, 10 tokens
    student    She eats 2, so 12 - 2 = 10. --> 10          the rest, as if the step were its own

A policy (:class:`PolicySettings`) says which steps the teacher writes, and a conditional one leaves
to the student the answers it is sure of. Under ``any_step`` the student is looked at where each
step begins (arXiv 2601.05110), and under ``route`` the teacher writes the whole answer or nothing.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, model_validator

from potstill.errors import ConfigError, shortened
from potstill.guide.uncertainty import Gate, SignalName, Signals
from potstill.plugins import Registry
from potstill.records import Completion, Message, Policy, Request
from potstill.records.policy import ANY_STEP, ROUTE
from potstill.setting_names import NameOf
from potstill.settings import Settings
from potstill.text.steps import StepKind

Who = Literal["student", "teacher"]
GuidanceKind = Literal["step", "question", "hint"]


def lead_after(prompt: str | tuple[Message, ...]) -> str:
    """The text between a prompt and a model's first step, where no data format says it."""
    return " " if isinstance(prompt, str) and not prompt[-1:].isspace() else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Participant:
    """How the student or the teacher is asked for a whole answer."""

    request: Request
    """Prompt and sampling; its ``answer_prefix`` is empty."""

    lead: str = ""
    """The text between prompt and first step, such as a space."""

    whole_steps: bool = False
    """Whether a step is asked for without stop strings, since what a stop string cuts off too
    early, as after "1.", cannot be gone on from."""

    def continue_from(self, prefix: str) -> Request:
        """The request for the rest of an answer that says ``prefix`` so far."""
        return replace(self.request, answer_prefix=self.lead + prefix if prefix else "")

    def without_lead(self, answer: str) -> str:
        """A whole answer without the lead that it begins with."""
        lead = self.lead.strip()
        return answer.lstrip().removeprefix(lead) if lead else answer

    def next_step(self, prefix: str, stop: tuple[str, ...], max_tokens: int) -> Request:
        """The request for one greedy step after ``prefix``.

        A lead that a stop string would end is given; a space is left to the model, as its tokens
        join it to the word behind it. A whole step is cut out of what is written.
        """
        if self.whole_steps:
            assert not prefix, "it cannot go on from steps that are there"
            stop = ()
        request = self.continue_from(prefix)
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
    """Whether its text ends the answer, so that it can be passed on while it is written. The
    teacher's is a whole answer."""

    settled: str = ""
    """The steps of the answer that stand for good; one that is still written may be dropped."""


@dataclass(kw_only=True, slots=True)
class Usage:
    """Tokens and dollars that one of the two has taken for an answer."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    """US dollars."""

    prompts_known: bool = True
    completions_known: bool = True
    """Whether the tokens of all prompts, and of all that was written, were told."""

    def add(self, completions: Sequence[Completion]) -> None:
        """Count what was paid; the samples of a request share its prompt."""
        read = max((completion.prompt_tokens for completion in completions), default=0)
        for completion in completions:
            self.completion_tokens += completion.completion_tokens
            self.cost += completion.cost
            # A model that counts has read something, and may have written nothing.
            wrote = bool(completion.text or completion.thinking)
            if not completion.completion_tokens and (wrote or not read):
                self.completions_known = False
        self.prompt_tokens += read
        self.prompts_known = self.prompts_known and (read > 0 or not completions)


@dataclass(frozen=True, kw_only=True, slots=True)
class GuidedAnswer:
    """An answer written under a policy."""

    prefix: str
    """The steps kept and guided before the student's last words."""

    endings: tuple[Completion, ...]
    """The student's last words, one completion a sample."""

    guidance: tuple[str, ...]
    """The teacher's words, step by step; empty where it did not step in."""

    silent: bool
    """Whether the teacher was wanted and did not answer, so that the student went on alone."""

    signals: Signals | None
    """How sure the student was, where the policy looks."""

    student: Usage
    """Drafts that were dropped included."""

    teacher: Usage

    routed: bool = False
    """Whether the teacher wrote the whole answer."""

    @property
    def texts(self) -> list[str]:
        """The whole answers, by sample."""
        return [self.prefix + ending.text for ending in self.endings]


GuidedDecoder = Generator[ModelCall, Sequence[Completion], GuidedAnswer]
"""Yields each call and is sent its completions; none where nobody is there to ask."""


POLICIES = ("never", "first", "at", "first_n", "when_unsure", "learned", ANY_STEP, ROUTE)

MOST_HANDED_OVER = 8
"""any_step: most steps that the teacher writes in an answer, where a recipe does not say."""

LOOKING = ("when_unsure", ANY_STEP, ROUTE)
"""The policies that compare one signal of the student's with a threshold."""

GATES = Registry[Callable[[Signals], object]](
    "policy", {}, by_reference=True, fits=callable, calls={"": ("signals",)}
)
"""Policies of a user's own by ``module:name``."""

_POLICY_NAME = NameOf(GATES, further=POLICIES)


class PolicySettings(Settings):
    """When the teacher writes a step.

    In short ``never``, ``first``, ``learned``, ``when_unsure``, ``any_step``, ``route`` or a
    ``module:name`` of your own, or a mapping of one item such as ``at: 2`` (the second step alone),
    ``first_n: 3`` (the first three steps) and ``any_step: {teacher_share_at_most: 0.3}``.
    """

    when: Annotated[str, _POLICY_NAME]
    """never, first, at, first_n, when_unsure, learned, any_step, route, or module:name: a function
    that is given the Signals of the student's own first step and says whether the teacher is to
    write it anew."""

    steps: int = Field(default=1, ge=1)
    """at: which step the teacher writes, counted from 1; first_n: how many; any_step: the most in
    an answer, 8 where nothing is said."""

    signal: SignalName = "min_logprob"
    """when_unsure, route: what of the student's own first step is looked at; any_step: what of the
    first token of every step, the entropy where nothing is said."""

    threshold: float | None = None
    """when_unsure, learned, any_step, route: the teacher steps in from here on; null: chosen on
    development questions."""

    teacher_share_at_most: float | None = Field(default=None, gt=0, lt=1)
    """when_unsure, any_step, route: the threshold is chosen so that the teacher's mean share stays
    within this with 95% confidence: of the questions, under any_step of an answer's steps."""

    accuracy_at_least: float | None = Field(default=None, gt=0, lt=1)
    """when_unsure, any_step, route: the threshold is chosen so that the accuracy reaches this with
    95% confidence, for the fewest teacher tokens."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_any_step(cls, raw: object) -> object:
        if isinstance(raw, Mapping) and raw.get("when") == ANY_STEP:
            return {"signal": "entropy", "steps": MOST_HANDED_OVER, **raw}
        return raw

    @model_validator(mode="after")
    def _can_be_followed(self) -> Self:
        if self.when == ANY_STEP and self.signal in ("disagreement", "prompt_tokens"):
            raise ValueError(
                f"any_step looks at a step's first token, which has no {self.signal}; take entropy "
                "or min_logprob"
            )
        if self.has_promise and self.when not in LOOKING:
            raise ValueError(
                f"{self.when} keeps no promise: teacher_share_at_most and accuracy_at_least go "
                f"with {', '.join(LOOKING)}"
            )
        if self.has_promise and self.threshold is not None:
            raise ValueError(
                "give threshold, or what it has to keep to (teacher_share_at_most, "
                "accuracy_at_least), not both"
            )
        return self

    @property
    def has_promise(self) -> bool:
        """Whether its threshold has to keep to something with 95% confidence."""
        return self.teacher_share_at_most is not None or self.accuracy_at_least is not None

    @property
    def is_own(self) -> bool:
        """Whether a function of the user's decides."""
        return self.when not in POLICIES

    @property
    def is_conditional(self) -> bool:
        """Whether what the student writes by itself decides."""
        return self.has_threshold or self.is_own

    @property
    def has_threshold(self) -> bool:
        """Whether a number that is compared with a threshold decides."""
        return self.when == "learned" or self.when in LOOKING

    @property
    def needs_continuation(self) -> bool:
        """Whether the teacher goes on from steps that are there."""
        return self.when == ANY_STEP or self.places.stop > 1

    @property
    def places(self) -> range:
        """The steps that the teacher writes, counted from 0, where it steps in at all."""
        if self.when in ("never", ROUTE):
            return range(0)
        if self.when == "at":
            return range(self.steps - 1, self.steps)
        return range(self.steps if self.when in ("first_n", ANY_STEP) else 1)

    @property
    def policy(self) -> Policy:
        """The policy's identity in scores and predictions.

        What it promises is part of it; a threshold, and how many steps ``any_step`` may hand over,
        are not.
        """
        return Policy(
            kind="alone" if self.when == "never" else "policy",
            name=self.when,
            signal=self.signal if self.when in LOOKING else None,
            number=self.steps if self.when in ("at", "first_n") else self.teacher_share_at_most,
            accuracy_at_least=self.accuracy_at_least,
        )

    @property
    def label(self) -> str:
        """The policy's name for people, unique among the policies of a run that differ."""
        return self.policy.label


def policy_named(name: str) -> PolicySettings:
    """The policy that is given by its name alone: ``first``, or ``module:name`` of a user's own.

    Raises:
        ConfigError: There is none.
    """
    try:
        return PolicySettings(when=_POLICY_NAME.check(name))
    except ValueError as error:
        raise ConfigError(f"{error}.") from None


def own_gate(reference: str) -> Gate:
    """The function behind a policy of a user's own.

    Raises:
        ConfigError: The module cannot be imported or lacks the name, or it is no function of the
            signals. The function itself raises one where what it decides is no yes or no.
    """
    decide = GATES.named(reference)

    def gate(signals: Signals) -> bool:
        decision = decide(signals)
        if decision is None or not hasattr(decision, "__bool__"):
            raise ConfigError(
                f"the policy {reference} returned {shortened(decision)}. It has to return whether "
                "the teacher is to write the step anew, as True or False."
            )
        return bool(decision)

    return gate


def expand_policy(raw: object) -> object:
    """The long form of a policy that was given in short."""
    if isinstance(raw, str):
        return {"when": raw}
    if isinstance(raw, Mapping) and len(raw) == 1:
        ((name, value),) = raw.items()
        if name in ("at", "first_n"):
            return {"when": name, "steps": value}
        if name in LOOKING and isinstance(value, Mapping) and "when" not in value:
            return {"when": name, **value}
    return raw


def _policy(raw: object) -> object:
    if not isinstance(raw, str | Mapping | PolicySettings):
        raise ValueError("give a policy's name, or a mapping such as {at: 2}")
    return expand_policy(raw)


AnyPolicy = Annotated[PolicySettings, BeforeValidator(_policy)]
