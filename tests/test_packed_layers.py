"""Weights that are laid out once for products with few rows."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from potstill.models.local import packed_layers
from potstill.models.local.packed_layers import MOST_ROWS, PackedLinear, pack_layers

available = pytest.mark.skipif(
    not packed_layers._can_pack(), reason="this torch has no oneDNN, or another one"
)


@pytest.fixture(autouse=True)
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small layers are packed, too."""
    monkeypatch.setattr(packed_layers, "SMALL_MODEL", 0)


def packed(dtype: torch.dtype = torch.float32, *, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(48, 80, bias=bias).to(dtype))
    pack_layers(model)
    layer = model[0]
    assert isinstance(layer, PackedLinear)
    return layer


def product(layer: nn.Linear, rows: Tensor) -> Tensor:
    with torch.inference_mode():
        return layer(rows)  # type: ignore[no-any-return]


@available
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 48), (3, 1, 48), (2, 7, 48), (MOST_ROWS + 1, 48)])
def test_products_are_those_of_plain_weights(
    shape: tuple[int, ...], dtype: torch.dtype, bias: bool
) -> None:
    layer, rows = packed(dtype, bias=bias), torch.randn(shape).to(dtype)
    expected = F.linear(rows, layer.weight, layer.bias)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(product(layer, rows), expected, rtol=tolerance, atol=tolerance)


@available
def test_few_rows_read_the_laid_out_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = packed()
    plain: list[int] = []

    def counted(rows: Tensor, *rest: Tensor) -> Tensor:
        plain.append(len(rows))
        return torch.zeros(len(rows), 80)

    monkeypatch.setattr("potstill.models.local.packed_layers.F.linear", counted)
    product(layer, torch.ones(MOST_ROWS, 48))
    product(layer, torch.ones(MOST_ROWS + 1, 48))
    layer(torch.ones(2, 48))  # a gradient may be wanted
    assert plain == [MOST_ROWS + 1, 2]


@available
def test_plain_weights_serve_where_the_processor_has_no_blocks_for_a_format(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packed_layers, "_has_blocks", lambda dtype: dtype == torch.float32)
    layer, rows = packed(torch.bfloat16), torch.randn(2, 48, dtype=torch.bfloat16)
    expected = F.linear(rows, layer.weight, layer.bias)
    assert product(layer, rows).equal(expected)
    merged = packed_layers.MergedLinear([layer, packed(torch.bfloat16)])  # type: ignore[list-item]
    with torch.inference_mode():
        torch.testing.assert_close(merged(rows)[:, :80], expected)


@available
def test_a_changed_weight_is_laid_out_anew() -> None:
    layer, rows = packed(), torch.ones(2, 48)
    before = product(layer, rows)
    with torch.no_grad():
        layer.weight.mul_(2)
        layer.bias.mul_(2)
    torch.testing.assert_close(product(layer, rows), 2 * before)


@available
def test_a_copy_reads_its_own_weights() -> None:
    layer, rows = packed(), torch.ones(2, 48)
    before = product(layer, rows)
    other = copy.deepcopy(layer)
    with torch.no_grad():
        other.weight.zero_()
        other.bias.zero_()
    assert product(other, rows).abs().max() == 0
    torch.testing.assert_close(product(layer, rows), before)


@available
def test_weights_made_in_inference_mode_are_laid_out_too() -> None:
    layer, rows = packed(), torch.ones(2, 48)
    with torch.inference_mode():
        other = copy.deepcopy(layer)
        torch.testing.assert_close(other(rows), product(layer, rows))


def test_layers_stay_plain_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_layers, "free_memory", lambda _: 48 * 80 * 4)
    model = nn.Sequential(nn.Linear(48, 80))
    pack_layers(model)
    assert type(model[0]) is nn.Linear


def test_small_models_stay_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_layers, "SMALL_MODEL", 10_000)
    model = nn.Sequential(nn.Linear(48, 80))
    pack_layers(model)
    assert type(model[0]) is nn.Linear
