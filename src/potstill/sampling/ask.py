"""Putting questions to a model, in one step or two, and keeping every answer in the store."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from threading import Event
from typing import NamedTuple, overload

from potstill.errors import ConfigError
from potstill.models.background import completions
from potstill.models.interface import Model
from potstill.prompts.exemplars import FewShot
from potstill.prompts.styles import Exemplar, PromptStyle, prompt_for
from potstill.records import Completion, FinishReason, Question, Request, Task
from potstill.runtime.progress import Meter
from potstill.runtime.signals import stoppable
from potstill.store import Store
from potstill.tasks.overlap import Words, words

ANSWER_TOKENS = 64
"""Longest answer to the second step of a two-step style, in tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingParams:
    """How answers are drawn; see :class:`potstill.records.Request` for the fields."""

    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    top_logprobs: int = 0
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptConfig:
    """How questions are put: the style, the draws and the worked examples shown."""

    style: PromptStyle
    sampling: SamplingParams
    exemplars: tuple[Exemplar, ...] = ()

    def request(self, question: Question) -> Request:
        """What is sent first. An exemplar that is the question itself is left out."""
        shown = self.exemplars
        if shown:
            own = words(question.text)
            shown = tuple(each for each in shown if stem(each.question) != own)
        sampling = self.sampling
        return Request(
            prompt=prompt_for(self.style, question, shown),
            samples=tuple(range(sampling.samples)),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            top_logprobs=sampling.top_logprobs,
            stop=self.style.stop,
            seed=sampling.seed,
            question=question.text,
        )

    def answer_request(self, completion: Completion) -> Request | None:
        """What is sent second, for styles of two steps, once the rationale has ended."""
        if not self.style.answer_cue or completion.finish_reason != "stop":
            return None
        first = completion.request
        return replace(
            first,
            prompt=f"{first.prompt}{completion.text}{self.style.answer_cue}",
            samples=(0,),
            temperature=0.0,
            top_p=1.0,
            max_tokens=ANSWER_TOKENS,
            stop=("\n",),
            top_logprobs=0,
        )


def unheld(few_shot: FewShot, tasks: Iterable[Task]) -> FewShot:
    """The exemplars that are no test question of any task.

    Args:
        few_shot: As the recipe gives them.
        tasks: All tasks that are measured on.

    Raises:
        ConfigError: One of the recipe's own exemplars is a test question. Published ones are left
            out instead, with a note.
    """
    held = {words(each.text): task.name for task in tasks for each in task.splits["test"]}
    leaks = [each for each in few_shot.exemplars if stem(each.question) in held]
    if leaks and not few_shot.source:
        raise ConfigError(
            f"the exemplar {leaks[0].question[:60]!r} is a test question of "
            f"{held[stem(leaks[0].question)]}; an accuracy measured after showing it would be "
            "worth nothing. Take another."
        )
    notes = [
        f"The published exemplar {each.question[:60]!r} is not shown: it is a test question of "
        f"{held[stem(each.question)]}."
        for each in leaks
    ]
    kept = tuple(each for each in few_shot.exemplars if each not in leaks)
    return replace(few_shot, exemplars=kept, notes=(*few_shot.notes, *notes))


@cache
def stem(question: str) -> Words:
    """The words of an exemplar's question, without what published prompts put around it."""
    return words(question.partition(" Answer choices: ")[0].removeprefix("Yes or no: "))


class Answer(NamedTuple):
    """One sample's whole answer to one question."""

    completion_id: int
    """The completion that holds the rationale."""

    sample: int
    """Which of the samples it is, counted from 0."""

    reasoning: str
    """What was written in the first step."""

    text: str
    """Everything written, the answer cue and the second step included."""

    finish_reason: FinishReason
    completion_tokens: int
    cost: float = 0.0
    """US dollars, of both steps."""


class SampleCounts(NamedTuple):
    """What one asking did."""

    wanted: int
    """Samples that were to be in the store at the end."""

    there: int
    """Samples that were in the store already."""

    stored: int
    """Samples answered and stored now."""

    failed: int
    """Samples that failed; asking again tries them again."""

    @property
    def absent(self) -> int:
        """Samples that the model has not got, as a file of recorded rationales may not."""
        return self.wanted - self.there - self.stored - self.failed


def ask(
    model: Model, store: Store, requests: Sequence[Request], meter: Meter, *, label: str, stage: str
) -> SampleCounts:
    """Ask for every sample that the store lacks, and store each as it arrives.

    Args:
        model: Whom to ask.
        store: Where the answers go.
        requests: What should be in the store afterwards.
        meter: Shown the progress.
        label: What the meter calls it.
        stage: The stage that pays.

    Raises:
        ModelError: The model cannot go on at all; what came before is stored.
        BudgetError: The next request could pass the budget; what came before is stored.
        KeyboardInterrupt: Ctrl-C, once what was in flight is stored.
    """
    missing = _missing(model.name, store, requests)
    wanted = sum(len(request.samples) for request in requests)
    there = wanted - sum(len(samples) for _, samples in missing)
    stored = failed = 0
    control = meter.control
    with (
        meter.stage(label, total=wanted, done=there) as advance,
        stoppable(control),
        closing(_arriving(model, _wanted(requests, missing, control.stop))) as groups,
    ):
        for group in groups:
            store.add_completions(model.name, group, stage=stage)
            failures = sum(completion.finish_reason == "error" for completion in group)
            tokens = sum(completion.completion_tokens for completion in group)
            advance(len(group), tokens, sum(completion.cost for completion in group))
            stored += len(group) - failures
            failed += failures
    return SampleCounts(wanted, there, stored, failed)


def _missing(
    model_name: str, store: Store, requests: Sequence[Request]
) -> list[tuple[int, tuple[int, ...]]]:
    """The places of the requests that the store has not all samples of, with those samples.

    Requests are not kept: there may be a hundred thousand, each with its exemplars.
    """
    return [
        (place, narrowed.samples)
        for place, request in enumerate(requests)
        for narrowed in store.missing(model_name, [request])
    ]


def _wanted(
    requests: Sequence[Request], missing: Sequence[tuple[int, tuple[int, ...]]], stop: Event
) -> Iterator[Request]:
    for place, samples in missing:
        if stop.is_set():
            return
        yield replace(requests[place], samples=samples)


def _arriving(model: Model, requests: Iterator[Request]) -> Generator[list[Completion]]:
    """Completions in groups; a model of which nothing is wanted is not asked at all."""
    first = next(requests, None)
    if first is not None:
        with closing(completions(model, chain([first], requests))) as groups:
            yield from groups


class LazyRequests(Sequence[Request]):
    """What questions are asked, each request made when it is looked at.

    Args:
        questions: What to ask.
        asking: How to ask.
    """

    def __init__(self, questions: Sequence[Question], asking: PromptConfig) -> None:
        self._questions, self._asking = questions, asking

    def __len__(self) -> int:
        return len(self._questions)

    @overload
    def __getitem__(self, place: int) -> Request: ...

    @overload
    def __getitem__(self, place: slice) -> "LazyRequests": ...

    def __getitem__(self, place: int | slice) -> "Request | LazyRequests":
        if isinstance(place, slice):
            return LazyRequests(self._questions[place], self._asking)
        return self._asking.request(self._questions[place])


def sample_questions(
    model: Model,
    store: Store,
    questions: Iterable[Question],
    asking: PromptConfig,
    meter: Meter,
    *,
    label: str,
    stage: str,
) -> SampleCounts:
    """Put questions to a model, with the second step where the style has one.

    Args:
        model: Whom to ask.
        store: Where the answers go; what is there is not asked for again.
        questions: What to ask.
        asking: How to ask.
        meter: Shown the progress.
        label: What the meter calls it.
        stage: The stage that pays.

    Returns:
        Counts of the first step.
    """
    requests = LazyRequests(tuple(questions), asking)
    return sample_requests(model, store, requests, asking, meter, label=label, stage=stage)


def sample_requests(
    model: Model,
    store: Store,
    requests: Sequence[Request],
    asking: PromptConfig,
    meter: Meter,
    *,
    label: str,
    stage: str,
) -> SampleCounts:
    """Send requests of one :class:`PromptConfig`; otherwise as :func:`sample_questions`."""
    counts = ask(model, store, requests, meter, label=label, stage=stage)
    if not asking.style.answer_cue:
        return counts
    second = [
        answer_request
        for request in requests
        for stored in store.completions(model.name, request)
        if (answer_request := asking.answer_request(stored.completion)) is not None
    ]
    # Samples that wrote the same rationale share one answer request.
    distinct = list(dict.fromkeys(second))
    ask(model, store, distinct, meter, label=f"{label}, final answers", stage=stage)
    return counts


def answers(
    model_name: str, store: Store, question: Question, asking: PromptConfig
) -> list[Answer]:
    """The stored answers to one question, by sample; samples that are not there are left out."""
    return answers_to(model_name, store, asking.request(question), asking)


def answers_to(
    model_name: str, store: Store, request: Request, asking: PromptConfig
) -> list[Answer]:
    """The stored answers to one request of a :class:`PromptConfig`; else as :func:`answers`."""
    found = []
    for id_, completion in store.completions(model_name, request):
        text, tokens, cost = completion.text, completion.completion_tokens, completion.cost
        answer_request = asking.answer_request(completion)
        if answer_request is not None:
            for final in store.completions(model_name, answer_request):
                text += asking.style.answer_cue + final.completion.text
                tokens += final.completion.completion_tokens
                cost += final.completion.cost
        reason = completion.finish_reason
        found.append(Answer(id_, completion.sample, completion.text, text, reason, tokens, cost))
    return found
