"""The loss computed at the output layer, a chunk of positions at a time.

The output layer of a small student is the larger part of its work and of its memory: logits of
16,384 tokens times a vocabulary of 150,000 take 10 GB in float32, and their gradient as much. They
are never all there. For one chunk of trained positions after another, the logits are made, turned
into losses and into the gradients of hidden states and weights, and dropped (as in Liger's fused
linear cross-entropy, arXiv 2410.10989, and Apple's, arXiv 2411.09009, but for any loss)::

    hidden_nD @ weight_VD.T ─▶ logits_nV ─ loss ─▶ nats_n ─ grad ─▶ grad_nV ─▶ grad_nV @ weight_VD
                                                                          └──▶ grad_nV.T @ hidden_nD

That works since the loss of a position depends on its own logits only. All gradients are there
when the forward pass ends; the backward pass multiplies them by the gradient of the sum.

The model itself stays as it is: while the block of :meth:`Head.losses` runs, its output layer takes
hidden states and computes the loss in place of logits.

Shape suffixes: B rows, T tokens, D hidden size, V vocabulary, N trained tokens, n tokens of a
chunk.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CHUNK_LOGITS = 2**24
"""Most logits that stand in memory at once: 64 MiB in float32, a hundred rows of 150,000. With
fewer rows the weight's gradient, read and written for each chunk, takes longer than they do."""

TOLERANCE = 1e-4
"""Largest difference between a model's own logits and ours, as a share of the largest logit."""

LossAt = Callable[[Tensor, slice], Tensor]
"""``(n, V)`` logits and the slice of the N positions that they are of, to ``(n,)`` nats."""

Transform = Callable[[Tensor], Tensor]
"""Logits of the output layer to the model's logits, such as Gemma's soft cap."""


class HeadLoss:
    """The weighted sum of the losses of one forward pass."""

    def __init__(self, finish: Callable[[Tensor], Tensor] | None = None) -> None:
        self._finish = finish
        self.total: Tensor
        """A scalar with a gradient; set once the model has run and :meth:`finish` was called."""

    def finish(self, logits_BTV: Tensor) -> None:
        """Take the model's output; it is looked at only if the output layer made no loss."""
        if self._finish is not None:
            self.total = self._finish(logits_BTV)


class Head:
    """A model's output layer, at which losses are computed.

    Args:
        layer: The output layer; None leaves the model to compute all logits.
        transform: The model's change of its logits after the layer; None if that is not known,
            so that logits are taken from the model's own output, at the trained positions.
    """

    def __init__(self, layer: nn.Linear | None, transform: Transform | None) -> None:
        self._layer, self._transform = layer, transform

    @classmethod
    def of(cls, model: Any, *, chunked: bool = True) -> "Head":
        """Returns a model's head, with the transform that its config names, proved on a few tokens.

        Args:
            model: A causal or encoder-decoder model, which may be wrapped by peft.
            chunked: False where the layer's weights are only there while the model runs, as with
                sharded training.
        """
        layer = model.get_output_embeddings()
        if type(layer) is not nn.Linear:
            return cls(None, None)
        transform = _after_head(model.config)
        return cls(layer, transform if chunked and _proved(model, layer, transform) else None)

    @property
    def chunked(self) -> bool:
        """Whether logits are made chunk by chunk."""
        return self._transform is not None

    @contextmanager
    def losses(
        self,
        positions_N: Tensor,
        weights_N: Tensor,
        compute: LossAt,
        *,
        chunk_logits: int = CHUNK_LOGITS,
    ) -> Iterator[HeadLoss]:
        """Have the model's next forward pass compute losses in place of logits.

        Args:
            positions_N: Trained positions in the model's flattened ``(B * T)`` outputs.
            weights_N: The weight of each position in the sum.
            compute: The loss at some of the positions.
            chunk_logits: Most logits in memory at once.
        """
        layer, transform = self._layer, self._transform
        if layer is None or transform is None:
            with _only_at(layer, positions_N):
                yield HeadLoss(lambda logits: _whole(logits, positions_N, weights_N, compute))
            return
        loss = HeadLoss()

        def forward(hidden_BTD: Tensor) -> Tensor:
            # Prompts and padding have no loss: the layer is computed at trained positions only.
            hidden_ND = hidden_BTD.flatten(0, -2).index_select(0, positions_N)
            rows = max(chunk_logits // layer.out_features, 1)
            if len(hidden_ND) <= rows:  # a tenth faster where the logits are few
                logits_NV = transform(F.linear(hidden_ND, layer.weight, layer.bias))
                loss.total = _weighted(logits_NV, weights_N, compute)
            else:
                loss.total = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
                    hidden_ND, layer.weight, layer.bias, weights_N, (compute, transform, rows)
                )
            # The model goes on with its "logits"; nobody reads them.
            return hidden_BTD.new_zeros(1, 1, layer.out_features)

        layer.forward = forward  # type: ignore[method-assign, assignment]
        try:
            yield loss
        finally:
            del layer.forward


class _ChunkedLoss(torch.autograd.Function):
    """The sum of weighted losses, with all gradients computed on the way forward."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        weights_N: Tensor,
        how: tuple[LossAt, Transform, int],
    ) -> Tensor:
        compute, transform, size = how
        # Sums over chunks are kept in float32, whatever the precision of the products.
        wants_hidden, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        total = hidden_ND.new_zeros((), dtype=torch.float32)
        grad_hidden = torch.empty_like(hidden_ND) if wants_hidden else None
        grad_weight = torch.zeros_like(weight_VD, dtype=torch.float32) if wants_weight else None
        grad_bias = weight_VD.new_zeros(len(weight_VD), dtype=torch.float32) if wants_bias else None
        for first in range(0, len(hidden_ND), size):
            rows = slice(first, min(first + size, len(hidden_ND)))
            # The loss of this chunk, on a graph that begins at its logits.
            logits_nV = F.linear(hidden_ND[rows], weight_VD, bias_V)
            with torch.set_grad_enabled(any(ctx.needs_input_grad)):
                logits_nV.requires_grad_(any(ctx.needs_input_grad))
                nats = (compute(transform(logits_nV), rows) * weights_N[rows]).sum()
            total += nats.detach()
            if not any(ctx.needs_input_grad):
                continue
            # From the logits' gradient to those of the layer's inputs, weight and bias.
            (grad_nV,) = torch.autograd.grad(nats, logits_nV)
            del nats, logits_nV
            if grad_hidden is not None:
                grad_hidden[rows] = torch.mm(grad_nV, weight_VD)
            if grad_weight is not None:
                _add_product(grad_weight, grad_nV.t(), hidden_ND[rows])
            if grad_bias is not None:
                grad_bias += grad_nV.sum(0)
            del grad_nV  # or it would stand beside the next chunk's logits
        ctx.grads = grad_hidden, grad_weight, grad_bias
        ctx.dtypes = hidden_ND.dtype, weight_VD.dtype, weight_VD.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients made on the way forward, times that of the sum; once only."""
        grads = ctx.grads
        del ctx.grads
        scaled = [
            None if computed is None else computed.mul_(grad).to(dtype)
            for computed, dtype in zip(grads, ctx.dtypes, strict=True)
        ]
        return (*scaled, None, None)


def _add_product(into: Tensor, one: Tensor, two: Tensor) -> None:
    """Add a matrix product; where all are of one type the product takes no memory of its own."""
    if into.dtype == one.dtype == two.dtype:
        into.addmm_(one, two)
    else:
        into += torch.mm(one, two)


def _after_head(config: Any) -> Transform:
    """Returns what a model does to its logits after the layer, by the names in its config."""
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma
    scale = getattr(config, "logit_scale", None)  # Cohere
    divisor = getattr(config, "logits_scaling", None)  # Granite

    def transform(logits: Tensor) -> Tensor:
        if scale:
            logits = logits * scale
        if divisor:
            logits = logits / divisor
        return torch.tanh(logits / cap) * cap if cap else logits

    return transform


@torch.no_grad()
def _proved(model: Any, layer: nn.Linear, transform: Transform) -> bool:
    """Whether layer and transform give the model's own logits of a few tokens."""
    # Run the model on four tokens, and keep what its output layer was given.
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    ids = torch.arange(4, device=layer.weight.device)[None] % layer.out_features
    encoder_decoder = model.config.is_encoder_decoder
    training = model.training
    model.eval()
    try:
        logits = model(
            input_ids=ids,
            use_cache=False,
            **({"decoder_input_ids": ids} if encoder_decoder else {}),
        ).logits
    finally:
        hook.remove()
        model.train(training)
    if len(seen) != 1:  # the layer is run several times, or not at all
        return False
    ours = transform(F.linear(seen[0], layer.weight, layer.bias))
    return bool((ours - logits).abs().max() <= TOLERANCE * logits.abs().max())


@contextmanager
def _only_at(layer: nn.Module | None, positions_N: Tensor) -> Iterator[None]:
    """Have a model compute its output layer at some positions only, whatever comes after it."""

    def select(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden_BTD, *rest = inputs
        return (hidden_BTD.flatten(0, 1)[positions_N].unsqueeze(0), *rest)

    if layer is None:
        yield
        return
    hook = layer.register_forward_pre_hook(select)
    try:
        yield
    finally:
        hook.remove()


def _whole(logits_BTV: Tensor, positions_N: Tensor, weights_N: Tensor, compute: LossAt) -> Tensor:
    """Returns the sum from a model's own logits, be they of the trained positions or of all."""
    if logits_BTV.shape[:2] == (1, len(positions_N)):
        return _weighted(logits_BTV[0], weights_N, compute)
    return _weighted(logits_BTV.flatten(0, 1)[positions_N], weights_N, compute)


def _weighted(logits_NV: Tensor, weights_N: Tensor, compute: LossAt) -> Tensor:
    """Returns the sum where all logits stand in memory."""
    return (compute(logits_NV, slice(0, len(weights_N))) * weights_N).sum()
