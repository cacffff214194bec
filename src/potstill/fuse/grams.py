"""Gram matrices of linear layers' inputs: all that RegMean takes of a member's training data.

Shape suffixes: T tokens, I inputs of a layer.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D


class TokenIds(NamedTuple):
    """One training example in the student's tokens."""

    prompt: Sequence[int]
    target: Sequence[int]


def linear_layers(model: PreTrainedModel) -> dict[str, bool]:
    """The linear layers by name, and whether a layer's weight is (inputs, outputs) as in GPT-2.

    A head whose weight is the embeddings' is none: it stays tied to what is averaged.
    """
    embeddings = model.get_input_embeddings().weight
    return {
        name: isinstance(layer, Conv1D)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | Conv1D) and layer.weight is not embeddings
    }


@torch.inference_mode()
def gram_matrices(model: PreTrainedModel, examples: Iterable[TokenIds]) -> dict[str, Tensor]:
    """The mean over tokens of x x^T, x being a linear layer's input, for each layer that is run.

    A mean and not a sum, so that a member with longer examples does not count for more. Examples
    are run one by one: there is no padding that could count.

    Args:
        model: In evaluation mode.
        examples: What it was trained on.
    """
    sums: dict[str, Tensor] = {}
    tokens: Counter[str] = Counter()

    def add(name: str, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x_TI = inputs[0].flatten(end_dim=-2).float()
        gram_II = x_TI.T @ x_TI
        sums[name] = sums[name].add_(gram_II) if name in sums else gram_II
        tokens[name] += len(x_TI)

    layers = {name: model.get_submodule(name) for name in linear_layers(model)}
    hooks = [layer.register_forward_pre_hook(partial(add, name)) for name, layer in layers.items()]
    try:
        for example in examples:
            model(**_inputs(model, example), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: (total / tokens[name]).cpu() for name, total in sums.items()}


def _inputs(model: PreTrainedModel, example: TokenIds) -> dict[str, Any]:
    """What the student reads while it is trained on an example."""

    def row(ids: Sequence[int]) -> Tensor:
        return torch.tensor([ids], device=model.device)

    prompt, read = list(example.prompt), list(example.target[:-1])
    if model.config.is_encoder_decoder:
        start = model.config.decoder_start_token_id
        return {"input_ids": row(prompt), "decoder_input_ids": row([start, *read])}
    return {"input_ids": row([*prompt, *read])}
