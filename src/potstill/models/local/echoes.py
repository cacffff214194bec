"""Answers that hold their prompt, and requests that give it in tokens (:class:`TokenRequest`)."""

from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from transformers import PreTrainedModel

from potstill.models.local.loading import embedding_rows
from potstill.models.local.sampling import Top
from potstill.models.local.text_scores import score_text
from potstill.models.token_requests import EchoedCompletion, TokenRequest
from potstill.records import Completion, Request, TokenLogprobs

if TYPE_CHECKING:
    from potstill.models.local.prompt_encoding import PromptEncoder


class Echoes:
    """Answers of a causal model to requests in its own tokens, their prompts included where asked.

    Args:
        model: The model.
        encoder: Its encoder of prompts.
        end_ids: Tokens that end a text.
    """

    def __init__(
        self, model: PreTrainedModel, encoder: "PromptEncoder", end_ids: Collection[int]
    ) -> None:
        self._model, self._encoder, self._end_ids = model, encoder, end_ids

    def prompt_ids(self, request: Request) -> list[int]:
        """Returns a request's prompt in tokens, which some requests give themselves."""
        if isinstance(request, TokenRequest) and request.prompt_ids:
            return list(request.prompt_ids)
        return self._encoder.prompt_ids(request)

    def at_once(
        self, request: Request, ids: Sequence[int], positions: int | None
    ) -> Completion | None:
        """Returns the answer to a request for which no token has to be written one by one.

        It is one pass over the prompt where no more than the likeliest next token is wanted, and a
        refusal where the prompt has a token that the model has not.

        Args:
            request: The request.
            ids: The tokens of its prompt.
            positions: The most tokens that the model can read; None: any number.
        """
        if not isinstance(request, TokenRequest):
            return None
        known = embedding_rows(self._model)
        if beyond := [token for token in ids if token >= known]:
            fault = f"the prompt has the token {beyond[0]}, and the model has {known} tokens"
            sample = request.samples[0]
            return Completion(
                request=request, sample=sample, text="", finish_reason="error", error=fault
            )
        fits = positions is None or len(ids) <= positions
        return self._one_pass(request, ids) if fits and _is_one_pass(request) else None

    def behind_prompt(
        self, completion: Completion, ids: Sequence[int], written: Sequence[int]
    ) -> Completion:
        """Returns a completion with its prompt where that is asked for, both scored then.

        Args:
            completion: The completion that was written after the prompt.
            ids: The tokens of the prompt.
            written: The tokens that were written, without an end token.
        """
        request = completion.request
        if not isinstance(request, TokenRequest) or not request.echo:
            return completion
        all_ids, logprobs = [*ids, *written], None
        if request.top_logprobs:
            top, following = score_text(self._model, all_ids, request.top_logprobs)
            ended = completion.finish_reason == "stop" and following in self._end_ids
            logprobs = _rows(top, len(all_ids) - (0 if ended else 1))
            all_ids += [following] if ended else []
        values = {field.name: getattr(completion, field.name) for field in fields(Completion)}
        values |= {"logprobs": logprobs}
        prompt_text = self._prompt_text(request, ids)
        return EchoedCompletion(**values, ids=tuple(all_ids), prompt_text=prompt_text)

    def _one_pass(self, request: TokenRequest, ids: Sequence[int]) -> EchoedCompletion:
        """Returns the answer to a request that a pass over its prompt answers."""
        bare = EchoedCompletion(
            request=request,
            sample=request.samples[0],
            text="",
            finish_reason="length",
            prompt_tokens=len(ids),
            ids=tuple(ids),
            prompt_text=self._prompt_text(request, ids),
        )
        if not request.top_logprobs:
            return bare
        top, following = score_text(self._model, ids, request.top_logprobs)
        if not request.max_tokens:
            return replace(bare, logprobs=_rows(top, len(ids) - 1))
        ended = following in self._end_ids
        text = "" if ended else self._encoder.text([following], self._encoder.anchor(ids))
        return replace(
            bare,
            text=text,
            finish_reason="stop" if ended else "length",
            completion_tokens=1,
            logprobs=_rows(top, len(ids)),
            ids=(*ids, following),
        )

    def _prompt_text(self, request: TokenRequest, ids: Sequence[int]) -> str:
        if isinstance(request.prompt, str) and not request.prompt_ids:
            return request.prompt
        return self._encoder.text(ids, [])


def _is_one_pass(request: TokenRequest) -> bool:
    """Whether nothing is to be written, or no more than the likeliest token."""
    if not request.echo:
        return False
    one_token = request.max_tokens == 1 and request.temperature == 0 and not request.stop
    return request.max_tokens == 0 or (one_token and request.top_logprobs > 0)


def _rows(top: Top, count: int) -> TokenLogprobs:
    """Returns the first rows; the last one is of a token that may not have been written."""
    return TokenLogprobs(logprobs=top.logprobs[:count], ids=top.ids[:count])
