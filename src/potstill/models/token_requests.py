"""Requests in a model's own tokens, and answers that list the tokens of their prompt.

Only models on this machine take them, and they are never stored: the guided server uses them for
clients that score texts, such as lm-evaluation-harness.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from potstill.errors import ModelError
from potstill.records import Completion, Request


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRequest(Request):
    """A request whose prompt may be given in tokens, and may be scored."""

    prompt_ids: tuple[int, ...] = ()
    """The prompt in tokens, in the place of its text; empty: the text counts."""

    echo: bool = False
    """Whether the answer is an :class:`EchoedCompletion`; ``max_tokens`` may then be 0."""

    whole: bool = False
    """Whether a server's answer is a :class:`WholeCompletion`, its text as it was written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EchoedCompletion(Completion):
    """A completion that holds its prompt, too.

    ``logprobs``, where ``top_logprobs`` asks for them, has a row for every token but the first, the
    end token included.
    """

    ids: tuple[int, ...]
    """Tokens of the prompt and of what was written, the end token included."""

    prompt_text: str
    """The prompt as text, control tokens left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WholeCompletion(Completion):
    """A server's completion whose text holds the thinking, too, with its marks."""

    ids: tuple[int, ...] = ()
    """The tokens written, where the server names them; an end token may be among them."""


class SpelledToken(NamedTuple):
    """A token as clients are shown it."""

    text: str
    """Its text; ``bytes:`` and the bytes where they are no text by themselves."""

    bytes: bytes
    """The bytes that it adds to a text; a control token adds none."""


class UnscorableText(ModelError):
    """A text that cannot stand where the model's own answer would."""


class ServedText(NamedTuple):
    """A request with a given text, in the tokens of the model that is served."""

    prompt_ids: tuple[int, ...]
    text_ids: tuple[int, ...]
    end_id: int | None
    """The token that ends the answer, where that is scored."""

    @property
    def ids(self) -> tuple[int, ...]:
        """All tokens that the model reads."""
        return self.prompt_ids + self.text_ids + (() if self.end_id is None else (self.end_id,))


class GivenTokens(Protocol):
    """The tokenizer of a served model, for texts that it scores."""

    names: Sequence[bytes | None]
    """The bytes that each token adds to an answer, by id; None for one that adds nothing."""

    ends: Collection[int]
    """The tokens that end an answer."""

    def given(self, request: Request) -> ServedText:
        """Returns a request with a given text in tokens.

        Raises:
            UnscorableText: The text cannot be scored by this model.
            ModelError: There is no chat template, or it refuses the messages.
        """
        ...


@runtime_checkable
class TokenModel(Protocol):
    """A model that takes :class:`TokenRequest` and names its tokens."""

    encoder_decoder: bool

    @property
    def spell(self) -> Callable[[int], SpelledToken]:
        """The function that names a token of its vocabulary as clients are shown it."""
        ...
