"""Items of a blocking iterator, in the groups in which they arrive."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from potstill.models import background
from potstill.models.background import arrivals


def test_what_came_while_the_caller_was_busy_comes_as_one_group() -> None:
    exhausted = threading.Event()

    def items() -> Iterator[int]:
        yield from range(100)
        exhausted.set()

    groups = arrivals(items())
    first = next(groups)
    assert exhausted.wait(60)
    rest = list(groups)
    assert [item for group in [first, *rest] for item in group] == list(range(100))
    assert len(rest) <= 2
    assert all(rest)


def test_an_item_is_not_held_back_until_the_next() -> None:
    second = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        second.wait(60)
        yield 2

    groups = arrivals(items())
    assert next(groups) == [1]
    second.set()
    assert list(groups) == [[2]]


def test_the_last_item_waits_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "GROUPING_SECONDS", 600.0)
    assert [item for group in arrivals(iter("abc")) for item in group] == ["a", "b", "c"]


def test_no_items_give_no_groups() -> None:
    assert list(arrivals(iter(()))) == []


def test_an_error_is_raised_after_what_came_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    seen = []
    with pytest.raises(OSError, match="gone"):
        for group in arrivals(items()):
            seen += group
    assert seen == [1]


def test_the_iterator_pauses_when_the_buffer_is_full() -> None:
    given = 0

    def items() -> Iterator[int]:
        nonlocal given
        while True:
            given += 1
            yield given

    groups = arrivals(items(), buffer=10)
    assert next(groups)
    time.sleep(0.05)
    assert given <= 22
    groups.close()


def test_closing_closes_the_iterator_and_ends_the_thread() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    groups = arrivals(items(), buffer=4)
    next(groups)
    groups.close()
    assert closed.is_set()
    assert "potstill-arrivals" not in {thread.name for thread in threading.enumerate()}


def test_ctrl_c_is_heard_while_nothing_arrives() -> None:
    heard, waits = threading.Event(), list[bool]()

    def hear(*_: object) -> None:
        heard.set()
        raise KeyboardInterrupt

    def items() -> Iterator[int]:
        waits.append(heard.wait(60))
        yield 1

    before = signal.signal(signal.SIGINT, hear)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(arrivals(items()))
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert waits == [True], "it was heard only once something arrived"
