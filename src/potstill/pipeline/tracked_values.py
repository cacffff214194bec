"""The figures of a run as experiment trackers take them, from the events of its log.

Names have the form ``part/who/figure``::

    train/rationales/loss           by optimiser step, with learning_rate, grad_norm and tokens
    dev/rationales/gsm8k/accuracy   by the checkpoint's step, with low and high (95%)
    test/rationales/gsm8k/accuracy  likewise
    rounds/rationales/mean_kl       of on-policy training, by step
    generate/answers_per_second     by seconds since the run was first tracked, with
                                    tokens_per_second and usd; likewise evaluate/ and guide/
"""

import re
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, NamedTuple

_UNTAKEN = re.compile(r"[^\w./ -]")


def tracker_name(text: str) -> str:
    """Returns a name that every tracker takes: signs that some refuse become underscores."""
    return _UNTAKEN.sub("_", text)


class TrackedValues(NamedTuple):
    """Figures of one moment."""

    values: Mapping[str, float]
    """The figures by their names."""

    step: int
    """The place on the axis that they share."""


class EventReader:
    """Turns events of the log into figures. Thread-safe, as the log is.

    Args:
        seconds: Returns how long ago the run was first tracked.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._lock = Lock()
        self._stage = ""
        self._last: dict[str, tuple[float, int, int]] = {}
        self._usd: dict[str, float] = {}

    def read(self, name: str, fields: Mapping[str, Any]) -> TrackedValues | None:
        """Returns the figures of one event; None where it has none."""
        with self._lock:
            if name == "stage_begins":
                self._stage = str(fields["stage"])
                self._last, self._usd = {}, {}
                return None
            readers = {
                "training_step": _training_step,
                "measured": _measured,
                "on_policy_round": _round,
                "progress": self._progress,
                "stage_ends": self._stage_end,
            }
            reader = readers.get(name)
            return reader(fields) if reader is not None else None

    def _stage_end(self, fields: Mapping[str, Any]) -> TrackedValues:
        name = f"{fields['stage']}/seconds"
        return TrackedValues({name: float(fields["seconds"])}, int(self._seconds()))

    def _progress(self, fields: Mapping[str, Any]) -> TrackedValues | None:
        """Returns how fast answers come since the last event of the same work, and their cost."""
        if fields["total"] is None or self._stage in ("", "train"):
            return None
        label, now = str(fields["label"]), (fields["seconds"], fields["new"], fields["tokens"])
        before = self._last.get(label, (0.0, 0, 0))
        self._last[label], self._usd[label] = now, float(fields["usd"])
        took = now[0] - before[0]
        if took <= 0:
            return None
        values = {
            "answers_per_second": (now[1] - before[1]) / took,
            "tokens_per_second": (now[2] - before[2]) / took,
            "usd": sum(self._usd.values()),
        }
        named = {f"{self._stage}/{name}": value for name, value in values.items()}
        return TrackedValues(named, int(self._seconds()))


def _training_step(fields: Mapping[str, Any]) -> TrackedValues:
    own = {name: fields[name] for name in ("loss", "learning_rate", "grad_norm", "tokens")}
    return _of(f"train/{fields['student']}", own, fields["step"])


def _measured(fields: Mapping[str, Any]) -> TrackedValues:
    own = {
        "accuracy": fields["correct"] / fields["total"],
        "low": fields["low"],
        "high": fields["high"],
    }
    place = f"{fields['split']}/{fields['system']}/{fields['task']}"
    return _of(place, own, fields["step"] or 0)


def _round(fields: Mapping[str, Any]) -> TrackedValues:
    own = {
        name: value
        for name, value in fields.items()
        if isinstance(value, int | float) and name not in ("step", "rounds", "number")
    }
    return _of(f"rounds/{fields['student']}", own, fields["step"])


def _of(place: str, figures: Mapping[str, Any], step: int) -> TrackedValues:
    """Returns figures under names that every tracker takes; what is not known is left out."""
    place = tracker_name(place)
    known = {f"{place}/{name}": float(one) for name, one in figures.items() if one is not None}
    return TrackedValues(known, int(step))
