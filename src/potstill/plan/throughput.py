"""How long the asking will take, by what was measured."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from potstill.models.settings import ModelSettings, OpenAISettings, VLLMSettings
from potstill.plan.estimate import total
from potstill.plan.needs import Figures


class Probe(NamedTuple):
    """What a few requests have shown of one teacher."""

    requests: int
    samples: int
    failed: int
    """Of the samples."""

    seconds: float
    """From the first request to the last answer."""

    latency: float
    """Seconds from a request to its answer, on average."""


class Throughput(NamedTuple):
    """How long it takes to ask one teacher for all that is missing."""

    seconds: float | None
    """None where nothing is known."""

    how: str
    """How that is known, in words."""


def measured_rate(log: Path, teacher: str) -> float | None:
    """A teacher's rationales a second, over all that commands on the run asked it for before.

    Args:
        log: The run's log; the last ``progress`` of each piece of work tells how long it took.
        teacher: As the generate stage calls it.
    """
    if not log.is_file():
        return None
    new = seconds = 0.0
    for event in _last_of_each(log, f"rationales of {teacher}"):
        new += event["new"]
        seconds += event["seconds"]
    return new / seconds if new and seconds else None


def _last_of_each(log: Path, label: str) -> list[dict[str, float]]:
    found: list[dict[str, float]] = []
    for line in log.read_bytes().splitlines():
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # cut off by the end of a process
        if event["event"] != "progress" or event["label"].partition(",")[0] != label:
            continue
        if found and found[-1]["seconds"] <= event["seconds"]:
            found.pop()  # the same piece of work, further on
        found.append(event)
    return found


def pace_of(
    settings: ModelSettings, figures: Sequence[Figures], rate: float | None, probe: Probe | None
) -> Throughput:
    """How long one teacher takes.

    Args:
        settings: Of the teacher.
        figures: All that is still to be asked of it.
        rate: Samples a second, as measured before.
        probe: What a few requests have shown just now.
    """
    samples = total(each.samples for each in figures).likely
    if not samples:
        return Throughput(0.0, "nothing is missing")
    if isinstance(settings, OpenAISettings) and settings.mode == "batch":
        return Throughput(None, "batches are done within a day each")
    seconds, how = _asking(settings, figures, rate, probe)
    if isinstance(settings, OpenAISettings):
        limited = _limits(settings, figures)
        if limited > (seconds or 0.0):
            return Throughput(limited, "by the limits a minute")
    return Throughput(seconds, how)


def _asking(
    settings: ModelSettings, figures: Sequence[Figures], rate: float | None, probe: Probe | None
) -> tuple[float | None, str]:
    samples = total(each.samples for each in figures).likely
    if probe is not None and probe.samples:
        if not isinstance(settings, OpenAISettings | VLLMSettings):
            return samples * probe.seconds / probe.samples, "as fast as the probe"
        requests = total(each.requests for each in figures).likely
        at_once = max(min(settings.concurrency, requests), 1.0)
        how = f"{probe.latency:.1f} s an answer, if the server takes {at_once:,.0f} at once"
        return max(probe.latency, requests * probe.latency / at_once), how
    if rate is not None:
        return samples / rate, f"at {rate:,.1f} samples/s, as measured in this run"
    return None, "not known; --probe 20 measures it"


def _limits(settings: OpenAISettings, figures: Sequence[Figures]) -> float:
    """Seconds that the recipe's limits a minute take at least."""
    found = 0.0
    if settings.requests_per_minute is not None:
        requests = total(each.requests for each in figures).likely
        found = requests * 60 / settings.requests_per_minute
    if settings.tokens_per_minute is not None:
        read = total(each.prompt_tokens for each in figures).likely
        written = total(each.completion_tokens for each in figures).likely
        found = max(found, (read + written) * 60 / settings.tokens_per_minute)
    return found
