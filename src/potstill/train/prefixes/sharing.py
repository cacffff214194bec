"""Whether a model computes over a forest what it computes over its sequences."""

import inspect
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from potstill.errors import ModelError
from potstill.train.prefixes.attention import NAME, layout, use
from potstill.train.prefixes.tree import forest

_PROBE = [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 6, 7], [0, 1, 2, 8, 9], [10, 11, 12]]
"""Three levels and two trees."""

_TOLERANCE = 1e-4
"""Of the largest logit."""

_DROPOUTS = ("attention_dropout", "attn_pdrop", "attention_probs_dropout_prob", "attn_dropout")


def enable(model: PreTrainedModel) -> None:
    """Have a model attend over the forest in use; one that :func:`can_share` has no word against.

    From then on it takes a forest's ``ids`` and ``positions`` as a batch of one row, without mask
    and without cache.
    """
    model.set_attn_implementation(NAME)


def can_share(model: PreTrainedModel, *, longest: int) -> str | None:
    """Why a model cannot be trained on shared prefixes, in a sentence; None if it can.

    A few tokens are computed both ways, so a model whose tokens hear of one another by another way
    than attention (states, convolutions, biases by distance) is found out.

    Args:
        model: Not wrapped; its attention is the former one afterwards.
        longest: Tokens of the longest sequence to come.
    """
    config = model.config
    if config.is_encoder_decoder:
        return "it is an encoder-decoder model."
    if model.device.type not in ("cpu", "cuda"):
        return f"attention over forests is not made for {model.device.type!r} devices."
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return "it takes no positions of tokens."
    if not model._can_set_attn_implementation():
        return "its attention cannot be exchanged."
    for name in _DROPOUTS:
        if getattr(config, name, None):
            return f"it drops attention weights at random ({name} = {getattr(config, name)})."
    return _difference(model, longest)


@torch.no_grad()
def _difference(model: PreTrainedModel, longest: int) -> str | None:
    vocabulary = int(model.config.vocab_size)
    sequences = [[(17 * token + 5) % vocabulary for token in row] for row in _PROBE]
    probe = forest(sequences)
    training, former = model.training, model.config._attn_implementation
    model.eval()
    try:
        plain = [_logits(model, row, range(len(row))) for row in sequences]
        enable(model)
        use(replace(layout(probe, model.device), longest=longest))
        shared = _logits(model, probe.ids, probe.positions)
    except ModelError as error:
        return f"{error}."
    except RuntimeError as error:  # such as no kernel for heads of this size
        return f"attention over a few tokens fails: {str(error).splitlines()[0]}."
    finally:
        model.set_attn_implementation(former)
        model.train(training)
    largest = max(float(row.abs().max()) for row in plain)
    off = max(
        float((shared[places] - row).abs().max())
        for row, places in zip(plain, probe.places, strict=True)
    )
    if off <= _TOLERANCE * largest:
        return None
    return (
        f"its logits would be off by {off / largest:.1%}: its tokens do not read by attention only."
    )


def _logits(model: PreTrainedModel, ids: list[int], positions: Sequence[int]) -> Tensor:
    row = torch.tensor([ids, list(positions)], device=model.device)
    logits: Tensor = model(input_ids=row[:1], position_ids=row[1:], use_cache=False).logits
    return logits[0].float()
