"""What arrives from a model, or from any blocking iterator, in groups."""

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from threading import Condition, Thread
from typing import Generic, TypeVar

from potstill.models.interface import Grouping, Model
from potstill.records import Completion, Request

T = TypeVar("T")

COMPANY_SECONDS = 0.01
"""How long the first item of a group waits for others: a group costs one flush of the disk."""

CLOSING_SECONDS = 2.0
"""How long closing waits for an iterator that is still working on its next item."""


def completions(model: Model, requests: Iterable[Request]) -> Generator[list[Completion]]:
    """A model's answers in the groups in which they arrive.

    Asking for the next group says that the last one is stored.

    Args:
        model: Whom to ask.
        requests: What to ask.
    """
    if isinstance(model, Grouping):
        return model.complete_in_groups(requests)
    return arrivals(model.complete(requests))


def one_by_one(groups: Generator[list[T]]) -> Iterator[T]:
    """The items of groups; closing it closes them."""
    with closing(groups):
        for group in groups:
            yield from group


def arrivals(items: Iterator[T], *, buffer: int = 4096) -> Generator[list[T], None, None]:
    """Run an iterator in a thread of its own and yield what has come since the last group.

    A stage that writes slowly so takes more at a time, and one transaction serves many. An error
    of the iterator is raised here, after everything that came before it has been yielded. The
    iterator is closed in its own thread, once it has given the item it is working on.

    Args:
        items: The iterator; a generator is closed when this one is.
        buffer: Most items that wait to be taken; the iterator pauses meanwhile.
    """
    box = _Box[T](buffer)
    thread = Thread(target=box.fill, args=(items,), name="potstill-arrivals", daemon=True)
    thread.start()
    try:
        while group := box.take():
            yield group
        if box.error is not None:
            raise box.error
    finally:
        box.close()
        thread.join(CLOSING_SECONDS)


class _Box(Generic[T]):
    """What has arrived and was not taken yet."""

    def __init__(self, buffer: int) -> None:
        self.error: BaseException | None = None
        self._buffer = buffer
        self._items: list[T] = []
        self._ended = self._closed = False
        self._changed = Condition()

    def fill(self, items: Iterator[T]) -> None:
        """Put items until there are no more, or nobody wants them."""
        try:
            for item in items:
                if not self._put(item):
                    break
            close = getattr(items, "close", None)
            if close is not None:
                close()
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            self.error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def take(self) -> list[T]:
        """Everything that is there, at least one item; an empty list after the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._ended)
        time.sleep(COMPANY_SECONDS)
        with self._changed:
            group, self._items = self._items, []
            self._changed.notify_all()
        return group

    def close(self) -> None:
        """Let the thread end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _put(self, item: T) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._buffer or self._closed)
            self._items.append(item)
            if len(self._items) == 1:
                self._changed.notify_all()  # who waits for the first one waits for no other
            return not self._closed
