"""Asking a model for completions: how questions are put, and what the store still lacks.

A :class:`PromptConfig` turns a question into a request. :func:`complete_missing` asks for every
sample that the store has not got and stores each as it arrives, so that a command that was stopped
and repeated pays only for the rest. :func:`sample_requests` adds the second step of two-step styles
("Therefore, the answer is"), and :func:`answers` reads whole answers back::

    requests = asking.requests(task.splits["test"], task=task.name)
    sample_requests(model, requests, asking, context, label="test", stage="evaluate")
    answers(model.name, context.store, question, asking)[0].text
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from threading import Event
from typing import NamedTuple, Self, overload

from potstill.errors import ConfigError, ModelError
from potstill.keys import request_key
from potstill.models.interface import Model, cannot_score
from potstill.prompts.exemplars import FewShot
from potstill.prompts.styles import Exemplar, PromptStyle, prompt_for
from potstill.records import Completion, FinishReason, Question, Request, Task
from potstill.runtime.context import RunContext
from potstill.runtime.signals import stoppable
from potstill.sampling.equal_samples import EqualSamples
from potstill.store import Store
from potstill.tasks.overlap import Words, words
from potstill.text.thinking import answer_and_thinking

ANSWER_TOKENS = 64
"""Longest answer to the second step of a two-step style, in tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingParams:
    """How answers are drawn; see :class:`potstill.records.Request` for the fields."""

    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    thinking_tokens: int | None = None
    top_logprobs: int = 0
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptConfig:
    """How questions are put: the style, the draws and the worked examples shown."""

    style: PromptStyle
    sampling: SamplingParams
    exemplars: tuple[Exemplar, ...] = ()
    answers_cut: bool = False
    """Whether a rationale that ``max_tokens`` cut gets its second step, as in Zero-shot-CoT's
    published code. A teacher's is no use in training, and is not asked on for."""

    def request(self, question: Question, *, task: str | None = None) -> Request:
        """Returns the first request for a question; an exemplar that is the question is left out.

        Args:
            question: The question to ask.
            task: The name of its task, which is stored beside the request.
        """
        shown = self.exemplars
        if shown:
            own = words(question.text)
            shown = tuple(exemplar for exemplar in shown if stem(exemplar.question) != own)
        sampling = self.sampling
        return Request(
            prompt=prompt_for(self.style, question, shown),
            samples=tuple(range(sampling.samples)),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            thinking_tokens=sampling.thinking_tokens,
            top_logprobs=sampling.top_logprobs,
            stop=self.style.stop,
            seed=sampling.seed,
            question=question.text,
            question_id=question.id,
            task=task,
        )

    def requests(self, questions: Iterable[Question], *, task: str | None = None) -> "LazyRequests":
        """Returns the first request for each question, made when it is looked at.

        Args:
            questions: The questions to ask.
            task: The name of their task, which is stored beside each request.
        """
        return LazyRequests(tuple(questions), self, task)

    def answer_request(self, completion: Completion) -> Request | None:
        """Returns the second request of a two-step style; None where the rationale leads to none.

        It has to have ended by itself, or to be cut where cut ones are answered, too.
        """
        ends = ("stop", "length") if self.answers_cut else ("stop",)
        if not self.style.answer_cue or completion.finish_reason not in ends:
            return None
        first = completion.request
        return replace(
            first,
            prompt=f"{first.prompt}{completion.text}{self.style.answer_cue}",
            samples=(0,),
            temperature=0.0,
            top_p=1.0,
            max_tokens=ANSWER_TOKENS,
            thinking_tokens=None,
            stop=("\n",),
            top_logprobs=0,
        )


class LazyRequests(Sequence[Request]):
    """The requests for many questions, each made when it is looked at.

    There may be a hundred thousand, each with its exemplars.

    Args:
        questions: The questions to ask.
        asking: How they are put.
        task: The name of their task.
    """

    def __init__(
        self, questions: Sequence[Question], asking: PromptConfig, task: str | None = None
    ) -> None:
        self._questions, self._asking, self._task = questions, asking, task

    def __len__(self) -> int:
        return len(self._questions)

    @overload
    def __getitem__(self, place: int) -> Request: ...

    @overload
    def __getitem__(self, place: slice) -> "LazyRequests": ...

    def __getitem__(self, place: int | slice) -> "Request | LazyRequests":
        if isinstance(place, slice):
            return LazyRequests(self._questions[place], self._asking, self._task)
        return self._asking.request(self._questions[place], task=self._task)


class SampleCounts(NamedTuple):
    """How many samples were wanted, were stored before, and came now."""

    wanted: int
    """Samples that were to be in the store at the end."""

    there: int
    """Samples that were in the store already."""

    stored: int
    """Samples answered and stored now."""

    failed: int
    """Samples that failed; asking again tries them again."""

    def check_any(self, model: str, store: Store) -> None:
        """Refuse to go on where all that was wanted has failed, and nothing is stored.

        Args:
            model: ``Model.name`` of the model that was asked.
            store: The store with the failures.

        Raises:
            ModelError: All has failed; the message has the most frequent reason.
        """
        if self.failed and not (self.there or self.stored):
            raise all_failed(model, self.failed, store)

    def check_texts(self, model: str, store: Store) -> None:
        """Refuse to go on where nothing can be learned from: all has failed, or is empty.

        Args:
            model: ``Model.name`` of the model that was asked.
            store: The store with the answers.

        Raises:
            ModelError: All has failed or is empty.
        """
        self.check_any(model, store)
        if (self.there or self.stored) and not store.has_text_of(model):
            raise ModelError(
                f"{model} answers without any text: all of {self.there + self.stored:,} samples "
                "are empty. Try it by hand, with the same route and model name, before more is "
                "asked of it."
            )

    @property
    def absent(self) -> int:
        """Samples that the model has not got, as a file of recorded rationales may not."""
        return self.wanted - self.there - self.stored - self.failed

    @classmethod
    def total(cls, counts: Iterable[Self]) -> Self:
        """Returns the sums of several counts."""
        return cls(*(sum(column) for column in zip((0, 0, 0, 0), *counts, strict=True)))


def all_failed(model: str, samples: int, store: Store) -> ModelError:
    """Returns the error of a model none of whose samples was answered, with the usual reason."""
    reason = next(iter(store.failures(model)), "no reason given").rstrip(".")
    return ModelError(
        f"{model}: all of {samples:,} samples failed, most often with: {reason}. None of them is "
        "stored; mend the cause and repeat the command."
    )


def complete_missing(
    model: Model,
    requests: Sequence[Request],
    context: RunContext,
    *,
    label: str,
    stage: str,
    reduced: Callable[[Completion], Completion] | None = None,
) -> SampleCounts:
    """Ask for every sample that the store lacks, and store each as it arrives.

    What two questions ask in the same words is one request: it is asked and counted once.

    Args:
        model: The model that is asked.
        requests: The requests that should be answered in the store afterwards; the store keeps
            which questions they ask, also of those that it has the answers to.
        context: The run, whose store takes the completions.
        label: How the work is called in the progress display.
        stage: The stage that pays.
        reduced: Returns what is stored of a completion; None: all of it.

    Raises:
        ModelError: The model cannot go on at all; what came before is stored.
        BudgetError: The next request could pass the budget; what came before is stored.
        KeyboardInterrupt: Ctrl-C, once what was in flight is stored.
    """
    store, stop = context.store, context.runtime.stop
    missing, wanted = _missing(model.name, store, requests)
    there = wanted - sum(len(samples) for _, samples in missing)
    stored = failed = 0
    with (
        context.progress.stage(label, total=wanted, done=there) as advance,
        stoppable(context.runtime),
    ):
        if not missing or stop.is_set():  # a model that has nothing to do is not even started
            return SampleCounts(wanted, there, 0, 0)
        opened = model.opened()
        pending = _narrowed(opened, requests, missing, stop)
        watch = EqualSamples(opened, context.events)
        if reduced is None:
            answering = opened.complete_for_store(pending, store.probability_form)
        else:
            answering = opened.complete_in_groups(pending)
        with closing(answering) as groups:
            # Taking the next group tells the model that the last one is stored.
            for arrived in groups:
                group = arrived if reduced is None else [*map(reduced, arrived)]
                store.add_completions(model.name, group, stage=stage)
                watch.see(group)
                failures = sum(completion.finish_reason == "error" for completion in group)
                tokens = sum(map(_worked_on, group))
                advance(len(group), tokens, sum(completion.cost for completion in group))
                stored += len(group) - failures
                failed += failures
    return SampleCounts(wanted, there, stored, failed)


def _worked_on(completion: Completion) -> int:
    """Returns the tokens of a completion that took the time: those written, or those scored."""
    scored = completion.request.given is not None
    return completion.prompt_tokens if scored else completion.completion_tokens


_NAMED_AT_ONCE = 1000
"""Requests whose questions are stored in one transaction."""


def _missing(
    model_name: str, store: Store, requests: Sequence[Request]
) -> tuple[list[tuple[int, tuple[int, ...]]], int]:
    """Finds what the store lacks, and stores which questions the requests ask.

    Requests themselves are not kept: they are made when they are looked at.

    Returns:
        The places of the requests that the store lacks samples of, with those samples, and how
        many distinct samples are wanted in all.
    """
    missing, wanted = list[tuple[int, tuple[int, ...]]](), 0
    claimed: dict[tuple[bytes, int], tuple[int, ...]] = {}
    for start in range(0, len(requests), _NAMED_AT_ONCE):
        batch = list(requests[start : start + _NAMED_AT_ONCE])
        store.name_questions(model_name, batch)
        for place, request in enumerate(batch, start):
            key = (request_key(model_name, request), request.max_tokens)
            earlier = claimed.get(key, ())
            samples = tuple(sample for sample in request.samples if sample not in earlier)
            if not samples:
                continue
            claimed[key] = earlier + samples
            wanted += len(samples)
            for narrowed in store.missing(model_name, [replace(request, samples=samples)]):
                missing.append((place, narrowed.samples))
    return missing, wanted


def _narrowed(
    model: Model,
    requests: Sequence[Request],
    missing: Sequence[tuple[int, tuple[int, ...]]],
    stop: Event,
) -> Iterator[Request]:
    """The requests for the missing samples, until the run is to stop.

    Raises:
        ModelError: One has a given text, and the model cannot score.
    """
    for place, samples in missing:
        if stop.is_set():
            return
        request = requests[place]
        if request.given is not None and not model.scores_texts:
            raise ModelError(cannot_score(model.name))
        yield replace(request, samples=samples)


def sample_requests(
    model: Model,
    requests: Sequence[Request],
    asking: PromptConfig,
    context: RunContext,
    *,
    label: str,
    stage: str,
) -> SampleCounts:
    """Ask what the store lacks, with the second step where the prompt style has one.

    Args:
        model: The model that is asked.
        requests: The requests ``asking`` made from questions; see :meth:`PromptConfig.requests`.
        asking: How the questions are put.
        context: The run, whose store takes the completions.
        label: How the work is called in the progress display.
        stage: The stage that pays.

    Returns:
        Counts of the first step.
    """
    counts = complete_missing(model, requests, context, label=label, stage=stage)
    if not asking.style.answer_cue:
        return counts
    second = [
        second_request
        for request in requests
        for second_request in second_requests(model.name, context.store, request, asking)
    ]
    # Samples that wrote the same rationale share one answer request.
    complete_missing(model, second, context, label=f"{label}, final answers", stage=stage)
    return counts


def second_requests(
    model_name: str, store: Store, request: Request, asking: PromptConfig
) -> Iterator[Request]:
    """Yields the second requests that the stored answers to a first one lead to, by sample.

    There are none in a style of one step. Each asks the question of the first.
    """
    if asking.style.answer_cue:
        for stored in store.completions(model_name, request):
            second = asking.answer_request(stored.completion)
            if second is not None:
                yield second


class Answer(NamedTuple):
    """One sample's whole answer to one question."""

    completion_id: int
    """The completion that holds the rationale."""

    sample: int
    """The sample's index among those of its question, from 0."""

    reasoning: str
    """The text written in the first step."""

    text: str
    """Everything written, the answer cue and the second step included."""

    finish_reason: FinishReason
    completion_tokens: int
    cost: float = 0.0
    """US dollars, of both steps."""

    thinking_ended: bool | None = None
    """See :attr:`potstill.records.Completion.thinking_ended`; that of the first step."""

    @property
    def finished(self) -> bool:
        """Whether the rationale ended by itself; one that was cut off is never right."""
        return self.finish_reason == "stop"


def answers(
    model_name: str, store: Store, question: Question, asking: PromptConfig
) -> list[Answer]:
    """Returns the stored answers to a question, by sample; samples not there are left out."""
    return answers_to(model_name, store, asking.request(question), asking)


def answers_to(
    model_name: str, store: Store, request: Request, asking: PromptConfig
) -> list[Answer]:
    """Returns the stored answers to one request that ``asking`` made, by sample."""
    stored = []
    for id_, completion in store.completions(model_name, request):
        reasoning = completion.text
        if completion.thinking is None:  # what an older potstill stored holds it in the text
            reasoning, _ = answer_and_thinking(reasoning, begun=request.answer_prefix)
        text, tokens, cost = reasoning, completion.completion_tokens, completion.cost
        answer_request = asking.answer_request(completion)
        if answer_request is not None:
            for final in store.completions(model_name, answer_request):
                text += asking.style.answer_cue + final.completion.text
                tokens += final.completion.completion_tokens
                cost += final.completion.cost
        stored.append(
            Answer(
                completion_id=id_,
                sample=completion.sample,
                reasoning=reasoning,
                text=text,
                finish_reason=completion.finish_reason,
                completion_tokens=tokens,
                cost=cost,
                thinking_ended=completion.thinking_ended,
            )
        )
    return stored


def unheld(few_shot: FewShot, tasks: Iterable[Task]) -> FewShot:
    """Returns the exemplars without those that are a test question of any task.

    Args:
        few_shot: The recipe's exemplars.
        tasks: All tasks that are measured on.

    Raises:
        ConfigError: One of the recipe's own exemplars is a test question. Published ones are left
            out instead, with a note.
    """
    held = {words(question.text): task.name for task in tasks for question in task.splits["test"]}
    leaks = [exemplar for exemplar in few_shot.exemplars if stem(exemplar.question) in held]
    if leaks and not few_shot.source:
        raise ConfigError(
            f"the exemplar {leaks[0].question[:60]!r} is a test question of "
            f"{held[stem(leaks[0].question)]}; an accuracy measured after showing it would be "
            "worth nothing. Take another."
        )
    notes = [
        f"The published exemplar {leak.question[:60]!r} is not shown: it is a test question of "
        f"{held[stem(leak.question)]}."
        for leak in leaks
    ]
    kept = tuple(exemplar for exemplar in few_shot.exemplars if exemplar not in leaks)
    return replace(few_shot, exemplars=kept, notes=(*few_shot.notes, *notes))


@cache
def stem(question: str) -> Words:
    """Returns the words of an exemplar's question, without what published prompts put around."""
    return words(question.partition(" Answer choices: ")[0].removeprefix("Yes or no: "))
