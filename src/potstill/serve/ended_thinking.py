"""A budget of thinking at a student's server, which knows of none: one answer by two requests.

The first asks for as many tokens as may be thought. A sample that still thinks then has the closing
mark written behind what it wrote, and the server is asked to go on from there; one that is past its
thinking is gone on with as it is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields, replace
from typing import Literal

from potstill.models.token_requests import TokenRequest, WholeCompletion
from potstill.records import Completion, Request
from potstill.serve.upstreams import UpstreamError
from potstill.text.thinking import answer_and_thinking, separate
from potstill.text.thinking_marks import END_THINK, THINK

Ask = Callable[[Request], Awaitable[list[Completion]]]
"""Asks the server for all samples of a request."""


async def answer_within(request: Request, ask: Ask) -> list[Completion]:
    """Returns the completions of a request whose thinking ends at its ``thinking_tokens``.

    Args:
        request: A request with such a limit, below its ``max_tokens``.
        ask: Asks the server, which goes on from answers that are begun.

    Raises:
        UpstreamError: A sample has no answer.
    """
    assert request.thinking_tokens is not None
    values = {field.name: getattr(request, field.name) for field in fields(Request)}
    limits = {"max_tokens": request.thinking_tokens, "thinking_tokens": None}
    first = TokenRequest(**values | limits, whole=True)
    begun = await ask(first)
    return list(await asyncio.gather(*(_whole(request, one, ask) for one in begun)))


async def _whole(request: Request, begun: Completion, ask: Ask) -> Completion:
    """Returns the whole answer of a sample, of which the first request had the beginning."""
    if begun.finish_reason != "length" or not isinstance(begun, WholeCompletion):
        return _answer(request, [begun], _written(begun), ended=False)
    written = _written(begun)
    place = _place(request, begun)
    if place == "thinking":
        written += END_THINK
    assert request.thinking_tokens is not None
    second = replace(
        request,
        answer_prefix=request.answer_prefix + written,
        samples=(begun.sample,),
        max_tokens=request.max_tokens - request.thinking_tokens,
        thinking_tokens=None,
    )
    (rest,) = await ask(second)
    whole = _answer(request, [begun, rest], written + _written(rest), ended=place == "thinking")
    if place == "no thinking" and whole.thinking is not None:
        raise UpstreamError(
            "it shows only the end of its thinking, so that thinking_tokens cannot be kept; have "
            "it tell thinking apart (vLLM: --reasoning-parser)",
            refused=True,
        )
    return whole


def _written(completion: Completion) -> str:
    """Returns all that a sample wrote, thinking that came apart between marks."""
    if completion.thinking is None:
        return completion.text
    closing = END_THINK if completion.text.strip() else ""
    return f"{THINK}{completion.thinking}{closing}{completion.text}"


def _place(request: Request, begun: Completion) -> Literal["thinking", "answer", "no thinking"]:
    """Returns what a sample was writing when it was cut."""
    if begun.thinking is not None:  # it came apart, and the text is what stands behind it
        return "answer" if begun.text.strip() else "thinking"
    prompt = request.prompt if isinstance(request.prompt, str) else ""
    found = separate(begun.text, prompt=prompt, begun=request.answer_prefix)
    if found.thinking is None:
        return "no thinking"
    return "answer" if found.closed else "thinking"


def _answer(request: Request, parts: Sequence[Completion], text: str, *, ended: bool) -> Completion:
    prompt = request.prompt if isinstance(request.prompt, str) else ""
    answer, thinking = answer_and_thinking(text, prompt=prompt, begun=request.answer_prefix)
    return replace(
        parts[-1],
        request=request,
        text=answer,
        thinking=thinking,
        prompt_tokens=parts[0].prompt_tokens,
        completion_tokens=sum(part.completion_tokens for part in parts),
        cost=sum(part.cost for part in parts),
        thinking_ended=ended,
    )
