"""The questions of one split, answered with both models at hand and everything kept in the store.

Each way of answering is a generator that yields :class:`ModelCall` (see guide/decoder.py). A whole
split's generators are driven in rounds: in each, all calls to the student are asked together, then
all to the teacher, and what is stored already is not asked for again.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import TypeVar

from potstill.grading.grade import grade, split_rationale
from potstill.guide.decoder import guided_answer, own_draft
from potstill.guide.types import (
    GuidanceConfig,
    GuidanceKind,
    GuidedAnswer,
    GuidedDecoder,
    ModelCall,
    Participant,
    PolicySettings,
    Usage,
    Who,
    lead_after,
)
from potstill.guide.uncertainty import Gate, Signals
from potstill.models.interface import Model
from potstill.records import Completion, Question, Request, Split, Task
from potstill.runtime.context import RunContext
from potstill.sampling.ask import (
    Answer,
    PromptConfig,
    SamplingParams,
    answers,
    complete_missing,
    sample_requests,
)
from potstill.sampling.rounds import drive_in_batches
from potstill.text.steps import split_steps

K = TypeVar("K")

STAGE = "guide"
"""The stage that pays for what is asked here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuideModels:
    """The student and its teacher, and how each is asked for a whole answer."""

    student: Model
    student_asking: PromptConfig
    lead: str
    """The text that the student writes between prompt and first step."""

    teacher: Model
    teacher_asking: PromptConfig
    question_asking: PromptConfig
    """How the teacher is asked for the question to begin with."""

    continues: bool
    """Whether the teacher can go on from steps that are there; recorded answers cannot, nor can
    every server."""

    whole_steps: bool = False
    """Whether the teacher is a server that cannot; see :class:`potstill.guide.types.Participant`.
    """

    start: Callable[[], Model]
    """Opens the model that the student was trained from."""

    self_asking: Mapping[str, PromptConfig] = field(default_factory=dict)
    """How that model is asked to guide itself, by prompt style."""


@dataclass(kw_only=True, slots=True)
class CallAnswerer:
    """Answers the calls of a round from the store, and asks the models for what it lacks.

    Whatever was stored when, the same is asked and refused, so that a stage that was killed and
    repeated decides as one that was not.
    """

    models: Mapping[Who, Model]
    context: RunContext
    budget: int | None = None
    """Most teacher tokens in all; None: no limit."""

    spent: int = 0
    """Teacher tokens so far, each request counted once."""

    refused: int = 0
    """Teacher requests that the budget did not allow."""

    _paid: set[tuple[Request, int]] = field(default_factory=set)

    def answer(self, calls: Sequence[ModelCall], *, label: str) -> list[Sequence[Completion]]:
        """The completions of each call, in order; none where the budget does not allow it.

        Args:
            calls: One round of them.
            label: The name of the work, for the progress that is shown.
        """
        completions: dict[tuple[Who, Request], list[Completion]] = {}
        for who, model in self.models.items():
            asked = [call.request for call in calls if call.who == who]
            # Questions of the same text share a request; the store is told of each.
            self.context.store.name_questions(model.name, asked)
            requests = list(dict.fromkeys(asked))
            if who == "teacher" and self.budget is not None:
                allowed = self._within_budget(requests, self.budget, label)
            else:
                allowed = requests
                if requests:
                    complete_missing(
                        model, requests, self.context, label=f"{label}, {who}", stage=STAGE
                    )
            sent = set(allowed)
            for request in requests:
                completions[who, request] = self._stored(model, request) if request in sent else []
        return [completions[call.who, call.request] for call in calls]

    def _stored(self, model: Model, request: Request) -> list[Completion]:
        rows = self.context.store.completions(
            model.name, request, logprobs=request.top_logprobs > 0
        )
        return [row.completion for row in rows]

    def _within_budget(self, requests: Sequence[Request], budget: int, label: str) -> list[Request]:
        """Ask the teacher for as many requests as the budget allows; those paid for are free.

        As many are asked at a time as it allows were they all as long as they may be.

        Returns:
            The requests whose answers may be used.
        """
        teacher = self.models["teacher"]
        allowed: list[Request] = []
        left = list(requests)
        while left:
            batch, reserved = [], 0
            for request in left:
                reserved += 0 if self._is_paid(request) else _most_tokens(request)
                if self.spent + reserved > budget:
                    break
                batch.append(request)
            if not batch:
                break
            complete_missing(teacher, batch, self.context, label=f"{label}, teacher", stage=STAGE)
            for request in batch:
                self._pay(teacher, request)
            allowed += batch
            left = left[len(batch) :]
        free = [request for request in left if self._is_paid(request)]
        self.refused += len(left) - len(free)
        return allowed + free

    def _is_paid(self, request: Request) -> bool:
        key = _without_samples(request)
        return all((key, sample) in self._paid for sample in request.samples)

    def _pay(self, teacher: Model, request: Request) -> None:
        key = _without_samples(request)
        for completion in self._stored(teacher, request):
            if (key, completion.sample) not in self._paid:
                self._paid.add((key, completion.sample))
                self.spent += completion.completion_tokens


@dataclass(kw_only=True, slots=True)
class SplitExperiment:
    """The questions of one split, and the two models that answer them."""

    task: Task
    split: Split
    models: GuideModels
    config: GuidanceConfig
    answerer: CallAnswerer
    seed: int

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions, in the order they are asked in."""
        return self.task.splits[self.split]

    @property
    def label(self) -> str:
        """The name of the work, for the progress that is shown."""
        return f"guide on {self.task.name} {self.split}"

    def student(self, question: Question) -> Participant:
        """How the student is asked one question."""
        request = self.models.student_asking.request(question, task=self.task.name)
        return Participant(request=request, lead=self.models.lead)

    def teacher(self, question: Question, kind: GuidanceKind) -> Participant:
        """How the teacher is asked one question; its stop strings are those of its own style."""
        models = self.models
        asking = models.question_asking if kind == "question" else models.teacher_asking
        request = asking.request(question, task=self.task.name)
        return Participant(
            request=request, lead=lead_after(request.prompt), whole_steps=models.whole_steps
        )

    @property
    def answer(self) -> Callable[[Sequence[ModelCall]], list[Sequence[Completion]]]:
        """Answers the calls of one round, for :func:`drive_in_batches`."""
        return partial(self.answerer.answer, label=self.label)

    def answer_under(
        self,
        policies: Mapping[K, tuple[PolicySettings, Gate | None]],
        questions: Sequence[Question] | None = None,
    ) -> dict[K, dict[str, GuidedAnswer]]:
        """Answer every question under every policy, given with its gate.

        All are driven at once, so that policies share what they ask.

        Args:
            policies: The policies and their gates, by any key.
            questions: The questions to answer; None: all.

        Returns:
            The answers by the same keys, then by question.
        """
        decoders = {
            (key, question.id): self._decoder(question, settings, self.config, gate)
            for key, (settings, gate) in policies.items()
            for question in (self.questions if questions is None else questions)
        }
        answered: dict[K, dict[str, GuidedAnswer]] = {key: {} for key in policies}
        for (key, id_), answer in drive_in_batches(decoders, self.answer).items():
            answered[key][id_] = answer
        return answered

    def answer_by_kind(self, kind: GuidanceKind) -> dict[str, GuidedAnswer]:
        """Answer every question, its first step guided in another way than the experiment's."""
        config, first = replace(self.config, kind=kind), PolicySettings(when="first")
        return self.drive({q.id: self._decoder(q, first, config, None) for q in self.questions})

    def drive(self, decoders: Mapping[str, GuidedDecoder]) -> dict[str, GuidedAnswer]:
        """Drive one decoder a question; by question."""
        return drive_in_batches(decoders, self.answer)

    def drafts(self) -> dict[str, tuple[Signals | None, Usage]]:
        """The student's signals by question, and what its drafts for them have taken.

        Signals are None where it did not answer.
        """
        decoders = {q.id: own_draft(self.student(q), self.config) for q in self.questions}
        return drive_in_batches(decoders, self.answer)

    def signals(self) -> dict[str, Signals | None]:
        """The student's signals by question; None where it did not answer."""
        return {id_: signals for id_, (signals, _) in self.drafts().items()}

    def samples(self, count: int, temperature: float) -> dict[str, Sequence[Completion]]:
        """Samples of the student's whole answers; those that failed are missing."""
        return drive_in_batches(
            {question.id: self._draw(question, count, temperature) for question in self.questions},
            partial(self.answerer.answer, label=f"{self.label}, samples"),
        )

    def chains(self, sampling: SamplingParams | None = None) -> dict[str, list[Answer]]:
        """The teacher's whole answers, greedy where no sampling is given."""
        asking, teacher = self.models.teacher_asking, self.models.teacher
        if sampling is None:
            return self.whole_answers(teacher, asking, "teacher alone")
        return self.whole_answers(teacher, replace(asking, sampling=sampling), "chains")

    def whole_answers(
        self, model: Model, asking: PromptConfig, purpose: str
    ) -> dict[str, list[Answer]]:
        """A model's whole answers, by question.

        Raises:
            ModelError: It cannot be asked, or gave none.
        """
        context = self.answerer.context
        requests = asking.requests(self.questions, task=self.task.name)
        label = f"{self.label}, {purpose}"
        counts = sample_requests(model, requests, asking, context, label=label, stage=STAGE)
        counts.check_any(model.name, context.store)
        return {
            question.id: answers(model.name, context.store, question, asking)
            for question in self.questions
        }

    def steps(self, question: Question, chain: Answer) -> list[str]:
        """The steps of a teacher's chain, without the statement of its answer."""
        text = chain.reasoning
        reasoning = split_rationale(text, grade(self.task, text, question))
        return split_steps(reasoning, self.config.steps)

    def other_questions(self) -> dict[str, Question]:
        """Another question for each, always the same one; empty where there is one only."""
        shuffled = list(self.questions)
        if len(shuffled) < 2:
            return {}
        Random(f"other problem {self.seed}").shuffle(shuffled)
        return {
            question.id: shuffled[(place + 1) % len(shuffled)]
            for place, question in enumerate(shuffled)
        }

    def _decoder(
        self,
        question: Question,
        policy: PolicySettings,
        config: GuidanceConfig,
        gate: Gate | None,
    ) -> GuidedDecoder:
        teacher = self.teacher(question, config.kind)
        return guided_answer(self.student(question), teacher, policy, config, gate)

    def _draw(
        self, question: Question, count: int, temperature: float
    ) -> Generator[ModelCall, Sequence[Completion], Sequence[Completion]]:
        request = replace(
            self.student(question).request,
            samples=tuple(range(count)),
            temperature=temperature,
            seed=self.seed,
        )
        return (yield ModelCall("student", request))


def _without_samples(request: Request) -> Request:
    """A request as it is the same for all of its samples."""
    return replace(request, samples=(0,))


def _most_tokens(request: Request) -> int:
    return request.max_tokens * len(request.samples)
