"""Attention of rows that all read one prefix, which stands once beside their own columns.

The prefix's keys are multiplied with all rows' queries at once, in place of a copy of them in each
row; both parts are put together by the sums of their exponentials (Hydragen, arXiv 2402.05099,
section 3). It is registered among transformers' implementations, so that a model's own code
computes everything else.

Shape suffixes: R rows, H query heads, K key-value heads, G query heads a key-value head, T tokens
of a row that are run, N queries of a row for one key-value head (G times T), L tokens of the
prefix, C columns of the rows' own, D head dimension.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from potstill.models.rowcache import layer_states

NAME = "potstill_prefix"
"""Of this attention among transformers' implementations."""

UNKNOWN = ("softcap", "s_aux", "position_bias", "sliding_window")
"""What some models ask of their attention and this one does not do."""

FAULTS = (RuntimeError, ValueError, TypeError, AttributeError, LookupError)
"""What a model may raise whose parts are others than those assumed here."""

PROBE, PROBE_PREFIX = 12, 6
"""Tokens that are computed both ways, and how many of them stand apart."""


class Reading(NamedTuple):
    """What the rows of a batch read at one step."""

    layers: Sequence[tuple[Tensor, Tensor]]
    """The prefix's keys and values ``(K, L, D)`` in each layer."""

    prefix_RL: Tensor | None
    """Which of its tokens a row reads; None where all rows read all."""

    own_RTC: Tensor
    """Which of its own columns each of a row's tokens reads."""


_now: ContextVar[Reading] = ContextVar("reading")


@contextmanager
def reading(model: PreTrainedModel, what: Reading) -> Iterator[None]:
    """Have a model's forward pass read a prefix, too."""
    former = model.config._attn_implementation
    token = _now.set(what)
    model.config._attn_implementation = NAME
    try:
        yield
    finally:
        model.config._attn_implementation = former
        _now.reset(token)


def prefix_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it, over the prefix and the rows' own columns.

    Args:
        module: The attention layer.
        query: ``(R, H, T, D)``.
        key: ``(R, K, C, D)``.
        value: ``(R, K, C, D)``.
        attention_mask: None; :class:`Reading` says what is read.
        dropout: 0, as always while text is written.
        scaling: Of the scores; the inverse root of D by default.
        options: What else a model asks of its attention.

    Returns:
        ``(R, T, H, D)``, and no weights.

    Raises:
        NotImplementedError: The model asks for what is not done here.
    """
    asked = [name for name in UNKNOWN if options.get(name) is not None]
    if asked or attention_mask is not None or dropout:
        raise NotImplementedError(f"attention apart from a prefix has no {asked or 'such mask'}")
    now = _now.get()
    R, H, T, D = query.shape
    K, G = key.shape[1], H // key.shape[1]
    keys_KLD, values_KLD = now.layers[int(module.layer_idx)]  # type: ignore[arg-type]
    scaled_RKND = (query * (D**-0.5 if scaling is None else scaling)).reshape(R, K, G * T, D)
    prefix_KND = scaled_RKND.transpose(0, 1).reshape(K, -1, D)
    prefix_KRNL = (prefix_KND @ keys_KLD.mT).view(K, R, G * T, -1).float()
    if now.prefix_RL is not None:
        prefix_KRNL.masked_fill_(~now.prefix_RL[None, :, None], -torch.inf)
    own_RKNC = (scaled_RKND @ key.mT).float()
    own_RKNC.view(R, K, G, T, -1).masked_fill_(~now.own_RTC[:, None, None], -torch.inf)
    own_top, prefix_top = own_RKNC.amax(-1, keepdim=True), prefix_KRNL.amax(-1, keepdim=True)
    top_RKN1 = torch.maximum(own_top, prefix_top.transpose(0, 1))
    own_RKNC.sub_(top_RKN1).exp_()
    prefix_KRNL.sub_(top_RKN1.transpose(0, 1)).exp_()
    total_RKN1 = own_RKNC.sum(-1, keepdim=True)
    total_RKN1 += prefix_KRNL.sum(-1, keepdim=True).transpose(0, 1)
    out_RKND = (own_RKNC.to(value.dtype) @ value).float()
    read_KND = prefix_KRNL.to(value.dtype).flatten(1, 2) @ values_KLD
    out_RKND += read_KND.view(K, R, G * T, -1).transpose(0, 1)
    out_RHTD = (out_RKND / total_RKN1).to(value.dtype).view(R, H, T, -1)
    return out_RHTD.transpose(1, 2), None


AttentionInterface.register(NAME, prefix_attention)  # without a mask function: no mask is made


@torch.inference_mode()
def reads_apart(model: nn.Module) -> bool:
    """Whether a model computes with a prefix apart what it computes over the whole.

    A few tokens are computed both ways, so that a model whose tokens hear of one another by
    another way than plain attention is found out.
    """
    if not isinstance(model, PreTrainedModel) or not model._can_set_attn_implementation():
        return False
    plain_layers = all(
        type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers
    )
    if not plain_layers or "position_ids" not in inspect.signature(model.forward).parameters:
        return False
    try:
        whole, apart = _probe(model)
    except FAULTS:
        return False
    tolerance = 1e-3 if whole.dtype == torch.float32 else 5e-2
    return bool((whole - apart).abs().max() <= tolerance * whole.abs().max())


def _probe(model: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """The scores after a few tokens, computed in one pass and with a prefix apart."""
    vocabulary = int(model.config.get_text_config(decoder=True).vocab_size)
    ids_1T = torch.tensor([[(17 * n + 5) % vocabulary for n in range(PROBE)]], device=model.device)
    positions = torch.arange(PROBE, device=model.device)[None]
    whole = model(input_ids=ids_1T, position_ids=positions, use_cache=False).logits[0, -1]
    cache = DynamicCache()
    head_1T, tail_1T = ids_1T[:, :PROBE_PREFIX], ids_1T[:, PROBE_PREFIX:]
    model(input_ids=head_1T, past_key_values=cache, use_cache=True)
    states = [layer_states(layer) for layer in cache.layers]
    read_TT = torch.ones(tail_1T.shape[1], tail_1T.shape[1], dtype=torch.bool).tril()
    layers = [(keys[0], values[0]) for keys, values in states]
    with reading(model, Reading(layers, None, read_TT[None].to(model.device))):
        apart = model(
            input_ids=tail_1T,
            position_ids=positions[:, PROBE_PREFIX:],
            past_key_values=DynamicCache(),
            use_cache=True,
        )
    return whole, apart.logits[0, -1]
