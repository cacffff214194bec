"""Samples that are all one text: a server, or a cache before it, that ignores the temperature."""

import logging
from collections.abc import Iterable

from potstill.models.interface import Model
from potstill.records import Completion, Request
from potstill.runtime.events import EventLog

FIRST_QUESTIONS = 5
"""Questions after which it is said, if all of their samples agree."""

SHORTEST = 40
"""Characters; shorter texts agree by chance."""

logger = logging.getLogger(__name__)


class EqualSamples:
    """Watches the first answers of a server for samples that do not differ.

    Args:
        model: The model that is asked; one that runs in this process is not watched.
        events: The run's log, which is told as well.
    """

    def __init__(self, model: Model, events: EventLog) -> None:
        self._model, self._events = model, events
        self._watches = model.is_server
        self._texts: dict[Request, list[str]] = {}
        self._agreeing = 0

    def see(self, completions: Iterable[Completion]) -> None:
        """Take in what has come; say so once where all of the first samples agree."""
        if not self._watches:
            return
        for completion in completions:
            request = completion.request
            if len(request.samples) < 2 or not request.temperature:
                continue
            if completion.finish_reason != "error":
                self._texts.setdefault(request, []).append(completion.text)
            if len(self._texts.get(request, ())) == len(request.samples):
                self._compare(request, self._texts.pop(request))
            if not self._watches:
                return

    def _compare(self, request: Request, texts: list[str]) -> None:
        if len(set(texts)) > 1 or len(texts[0]) < SHORTEST:
            self._watches = False
            self._texts.clear()
            return
        self._agreeing += 1
        if self._agreeing == FIRST_QUESTIONS:
            self._watches = False
            self._texts.clear()
            temperature = request.temperature
            self._events.record("samples_equal", questions=FIRST_QUESTIONS, temperature=temperature)
            logger.warning(
                "%s: the %d samples of each of the first %d questions are one text, word for word, "
                "at temperature %g. The server, or a cache before it, seems to ignore the "
                "temperature. Stop with Ctrl-C and set samples to 1, or ask another server.",
                self._model.name,
                len(texts),
                FIRST_QUESTIONS,
                temperature,
            )
