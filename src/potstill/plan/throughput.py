"""Throughput: how long it takes to ask one teacher for everything that is missing.

It is known from a probe, or from the run's log, ``log.jsonl``, where the generate stage has been at
work before; the recipe's limits a minute hold in any case.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from potstill.models.settings import ModelSettings, RecordedSettings
from potstill.plan.estimate import total
from potstill.plan.needs import Figures


class Probe(NamedTuple):
    """The outcome of a few requests to one teacher."""

    requests: int
    samples: int
    failed: int
    """Samples that failed."""

    seconds: float
    """Seconds from the first request to the last answer."""

    latency: float
    """Seconds from a request to its answer, on average."""


class Throughput(NamedTuple):
    """The time that it takes to ask one teacher for everything that is missing."""

    seconds: float | None
    """Seconds that it takes; None where they are not known."""

    how: str
    """The source of the estimate, in words."""


def measured_rate(log: Path, teacher: str) -> float | None:
    """A teacher's rationales a second, over all that commands on the run asked it for before.

    Args:
        log: The run's log; the last ``progress`` of each piece of work says how long it took.
        teacher: The teacher's name in the generate stage's progress.

    Returns:
        None where it was asked for nothing yet.
    """
    new = seconds = 0.0
    for event in last_progress(log, f"rationales of {teacher}"):
        new += event["new"]
        seconds += event["seconds"]
    return new / seconds if new and seconds else None


def last_progress(log: Path, label: str) -> list[dict[str, float]]:
    """The last ``progress`` event of each piece of work with this label."""
    last: list[dict[str, float]] = []
    if not log.is_file():
        return last
    for line in log.read_bytes().splitlines():
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # cut off by the end of a process
        if event["event"] != "progress" or event["label"].partition(",")[0] != label:
            continue
        if last and last[-1]["seconds"] <= event["seconds"]:
            last.pop()  # the same piece of work, further on
        last.append(event)
    return last


def estimate_throughput(
    settings: ModelSettings, figures: Sequence[Figures], rate: float | None, probe: Probe | None
) -> Throughput:
    """The time that it takes to ask one teacher for everything that is missing.

    Args:
        settings: The teacher's.
        figures: Everything that is still to be asked of it.
        rate: Samples a second, as measured before.
        probe: The outcome of a few requests just now.
    """
    samples = total(item.samples for item in figures).likely
    if not samples:
        return Throughput(0.0, "nothing is to be asked")
    if isinstance(settings, RecordedSettings):
        return Throughput(0.0, "read from its file")
    if settings.in_batches:
        return Throughput(None, "batches are done within a day each")
    seconds, how = _measured_seconds(settings, figures, rate, probe)
    requests = total(item.requests for item in figures).likely
    tokens = total(item.prompt_tokens.plus(item.completion_tokens) for item in figures).likely
    limited = settings.least_seconds(requests=requests, tokens=tokens)
    if limited > (seconds or 0.0):
        return Throughput(limited, "by the limits a minute")
    return Throughput(seconds, how)


def _measured_seconds(
    settings: ModelSettings, figures: Sequence[Figures], rate: float | None, probe: Probe | None
) -> tuple[float | None, str]:
    samples = total(item.samples for item in figures).likely
    if probe is not None and probe.samples:
        if settings.requests_at_once is None:
            return samples * probe.seconds / probe.samples, "as fast as the probe"
        requests = total(item.requests for item in figures).likely
        at_once = max(min(settings.requests_at_once, requests), 1.0)
        how = f"{probe.latency:.1f} s an answer, if the server takes {at_once:,.0f} at once"
        return max(probe.latency, requests * probe.latency / at_once), how
    if rate is not None:
        return samples / rate, f"at {rate:,.1f} samples/s, as measured in this run"
    return None, "not known; --probe 20 measures it"
