"""The student as it is at some moment of its training, asked like any other model."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from potstill.models.interface import Model
from potstill.models.local.float32_states import use_float32_states
from potstill.models.local.learned_prefix import has_prefix
from potstill.models.local.loading import SMALL_MODEL, Loaded, parameters_of
from potstill.models.local.model import HFModel
from potstill.models.local.packed_layers import pack_layers
from potstill.models.settings import LocalSettings
from potstill.records import Completion, Request
from potstill.runtime.events import EventLog
from potstill.train.prefix_sharing.attention import NAME as TREE_ATTENTION

AROUND = ("forward", "_original_forward")
"""The attributes that accelerate sets on a model so that its products are rounded."""


class StudentWriter(HFModel):
    """The model in training, which writes with the very weights that are trained, or a copy.

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
    _make_ready(model)
    try:
        yield
    finally:
        if attention == TREE_ATTENTION:
            model.set_attn_implementation(attention)
        model.train(training)


def _make_ready(model: PreTrainedModel) -> None:
    """Leave out dropout, and have attention read a cache."""
    config: Any = model.config
    model.eval()
    if config._attn_implementation == TREE_ATTENTION:
        model.set_attn_implementation("sdpa" if model._supports_sdpa else "eager")


def writes_rounded(model: PreTrainedModel) -> bool:
    """Whether a model that trains in bfloat16 writes faster with weights that are rounded once.

    In training its weights are rounded at every product, in writing that is at every token. Small
    models spend their time elsewhere.
    """
    return (
        not has_prefix(model)
        and model.dtype == torch.float32
        and parameters_of(model) >= SMALL_MODEL
    )


def rounded(model: PreTrainedModel) -> PreTrainedModel:
    """Returns a copy of a model in training with its weights in bfloat16, which is there to write.

    Its products are the ones that training computes; the weights in training stay as they are.
    """
    kept: dict[int, Any] = {
        id(weight): nn.Parameter(weight.detach().to(torch.bfloat16), requires_grad=False)
        for weight in model.parameters()
    }
    # The copy leaves out the wrappers that training puts around the forward pass.
    around = {name: model.__dict__[name] for name in AROUND if name in model.__dict__}
    for name in around:
        del model.__dict__[name]
    try:
        copy: PreTrainedModel = deepcopy(model, kept)
    finally:
        model.__dict__.update(around)
    _make_ready(copy)
    pack_layers(copy)
    use_float32_states(copy)
    return copy
