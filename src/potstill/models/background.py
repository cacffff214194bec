"""A blocking iterator run in a thread of its own, its items taken in groups as they arrive.

Writing one group costs one flush of the disk, however many items it has: a stage that writes slowly
takes more at a time, and one transaction serves many. This is how models that answer one completion
after another, such as local ones, come to the store.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from threading import Condition, Thread
from typing import Generic, TypeVar

T = TypeVar("T")

GROUPING_SECONDS = 0.01
"""How long the first item of a group waits for others, where any can still come."""

CLOSING_SECONDS = 2.0
"""How long closing waits for an iterator that is still working on its next item."""


def arrivals(items: Iterator[T], *, buffer: int = 4096) -> Generator[list[T], None, None]:
    """Runs an iterator in a thread of its own and yields what has come since the last group.

    An error of the iterator is raised here, after everything that came before it has been yielded.
    The iterator is closed in its own thread, once it has given the item it is working on.

    Args:
        items: The iterator; a generator is closed when this one is.
        buffer: Most items that wait to be taken; the iterator pauses meanwhile.
    """
    inbox = _Inbox[T](buffer)
    thread = Thread(target=inbox.fill, args=(items,), name="potstill-arrivals", daemon=True)
    thread.start()
    try:
        while group := inbox.take():
            yield group
        if inbox.error is not None:
            raise inbox.error
    finally:
        inbox.close()
        thread.join(CLOSING_SECONDS)


def one_by_one(groups: Generator[list[T]]) -> Iterator[T]:
    """Yields the items of groups; closing it closes them."""
    with closing(groups):
        for group in groups:
            yield from group


class _Inbox(Generic[T]):
    """Items that have arrived and were not taken yet.

    Args:
        buffer: The most items it holds; who fills it waits meanwhile.
    """

    def __init__(self, buffer: int) -> None:
        self.error: BaseException | None = None
        self._buffer = buffer
        self._items: list[T] = []
        self._ended = self._closed = False
        self._changed = Condition()

    def fill(self, items: Iterator[T]) -> None:
        """Puts items until there are no more, or nobody wants them."""
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
        """Returns everything that is there, at least one item; an empty list after the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._ended)
            self._changed.wait_for(lambda: self._ended, GROUPING_SECONDS)
            group, self._items = self._items, []
            self._changed.notify_all()
        return group

    def close(self) -> None:
        """Lets the thread end."""
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
