"""The server's counters for Prometheus, and the line that it logs of each request.

Labels come from fixed sets, so that no client can make them grow.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

import orjson

from potstill.errors import extra
from potstill.guide.types import GuidedAnswer, Usage

with extra("serve", needed_for="potstill serve"):
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

logger = logging.getLogger("potstill.serve")

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
"""Upper bounds of the latency histogram."""

CLIENT_LEFT = 499
"""Logged in place of a status where the client left before it had one."""

STATUSES = {status.value for status in HTTPStatus} | {CLIENT_LEFT}

Outcome = Literal["guided", "unguided", "silent"]


@dataclass(slots=True)
class Account:
    """One request, as it is logged and counted."""

    id: str
    route: str
    status: int = HTTPStatus.INTERNAL_SERVER_ERROR
    policy: str | None = None
    outcome: Outcome | None = None
    student: Usage = field(default_factory=Usage)
    teacher: Usage = field(default_factory=Usage)

    def settle(self, answers: Sequence[GuidedAnswer]) -> None:
        """Note whether the teacher stepped in, in any of the answers."""
        if any(answer.silent for answer in answers):
            self.outcome = "silent"
        else:
            guided = any(answer.guidance for answer in answers)
            self.outcome = "guided" if guided else "unguided"


class Metrics:
    """The server's counters, in a registry of their own."""

    def __init__(self, in_flight: Callable[[], int]) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "potstill_requests", "Requests.", ("route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "potstill_request_seconds",
            "Seconds from a request to the end of its answer.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self._tokens = Counter(
            "potstill_tokens", "Tokens read and written.", ("who", "kind"), registry=registry
        )
        self._uncounted = Counter(
            "potstill_uncounted_answers",
            "Answers with tokens that are not known, and missing in potstill_tokens.",
            ("who",),
            registry=registry,
        )
        self._cost = Counter("potstill_cost_dollars", "US dollars.", ("who",), registry=registry)
        self._answers = Counter(
            "potstill_answers",
            "Answers: with the teacher's words, without, and without though they were wanted.",
            ("guidance",),
            registry=registry,
        )
        self._absences = Counter(
            "potstill_teacher_errors",
            "Steps that the teacher did not write.",
            ("reason",),
            registry=registry,
        )
        gauge = Gauge("potstill_in_flight", "Requests inside, waiting included.", registry=registry)
        gauge.set_function(in_flight)

    def absent(self, reason: str) -> None:
        """Count a step that the teacher did not write."""
        self._absences.labels(reason).inc()

    def note(self, account: Account, seconds: float) -> None:
        """Count a request and log its line."""
        status = account.status if account.status in STATUSES else HTTPStatus.INTERNAL_SERVER_ERROR
        self._requests.labels(account.route, str(int(status))).inc()
        self._seconds.labels(account.route).observe(seconds)
        if account.outcome is not None:
            self._answers.labels(account.outcome).inc()
        for who, usage in (("student", account.student), ("teacher", account.teacher)):
            if not (usage.prompts_known and usage.completions_known):
                self._uncounted.labels(who).inc()
            if usage.prompt_tokens or usage.completion_tokens:
                self._tokens.labels(who, "prompt").inc(usage.prompt_tokens)
                self._tokens.labels(who, "completion").inc(usage.completion_tokens)
                self._cost.labels(who).inc(usage.cost)
        if logger.isEnabledFor(logging.INFO):
            logger.info(_line(account, seconds))

    def page(self) -> bytes:
        """All counters in Prometheus' text format."""
        return generate_latest(self._registry)


def _line(account: Account, seconds: float) -> str:
    """A request on one line, without a word of it."""
    fields = {
        "id": account.id,
        "route": account.route,
        "status": int(account.status),
        "ms": round(1000 * seconds, 1),
        "policy": account.policy,
        "guidance": account.outcome,
        "student_tokens": _written(account.student),
        "teacher_tokens": _written(account.teacher),
    }
    return orjson.dumps(fields).decode()


def _written(usage: Usage) -> int | None:
    """Returns the tokens that were written; None where they are not known."""
    return usage.completion_tokens if usage.completions_known else None
