"""What one teacher is asked for one purpose: what is there, what is sure, what may come.

What a need comes to in requests, tokens and dollars.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from potstill.generate.stage import further_samples
from potstill.grading.grade import grade
from potstill.keys import request_key
from potstill.models.openai.cost import FRAME_TOKENS, Prices
from potstill.plan.estimate import (
    LengthSample,
    Spread,
    TokenCounter,
    exactly,
    prompt_bytes,
    total,
    turns,
)
from potstill.records import Question, Request, Task
from potstill.sampling.ask import ANSWER_TOKENS, PromptConfig, answers
from potstill.sampling.debate import AskedTeacher
from potstill.store import Store


class Later(NamedTuple):
    """Requests that follow from answers that are still to come."""

    like: Request
    """Their prompt has at least this one's text."""

    samples: int
    """At most, each in a request of its own."""

    max_tokens: int
    share: float = 1.0
    """How many of the samples are expected."""

    after: int = 0
    """Answers whose text the prompt has as well."""


@dataclass(kw_only=True)
class Need:
    """What one teacher is asked for one purpose."""

    stage: str
    what: str
    teacher: AskedTeacher
    questions: int
    """That are asked about."""

    second: bool = False
    """Whether these are the second steps of a style that has them."""

    there: int = 0
    """Samples that are stored."""

    sure: list[Request] = field(default_factory=list)
    """Requests that will be sent, with the samples that lack."""

    later: list[Later] = field(default_factory=list)
    lengths: list[list[int]] = field(default_factory=list)
    """Of the stored answers, by request."""

    read: list[tuple[int, int]] = field(default_factory=list)
    """Bytes of the prompts that were answered, and their tokens as the model counted them."""

    @property
    def missing(self) -> int:
        """Samples still to be asked for, at most."""
        sure = sum(len(request.samples) for request in self.sure)
        return sure + sum(each.samples for each in self.later)

    @property
    def measured(self) -> LengthSample:
        """The lengths of the stored answers."""
        return LengthSample(self.lengths)


class Ledger:
    """Finds what the store lacks; what two purposes ask alike is counted with the first.

    Args:
        store: Of the run.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._counted: set[tuple[bytes, int, int]] = set()

    def add(self, need: Need, request: Request) -> int:
        """Count one request, and return how many of its samples are missing."""
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
        lacking = sum(len(each.samples) for each in missing)
        if lacking < len(fresh):
            found = [each.completion for each in self.store.completions(model, narrowed)]
            need.there += len(found)
            need.lengths.append([each.completion_tokens for each in found])
            if found and found[0].prompt_tokens:
                need.read.append((prompt_bytes(request), found[0].prompt_tokens))
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
        ended = stored = 0
        for request in requests:
            for found in self.store.completions(need.teacher.model, request):
                stored += 1
                answer_request = asking.answer_request(found.completion)
                if answer_request is not None:
                    ended += 1
                    self.add(need, answer_request)
        share = ended / stored if stored else 1.0
        for each in first.sure:
            need.later.append(Later(each, len(each.samples), ANSWER_TOKENS, share, 1))
        for more in first.later:
            share_of_all = share * more.share
            need.later.append(Later(more.like, more.samples, ANSWER_TOKENS, share_of_all, 1))
        return need


def plain(
    ledger: Ledger,
    teacher: AskedTeacher,
    questions: Sequence[Question],
    asking: PromptConfig,
    *,
    stage: str,
    what: str,
) -> list[Need]:
    """Every sample of every question, with the second step where the style has one."""
    teacher = teacher._replace(asking=asking)
    need = Need(stage=stage, what=what, teacher=teacher, questions=len(questions))
    requests = [asking.request(question) for question in questions]
    for request in requests:
        ledger.add(need, request)
    if not asking.style.answer_cue:
        return [need]
    return [need, ledger.second_steps(need, requests)]


def adaptive(
    ledger: Ledger, teacher: AskedTeacher, task: Task, *, enough: int, what: str
) -> list[Need]:
    """Samples until so many are right: the next round for sure, those after it as a bound.

    What is stored is gone through as :func:`potstill.generate.stage.draw_until_enough` does.
    """
    asking, limit = teacher.asking, teacher.asking.sampling.samples
    questions = task.splits["train"]
    need = Need(stage="generate", what=what, teacher=teacher, questions=len(questions))
    requests: list[Request] = []
    open_: list[tuple[Request, int, int, int]] = []
    tried = solved = 0
    for question in questions:
        request = asking.request(question)
        asked = right = 0
        while more := further_samples(asked, right, enough, limit):
            next_ = replace(request, samples=tuple(range(asked, asked + more)))
            requests.append(next_)
            if ledger.add(need, next_):
                open_.append((request, asked, asked + more, enough - right))
                break
            drawn = _right(ledger.store, teacher, task, question, next_)
            asked, right = asked + more, right + drawn
        tried, solved = tried + asked, solved + right
    rate = (solved + 1) / (tried + 2) if tried else 0.0
    for request, asked, after, lacking in open_:
        most = limit - after
        if most:
            share = expected_draws(rate, lacking, after - asked, limit - asked) / most
            need.later.append(Later(request, most, asking.sampling.max_tokens, share))
    if not asking.style.answer_cue:
        return [need]
    return [need, ledger.second_steps(need, requests)]


def expected_draws(rate: float, wanted: int, drawn: int, limit: int) -> float:
    """Draws beyond the first ``drawn`` until so many are right, or there were ``limit`` in all.

    Draw k + 1 is made if k draws gave fewer right ones than wanted, which a binomial tells.
    """
    from scipy.stats import binom  # loaded here: it takes longer than the rest of the program

    return float(sum(binom.cdf(wanted - 1, k, rate) for k in range(drawn, limit)))


def _right(
    store: Store, teacher: AskedTeacher, task: Task, question: Question, request: Request
) -> int:
    """How many of a request's samples are right, as the adaptive rounds count them."""
    return sum(
        grade(task, answer.text, question).correct
        for answer in answers(teacher.model, store, question, teacher.asking)
        if answer.sample in request.samples and answer.finish_reason == "stop"
    )


class Figures(NamedTuple):
    """What is still to be asked for one purpose."""

    need: Need
    requests: Spread
    samples: Spread
    prompt_tokens: Spread
    completion_tokens: Spread
    usd: Spread
    """Without a bound where the prices are not known."""


class TeacherFacts(NamedTuple):
    """What is known of one teacher."""

    counter: TokenCounter
    prices: Prices
    rationales: LengthSample
    """Of its stored rationales; answers of which nothing else is known are expected as long."""

    finals: LengthSample
    """Of its stored second steps; those of another stage are expected as long."""


class _Part(NamedTuple):
    requests: Spread
    samples: Spread
    prompt_tokens: Spread
    completion_tokens: Spread


def figures_of(need: Need, known: TeacherFacts) -> Figures:
    """Add up one need.

    A prompt is paid for once a request, however many samples are drawn with it. At most, a prompt
    whose tokens are estimated has one for each byte, and an answer is as long as its limit.
    """
    alike = known.finals if need.second and known.finals.count else known.rationales
    lengths = need.measured if need.measured.count else alike
    parts = [*_sure(need, known, lengths), *_later(need, known, lengths)]
    requests, samples, prompts, written = (
        total(getattr(part, name) for part in parts) for name in _Part._fields
    )
    prices = known.prices
    usd = prompts.times(prices.prompt / 1e6).plus(written.times(prices.completion / 1e6))
    if parts and not prices.known:
        usd = Spread(None, 0.0, math.inf, math.inf)
    return Figures(need, requests, samples, prompts, written, usd)


def _sure(need: Need, known: TeacherFacts, lengths: LengthSample) -> Iterator[_Part]:
    for request in need.sure:
        count = len(request.samples)
        written = lengths.one(request.max_tokens).times(count)
        yield _Part(exactly(1), exactly(count), _prompt(request, known.counter), written)


def _later(need: Need, known: TeacherFacts, lengths: LengthSample) -> Iterator[_Part]:
    for each in need.later:
        before = known.rationales.one(each.like.max_tokens).times(each.after)
        prompt = _prompt(each.like, known.counter).plus(before)
        samples = _some(exactly(1), each)
        written = _some(lengths.one(each.max_tokens), each)
        yield _Part(samples, samples, _some(prompt, each), written)


def _some(one: Spread, later: Later) -> Spread:
    """As many as are expected, at most as many as there can be."""
    return one.times(later.samples * later.share)._replace(most=one.most * later.samples)


def _prompt(request: Request, counter: TokenCounter) -> Spread:
    tokens = counter.tokens(request)
    if counter.exact:
        return exactly(tokens)
    bound = prompt_bytes(request) + FRAME_TOKENS * len(turns(request))
    return Spread(tokens, tokens, tokens, bound)
