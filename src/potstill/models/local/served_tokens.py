"""The tokenizer of a model that a server answers for, for texts which the server is to score."""

from collections.abc import Collection, Sequence
from functools import cache

from potstill.models.local.loading import load_tokenizer
from potstill.models.local.prompt_encoding import PromptEncoder
from potstill.models.settings import LocalSettings
from potstill.models.token_requests import ServedText, UnscorableText
from potstill.records import Request


class ServedTokens:
    """Puts requests into a served model's tokens, as ``GivenTokens`` says.

    Args:
        prompts: The encoder of the model's prompts.
        end_ids: Tokens that end an answer beside those that the tokenizer knows.
    """

    def __init__(self, prompts: PromptEncoder, end_ids: Collection[int] = ()) -> None:
        self._prompts = prompts
        self.names: Sequence[bytes | None] = prompts.token_names
        own = prompts.tokenizer.eos_token_id
        self.ends: Collection[int] = prompts.turn_ends | frozenset(end_ids) | ({own} - {None})

    def given(self, request: Request) -> ServedText:
        """Returns a request with a given text in tokens."""
        assert request.given is not None
        ids = self._prompts.given_ids(request, apart=False)
        end_id = self._prompts.end_name(request) if request.given.ends else None
        if request.given.ends and end_id is None:
            raise UnscorableText("the tokenizer has no token that ends a text; set ends to false")
        return ServedText(tuple(ids.prompt), tuple(ids.text), end_id)


@cache
def served_tokens(source: str, *, is_here: bool = False) -> ServedTokens:
    """Returns the tokenizer of a hub name or a folder.

    Args:
        source: The hub name or folder.
        is_here: Whether a hub's tokenizer is on this machine; it is not asked for elsewhere then.

    Raises:
        ModelError: It cannot be loaded.
    """
    tokenizer = load_tokenizer(LocalSettings(model=f"hf:{source}"), is_here=is_here)
    return ServedTokens(PromptEncoder(tokenizer, source))
