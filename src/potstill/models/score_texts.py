r"""The probability that a model gives texts which it did not write, as plain values.

::

    model = potstill.open_model(potstill.model_settings("bundled:teacher", at="model"))
    for scored in potstill.score(model, [("Q: 3 + 4?\nA:", " 7.")]):
        print(scored.logprob, [token.bytes for token in scored.tokens])
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from potstill.errors import ModelError
from potstill.html_tables import html_table
from potstill.models.interface import Model, cannot_score
from potstill.models.scored_tokens import scores_by_bytes
from potstill.records import Completion, GivenText, Message, Request, TokenLogprobs


@dataclass(frozen=True, kw_only=True, slots=True)
class LikelyToken:
    """A token that may stand at a place."""

    bytes: bytes
    """The bytes that it adds to the text; empty: it ends the answer."""

    logprob: float
    """The natural logarithm of its probability."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredToken:
    """A token of a text that a model did not write."""

    bytes: bytes
    """The bytes that it adds to the text; empty: it ends the answer."""

    logprob: float | None
    """The natural logarithm of its probability; None for a first token with nothing before it."""

    top: tuple[LikelyToken, ...]
    """The likeliest tokens at its place, the best first; control tokens are left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredText:
    """A text with the probability of each of its tokens."""

    tokens: tuple[ScoredToken, ...]

    @property
    def logprob(self) -> float:
        """The sum over the tokens that have a probability, in nats."""
        return math.fsum(token.logprob for token in self.tokens if token.logprob is not None)

    def _repr_html_(self) -> str:
        """Returns the tokens as notebooks show them, each with its probability."""
        rows = [
            (
                repr(token.bytes.decode(errors="backslashreplace")) if token.bytes else "(the end)",
                "" if token.logprob is None else f"{math.exp(token.logprob):.3g}",
            )
            for token in self.tokens
        ]
        title = f"{self.logprob:.2f} nats over {len(self.tokens):,} tokens"
        return html_table(("token", "probability"), rows, title=title)


def score(
    model: Model,
    texts: Iterable[tuple[str | Sequence[Message], str]],
    *,
    top: int = 0,
    ends: bool = False,
) -> Iterator[ScoredText]:
    """Yields the scores of texts in their order.

    Args:
        model: A model that has probabilities of given texts; nothing is stored.
        texts: Each with the prompt that it stands behind: plain text, or the turns of a chat.
        top: How many likeliest tokens are listed at each place.
        ends: Whether the end of the answer is scored behind each text.

    Raises:
        ModelError: The model has no such probabilities, or not of one of the texts.
    """
    if not model.scores_texts:
        raise ModelError(cannot_score(model.name))
    requests = [
        Request(
            prompt=prompt if isinstance(prompt, str) else tuple(prompt),
            given=GivenText(text=text, ends=ends),
            top_logprobs=top,
        )
        for prompt, text in texts
    ]
    done: dict[Request, ScoredText] = {}
    for completion in model.complete(list(dict.fromkeys(requests))):
        if completion.error is not None:
            assert completion.request.given is not None
            raise ModelError(
                f"{model.name}: the text {completion.request.given.text[:40]!r} is not scored: "
                f"{completion.error}"
            )
        done[completion.request] = scored_text(completion, model.token_names)
    for request in requests:
        yield done[request]


def scored_text(completion: Completion, names: Sequence[bytes | None] | None) -> ScoredText:
    """Returns the scores of a completion whose request has a given text.

    Args:
        completion: The completion.
        names: The bytes of the model's tokens by id, for one that names them so.
    """
    scores = completion.logprobs
    assert scores is not None
    if scores.ids is not None:
        assert names is not None, "tokens that are named by ids have names"
        scores = scores_by_bytes(scores, completion.text, names)
    return ScoredText(tokens=tuple(_tokens(scores)))


def _tokens(scores: TokenLogprobs) -> Iterator[ScoredToken]:
    assert scores.lengths is not None
    place = 0
    lengths, logprobs = scores.lengths.tolist(), scores.logprobs.tolist()
    for row_lengths, row_logprobs in zip(lengths, logprobs, strict=True):
        entries: list[LikelyToken] = []
        for length, logprob in zip(row_lengths, row_logprobs, strict=True):
            name = scores.token_bytes[place : place + length]
            entries.append(LikelyToken(bytes=name, logprob=logprob))
            place += length
        own, *likeliest = entries
        yield ScoredToken(
            bytes=own.bytes,
            logprob=None if math.isnan(own.logprob) else own.logprob,
            top=tuple(token for token in likeliest if token.logprob > -math.inf),
        )
