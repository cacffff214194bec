"""Needs: what one teacher is asked for one purpose, and what that takes.

A :class:`Need` counts the samples that are stored, lists the requests that will be sent for sure,
and bounds those that depend on answers still to come, such as the second step of a two-step style.
:func:`estimate_need` turns it into :class:`Figures`: requests, samples, tokens and dollars, each
expected within an interval and at most.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from potstill.generate.stage import count_right, further_samples
from potstill.keys import request_key
from potstill.models.openai.cost import FRAME_TOKENS, Prices
from potstill.plan.estimate import (
    LengthSample,
    Spread,
    TokenCounter,
    exactly,
    prompt_bytes,
    prompt_texts,
    total,
)
from potstill.records import Request, Split, Task
from potstill.sampling.ask import ANSWER_TOKENS, PromptConfig, answers
from potstill.sampling.debate import AskedTeacher
from potstill.store import Store


class Later(NamedTuple):
    """Requests that follow from answers that are still to come."""

    like: Request
    """A request whose text is part of their prompts."""

    samples: int
    """The most samples, each in a request of its own."""

    max_tokens: int
    share: float = 1.0
    """The share of the samples that is expected, between 0 and 1."""

    after: int = 0
    """The number of answers whose text the prompt holds as well."""


@dataclass(kw_only=True)
class Need:
    """The requests to one teacher for one purpose: stored, sure and possible ones."""

    stage: str
    what: str
    """The purpose, as the plan's table names it."""

    teacher: AskedTeacher
    questions: int
    """The number of questions that are asked."""

    second: bool = False
    """Whether these are the second steps of a style that has them."""

    there: int = 0
    """Samples that are stored."""

    sure: list[Request] = field(default_factory=list)
    """Requests that will be sent, with the samples that are missing."""

    later: list[Later] = field(default_factory=list)
    lengths: list[list[int]] = field(default_factory=list)
    """Tokens of the stored answers, in one list for each request."""

    read: list[tuple[int, int]] = field(default_factory=list)
    """Bytes and tokens of each prompt that was answered, as the model counted them."""

    @property
    def missing(self) -> int:
        """Samples still to be asked for, at most."""
        sure = sum(len(request.samples) for request in self.sure)
        return sure + sum(later.samples for later in self.later)

    @property
    def measured(self) -> LengthSample:
        """The lengths of the stored answers."""
        return LengthSample(self.lengths)


class Ledger:
    """Finds what the store lacks; a sample that two purposes need is counted with the first.

    Args:
        store: The run's store.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._counted: set[tuple[bytes, int, int]] = set()

    def add(self, need: Need, request: Request) -> int:
        """Count one request; returns how many of its samples are missing."""
        model = need.teacher.model
        key = request_key(model, request)
        fresh = tuple(
            sample
            for sample in request.samples
            if (key, sample, request.max_tokens) not in self._counted
        )
        if not fresh:
            return 0
        self._counted.update((key, sample, request.max_tokens) for sample in fresh)
        narrowed = replace(request, samples=fresh)
        missing = list(self.store.missing(model, [narrowed]))
        lacking = sum(len(request.samples) for request in missing)
        if lacking < len(fresh):
            stored = [row.completion for row in self.store.completions(model, narrowed)]
            need.there += len(stored)
            need.lengths.append([completion.completion_tokens for completion in stored])
            if stored and stored[0].prompt_tokens:
                need.read.append((prompt_bytes(request), stored[0].prompt_tokens))
        need.sure += missing
        return lacking

    def second_steps(self, first: Need, requests: Iterable[Request]) -> Need:
        """The second steps of a style that has them, for first steps that were counted before."""
        need = Need(
            stage=first.stage,
            what=f"{first.what}, final answers",
            teacher=first.teacher,
            questions=first.questions,
            second=True,
        )
        asking = first.teacher.asking
        # Only a rationale that ended by itself gets a second step. Of those still to come, the same
        # share is expected to as of those that are stored.
        ended = stored = 0
        for request in requests:
            for row in self.store.completions(need.teacher.model, request):
                stored += 1
                answer_request = asking.answer_request(row.completion)
                if answer_request is not None:
                    ended += 1
                    self.add(need, answer_request)
        share = ended / stored if stored else 1.0
        for request in first.sure:
            samples = len(request.samples)
            need.later.append(Later(request, samples, ANSWER_TOKENS, share, after=1))
        for later in first.later:
            share_of_all = share * later.share
            need.later.append(
                Later(later.like, later.samples, ANSWER_TOKENS, share_of_all, after=1)
            )
        return need


# what is asked -----------------------------------------------------------------------------------


def needs_of_samples(
    ledger: Ledger,
    teacher: AskedTeacher,
    task: Task,
    split: Split,
    asking: PromptConfig,
    *,
    stage: str,
    what: str,
) -> list[Need]:
    """Every sample of every question, with the second step where the style has one."""
    teacher, questions = teacher._replace(asking=asking), task.splits[split]
    need = Need(stage=stage, what=what, teacher=teacher, questions=len(questions))
    requests = list(asking.requests(questions, task=task.name))
    for request in requests:
        ledger.add(need, request)
    if not asking.style.answer_cue:
        return [need]
    return [need, ledger.second_steps(need, requests)]


class _OpenQuestion(NamedTuple):
    """A question that lacks right samples."""

    request: Request
    asked: int
    """Samples that are stored."""

    after_round: int
    """Samples that will be stored after the next round."""

    lacking: int
    """Right samples that are still wanted."""


def needs_until_enough(
    ledger: Ledger,
    teacher: AskedTeacher,
    task: Task,
    *,
    enough: int,
    what: str,
    most_wrong: int | None = None,
) -> list[Need]:
    """Samples until ``enough`` are right: the next round for sure, those after it as a bound.

    Stored samples are gone through as :func:`potstill.generate.stage.draw_until_enough` does.
    """
    asking, limit = teacher.asking, teacher.asking.sampling.samples
    questions = task.splits["train"]
    need = Need(stage="generate", what=what, teacher=teacher, questions=len(questions))
    requests: list[Request] = []
    open_questions: list[_OpenQuestion] = []
    tried = solved = 0
    for question in questions:
        request = asking.request(question, task=task.name)
        asked = right = 0
        while more := further_samples(asked, right, enough, limit, most_wrong):
            round_ = replace(request, samples=tuple(range(asked, asked + more)))
            requests.append(round_)
            if ledger.add(need, round_):
                open_questions.append(_OpenQuestion(request, asked, asked + more, enough - right))
                break
            stored = answers(teacher.model, ledger.store, question, asking)
            right += count_right(task, question, stored, round_.samples)
            asked += more
        tried, solved = tried + asked, solved + right
    # Further rounds are expected by the share of right samples so far (Laplace's rule).
    rate = (solved + 1) / (tried + 2) if tried else 0.0
    for request, asked, after_round, lacking in open_questions:
        # A question is left at the latest with most_wrong wrong samples and all but one right.
        ends = limit if most_wrong is None else min(limit, asked + most_wrong + lacking - 1)
        most = ends - after_round
        if most > 0:
            share = expected_draws(rate, lacking, after_round - asked, ends - asked) / most
            need.later.append(Later(request, most, asking.sampling.max_tokens, share))
    if not asking.style.answer_cue:
        return [need]
    return [need, ledger.second_steps(need, requests)]


def expected_draws(rate: float, wanted: int, drawn: int, limit: int) -> float:
    """The expected draws beyond the first ``drawn`` until ``wanted`` are right, ``limit`` at most.

    Draw k + 1 is made if k draws gave fewer right ones than wanted, whose probability is binomial.
    """
    from scipy.stats import binom  # loaded here: it takes longer than the rest of the program

    return float(sum(binom.cdf(wanted - 1, k, rate) for k in range(drawn, limit)))


# what that takes ---------------------------------------------------------------------------------


class Figures(NamedTuple):
    """The amounts that are still to be asked for one purpose."""

    need: Need
    requests: Spread
    samples: Spread
    prompt_tokens: Spread
    completion_tokens: Spread
    usd: Spread
    """US dollars, without a bound where the prices are not known."""

    is_priced: bool = True
    """Whether the prices are known."""


class TeacherFacts(NamedTuple):
    """The known facts about one teacher."""

    counter: TokenCounter
    prices: Prices
    rationales: LengthSample
    """The lengths of its stored rationales; other answers are expected to be as long."""

    finals: LengthSample
    """The lengths of its stored second steps; those of another stage are expected to be as long."""


class _Amounts(NamedTuple):
    requests: Spread
    samples: Spread
    prompt_tokens: Spread
    completion_tokens: Spread


def estimate_need(need: Need, known: TeacherFacts) -> Figures:
    """Add up the requests, samples, tokens and dollars of one need.

    A prompt is paid for once a request, however many samples are drawn with it. At most, a prompt
    whose tokens are estimated has one for each byte, and an answer is as long as its limit.
    """
    similar = known.finals if need.second and known.finals.count else known.rationales
    lengths = need.measured if need.measured.count else similar
    parts = [*_sure_amounts(need, known, lengths), *_later_amounts(need, known, lengths)]
    requests, samples, prompts, written = (
        total(getattr(part, name) for part in parts) for name in _Amounts._fields
    )
    prices = known.prices
    usd = prompts.times(prices.prompt / 1e6).plus(written.times(prices.completion / 1e6))
    if parts and not prices.known:
        usd = Spread(None, 0.0, math.inf, math.inf)
    return Figures(need, requests, samples, prompts, written, usd, prices.known)


def _sure_amounts(need: Need, known: TeacherFacts, lengths: LengthSample) -> Iterator[_Amounts]:
    for request in need.sure:
        count = len(request.samples)
        written = lengths.one(request.max_tokens).times(count)
        prompt = _prompt_tokens(request, known.counter)
        yield _Amounts(exactly(1), exactly(count), prompt, written)


def _later_amounts(need: Need, known: TeacherFacts, lengths: LengthSample) -> Iterator[_Amounts]:
    for later in need.later:
        answers_before = known.rationales.one(later.like.max_tokens).times(later.after)
        prompt = _prompt_tokens(later.like, known.counter).plus(answers_before)
        samples = _expected(exactly(1), later)
        written = _expected(lengths.one(later.max_tokens), later)
        yield _Amounts(samples, samples, _expected(prompt, later), written)


def _expected(one: Spread, later: Later) -> Spread:
    """The amount of one sample, times those that are expected, and at most times all."""
    return one.times(later.samples * later.share)._replace(most=one.most * later.samples)


def _prompt_tokens(request: Request, counter: TokenCounter) -> Spread:
    tokens = counter.tokens(request)
    if counter.exact:
        return exactly(tokens)
    bound = prompt_bytes(request) + FRAME_TOKENS * len(prompt_texts(request))
    return Spread(tokens, tokens, tokens, bound)
