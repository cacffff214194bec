"""bfloat16 weights with float32 states and logits, where text is written on a processor.

transformers computes a model that was loaded in bfloat16 in bfloat16 throughout: the states that
the layers add to, and the logits, which from 16 on are multiples of 1/8, so that tokens of nearly
equal probability tie and rounding chooses. Here products with weights alone, which are nearly all
of the work, are of bfloat16; sums, norms, attention and the largest logits are of float32, as in
llama.cpp. Answers are then those of float32, but for a few, and other programs find them again.
"""

from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from potstill.models.local.packed_layers import PackedLinear
from potstill.models.local.prefill import FAULTS

LARGEST = 8
"""Logits of a row that are computed in float32: more than rounding can make change places."""

ROWS_AT_ONCE = 1024
"""Rows whose largest logits are computed together, which bounds the memory for their weights."""

PROBE_TOKENS = 8
"""Tokens that a model reads once before and once after it was changed."""

TOLERANCE = 0.1
"""The largest difference of a logit before and after, as a share of the largest logit."""


class NearHead(PackedLinear):
    """The layer behind the logits, whose largest ones are products of float32.

    All others are products of bfloat16, which cannot be chosen.
    """

    def forward(self, input: Tensor) -> Tensor:  # torch's own name
        """Returns the logits, in the states' number format."""
        logits = super().forward(input)
        if torch.is_grad_enabled() or input.dtype == self.weight.dtype:
            return logits
        rows_ND, logits_NV = input.flatten(0, -2), logits.flatten(0, -2)
        for rows, own in zip(
            rows_ND.split(ROWS_AT_ONCE), logits_NV.split(ROWS_AT_ONCE), strict=True
        ):
            largest_NK = own.topk(min(LARGEST, own.shape[-1]), sorted=False).indices
            weights_NKD = self.weight[largest_NK].to(input.dtype)
            exact_NK = (weights_NKD @ rows[:, :, None]).squeeze(-1)
            if self.bias is not None:
                exact_NK += self.bias[largest_NK]
            own.scatter_(-1, largest_NK, exact_NK)
        return logits


@torch.inference_mode()
def use_float32_states(model: nn.Module) -> bool:
    """Have a model of packed bfloat16 layers compute all but its products in float32.

    It is tried on a few tokens; a model that cannot compute so stays as it was.

    Args:
        model: A model of transformers, whose layers were packed by
            :func:`~potstill.models.local.packed_layers.pack_layers`; others are left alone.

    Returns:
        Whether it computes so now.
    """
    if not isinstance(model, PreTrainedModel) or model.config.is_encoder_decoder:
        return False
    head = model.get_output_embeddings()
    if type(head) is not PackedLinear or head.weight.dtype != torch.bfloat16:
        return False
    before = _probe(model)
    with ExitStack() as undo:
        try:
            _widen(model, head, undo)
            after = _probe(model)
        except FAULTS:
            return False
        if after.dtype != torch.float32 or not _is_near(before.float(), after):
            return False
        undo.pop_all()
    return True


def _is_near(before: Tensor, after: Tensor) -> bool:
    return bool((before - after).abs().max() <= TOLERANCE * before.abs().max())


def _probe(model: PreTrainedModel) -> Tensor:
    """Returns the logits ``(T, V)`` of a few tokens."""
    vocabulary = int(model.config.get_text_config(decoder=True).vocab_size)
    ids_1T = torch.tensor([[(17 * n + 5) % vocabulary for n in range(PROBE_TOKENS)]])
    logits: Tensor = model(input_ids=ids_1T, use_cache=False).logits
    return logits[0]


def _widen(model: PreTrainedModel, head: PackedLinear, undo: ExitStack) -> None:
    """Change a model so; ``undo`` learns how it is changed back."""
    hook = model.get_input_embeddings().register_forward_hook(_in_float32)
    undo.callback(hook.remove)
    for layer in model.modules():
        if isinstance(layer, PackedLinear):
            continue
        for parameter in layer.parameters(recurse=False):
            if parameter.dim() <= 1 and parameter.dtype == torch.bfloat16:  # of norms
                undo.callback(partial(setattr, parameter, "data", parameter.data))
                parameter.data = parameter.data.float()
    undo.callback(setattr, head, "__class__", PackedLinear)
    head.__class__ = NearHead


def _in_float32(layer: nn.Module, inputs: object, output: Tensor) -> Tensor:
    return output.float()
