"""Whether the first teacher's key is there, before a stage that needs it does what takes long."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from potstill.pipeline.stale import is_stale
from potstill.pipeline.teachers import FIRST
from potstill.records import Request
from potstill.sampling.ask import SamplingParams

if TYPE_CHECKING:
    from potstill.pipeline.run import Run


def check_measuring_key(run: "Run") -> None:
    """Check the key, if the teacher has still to answer questions that it is measured on.

    Raises:
        AuthError: The key is missing.
    """
    settings = run.recipe.evaluate
    if not settings.teacher:
        return

    def requests() -> Iterator[Request]:
        greedy = replace(run.asking, sampling=SamplingParams(max_tokens=settings.max_tokens))
        for entry in run.entries:
            asking = entry.asking or greedy
            yield from asking.requests(entry.task.splits["test"], task=entry.name)

    run.teachers.check_key(FIRST, requests)


def check_guiding_key(run: "Run") -> None:
    """Check the key, unless the guided answers of this recipe are stored.

    Raises:
        AuthError: The key is missing.
    """
    if run.store.provenance("guide") is None or is_stale(run, "guide"):
        run.recipe.teacher.check_key()
