"""The part of a plan's page that is about several workers."""

from collections.abc import Iterator

from potstill.plan.student_table import size_in_words
from potstill.plan.worker_plan import SharedTeacher, WorkerPlan
from potstill.runtime.tally import clock
from potstill.text.number_of import number_of

_MOVED_BY = {
    "workers": "more workers",
    "limits a minute": "a higher requests_per_minute or tokens_per_minute of the server",
    "store": "fewer likeliest tokens (generate.top_logprobs), or a run for each part of the "
    "questions (potstill generate --part, then potstill join)",
}
"""The change that moves each limit, in words."""


def worker_facts(plan: WorkerPlan) -> Iterator[tuple[str, str]]:
    """Yields a line for each teacher, and those on disk, training and what is taken for granted."""
    head = number_of(plan.workers, "worker")
    for teacher in plan.teachers:
        yield head, f"{teacher.name}: {'; '.join(_of_teacher(teacher))}"
        head = ""
    yield "answers", f"about {size_in_words(plan.store_bytes)} more in the store"
    if plan.training_hours:
        yield (
            "training",
            f"about {clock(3600 * plan.training_hours)} of one process for all students, at most "
            f"about {size_in_words(plan.training_memory)} of memory",
        )
    for assumption in plan.assumptions:
        yield "assumed", assumption


def _of_teacher(teacher: SharedTeacher) -> Iterator[str]:
    if not teacher.samples:
        yield "nothing is to be asked"
        return
    yield (
        f"each about {teacher.requests:,.0f} requests, {teacher.samples:,.0f} samples and "
        f"{teacher.tokens:,.0f} tokens"
    )
    if teacher.seconds is None:
        yield "how long that takes is not known"
        return
    if not teacher.limit:
        yield "read from its file"
        return
    yield f"about {clock(teacher.seconds)}"
    if teacher.gpu_hours is not None:
        yield f"{teacher.gpu_hours:,.2f} GPU hours in all"
    what = {"workers": "the workers are", "store": "the store is"}.get(
        teacher.limit, "the limits a minute are"
    )
    yield f"{what} what limits it, and {_MOVED_BY[teacher.limit]} what moves it"
    if teacher.enough_workers is not None:
        yield (
            f"the store takes {teacher.store_rate:,.0f} answers a second; more than "
            f"{max(teacher.enough_workers, 1):,.0f} workers bring nothing"
        )
