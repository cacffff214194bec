"""A pair of models that write by the word, stop at stop strings and tell how sure they are."""

import math
import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from potstill.models.interface import Model
from potstill.records import Completion, FinishReason, Request, TokenLogprobs

Said = Callable[[Request, int], str]


class Speaker(Model):
    """Writes what a function says, up to stop strings and ``max_tokens`` words.

    Args:
        said: What it would write, by request and sample.
        name: Its name.
        sure: The probability of each of its tokens, by request.
        last: How many requests it answers before it breaks down; None: all.
    """

    chat = False

    def __init__(
        self,
        said: Said,
        *,
        name: str,
        sure: Callable[[Request], float] = lambda _: 1.0,
        last: int | None = None,
    ) -> None:
        self.said, self.name, self.sure, self.last = said, name, sure, last
        self.asked: list[Request] = []

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            if self.last is not None and len(self.asked) >= self.last:
                raise ConnectionError("the power is out")
            self.asked.append(request)
            for sample in request.samples:
                yield self.completion(request, sample)

    def completion(self, request: Request, sample: int) -> Completion:
        text, reason = self.said(request, sample), "stop"
        for stop in request.stop:
            text = text.partition(stop)[0]
        words = re.findall(r"\s*\S+", text)
        if len(words) > request.max_tokens:
            text, reason = "".join(words[: request.max_tokens]), "length"
        finish: FinishReason = "length" if reason == "length" else "stop"
        logprobs = None
        if request.top_logprobs:
            row = [math.log(self.sure(request))] * 2
            logprobs = TokenLogprobs(
                logprobs=np.array([row] * len(words), dtype=np.float32),
                ids=np.zeros((len(words), 2), dtype=np.int32),
            )
        return Completion(
            request=request,
            sample=sample,
            text=text,
            finish_reason=finish,
            completion_tokens=min(len(words), request.max_tokens),
            cost=0.5,
            logprobs=logprobs,
        )


def number(request: Request) -> int:
    """The number that the last question is about."""
    return int(re.findall(r"What is (\d+)", str(request.prompt))[-1])


def student_says(request: Request, sample: int) -> str:
    """Returns a text that is right on odd numbers, and by the step "Take n twice." on all but 9."""
    n, prefix = number(request), request.answer_prefix
    if request.temperature:
        return f" So. --> {2 * n if sample == 0 else 0}"
    if not prefix:
        return f" I guess. --> {2 * n if n % 2 else 0}"
    if prefix == " I guess.":
        return f" --> {2 * n if n % 2 else 0}"
    right = f"Take {n} twice." in prefix and n != 9
    return f" --> {2 * n if right else 1}"


def student_is_sure(request: Request) -> float:
    """Returns the probability of each of the student's tokens: 0.9 on odd numbers, else 0.2."""
    return 0.9 if number(request) % 2 else 0.2


def teacher_says(request: Request, sample: int) -> str:
    """Returns a text that is right in the first sample; later ones are right for 12 alone."""
    n = number(request)
    if sample and n != 12:
        return " Guess. The answer is 0."
    if request.answer_prefix.startswith(" I guess."):
        return f" Rather take {n} twice. The answer is {2 * n}."
    whole = f" Take {n} twice. It is {2 * n}. The answer is {2 * n}."
    return whole.removeprefix(request.answer_prefix)
