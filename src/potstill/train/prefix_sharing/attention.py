"""Attention over a forest of tokens, in which each token reads itself and its own ancestors.

The matrix of who reads whom is dense in blocks, and no block needs a mask: each node reads itself
(causally), and all that stands below a node reads all of it::

    keys      A A B B C            sequences A B and A C
    query A   #
    query A   # #                  # causal: a node in itself
    query B   o o #                o whole: what is below a node, to the node
    query B   o o # #
    query C   o o     #

On the CPU each block is one call of a fused kernel, which returns the output o of its part of the
keys and the logarithm l of its sum of exponentials. Two parts are put together as ring attention
does (arXiv 2310.01889): with ``l = logaddexp(l1, l2)``, ``o = exp(l1 - l) o1 + exp(l2 - l) o2``.
Given the whole's o and l, the gradient of a block is its part of the whole gradient, so backward
runs the same blocks. On CUDA the same reading is a block mask of FlexAttention.

It is registered among transformers' implementations, so that a model's own code computes
everything else; :func:`use` sets the forest of the next forward pass, and :func:`can_share` proves
on a few tokens that a model computes over a forest what it computes over its sequences.

Shape suffixes: N tokens of the forest, H heads of the queries, K of the keys, G query heads a key
head, D a head's size.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, PreTrainedModel

from potstill.errors import ModelError
from potstill.models.local.device_memory import free_memory
from potstill.models.local.loading import parameters_of
from potstill.train.prefix_sharing.tree import Forest, Node, forest

NAME = "potstill_tree"
"""The name of this attention among transformers' implementations."""

WIDE_BLOCK = 256
"""Tokens of a node up to which blocks are computed in float32: the CPU kernel's backward pass takes
2.8 times as long in bfloat16 for 120 tokens, 1.2 times for 240, and as long from 500 on."""

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The reading in a forest: which tokens read which."""

    nodes: list[Node]

    longest: int
    """The number of tokens of the longest sequence."""

    readers_N: Tensor
    """A token is read from its own place up to this one, exclusive."""

    @cached_property
    def block_mask(self) -> Any:
        """The blocks of tokens that FlexAttention computes, made once for all layers."""
        from torch.nn.attention.flex_attention import create_block_mask

        tokens, device = len(self.readers_N), self.readers_N.device.type
        return create_block_mask(reads(self.readers_N), None, None, tokens, tokens, device=device)


def reads(readers_N: Tensor) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Returns whether the token at one place reads that at another, in FlexAttention's form."""

    def mask(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query < readers_N[key])

    return mask


def layout(forest: Forest, device: torch.device | str = "cpu") -> Layout:
    """Returns the reading in a forest that is not empty."""
    # A node's tokens are read to the end of its subtree, each from its own place on.
    readers = [node.subtree_end for node in forest.nodes for _ in range(node.start, node.end)]
    return Layout(
        nodes=forest.nodes,
        longest=max(forest.positions) + 1,
        readers_N=torch.tensor(readers, device=device),
    )


_current: Layout | None = None


def use(layout: Layout) -> None:
    """Compute over this forest from now on.

    It holds until the next call, since gradient checkpointing computes attention again during the
    backward pass, which on a GPU runs in a thread of its own.
    """
    global _current
    _current = layout


def tree_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention over the forest in use, as transformers calls it.

    Args:
        module: The attention layer.
        query: ``(1, H, N, D)``.
        key: ``(1, K, N, D)``.
        value: ``(1, K, N, D)``.
        attention_mask: None, since nothing is padded.
        dropout: 0; one random choice a block would not be the one that a plain batch makes.
        scaling: Factor of the scores; the inverse root of D by default.
        options: Whatever else a model asks of its attention; most of it is refused.

    Returns:
        ``(1, N, H, D)``, and no weights.
    """
    if _current is None or query.shape[2] != len(_current.readers_N):
        raise RuntimeError("attention over a forest is on, but another forest is in use, or none")
    _refuse(query, value, attention_mask, dropout, options, longest=_current.longest)
    query, key = query.to(value.dtype), key.to(value.dtype)  # as autocast does
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if query.device.type == "cpu":
        return _on_cpu(query, key, value, _current.nodes, scale), None
    if query.dtype == torch.float64:  # the proof alone; FlexAttention has no such kernel
        places = torch.arange(len(_current.readers_N), device=query.device)
        mask = reads(_current.readers_N)(places, places, places[:, None], places)
        out = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scale, enable_gqa=True
        )
        return out.transpose(1, 2), None
    from transformers.integrations.flex_attention import flex_attention_forward

    out, _ = flex_attention_forward(module, query, key, value, _current.block_mask, scaling=scale)
    return out, None


AttentionInterface.register(NAME, tree_attention)  # without a mask function: no mask is made


def _refuse(
    query: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float,
    options: dict[str, Any],
    *,
    longest: int,
) -> None:
    window = options.get("sliding_window")
    reasons = {
        "has a batch of several rows, or a mask": len(query) != 1 or attention_mask is not None,
        "drops attention weights at random": dropout > 0,
        f"reads a window of {window} tokens only": window is not None and window < longest,
        "has heads whose keys and values differ in size": query.shape[-1] != value.shape[-1],
    }
    reasons |= {
        f"has {name!r}": options.get(name) is not None
        for name in ("softcap", "s_aux", "position_bias")
    }
    for reason, holds in reasons.items():
        if holds:
            raise ModelError(f"the model's attention {reason}, which sharing prefixes cannot do")


def _on_cpu(query: Tensor, key: Tensor, value: Tensor, nodes: list[Node], scale: float) -> Tensor:
    _, H, N, D = query.shape
    K, given = key.shape[1], query.dtype
    if max(node.end - node.start for node in nodes) <= WIDE_BLOCK:
        query, key, value = (states.to(_wide(given)) for states in (query, key, value))
    # The kernel's batch dimension is the key head: (1, H, N, D) queries become (K, G, N, D), and a
    # key head is repeated for its G query heads without being copied.
    heads = (K, H // K, N, D)
    keys, values = (states.view(K, 1, N, D).expand(heads) for states in (key, value))
    out: Tensor = _TreeAttention.apply(  # type: ignore[no-untyped-call]
        query.view(heads), keys, values, nodes, scale
    )
    return out.permute(2, 0, 1, 3).reshape(1, N, H, D).to(given)


class _TreeAttention(torch.autograd.Function):
    """Attention in blocks that need no mask: each node in itself, and all below it to the node."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, nodes: list[Node], scale: float
    ) -> Tensor:
        """Returns the output; all of shape ``(K, G, N, D)``."""
        out = _like(query)
        # The logarithm of each query's sum of exponentials, over the keys it has read so far.
        logs = query.new_empty(query.shape[:-1], dtype=_wide(query.dtype))
        for causal, queries, keys in _blocks(nodes):
            part, log = _flash(
                query[:, :, queries], key[:, :, keys], value[:, :, keys], 0.0, causal, scale=scale
            )
            if causal:  # every token's first block
                out[:, :, queries], logs[:, :, queries] = part, log
                continue
            # The new keys' share of the sum of exponentials: e^log / (e^log + e^before).
            before = logs[:, :, queries]
            share = torch.sigmoid(log - before)[..., None].to(part.dtype)
            out[:, :, queries].lerp_(part, share)
            torch.logaddexp(before, log, out=before)
        ctx.save_for_backward(query, key, value, out, logs)
        ctx.nodes, ctx.scale = nodes, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key and value."""
        query, key, value, out, logs = ctx.saved_tensors
        (grad,) = grads
        grad = grad if grad.stride(-1) == 1 else grad.contiguous()
        # The kernel takes the whole's output and logarithm, so each block gives its own summand.
        wholes = [_like(query) for _ in range(3)]
        for causal, queries, keys in _blocks(ctx.nodes):
            parts = _flash_backward(
                grad[:, :, queries],
                query[:, :, queries],
                key[:, :, keys],
                value[:, :, keys],
                out[:, :, queries],
                logs[:, :, queries],
                0.0,
                causal,
                scale=ctx.scale,
            )
            for whole, part, places in zip(wholes, parts, (queries, keys, keys), strict=True):
                if causal:  # these come first, and every token is in one of them
                    whole[:, :, places] = part
                else:
                    whole[:, :, places] += part
        return *wholes, None, None


def _blocks(nodes: list[Node]) -> Iterator[tuple[bool, slice, slice]]:
    """Yields blocks as (causal, queries, keys); first those that every token is in once."""
    for node in nodes:
        own = slice(node.start, node.end)
        yield True, own, own
    for node in nodes:
        if node.end < node.subtree_end:
            yield False, slice(node.end, node.subtree_end), slice(node.start, node.end)


def _like(states: Tensor) -> Tensor:
    """Returns an empty tensor of this shape, laid out ``(N, K, G, D)`` as linear layers lay it."""
    K, G, N, D = states.shape
    return states.new_empty(N, K, G, D).permute(1, 2, 0, 3)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


_PROBE = [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 6, 7], [0, 1, 2, 8, 9], [10, 11, 12]]
"""Sequences that make two trees, of up to three levels."""

_TOLERANCE = 1e-4
"""Largest difference between the two ways, as a share of the largest logit."""

_PERHAPS_ROUNDING = 5e-2
"""Largest difference that may come of rounding: pretrained models of 30 layers carry that of one
product to 1.2e-4 of the largest logit in float32, and to 1.9e-2 in bfloat16."""

_EXACT = 1e-6
"""Largest difference in float64, in which rounding leaves nothing and all else stays."""

_DROPOUTS = ("attention_dropout", "attn_pdrop", "attention_probs_dropout_prob", "attn_dropout")


def enable(model: PreTrainedModel) -> None:
    """Have a model attend over the forest in use, if :func:`can_share` says nothing against it.

    From then on it takes a forest's ``ids`` and ``positions`` as a batch of one row, without mask
    and without cache.
    """
    model.set_attn_implementation(NAME)


def can_share(model: PreTrainedModel, *, longest: int) -> str | None:
    """Returns why a model cannot be trained on shared prefixes, in a sentence; None if it can.

    A few tokens are computed both ways, so a model whose tokens hear of one another by another way
    than attention (states, convolutions, biases by distance) is found out.

    Args:
        model: A model that is not wrapped; its attention is the former one afterwards.
        longest: The number of tokens of the longest sequence to come.
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
    off = _difference(model, longest)
    if isinstance(off, float) and _TOLERANCE < off <= _PERHAPS_ROUNDING:
        off = _exact_difference(model, longest)
    if isinstance(off, str):
        return off
    if off <= _TOLERANCE:
        return None
    return f"its logits would be off by {off:.2%}: its tokens do not read by attention only."


def _exact_difference(model: PreTrainedModel, longest: int) -> float | str:
    """Returns the difference without that of rounding: all is computed in float64, and put back.

    Weights and buffers are afterwards as they were, since float64 holds every shorter number.
    """
    if free_memory(str(model.device)) < 8 * parameters_of(model):
        return "its two ways differ by what may be rounding, and memory to tell is not there."
    tensors = [*model.parameters(), *model.buffers()]
    former = [(tensor, tensor.dtype) for tensor in tensors if tensor.is_floating_point()]
    try:
        for tensor, _ in former:
            tensor.data = tensor.data.double()
        off = _difference(model, longest)
    finally:
        for tensor, dtype in former:
            tensor.data = tensor.data.to(dtype)
    return 0.0 if isinstance(off, float) and off <= _EXACT else off


@torch.no_grad()
def _difference(model: PreTrainedModel, longest: int) -> float | str:
    """Returns how far the logits of a few tokens differ between the two ways.

    Returns:
        The difference as a share of the largest logit; or why the second way is not there.
    """
    vocabulary = int(model.config.vocab_size)
    sequences = [[(17 * token + 5) % vocabulary for token in row] for row in _PROBE]
    probe = forest(sequences)
    training, former = model.training, model.config._attn_implementation
    model.eval()
    try:
        # Each sequence by itself, then all of them in one pass over their forest.
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
    # The forest's logits, gathered by the places of each sequence's tokens, against the plain ones.
    largest = max(float(row.abs().max()) for row in plain)
    off = max(
        float((shared[places] - row).abs().max())
        for row, places in zip(plain, probe.places, strict=True)
    )
    return off / largest


def _logits(model: PreTrainedModel, ids: list[int], positions: Sequence[int]) -> Tensor:
    row = torch.tensor([ids, list(positions)], device=model.device)
    logits: Tensor = model(input_ids=row[:1], position_ids=row[1:], use_cache=False).logits
    return logits[0] if logits.dtype == torch.float64 else logits[0].float()
