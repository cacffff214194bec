"""A model that answers by a function, for tests of the stages."""

from collections.abc import Callable, Iterable, Iterator

from potstill.models.interface import Model
from potstill.records import Completion, FinishReason, Question, Request, Split, Task
from potstill.runtime.context import RunContext
from potstill.runtime.progress import Meter
from potstill.store import Store

Script = Callable[[Request, int], str]


class ScriptedModel(Model):
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


def context_of(store: Store) -> RunContext:
    """A run whose folder holds the store, and whose progress nobody sees."""
    return RunContext(store=store, folder=store.path.parent, progress=Meter(None))
