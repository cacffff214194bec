"""How sure a local model was of each token of an answer that is stored without probabilities.

The answer's text is scored by one pass of the model over it, which is stored under a request of its
own: the answer's request and key stay what they were. Tokens are named by bytes, so that a page
needs no tokenizer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from potstill.models import Model
from potstill.models.scored_tokens import scores_by_bytes
from potstill.records import Completion, GivenText, Request, TokenLogprobs
from potstill.store import AnsweredRequest, Store

STAGE = "confidence"
"""The stage that these scores are stored under; they cost nothing and are in no stage's count."""

AT_ONCE = 32
"""Texts that are scored before they are stored."""


def confidence_request(request: Request, text: str) -> Request:
    """Returns the request that scores an answer, by the request that it answers."""
    return Request(
        prompt=request.prompt,
        answer_prefix=request.answer_prefix,
        given=GivenText(text=text, ends=False),
    )


def store_confidence(
    model: Model, answers: Sequence[Completion], store: Store, *, stops: Callable[[], bool]
) -> int:
    """Score answers that are not scored yet, and store their tokens' probabilities.

    A model that is not on this machine, or has no such probabilities, is not asked. Where a text
    cannot be scored, its answer stays without.

    Args:
        model: The model that wrote the answers; it is opened only where one is missing.
        answers: Its answers.
        store: Takes the scores.
        stops: Whether to leave off.

    Returns:
        How many answers were scored now.
    """
    wanted = {
        confidence_request(one.request, one.text): None
        for one in answers
        if one.text and not one.thinking
    }
    missing = [request for request in wanted if not store.completions(model.name, request)]
    opened = model.opened() if missing else model
    names = opened.token_names if opened.scores_texts else None
    if names is None:
        return 0
    scored = 0
    for group in _groups(missing):
        if stops():
            break
        done = [
            replace(
                one,
                logprobs=scores_by_bytes(one.logprobs, one.text, names),
                prompt_tokens=0,
                completion_tokens=0,
            )
            for one in opened.complete(group)
            if one.error is None and one.logprobs is not None
        ]
        store.add_completions(model.name, done, stage=STAGE)
        scored += len(done)
    return scored


def _groups(requests: Sequence[Request]) -> Iterator[Sequence[Request]]:
    for start in range(0, len(requests), AT_ONCE):
        yield requests[start : start + AT_ONCE]


def confidence(store: Store, sent: AnsweredRequest) -> TokenLogprobs | None:
    """Returns the probabilities of an answer's tokens; None where they are not stored."""
    if sent.request.top_logprobs or sent.request.given is not None:
        return store.logprobs(sent.completion_id)
    if not sent.text:
        return None
    scored = store.completions(
        sent.model, confidence_request(sent.request, sent.text), logprobs=True
    )
    return scored[0].completion.logprobs if scored else None
