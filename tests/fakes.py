"""A model that answers by a function, for tests of the stages."""

from collections.abc import Callable, Iterable, Iterator

from potstill.records import Completion, FinishReason, Question, Request, Split, Task

Script = Callable[[Request, int], str]


class ScriptedModel:
    """Answers by a function of request and sample, and remembers what it was asked."""

    def __init__(self, script: Script, *, chat: bool = False, name: str = "scripted") -> None:
        self.script, self.chat, self.name = script, chat, name
        self.asked: list[Request] = []

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            self.asked.append(request)
            for sample in request.samples:
                text = self.script(request, sample)
                finish_reason: FinishReason = "stop"
                if len(text.split()) > request.max_tokens:
                    text, finish_reason = " ".join(text.split()[: request.max_tokens]), "length"
                yield Completion(
                    request=request,
                    sample=sample,
                    text=text,
                    finish_reason=finish_reason,
                    completion_tokens=len(text.split()),
                )


def sums(train: int = 4, dev: int = 2, test: int = 3) -> Task:
    """A task of plain additions."""
    numbers = iter(range(1, 1000))

    def questions(split: Split, count: int) -> tuple[Question, ...]:
        return tuple(
            Question(id=f"{split}/{n}", text=f"What is {n} + {n}?", answer=str(2 * n))
            for n in (next(numbers) for _ in range(count))
        )

    return Task(
        name="sums",
        answer_type="number",
        splits={
            "train": questions("train", train),
            "dev": questions("dev", dev),
            "test": questions("test", test),
        },
    )
