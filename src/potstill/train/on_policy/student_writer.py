"""The student as it is at some moment of its training, asked like any other model."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from transformers import PreTrainedModel

from potstill.models.interface import Model
from potstill.models.local.loading import Loaded
from potstill.models.local.model import HFModel
from potstill.models.settings import LocalSettings
from potstill.records import Completion, Request
from potstill.runtime.events import EventLog
from potstill.train.prefix_sharing.attention import NAME as TREE_ATTENTION


class StudentWriter(HFModel):
    """The model in training, which writes with the very weights that are trained.

    Args:
        loaded: The model, without what wraps it in training, and its tokenizer.
        start: The settings of the model that it started from.
        name: Its answers are stored by this; it has to stand for the training and the round.
        events: Told how much it is writing.
    """

    def __init__(
        self, loaded: Loaded, start: LocalSettings, *, name: str, events: EventLog
    ) -> None:
        self._set_up(
            loaded,
            start.source,
            name=name,
            batch_tokens=start.batch_tokens,
            control_tokens=start.control_tokens,
        )
        self._events = events

    def complete_in_groups(self, requests: Iterable[Request]) -> Generator[list[Completion]]:
        """Answers all requests, and hands over all answers at once.

        A round's answers are stored together or not at all: rounding depends on what is computed
        beside a sample, so that a round that was written in two parts might be another one.
        """
        with writing(self.model):
            written = [*self.complete(requests)]
        yield written


class AtOnce(Model):
    """A model of this machine whose answers are handed over together, for the same reason.

    Args:
        model: The model.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self.name, self.chat = model.name, model.chat
        self.scores_texts = model.scores_texts

    def opened(self) -> Model:
        """Returns the model itself, where it is a server, whose answers cost money."""
        opened = self._model.opened()
        if opened.is_server:
            return opened
        return self if opened is self._model else AtOnce(opened)

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answers requests as the model does."""
        return self._model.complete(requests)

    def complete_in_groups(self, requests: Iterable[Request]) -> Generator[list[Completion]]:
        """Answers all requests, and hands over all answers at once."""
        yield [*self._model.complete(requests)]


@contextmanager
def writing(model: PreTrainedModel) -> Iterator[None]:
    """Have a model in training write: without dropout, and with attention that reads a cache."""
    config: Any = model.config
    training, attention = model.training, config._attn_implementation
    model.eval()
    if attention == TREE_ATTENTION:
        model.set_attn_implementation("sdpa" if model._supports_sdpa else "eager")
    try:
        yield
    finally:
        if attention == TREE_ATTENTION:
            model.set_attn_implementation(attention)
        model.train(training)
