"""Linear layers whose weights are laid out once for products with few rows.

While text is written, every step multiplies a handful of rows with all weights. On a processor the
library behind torch's products, oneDNN, reads weights in blocks of its own; given plain ones it
lays them out again at every product, which for fewer than some dozens of rows takes as long as the
product. Laid out beforehand, 8 rows of SmolLM2's layers take half the processor time in bfloat16
and two thirds in float32, with the same outcome to the last bit in bfloat16. The plain weights stay
beside, for products with more rows; it is twice the memory. Where oneDNN has no blocks for a format
(bfloat16 with AVX2 alone) the layers are the same and read plain weights, so that a model computes
in the same formats everywhere.

A layer takes rows of another number format than its weights', too: they are rounded for the
product, and what comes of it is of their own format (see
:mod:`potstill.models.local.float32_states`).
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from potstill.models.local.device_memory import free_memory
from potstill.models.local.loading import SMALL_MODEL, parameters_of

MOST_ROWS = 64
"""Rows of a product up to which the laid out weights are read."""

DTYPES = (torch.float32, torch.bfloat16)
"""Number formats that oneDNN has blocks for."""


class WeightBlocks:
    """The weights of a product in oneDNN's blocks, made when they are first needed.

    A copy of a layer gets an empty one of its own.
    """

    def __init__(self) -> None:
        self._made_of: list[tuple[int, int]] = []
        self._blocks: Tensor | None = None

    def blocks(self, *weights: Tensor) -> Tensor:
        """Returns the blocks of weights, one below the other; made anew where one was changed.

        Where oneDNN has none for their format on this processor, they are the plain weights.
        """
        # A weight made in inference mode counts no changes, and is not changed in place.
        now = [(one.data_ptr(), 0 if one.is_inference() else one._version) for one in weights]
        if self._blocks is None or self._made_of != now:
            plain = [weight.detach() for weight in weights]
            whole = plain[0] if len(plain) == 1 else torch.cat(plain)
            self._blocks = whole
            if _has_blocks(whole.dtype):
                self._blocks = torch.ops.mkldnn._reorder_linear_weight(whole, MOST_ROWS)
            self._made_of = now
        return self._blocks

    def __deepcopy__(self, memo: dict[int, Any]) -> "WeightBlocks":
        return WeightBlocks()


class RoundingLinear(nn.Linear):
    """A linear layer that takes rows of any number format, and gives its outcome in theirs."""

    def forward(self, input: Tensor) -> Tensor:  # torch's own name
        """See ``nn.Linear``; rows are rounded to the weights' format for the product."""
        return self._product(input.to(self.weight.dtype)).to(input.dtype)

    def _product(self, rows: Tensor) -> Tensor:
        return F.linear(rows, self.weight, self.bias)


class PackedLinear(RoundingLinear):
    """The same, and it reads laid out weights where a product has few rows."""

    weight_blocks: WeightBlocks

    def _product(self, rows: Tensor) -> Tensor:
        few = rows.numel() <= MOST_ROWS * self.in_features
        if not few or torch.is_grad_enabled():
            return super()._product(rows)
        return _product(rows, self.weight_blocks.blocks(self.weight), self.bias)


class MergedLinear:
    """Layers of one input as one product of few rows, their outcomes side by side.

    Each outcome is that of its own layer to the last bit. The layers themselves keep plain weights
    from then on, so that no weight is laid out twice.

    Args:
        layers: At least two, all with a bias or none.
    """

    def __init__(self, layers: Sequence[PackedLinear]) -> None:
        self._layers: Sequence[nn.Linear] = layers
        self._weight_blocks = WeightBlocks()
        for layer in layers:
            layer.__class__ = RoundingLinear  # type: ignore[assignment]
            del layer.weight_blocks

    def __call__(self, input: Tensor) -> Tensor:
        """Returns the products of at most ``MOST_ROWS`` rows, as of :class:`RoundingLinear`."""
        weights: list[Tensor] = [layer.weight for layer in self._layers]
        biases: list[Tensor] = [layer.bias for layer in self._layers if layer.bias is not None]
        blocks = self._weight_blocks.blocks(*weights)
        rows = input.to(weights[0].dtype)
        return _product(rows, blocks, torch.cat(biases) if biases else None).to(input.dtype)

    def part(self) -> None:
        """Have the layers read laid out weights by themselves again."""
        for layer in self._layers:
            _pack(layer)


def _product(input: Tensor, blocks: Tensor, bias: Tensor | None) -> Tensor:
    if not _has_blocks(blocks.dtype):
        return F.linear(input, blocks, bias)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(input, blocks, bias, "none", [], "")
    return product


def pack_layers(model: nn.Module) -> None:
    """Have a model's linear layers read laid out weights, where that pays and can be had.

    Nothing changes on other devices than processors, for small models, which are in the
    processor's cache, where oneDNN is missing, and where memory for it is.
    """
    weight = next(model.parameters())
    layers = [layer for layer in model.modules() if type(layer) is nn.Linear]
    if weight.device.type != "cpu" or parameters_of(model) < SMALL_MODEL or not _can_pack():
        return
    taken = sum(layer.weight.numel() * layer.weight.element_size() for layer in layers)
    if free_memory("cpu") < 2 * taken:
        return
    for layer in layers:
        if layer.weight.dtype in DTYPES and not layer._forward_hooks:
            _pack(layer)


def _pack(layer: nn.Linear) -> None:
    layer.__class__ = PackedLinear
    layer.weight_blocks = WeightBlocks()  # type: ignore[assignment]


@cache
def _has_blocks(dtype: torch.dtype) -> bool:
    """Whether oneDNN lays out such weights on this processor: bfloat16 ones not with AVX2 alone."""
    return dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _can_pack() -> bool:
    """Whether this torch has the operations, which are no public ones."""
    names = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in names
    )
