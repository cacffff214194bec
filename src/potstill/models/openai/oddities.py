"""Oddities: flaws of a server's answers that are no errors; counted, logged, the worst said."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from potstill.models.finish_reasons import is_known
from potstill.models.openai.trusted_positions import by_text
from potstill.records import Completion
from potstill.runtime.events import EventLog

logger = logging.getLogger(__name__)


class Oddities:
    """Counts what is odd, by the name of an event.

    Args:
        server: Its address, for the warning.
        events: Takes the counts.
    """

    def __init__(self, server: str, events: EventLog) -> None:
        self._server, self._events = server, events
        self._counts = Counter[str]()

    def count(self, reply: dict[str, Any], answered: Sequence[Completion]) -> None:
        """Count what an answer shows; a reason for its end that is not known is said at once.

        Args:
            reply: The answer's JSON.
            answered: The completions that were read from it.
        """
        self._counts["no_finish_reason"] += sum(
            isinstance(choice, dict) and choice.get("finish_reason") is None
            for choice in reply["choices"]
        )
        self._counts["untrusted_positions"] += sum(
            by_text(completion.logprobs) for completion in answered
        )
        unknown = [
            completion.finish_reason
            for completion in answered
            if not is_known(completion.finish_reason)
        ]
        if unknown and not self._counts["unknown_finish_reason"]:
            logger.warning(
                "%s ends an answer for the reason %r, which potstill does not know: such answers "
                "may be cut, and are not trained on.",
                self._server,
                unknown[0],
            )
        self._counts["unknown_finish_reason"] += len(unknown)

    def record(self) -> None:
        """Write the counts to the log, and begin anew."""
        for name, count in self._counts.items():
            if count:
                self._events.record(name, count=count)
        self._counts.clear()
