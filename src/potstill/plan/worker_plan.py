"""Planning for several workers that ask at once: their time, their cost, what limits them first.

Rates are those of one worker, as a probe or the run's log has measured them, and the store's, as
``benchmarks/workers.py`` has. All that is taken for granted beside them is listed with the plan.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from potstill.models.settings import LocalSettings, ModelSettings, RecordedSettings, VLLMSettings
from potstill.pipeline.recipe import Recipe
from potstill.plan.estimate import total
from potstill.plan.needs import Figures
from potstill.plan.student_plans import PlannedStudent
from potstill.plan.throughput import Throughput
from potstill.store.probability_codec import ProbabilityForm

_ANSWER_MICROSECONDS, _VALUE_MICROSECONDS = 82.0, 0.035
"""Microseconds that the driver takes to store an answer, and each of its log-probabilities, which
workers have packed; see docs/several-machines.md."""

_ANSWER_BYTES, _REQUEST_BYTES, _TOKEN_BYTES = 250.0, 350.0, 4.5
"""Bytes that the store takes for an answer, for a request, and for each token of their texts."""

_PROBABILITY_BYTES: dict[ProbabilityForm, tuple[float, float]] = {
    "exact": (5.5, 4.6),
    "compact": (6.9, 2.5),
}
"""Bytes of a token's probabilities, and for each of its likeliest tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedTeacher:
    """One teacher that several workers ask."""

    name: str
    requests: float
    """Requests of each worker."""

    samples: float
    """Samples of each worker."""

    tokens: float
    """Tokens that each worker's requests read and write."""

    seconds: float | None
    """Time until all is answered; None: the rate of one worker is not known."""

    gpu_hours: float | None
    """The hours of all workers' GPUs; None: the teacher stands elsewhere, or no time is known."""

    limit: str
    """The limit that is met first: ``workers``, ``limits a minute``, ``store``; empty where nothing
    is asked or the time is not known."""

    store_rate: float
    """Samples a second that the store takes of this teacher."""

    enough_workers: float | None
    """Workers from which on more bring nothing, since the store or a limit a minute is reached."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerPlan:
    """The time, disk and memory that a run takes on several workers."""

    workers: int
    teachers: list[SharedTeacher]
    store_bytes: float
    """Bytes on disk that the missing answers take."""

    training_hours: float
    """Hours of one process that trains all students one after the other."""

    training_memory: float
    """Most bytes of memory that this process takes."""

    assumptions: list[str]
    """The assumptions that these figures rest on, a sentence each."""


def plan_workers(
    recipe: Recipe,
    workers: int,
    asked: Sequence[tuple[str, ModelSettings, Throughput]],
    figures: Sequence[Figures],
    students: Sequence[PlannedStudent],
) -> WorkerPlan:
    """Plan a run's asking for several workers.

    Args:
        recipe: The run's recipe.
        workers: The number of workers.
        asked: Each teacher's name, settings and time by one worker.
        figures: All that is still to be asked.
        students: The run's students.
    """
    shared = [
        _shared(recipe, workers, name, settings, throughput, _of(figures, name))
        for name, settings, throughput in asked
    ]
    left = [student for student in students if student.done < student.steps.number]
    return WorkerPlan(
        workers=workers,
        teachers=shared,
        store_bytes=_store_bytes(recipe, figures),
        training_hours=sum(student.seconds for student in left) / 3600,
        training_memory=max((student.memory for student in left), default=0.0),
        assumptions=[*_assumptions(recipe, workers, asked)],
    )


def _of(figures: Sequence[Figures], teacher: str) -> list[Figures]:
    return [one for one in figures if one.need.teacher.name == teacher]


def _shared(
    recipe: Recipe,
    workers: int,
    name: str,
    settings: ModelSettings,
    throughput: Throughput,
    figures: Sequence[Figures],
) -> SharedTeacher:
    samples = total(one.samples for one in figures).likely
    requests = total(one.requests for one in figures).likely
    read = total(one.prompt_tokens for one in figures).likely
    written = total(one.completion_tokens for one in figures).likely
    rate = 1e6 / _microseconds(recipe, written / samples if samples else 0.0)
    by_limits = settings.least_seconds(requests=requests, tokens=read + written)
    alone = throughput.seconds
    is_asked = samples > 0 and not isinstance(settings, RecordedSettings)
    seconds: float | None = 0.0
    limit, enough = "", None
    if is_asked and (settings.in_batches or alone is None):
        seconds = None
    elif is_asked and alone is not None:
        times = {
            "workers": alone / workers,
            "limits a minute": by_limits,
            "store": samples / rate,
        }
        limit = max(times, key=lambda which: times[which])
        seconds = times[limit]
        enough = alone / max(by_limits, samples / rate)
    has_engine = isinstance(settings, LocalSettings | VLLMSettings)
    hours = None if seconds is None or not has_engine else workers * seconds / 3600
    return SharedTeacher(
        name=name,
        requests=requests / workers,
        samples=samples / workers,
        tokens=(read + written) / workers,
        seconds=seconds,
        gpu_hours=hours,
        limit=limit,
        store_rate=rate,
        enough_workers=enough,
    )


def _microseconds(recipe: Recipe, tokens: float) -> float:
    """Returns what the driver takes to store an answer of so many tokens."""
    top = recipe.generate.top_logprobs
    values = tokens * (1 + top) if top else 0.0
    return _ANSWER_MICROSECONDS + values * _VALUE_MICROSECONDS


def _store_bytes(recipe: Recipe, figures: Sequence[Figures]) -> float:
    taken = 0.0
    for one in figures:
        read, written = one.prompt_tokens.likely, one.completion_tokens.likely
        taken += one.requests.likely * _REQUEST_BYTES + one.samples.likely * _ANSWER_BYTES
        taken += (read + written) * _TOKEN_BYTES
        top = recipe.generate.top_logprobs if one.need.stage == "generate" else 0
        if top:
            own, each = _PROBABILITY_BYTES[recipe.store.probabilities]
            taken += written * (own + each * top)
    return taken


def _assumptions(
    recipe: Recipe, workers: int, asked: Sequence[tuple[str, ModelSettings, Throughput]]
) -> Iterator[str]:
    for name, settings, throughput in asked:
        if isinstance(settings, RecordedSettings):
            continue
        if throughput.seconds is None:
            yield f"{name}: {throughput.how}"
        elif isinstance(settings, LocalSettings | VLLMSettings):
            yield (
                f"{name}: each worker has an engine of its own, on one GPU, as fast as this one "
                f"({throughput.how})"
            )
        elif throughput.seconds:
            yield (
                f"{name}: the server answers {workers:,} workers as fast as it answers one "
                f"({throughput.how}); requests_per_minute and tokens_per_minute hold for all "
                "together"
            )
    top = recipe.generate.top_logprobs
    kept = f"{top} likeliest tokens, {recipe.store.probabilities}" if top else "no probabilities"
    yield (
        f"the driver's processor stores an answer in {_ANSWER_MICROSECONDS:.0f} µs and a "
        f"log-probability in {_VALUE_MICROSECONDS:g} µs ({kept}), as measured by "
        "benchmarks/workers.py"
    )
    yield "no worker is lost, and all begin and end together"
    yield "students are trained by one process, at the rate that the plan says for this machine"
