"""The order of several processes: the main one works before the others."""

from collections.abc import Iterator
from contextlib import contextmanager

from potstill.launched import is_main_process, process_count


@contextmanager
def after_the_main_process() -> Iterator[None]:
    """Have the main process do the block before the others, and go on when all have done it.

    It makes the store, or brings an older one up to date; the others read what is there then.
    """
    if process_count() == 1:
        yield
        return
    from potstill.train.processes import shared

    if not is_main_process():
        shared(None)
    yield
    if is_main_process():
        shared(None)
    shared(None)
