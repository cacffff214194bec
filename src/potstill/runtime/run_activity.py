"""The last command that worked on a run, read from the run's log while it works or afterwards.

The log's lines are described in events.py. Its end is read, as far back as the last command's
beginning; lines that a killed process cut off are left out.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from potstill.runtime.tally import RATE_SECONDS

BLOCK = 1 << 16
"""Bytes that are read from the end of a log at first; twice as many each further time."""

_BEGIN = b'"event":"started"'


class LoggedWork(NamedTuple):
    """A piece of work, such as the answers of one system or the training of one student."""

    label: str
    done: int
    total: int | None
    """None for work whose length is not known, such as loading."""

    seconds: float
    """Seconds since it began."""

    rate: float
    """How many were done a second, over the last minute that is logged; 0 where none was."""

    token_rate: float
    """Tokens a second, over the same minute."""

    stage_left: int | None = None
    """The number that the whole stage still has to do, this work included; None if not known."""

    @property
    def ended(self) -> bool:
        """Whether all of it is done."""
        return self.total is not None and self.done >= self.total

    @property
    def is_part(self) -> bool:
        """Whether the stage is known to do more than what is left of this."""
        return self.stage_left is not None and self.stage_left > (self.total or 0) - self.done

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the stage is done, at the same rate; None where that is not known.

        Of a stage that does not say how much it does, until this work is done.
        """
        if self.total is None or not self.rate:
            return None
        left = self.total - self.done if self.stage_left is None else self.stage_left
        return max(left, 0) / self.rate


class LoggedWorkers(NamedTuple):
    """The workers of a command on a cluster, those of all its models together."""

    at_work: int
    """Workers whose model is open, by the last that is logged of each."""

    lost: Mapping[str, int]
    """Numbers of workers that were lost, by reason, the most frequent first."""

    @property
    def any(self) -> bool:
        """Whether the command had any."""
        return bool(self.at_work or self.lost)


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandActivity:
    """The last command that worked on a run."""

    command: str
    """Its name, such as ``train``; empty where the log does not tell it."""

    version: str
    """The potstill that it is of; empty likewise."""

    began: float
    """The time at which it began, in seconds since 1970, as all times here."""

    last: float
    """The time of the log's last line."""

    ended: bool
    """Whether it said that it ended; one that was killed does not."""

    error: str
    """The class of the error that it ended with; empty where there was none."""

    interrupted: bool
    """Whether it was stopped by Ctrl-C or SIGTERM."""

    stage: str
    """The stage that it is at, or was when it was killed; empty between stages."""

    stage_ended: float | None
    """The time at which a stage ended last; None where none did."""

    work: LoggedWork | None
    """The piece of work that was told of last."""

    retries: Mapping[str, int]
    """Tries that failed and were repeated, by kind of fault."""

    given_up: Mapping[str, int]
    """Requests that failed for good, by kind of fault."""

    workers: LoggedWorkers
    """Its workers on a cluster; none where this machine asked."""


def last_activity(log: Path) -> CommandActivity | None:
    """Returns the last command that a log tells of; None where there is none.

    Args:
        log: ``log.jsonl`` of a run; a command may be writing it.
    """
    events = list(_last_events(log))
    if not events:
        return None
    first, last = events[0], events[-1]
    began = first if first["event"] == "started" else {}
    ends = [event for event in events if event["event"] == "ended"]
    progress = [event for event in events if event["event"] == "progress"]
    newest = progress[-1] if progress else {}
    return CommandActivity(
        command=str(began.get("command", "")),
        version=str(began.get("version", "")),
        began=float(first["time"]),
        last=float(last["time"]),
        ended=bool(ends),
        error=str(ends[-1].get("error", "")) if ends else "",
        interrupted=any(event["event"] == "interrupted" for event in events),
        stage=_stage(events),
        stage_ended=max(
            (event["time"] for event in events if event["event"] == "stage_ends"), default=None
        ),
        work=_work(progress) if progress else None,
        retries=dict(newest.get("retries", {})),
        given_up=dict(newest.get("given_up", {})),
        workers=_workers(event for event in events if event["event"] == "worker"),
    )


def _last_events(log: Path) -> Iterator[dict[str, Any]]:
    """Yields the events since the last command began, oldest first."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, 2)
            size = BLOCK
            while True:
                start = max(0, end - size)
                file.seek(start)
                content = file.read(end - start)
                if not start or _BEGIN in content:
                    break
                size *= 2
    except FileNotFoundError:
        return
    at = content.rfind(_BEGIN)
    begin = content.rfind(b"\n", 0, at) + 1 if at >= 0 else 0
    for line in content[begin:].splitlines():
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(event, dict) and "event" in event and "time" in event:
            yield event


def _workers(events: Iterable[Mapping[str, Any]]) -> LoggedWorkers:
    """Returns the workers by what is logged of them."""
    newest: dict[tuple[object, object], object] = {}
    lost = Counter[str]()
    for event in events:
        status = event.get("status")
        newest[event.get("model"), event.get("number")] = status
        lost.update([str(event.get("message", ""))] * (status == "lost"))
    at_work = sum(status == "ready" for status in newest.values())
    return LoggedWorkers(at_work, dict(lost.most_common()))


def _stage(events: Sequence[Mapping[str, Any]]) -> str:
    """Returns the stage that has begun and not ended; empty where there is none."""
    stage = ""
    for event in events:
        if event["event"] == "stage_begins":
            stage = str(event["stage"])
        elif event["event"] == "stage_ends":
            stage = ""
    return stage


def _work(progress: Sequence[Mapping[str, Any]]) -> LoggedWork:
    """Returns the piece of work that was told of last, with its rate over the last minute."""
    newest = progress[-1]
    same: list[Mapping[str, Any]] = []
    for event in reversed(progress):
        if event["label"] != newest["label"] or (same and event["seconds"] > same[-1]["seconds"]):
            break  # other work, or the same at an earlier time
        same.append(event)
    recent = [one for one in same if newest["seconds"] - one["seconds"] <= RATE_SECONDS]
    since = recent[-1] if len(recent) > 1 else same[min(1, len(same) - 1)]
    if since is newest:  # its only line tells of all since it began
        since = {"seconds": 0.0, "done": newest["done"] - newest["new"], "tokens": 0}
    seconds = newest["seconds"] - since["seconds"]
    done, tokens = newest["done"] - since["done"], newest["tokens"] - since["tokens"]
    return LoggedWork(
        label=str(newest["label"]),
        done=int(newest["done"]),
        total=newest["total"],
        seconds=float(newest["seconds"]),
        rate=done / seconds if seconds > 0 else 0.0,
        token_rate=tokens / seconds if seconds > 0 else 0.0,
        stage_left=newest.get("stage_left"),
    )
