"""A budget of thinking at a server that answers for a folder: one answer by two requests.

The first asks for as many tokens as may be thought. Whoever has ended by then has answered; whoever
still thinks has the closing mark written behind what it wrote, and the second request has the
server go on from there, with the tokens that are left::

    prompt <think> 6 * 7 is ...      the first request, cut at thinking_tokens
    prompt <think> 6 * 7 is ... </think> The answer is 42.      the second one's prompt and answer

An answer that is past its thinking is gone on with as it is.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from potstill.errors import extra
from potstill.models.openai.choice_text import before_stop
from potstill.models.token_requests import TokenRequest, WholeCompletion
from potstill.records import Completion, Request
from potstill.text.thinking import answer_and_thinking, separate

with extra("local", needed_for="a served student"):
    from potstill.models.local.prompt_encoding import PromptEncoder


_BROKEN = "\ufffd"
"""The character at the end of a text that was cut within a character."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """The beginning of an answer, written by the model or put there for it."""

    prompt_tokens: int
    """Tokens of the first request's prompt."""

    text: str = ""
    tokens: int = 0
    ids: tuple[int, ...] = ()
    """Its tokens; none where the server does not name them."""

    ended: bool = False
    """Whether the closing mark at its end was put there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SentRequest(TokenRequest):
    """A request as a server that answers for a folder gets it."""

    origin: Request
    """The request that was asked."""

    opening: str = ""
    """The end of the first request's prompt, which may open thinking."""

    room: int = 0
    """Most tokens of the whole answer; 0: the answer takes one request."""

    begun: Begun | None = None
    """The beginning of the answer that its prompt holds; None in the first request."""


class FollowedRequests(Iterator[Request]):
    """Requests, and the second ones that their answers lead to, as soon as these are known.

    It ends where nothing waits, and goes on when it is asked again.
    """

    def __init__(self, requests: Iterator[Request]) -> None:
        self._requests = requests
        self._seconds: deque[SentRequest] = deque()

    def __next__(self) -> Request:
        return self._seconds.popleft() if self._seconds else next(self._requests)

    def add(self, seconds: Iterable[SentRequest]) -> None:
        """Let second requests be the next that are taken."""
        self._seconds.extend(seconds)


class ThinkingHolder:
    """Makes the second requests, and whole answers of both.

    Args:
        prompts: The model's tokens.
        by_ids: Whether the server is sent token ids, and not texts.
    """

    def __init__(self, prompts: PromptEncoder, *, by_ids: bool) -> None:
        self._prompts, self._by_ids = prompts, by_ids

    def first(self, request: SentRequest) -> SentRequest:
        """Returns a request cut at its budget of thinking; itself where it has no such budget."""
        budget = request.origin.thinking_tokens
        if budget is None or budget >= request.max_tokens:
            return request
        return replace(
            request,
            max_tokens=budget,
            room=request.max_tokens,
            opening=str(request.prompt),
            whole=True,
        )

    def second(self, completion: Completion) -> SentRequest | Completion:
        """Returns the request that goes on from an answer, or the whole answer where it has ended.

        Args:
            completion: The answer to a :class:`SentRequest`.
        """
        sent = completion.request
        if not isinstance(sent, SentRequest):
            return completion  # a given text, which is scored and not written
        if not isinstance(completion, WholeCompletion) or completion.error is not None:
            return _of_one_request(completion, sent)
        if sent.begun is not None:
            return self._answer(completion, sent, sent.begun)
        if completion.finish_reason != "length":
            nothing = Begun(prompt_tokens=completion.prompt_tokens)
            return self._answer(completion, sent, nothing)
        begun = self._begun(completion, sent)
        left = sent.room - begun.tokens
        if left < 1:  # the closing mark took what was left
            return self._answer(replace(completion, text="", completion_tokens=0), sent, begun)
        ids: tuple[int, ...] = ()
        if self._by_ids:
            ids = (*sent.prompt_ids, *(begun.ids or self._prompts.laid_out_ids(begun.text)))
        return replace(
            sent,
            prompt=self._prompts.ending(ids) if ids else f"{sent.prompt}{begun.text}",
            prompt_ids=ids,
            samples=(completion.sample,),
            max_tokens=left,
            begun=begun,
        )

    def _begun(self, completion: WholeCompletion, sent: SentRequest) -> Begun:
        """Returns what a cut answer holds, with the closing mark where it still thinks."""
        request = sent.origin
        found = separate(completion.text, prompt=sent.opening, begun=request.answer_prefix)
        thinks = found.thinking is not None and not found.closed
        mark = self._prompts.layout_behind(request).closing if thinks else ""
        mark_ids = self._prompts.laid_out_ids(mark) if mark else []
        return Begun(
            text=completion.text + mark,
            tokens=sent.max_tokens + len(mark_ids),
            ids=(*completion.ids, *mark_ids) if completion.ids else (),
            ended=thinks,
            prompt_tokens=completion.prompt_tokens,
        )

    def _answer(self, completion: WholeCompletion, sent: SentRequest, begun: Begun) -> Completion:
        """Returns the whole answer, of what it began with and what was written behind that."""
        request, text, reason = sent.origin, begun.text + completion.text, completion.finish_reason
        if begun.text.endswith(_BROKEN) and begun.ids and completion.ids:
            first = sent.prompt_ids[: len(sent.prompt_ids) - len(begun.ids)]
            written = [*begun.ids, *completion.ids]
            text = self._prompts.text(written, self._prompts.anchor(first))
        # A stop string may begin before the cut and end behind it.
        before = before_stop(text, request.stop)
        if before is not None:
            text, reason = before, "stop"
        answer, thinking = answer_and_thinking(
            text, prompt=sent.opening, begun=request.answer_prefix, apart=completion.thinking
        )
        return Completion(
            request=request,
            sample=completion.sample,
            text=answer,
            finish_reason=reason,
            thinking=thinking,
            prompt_tokens=begun.prompt_tokens,
            completion_tokens=min(begun.tokens + completion.completion_tokens, sent.room),
            thinking_ended=begun.ended,
        )


def _of_one_request(completion: Completion, sent: SentRequest) -> Completion:
    limited = sent.origin.thinking_tokens is not None and completion.error is None
    return replace(
        completion, request=sent.origin, cost=0.0, thinking_ended=False if limited else None
    )
