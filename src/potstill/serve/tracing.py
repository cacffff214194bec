"""Traces of served requests: nothing of it, unless the settings ask for ``telemetry``."""

from contextlib import AbstractContextManager, nullcontext

from potstill.errors import extra
from potstill.models.settings import ModelSettings
from potstill.serve.metrics import Account
from potstill.serve.request import ClientRequest
from potstill.serve.response import ServedSample
from potstill.serve.settings import Route, ServeSettings
from potstill.serve.upstreams import Upstream

with extra("serve", needed_for="potstill serve"):
    from starlette.types import Scope


class Tracing:
    """Writes no traces. Its heir in spans.py does, by OpenTelemetry."""

    def request(self, scope: Scope, route: Route, account: Account) -> AbstractContextManager[None]:
        """Trace a client's request while the block runs."""
        return nullcontext()

    def asked(self, request: ClientRequest) -> None:
        """The request that is traced was read."""

    def answered(self, samples: list[ServedSample]) -> None:
        """The request that is traced has its answers, those to its first prompt first."""

    def upstream(self, upstream: Upstream, settings: ModelSettings, role: str) -> Upstream:
        """Returns an upstream whose calls are traced.

        Args:
            upstream: The student or the teacher.
            settings: The upstream's settings.
            role: ``student`` or ``teacher``.
        """
        return upstream

    def close(self) -> None:
        """Hand over what was not handed over yet."""


def open_tracing(settings: ServeSettings) -> Tracing:
    """Returns what traces requests, as the settings say.

    Raises:
        MissingExtraError: It is asked for, and its packages are missing.
        ConfigError: An ``OTEL_`` variable cannot be followed.
    """
    if not settings.telemetry:
        return Tracing()
    with extra("telemetry", needed_for="telemetry"):
        from potstill.serve.spans import SpanTracing, span_processor

        return SpanTracing(settings, span_processor())
