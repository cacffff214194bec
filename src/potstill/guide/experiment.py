"""One split's questions, with both models at hand: what policies, controls and baselines share.

Many guided answers at once: in rounds, each of the two asked for all that is wanted of it.
"""

from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import TypeVar

from potstill.grading.grade import grade, split_rationale
from potstill.guide.decoder import guided_answer, own_signals
from potstill.guide.types import (
    GuidanceConfig,
    GuidanceKind,
    GuidedAnswer,
    GuidedDecoder,
    ModelCall,
    Participant,
    Policy,
    Who,
    lead_after,
)
from potstill.guide.uncertainty import Gate, Signals
from potstill.models.interface import Model
from potstill.records import Completion, Question, Request, Split, Task
from potstill.runtime.progress import Meter
from potstill.sampling.ask import (
    Answer,
    PromptConfig,
    SamplingParams,
    answers,
    ask,
    sample_questions,
)
from potstill.sampling.rounds import drive_in_batches
from potstill.store import Store
from potstill.text.steps import split_steps


@dataclass(frozen=True, kw_only=True, slots=True)
class GuideModels:
    """Who takes part, and how each is asked for a whole answer."""

    student: Model
    student_asking: PromptConfig
    lead: str
    """What the student writes between prompt and first step."""

    teacher: Model
    teacher_asking: PromptConfig
    question_asking: PromptConfig
    """How the teacher is asked for the question to begin with."""

    continues: bool
    """Whether the teacher can go on from steps that are there; recorded answers cannot."""

    start: Callable[[], Model]
    """Opens what the student was trained from."""

    self_asking: Mapping[str, PromptConfig] = field(default_factory=dict)
    """How it is asked to guide itself, by prompt style."""


K = TypeVar("K", bound=Hashable)

T = TypeVar("T")


@dataclass(kw_only=True, slots=True)
class Rounds:
    """Drives generators by the store: what is there is not asked for again.

    Whatever was stored when, the same is asked and refused, so that a stage that was killed and
    repeated decides as one that was not.
    """

    models: Mapping[Who, Model]
    store: Store
    meter: Meter
    budget: int | None = None
    """Most teacher tokens in all; None: no limit."""

    spent: int = 0
    """Teacher tokens so far, each request counted once."""

    refused: int = 0
    """Teacher requests that the budget did not allow."""

    _paid: set[tuple[Request, int]] = field(default_factory=set)

    def drive(
        self, answerings: Mapping[K, Generator[ModelCall, Sequence[Completion], T]], *, label: str
    ) -> dict[K, T]:
        """Drive generators to their ends.

        Args:
            answerings: By any key; they are asked for in this order.
            label: What the meter calls it.

        Returns:
            What each came to, by the same keys.
        """

        def answered(asks: Sequence[ModelCall]) -> list[Sequence[Completion]]:
            answers = self._answers(asks, label)
            return [answers[each.who, each.request] for each in asks]

        return drive_in_batches(answerings, answered)

    def _answers(
        self, asks: Sequence[ModelCall], label: str
    ) -> dict[tuple[Who, Request], list[Completion]]:
        found: dict[tuple[Who, Request], list[Completion]] = {}
        for who in self.models:
            requests = list(dict.fromkeys(each.request for each in asks if each.who == who))
            if requests:
                allowed = self._allowed(requests, label) if who == "teacher" else requests
                self._ask(who, allowed, label)
                kept = set(allowed)
                for request in requests:
                    found[who, request] = self._stored(who, request) if request in kept else []
        return found

    def _ask(self, who: Who, requests: Sequence[Request], label: str) -> None:
        if requests:
            told = f"{label}, {who}"
            ask(self.models[who], self.store, requests, self.meter, label=told, stage=STAGE)

    def _stored(self, who: Who, request: Request) -> list[Completion]:
        rows = self.store.completions(
            self.models[who].name, request, logprobs=request.top_logprobs > 0
        )
        return [row.completion for row in rows]

    def _allowed(self, requests: Sequence[Request], label: str) -> list[Request]:
        """The requests that the budget allows, asked for; what was paid for is free.

        As many are asked at a time as it allows were they all as long as they may be.
        """
        if self.budget is None:
            return list(requests)
        allowed: list[Request] = []
        left = list(requests)
        while left:
            batch, reserved = [], 0
            for request in left:
                reserved += 0 if self._is_paid(request) else _longest(request)
                if self.spent + reserved > self.budget:
                    break
                batch.append(request)
            if not batch:
                break
            self._ask("teacher", batch, label)
            for request in batch:
                self._pay(request)
            allowed += batch
            left = left[len(batch) :]
        free = [request for request in left if self._is_paid(request)]
        self.refused += len(left) - len(free)
        return allowed + free

    def _is_paid(self, request: Request) -> bool:
        return all((_bare(request), sample) in self._paid for sample in request.samples)

    def _pay(self, request: Request) -> None:
        for completion in self._stored("teacher", request):
            if (_bare(request), completion.sample) not in self._paid:
                self._paid.add((_bare(request), completion.sample))
                self.spent += completion.completion_tokens


@dataclass(kw_only=True, slots=True)
class SplitExperiment:
    """The questions of one split and who answers them."""

    task: Task
    split: Split
    parties: GuideModels
    manner: GuidanceConfig
    rounds: Rounds
    seed: int

    @property
    def questions(self) -> tuple[Question, ...]:
        """What is asked."""
        return self.task.splits[self.split]

    def student(self, question: Question) -> Participant:
        """How the student is asked one question."""
        parties = self.parties
        return Participant(request=parties.student_asking.request(question), lead=parties.lead)

    def teacher(self, question: Question, kind: GuidanceKind) -> Participant:
        """How the teacher is asked one question; its stop strings are those of its own way."""
        parties = self.parties
        asking = parties.question_asking if kind == "question" else parties.teacher_asking
        request = asking.request(question)
        return Participant(request=request, lead=lead_after(request.prompt))

    def followed(
        self, policies: Sequence[tuple[Policy, Gate | None]]
    ) -> dict[str, dict[str, GuidedAnswer]]:
        """Have every question answered under every policy; by policy and question."""
        answerings = {
            (policy.name, question.id): self._answering(question, policy, self.manner, judge)
            for policy, judge in policies
            for question in self.questions
        }
        found: dict[str, dict[str, GuidedAnswer]] = {policy.name: {} for policy, _ in policies}
        for (name, id_), guided in self.rounds.drive(answerings, label=self.label).items():
            found[name][id_] = guided
        return found

    def of_kind(self, kind: GuidanceKind) -> dict[str, GuidedAnswer]:
        """Have the first step guided in another way than the experiment's."""
        manner = replace(self.manner, kind=kind)
        policy = Policy(when="first")
        return self.each(lambda question: self._answering(question, policy, manner, None))

    def each(
        self, answering: Callable[[Question], GuidedDecoder], among: Sequence[str] | None = None
    ) -> dict[str, GuidedAnswer]:
        """Drive one generator a question.

        Args:
            answering: Makes it.
            among: The questions, by id; None: all.
        """
        chosen = None if among is None else set(among)
        return self.rounds.drive(
            {
                question.id: answering(question)
                for question in self.questions
                if chosen is None or question.id in chosen
            },
            label=self.label,
        )

    def signals(self) -> dict[str, Signals | None]:
        """The student's signals; None where it did not answer."""
        return self.rounds.drive(
            {each.id: own_signals(self.student(each), self.manner) for each in self.questions},
            label=self.label,
        )

    def samples(self, count: int, temperature: float) -> dict[str, Sequence[Completion]]:
        """Samples of the student's whole answers; those that failed are missing."""
        return self.rounds.drive(
            {each.id: self._drawn(each, count, temperature) for each in self.questions},
            label=f"{self.label}, samples",
        )

    def chains(self, sampling: SamplingParams | None = None) -> dict[str, list[Answer]]:
        """The teacher's whole answers, greedy where no sampling is given."""
        asking, teacher = self.parties.teacher_asking, self.parties.teacher
        if sampling is not None:
            asking = replace(asking, sampling=sampling)
        return self.answered(teacher, asking, "teacher alone" if sampling is None else "chains")

    def answered(self, model: Model, asking: PromptConfig, told: str) -> dict[str, list[Answer]]:
        """Whole answers of a model, asked in one way."""
        store, label = self.rounds.store, f"{self.label}, {told}"
        asked = (model, store, self.questions, asking, self.rounds.meter)
        sample_questions(*asked, label=label, stage=STAGE)
        return {each.id: answers(model.name, store, each, asking) for each in self.questions}

    def steps(self, question: Question, chain: Answer) -> list[str]:
        """The steps of a teacher's chain, without the statement of its answer."""
        text = chain.reasoning
        reasoning = split_rationale(text, grade(self.task, text, question))
        return split_steps(reasoning, self.manner.steps)

    def others(self) -> dict[str, Question]:
        """Another question for each, always the same one; empty where there is one only."""
        shuffled = list(self.questions)
        if len(shuffled) < 2:
            return {}
        Random(f"other problem {self.seed}").shuffle(shuffled)
        return {
            question.id: shuffled[(place + 1) % len(shuffled)]
            for place, question in enumerate(shuffled)
        }

    @property
    def label(self) -> str:
        """What the meter calls it."""
        return f"guide on {self.task.name} {self.split}"

    def _answering(
        self, question: Question, policy: Policy, manner: GuidanceConfig, judge: Gate | None
    ) -> GuidedDecoder:
        teacher = self.teacher(question, manner.kind)
        return guided_answer(self.student(question), teacher, policy, manner, judge)

    def _drawn(
        self, question: Question, count: int, temperature: float
    ) -> Generator[ModelCall, Sequence[Completion], Sequence[Completion]]:
        request = replace(
            self.student(question).request,
            samples=tuple(range(count)),
            temperature=temperature,
            seed=self.seed,
        )
        return (yield ModelCall("student", request))


STAGE = "guide"
"""The stage that pays for what is asked here."""


def _bare(request: Request) -> Request:
    """A request as it is the same for all of its samples."""
    return replace(request, samples=(0,))


def _longest(request: Request) -> int:
    return request.max_tokens * len(request.samples)
