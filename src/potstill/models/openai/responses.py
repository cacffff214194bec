"""Reads a server's answers: texts, thinking, finish reasons, token counts and costs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from potstill.models.finish_reasons import is_known
from potstill.models.openai.choice_logprobs import with_logprobs
from potstill.models.openai.choice_text import MALFORMED, before_stop, error_in, read_choice_text
from potstill.models.openai.cost import Sizes, prices_of, prompt_cost
from potstill.models.openai.logprobs import TokenNames
from potstill.models.openai.repeated_prefix import PrefixHabit
from potstill.models.openai.requests import given_beginning, not_understood, request_body
from potstill.models.settings import OpenAISettings
from potstill.models.token_requests import TokenRequest, WholeCompletion
from potstill.records import Completion, Request
from potstill.text.thinking import answer_and_thinking

Json = dict[str, Any]


def read_reply(
    settings: OpenAISettings,
    request: Request,
    samples: Sequence[int],
    reply: Json,
    habit: PrefixHabit,
    names: TokenNames | None = None,
) -> list[Completion]:
    """Returns the completions in a server's answer, at least one; an index names its sample.

    The prompt is paid for once however many samples were drawn, so its cost is on the first one.
    Probabilities are of all that the server lists, a thinking block in the text included. A choice
    that is not as documented becomes a failure, and takes no other with it.

    Args:
        settings: The server.
        request: The request.
        samples: The samples that the answer is to have.
        reply: The answer's JSON, with a choice at least.
        habit: Whether the server repeats the beginning of an answer that it is given; what the
            answer shows of it is learned.
        names: The bytes of the model's tokens, where the server names them by their ids.

    Raises:
        ModelError: Probabilities were asked for and there are none.
    """
    body = request_body(settings, request, samples)
    given = given_beginning(request, body)
    habit.learn(given, reply)
    prices = prices_of(settings)
    size = Sizes(prices).size(request, body)
    counted = size.counted(reply)
    counts = size.filled(counted)
    is_full = len(samples) == 1 and (counted.written or 0) >= size.limit
    reader = _ChoiceReader(request, given, habit, is_full=is_full)
    pairs = _by_sample(_with_error(reply), samples)
    read = [reader.read(sample, choice) for sample, choice in pairs]
    if request.top_logprobs:
        read = with_logprobs(settings, read, [choice for _, choice in pairs], names)
    known = [
        0 if completion.logprobs is None else len(completion.logprobs.logprobs)
        for completion in read
    ]
    costs = [prices.completion * count / 1e6 for count in shares(counts.written or 0, known)]
    costs[0] += prompt_cost(prices, counts)
    costs = _as_stated(costs, counts.usd)
    tokens = shares(counted.written or 0, known)
    return [
        replace(completion, prompt_tokens=counted.read or 0, completion_tokens=count, cost=cost)
        for completion, count, cost in zip(read, tokens, costs, strict=True)
    ]


def _as_stated(costs: list[float], usd: float | None) -> list[float]:
    """Returns the costs of samples in US dollars, raised in proportion to what the server states.

    Args:
        costs: By the prices.
        usd: The sum that the server states, if it does; a smaller one is not gone by.
    """
    by_price = sum(costs)
    if usd is None or usd <= by_price:
        return costs
    return [cost * usd / by_price if by_price else usd / len(costs) for cost in costs]


def _with_error(reply: Json) -> Sequence[object]:
    """Returns an answer's choices; each fails with an error that stands beside them."""
    error = error_in(reply)
    if error is None:
        return list(reply["choices"])
    return [
        choice if not isinstance(choice, dict) or error_in(choice) else {**choice, "error": error}
        for choice in reply["choices"]
    ]


def _by_sample(choices: Sequence[object], samples: Sequence[int]) -> list[tuple[int, Json]]:
    """Returns each sample's choice: by its index where those tell choices apart, else by its place.

    A choice that repeats another, index and all, was sent twice and counts once. A server that
    draws choice i by ``seed + i`` may leave one out, and the others keep their samples.
    """
    distinct: list[Json] = []
    for choice in choices:
        if isinstance(choice, dict) and not _repeats(choice, distinct):
            distinct.append(choice)
    by_index = {
        index: choice
        for choice in distinct
        if type(index := choice.get("index")) is int and 0 <= index < len(samples)
    }
    if len(by_index) == len(distinct) or len(by_index) == len(samples):
        return [(samples[index], by_index[index]) for index in sorted(by_index)]
    return list(zip(samples, distinct, strict=False))


def _repeats(choice: Json, others: Sequence[Json]) -> bool:
    index = choice.get("index")
    return index is not None and any(
        other.get("index") == index and other == choice for other in others
    )


@dataclass(frozen=True, slots=True)
class _ChoiceReader:
    """Reads the choices of one answer."""

    request: Request
    given: str
    """The beginning that the server was given, and may repeat."""

    habit: PrefixHabit
    is_full: bool
    """Whether the server counts as many tokens as were allowed. A text whose end it does not
    explain was cut off then."""

    def read(self, sample: int, choice: Json) -> Completion:
        """Returns a choice's completion without its probabilities."""
        try:
            content = read_choice_text(choice, partial(self._separate, choice))
        except MALFORMED as caught:
            return not_understood(self.request, sample, caught)
        text, reason = content.text, content.finish_reason
        if self.is_full and (reason is None or not is_known(reason)):
            reason = "length"
        before = before_stop(text, self.request.stop)
        if before is not None and content.error is None:
            text, reason = before, "stop"
        completion = Completion(
            request=self.request,
            sample=sample,
            text=text,
            finish_reason=reason or "stop",
            thinking=content.thinking,
            error=content.error,
        )
        if not self._whole:
            return completion
        values = {one.name: getattr(completion, one.name) for one in fields(completion)}
        return WholeCompletion(**values, ids=_named_ids(choice))

    @property
    def _whole(self) -> bool:
        return isinstance(self.request, TokenRequest) and self.request.whole

    def _separate(self, choice: Json, text: str, thinking: str | None) -> tuple[str, str | None]:
        """Returns the answer in a text and all thinking, without what the server was given."""
        if self.given:
            text = self.habit.written(self.given, text, choice)
        if self._whole:
            return text, thinking
        prompt = self.request.prompt if isinstance(self.request.prompt, str) else ""
        begun = self.request.answer_prefix
        return answer_and_thinking(text, prompt=prompt, begun=begun, apart=thinking)


def _named_ids(choice: Json) -> tuple[int, ...]:
    """Returns the tokens of a choice as vLLM names them beside its text; none where it does not."""
    ids = choice.get("token_ids")
    if not isinstance(ids, list) or not all(type(token) is int for token in ids):
        return ()
    return tuple(ids)


def shares(total: int, known: Sequence[int]) -> list[int]:
    """Returns each sample's tokens, of which servers tell the sum alone.

    What is known (the tokens that have probabilities) is each sample's own; the rest is split
    evenly, the remainder to the first. The sum is ``total``.
    """
    rest = total - sum(known)
    if rest < 0:
        known, rest = [0] * len(known), total
    even, remainder = divmod(rest, len(known))
    return [own + even + (place < remainder) for place, own in enumerate(known)]
