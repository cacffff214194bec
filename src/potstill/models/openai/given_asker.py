"""Asks a server for the scores of given texts, once a probe has shown in what way it has them.

The probe is one short text, asked twice: a server whose replicas do not agree on it is refused, and
so is one that has no scores, before anything else is paid for.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any

from potstill.errors import ConfigError, ModelError, PotstillError, ServerError
from potstill.models.interface import cannot_score
from potstill.models.openai.choice_text import MALFORMED
from potstill.models.openai.client import Client
from potstill.models.openai.cost import Sizes, prices_of, prompt_cost
from potstill.models.openai.first_answers import Vanguard
from potstill.models.openai.given_replies import differences, read_scores
from potstill.models.openai.given_requests import (
    NEEDS_TOKENIZER,
    ScoreQuery,
    ScoreWay,
    by_chat,
    score_query,
)
from potstill.models.openai.http_errors import Fault, Halted
from potstill.models.openai.listed_models import listed_models
from potstill.models.openai.requests import failure
from potstill.models.settings import OpenAISettings
from potstill.models.token_requests import GivenTokens, UnscorableText
from potstill.records import Completion, GivenText, Request, TokenLogprobs
from potstill.runtime import Runtime

logger = logging.getLogger(__name__)

Json = dict[str, Any]

PROBE_PROMPT = "Q: Anna has 3 apples and buys 14 more. How many has she?\nA:"
PROBE_TEXT = " Anna had 3 apples and bought 14 more. 3 + 14 = 17, so she has 17 of them."

MEAN_APART, MOST_APART = 0.1, 0.5
"""Nats by which two scores of the probe's tokens may differ, on average and at most: in bfloat16
one server's own differ by some hundredths, with what else is computed beside them."""

PROBE_RETRIES = 2

WITHOUT_IT = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.NOT_IMPLEMENTED,
}
"""Statuses by which a server says that it does not take a way of asking."""


class TooFewListed(ModelError):
    """A server scores given texts, but not with as many likeliest tokens as are wanted."""


@dataclass(slots=True)
class ScoreFacts:
    """Facts about a server that are needed to ask it for scores of given texts."""

    load_tokens: Callable[[], GivenTokens | None] = lambda: None
    """Returns the model's tokenizer; None where it is not known."""

    ways: dict[int, ScoreWay] = field(default_factory=dict)
    """The way in which it has shown scores, by the number of likeliest tokens."""


class GivenAsker:
    """Asks for scores. Belongs to the event loop in which it is made.

    Args:
        settings: The server and how it is asked.
        key: The server's key, if it wants one.
        runtime: The run's budget, log and stop signal.
        client: Sends the requests.
        known: The facts that the server has shown so far; more are added.
        vanguard: Lets only a few requests go until one was answered.
        keep: Takes completions as they come, and how many of the server's answers they are from.
        watch: Told of what was answered.
    """

    def __init__(
        self,
        settings: OpenAISettings,
        key: str | None,
        runtime: Runtime,
        *,
        client: Client,
        known: ScoreFacts,
        vanguard: Vanguard,
        keep: Callable[[list[Completion], int], None],
        watch: Callable[[Sequence[Completion]], None],
    ) -> None:
        self._settings, self._key, self._runtime = settings, key, runtime
        self._client, self._known, self._vanguard = client, known, vanguard
        self._keep, self._watch = keep, watch
        self._sizes = Sizes(prices_of(settings))
        self._probing = asyncio.Lock()
        self._refusal: PotstillError | None = None
        """The reason for which no text can be scored."""

        self._probe: _ScoreProbe | None = None
        self._halted = False

    @cached_property
    def _tokens(self) -> GivenTokens | None:
        return self._known.load_tokens()

    def halt(self) -> None:
        """Send nothing any more."""
        self._halted = True
        if self._probe is not None:
            self._probe.halt()

    async def ask(self, request: Request, samples: Sequence[int]) -> bool:
        """Ask for one text's scores, which all samples of its request get.

        Returns:
            Whether the server gave them.

        Raises:
            ModelError: No request can succeed.
            BudgetError: It could cost more than there is left.
            Halted: The asking was stopped.
        """
        try:
            way = await self._way(request.top_logprobs)
            query = score_query(self._settings, request, way, self._tokens)
            async with self._vanguard.place():
                size = self._sizes.size(request, query.body)
                reply = await self._client.post(query.body, size)
                answered = self._read(request, query, reply, samples)
                self._keep(answered, 1)
                self._watch(answered)
        except (Fault, UnscorableText) as fault:
            self._keep([failure(request, sample, str(fault)) for sample in samples], 0)
            return False
        return answered[0].error is None

    def _read(
        self, request: Request, query: ScoreQuery, reply: Json, samples: Sequence[int]
    ) -> list[Completion]:
        """Returns the completions of an answer, paid for once."""
        size = self._sizes.size(request, query.body)
        counted = size.counted(reply)
        counts = size.filled(counted)
        prices = prices_of(self._settings)
        by_price = prompt_cost(prices, counts) + (counts.written or 0) * prices.completion / 1e6
        cost = max(by_price, counts.usd or 0.0)
        assert request.given is not None
        try:
            scores = read_scores(request, query, reply, self._tokens)
        except MALFORMED as caught:
            told = f"the server's scores of the text are not understood: {_words(caught)}"
            return [failure(request, sample, told) for sample in samples]
        return [
            Completion(
                request=request,
                sample=sample,
                text=request.given.text,
                finish_reason="stop",
                prompt_tokens=counted.read or 0,
                cost=0.0 if place else cost,
                logprobs=scores,
            )
            for place, sample in enumerate(samples)
        ]

    async def _way(self, k: int) -> ScoreWay:
        """Returns the way in which the server has scores, found by a probe where none has been.

        Raises:
            ModelError: It has none, or not so many likeliest tokens, or its replicas differ.
            Fault: The probe failed, and may do better the next time.
        """
        async with self._probing:
            if self._refusal is not None:
                raise self._refusal
            if self._halted:
                raise Halted
            if k not in self._known.ways:
                tokens = self._tokens
                self._probe = _ScoreProbe(self._settings, self._key, self._runtime, tokens)
                try:
                    self._known.ways[k] = await self._probe.way(k)
                except PotstillError as error:
                    self._refusal = error
                    raise
                finally:
                    await self._probe.close()
                    self._probe = None
                self._runtime.events.record("scores_by", way=self._known.ways[k])
            return self._known.ways[k]


class _ScoreProbe:
    """Asks for the scores of one short text in every way that a server may have."""

    def __init__(
        self,
        settings: OpenAISettings,
        key: str | None,
        runtime: Runtime,
        tokens: GivenTokens | None,
    ) -> None:
        self._settings, self._key, self._tokens = settings, key, tokens
        few = settings.model_copy(update={"retries": min(settings.retries, PROBE_RETRIES)})
        self._client = Client(few, key, runtime)
        self._sizes = Sizes(prices_of(settings))

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    def halt(self) -> None:
        """Send nothing any more."""
        self._client.halt()

    async def way(self, k: int) -> ScoreWay:
        """Returns the first way by which scores with ``k`` likeliest tokens come.

        Raises:
            TooFewListed: Scores come, but not with so many.
            ModelError: None come.
        """
        reasons = list[str]()
        for way in await self._candidates():
            reason = await self._try(way, k)
            if reason is None:
                return way
            if k and await self._try(way, 0) is None:
                raise TooFewListed(
                    f"{self._settings.model}: the server at {self._settings.base_url} scores "
                    f"texts, but not with {k} likeliest tokens at each place ({reason}). Ask for "
                    "fewer, or raise its own limit (--max-logprobs of vLLM)."
                )
            reasons.append(f"{way}: {reason}")
        raise ModelError(self._no_scores(reasons))

    async def _candidates(self) -> Sequence[ScoreWay]:
        if by_chat(self._settings, self._tokens):
            return ("prompt_logprobs",)
        listed = await listed_models(self._settings, self._key)
        if any("sglang" in str(model.get("owned_by")).lower() for model in listed):
            return ("input_token_logprobs", "echo")
        return ("prompt_logprobs", "echo")

    def _no_scores(self, reasons: Sequence[str]) -> str:
        told = "; ".join(reasons)
        hint = ""
        if by_chat(self._settings, self._tokens):
            hint = (
                f" For other ways {NEEDS_TOKENIZER}; prompts of plain text may do with chat: false."
            )
        at = f"{self._settings.model} at {self._settings.base_url}"
        return f"{cannot_score(at)} ({told}.){hint}"

    async def _try(self, way: ScoreWay, k: int) -> str | None:
        """Returns why scores do not come this way; None where they do, alike at both times.

        Raises:
            ServerError: They differ.
            Fault: The server failed, and may do better the next time.
        """
        request = Request(
            prompt=PROBE_PROMPT, given=GivenText(text=PROBE_TEXT, ends=False), top_logprobs=k
        )
        try:
            query = score_query(self._settings, request, way, self._tokens)
            first = await self._scores(request, query)
            second = await self._scores(request, query)
        except (UnscorableText, ConfigError) as error:
            return str(error)
        except Fault as fault:
            if fault.status in WITHOUT_IT or not fault.retry:
                return str(fault)
            raise
        except ServerError as error:
            if "HTTP 404" in str(error):
                return "it has no such route"
            raise
        except MALFORMED as caught:
            return _words(caught)
        self._compare(first, second)
        return None

    async def _scores(self, request: Request, query: ScoreQuery) -> TokenLogprobs:
        reply = await self._client.post(query.body, self._sizes.size(request, query.body))
        self._client.stored(1)
        return read_scores(request, query, reply, self._tokens)

    def _compare(self, first: TokenLogprobs, second: TokenLogprobs) -> None:
        """Refuse a server that scores one text in two ways.

        Raises:
            ServerError: It does.
        """
        apart = differences(first, second)
        if apart is not None and apart[0] <= MEAN_APART and apart[1] <= MOST_APART:
            return
        told = "other tokens"
        if apart is not None:
            told = f"log-probabilities {apart[0]:.2f} nats apart on average, {apart[1]:.2f} at most"
        raise ServerError(
            f"{self._settings.model}: asked twice for one text, the server at "
            f"{self._settings.base_url} gives {told} (allowed: {MEAN_APART} and {MOST_APART}). "
            "Several different models seem to answer at this address; name one of them."
        )


def _words(caught: Exception) -> str:
    """Returns what is wrong with an answer, in words."""
    if isinstance(caught, ValueError) and str(caught):
        return str(caught)
    return f"{type(caught).__name__}: {caught}"
