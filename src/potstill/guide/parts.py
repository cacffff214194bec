"""What a guided answer is made of: the two sides, what is asked of them, what comes of it."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from potstill.guide.signals import Signals
from potstill.records import Completion, Message, Request
from potstill.steps import StepKind

Who = Literal["student", "teacher"]
GuidanceKind = Literal["step", "question", "hint"]


def lead_after(prompt: str | tuple[Message, ...]) -> str:
    """What stands between a prompt and a model's first step, where no data format says it."""
    return " " if isinstance(prompt, str) and not prompt[-1:].isspace() else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
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
class Manner:
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


class Ask(NamedTuple):
    """A request to one of the two; all of its samples are wanted."""

    who: Who
    request: Request
    last: bool = False
    """Whether its text ends the answer, so that it can be passed on while it is written."""

    said: str = ""
    """What the answer says so far for good; a step that is still written may be dropped again."""


@dataclass(kw_only=True, slots=True)
class Spent:
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
class Guided:
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

    student: Spent
    """Drafts that were dropped included."""

    teacher: Spent

    @property
    def texts(self) -> list[str]:
        """The whole answers, by sample."""
        return [self.prefix + ending.text for ending in self.endings]


Answering = Generator[Ask, Sequence[Completion], Guided]
"""Yields what is to be asked and is sent the completions; none where nobody is there to ask."""
