"""Requests to models and their answers: messages, completions, token probabilities.

Shape suffixes: T tokens of a completion, K alternatives kept at each token.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

FinishReason = str
"""Why a text ended: ``stop`` by itself, ``length`` at a limit, ``content_filter``, ``tool_calls``,
``error``; a reason of a server's that is none of these is kept as the server wrote it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenText:
    """A text that a model scores, and does not write."""

    text: str
    """The text behind the prompt and the request's ``answer_prefix``."""

    ends: bool = True
    """Whether the answer ends behind it, so that the token that ends it is scored, too."""

    ids: tuple[int, ...] = ()
    """The tokens in which it was written, by a model with the tokenizer of the one that scores: a
    text has several spellings, of which the tokenizer gives one. Empty, or where a server renders
    the prompt itself: that one."""

    kept_at: str = ""
    """A digest of what chooses the tokens whose likeliest ones are stored; empty: all have them
    stored. Models do not look at it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A prompt that one model is asked once; the same request gets the same stored completions."""

    prompt: str | tuple[Message, ...]
    """Plain text to continue, or the turns of a chat."""

    answer_prefix: str = ""
    """Text the answer must begin with; it is not repeated in the completion's text."""

    samples: tuple[int, ...] = (0,)
    """The indices of the samples wanted; index i is the same draw in every run."""

    temperature: float = 0.0
    """Softmax temperature; 0 is greedy."""

    top_p: float = 1.0
    """Nucleus mass sampled from; 1 keeps every token."""

    max_tokens: int = 512
    """Longest completion, in the model's own tokens."""

    thinking_tokens: int | None = None
    """Most tokens of thinking: whoever still thinks then has the closing mark written for it, and
    answers. None: as many as ``max_tokens`` has room for."""

    stop: tuple[str, ...] = ()
    """The completion ends before the first of these strings."""

    top_logprobs: int = 0
    """K: how many likeliest tokens to return at each position; 0 returns none."""

    given: GivenText | None = None
    """The text that is scored: its completion is this very text, with the probability of each of
    its tokens and of ``top_logprobs`` likeliest ones beside it, and nothing is written. None: the
    model writes."""

    seed: int = 0
    """Seeds the draws, together with the sample index."""

    question: str = ""
    """The bare question, for models that look their answer up; not part of the request's key."""

    question_id: str | None = field(default=None, compare=False)
    """The question's id in its task, stored beside the request; not part of its key."""

    task: str | None = field(default=None, compare=False)
    """The name of the question's task, stored beside the request; not part of its key."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenLogprobs:
    """Natural-log probabilities of T tokens and of the K likeliest at each position.

    Column 0 is the token that was chosen, columns 1..K the likeliest ones, best first (the
    chosen one usually stands there again). Where a position has fewer than K entries, the rest
    have logprob -inf and id -1 or length 0. Tokens are named by id or by bytes, never by text:
    distinct tokens can decode to the same text.

    Of a given text column 0 is the text's own token. Where its answer ends the last row is the end,
    which stands for all tokens that end an answer; among bytes it is the one entry of length 0 with
    a finite logprob. Other control tokens are not listed. The logprob of a first token that nothing
    stands before is NaN.
    """

    logprobs: NDArray[np.float32]
    """``(T, 1 + K)``, nats, at the sampling distribution's temperature 1."""

    ids: NDArray[np.int32] | None = None
    """``(T, 1 + K)`` ids in the model's vocabulary, where the model is local."""

    token_bytes: bytes = b""
    """The bytes of all tokens one after the other, row by row, where the model is a server."""

    lengths: NDArray[np.uint16] | None = None
    """``(T, 1 + K)``: how many of ``token_bytes`` belong to each token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """The text a model wrote for one sample of one request."""

    request: Request
    """The request that was answered."""

    sample: int
    """The sample's number, one of ``request.samples``."""

    text: str
    """The answer, without ``request.answer_prefix``."""

    finish_reason: FinishReason
    """The reason why it ended. Only with ``stop`` is it whole; for ``error`` see :attr:`error`."""

    thinking: str | None = None
    """Thinking text, where the server separates it from the answer."""

    prompt_tokens: int = 0
    """Tokens of the prompt, as the model counts them, those of a given text among them; 0 where it
    does not say."""

    completion_tokens: int = 0
    """Tokens written, thinking included; 0 where the model does not say."""

    cost: float = 0.0
    """US dollars, by the price given for the model; 0 where none was given. Tokens that the server
    does not count are taken at their most."""

    logprobs: TokenLogprobs | None = None
    """Token probabilities, where ``request.top_logprobs`` asked for them; always of a given text.
    """

    thinking_ended: bool | None = None
    """Whether the closing mark of its thinking was written for it, at the request's
    ``thinking_tokens``. None: there was no such limit, or an older potstill did not note it."""

    error: str | None = None
    """Why there is no answer, when ``finish_reason`` is ``error``; such a sample is asked again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Teacher:
    """A model as far as it must be known to find what it wrote."""

    name: str
    """``Model.name``: its completions are stored by it."""

    chat: bool
    """Whether it is asked in chat messages, which settles its prompt style."""


class Amount(NamedTuple):
    """Tokens, those of prompts included, and US dollars."""

    tokens: int = 0
    usd: float = 0.0

    def plus(self, other: "Amount") -> "Amount":
        """The sum."""
        return Amount(self.tokens + other.tokens, self.usd + other.usd)

    def minus(self, other: "Amount") -> "Amount":
        """The difference."""
        return Amount(self.tokens - other.tokens, self.usd - other.usd)
