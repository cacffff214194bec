"""bfloat16 models whose states and logits are float32."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import build_tiny_causal, build_tiny_seq2seq
from torch import Tensor, nn

from potstill.deploy.serving_notes import ServingFacts, vllm_command
from potstill.models import open_model
from potstill.models.local import float32_states, packed_layers
from potstill.models.local.float32_states import use_float32_states
from potstill.models.local.loading import load_model_and_tokenizer
from potstill.models.local.packed_layers import PackedLinear, pack_layers
from potstill.models.settings import LocalSettings
from potstill.records import Request
from potstill.runtime.number_formats import FLOAT32_STATES, served_format

pytestmark = pytest.mark.skipif(
    not packed_layers._can_pack(), reason="this torch has no oneDNN, or another one"
)

IDS = torch.arange(40)[None] * 7 % 200


@pytest.fixture(autouse=True)
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small models are packed, too."""
    monkeypatch.setattr(packed_layers, "SMALL_MODEL", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama whose weights are numbers of bfloat16, as those of most models are."""
    place = build_tiny_causal(tmp_path_factory.mktemp("llama") / "model")
    model = load_model_and_tokenizer(str(place), dtype="bfloat16", device="cpu").model
    model.save_pretrained(place)
    return place


def loaded(folder: Path, dtype: Any = "bfloat16") -> Any:
    model = load_model_and_tokenizer(str(folder), dtype=dtype, device="cpu").model
    pack_layers(model)
    return model


def logits(model: Any) -> Tensor:
    with torch.inference_mode():
        found: Tensor = model(input_ids=IDS).logits
    return found


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_the_largest_logits_are_nearer_to_those_of_float32(
    tmp_path: Path, architecture: Any
) -> None:
    folder = build_tiny_causal(tmp_path / "model", architecture)
    load_model_and_tokenizer(str(folder), dtype="bfloat16", device="cpu").model.save_pretrained(
        folder
    )
    exact, rounded, mixed = (
        logits(loaded(folder, "float32")),
        logits(loaded(folder)),
        loaded(folder),
    )
    assert use_float32_states(mixed)
    found = logits(mixed)
    assert found.dtype == torch.float32 and mixed.dtype == torch.bfloat16
    largest = exact.topk(4).indices
    before, now = (
        (one.float() - exact).gather(-1, largest).pow(2).mean().sqrt() for one in (rounded, found)
    )
    assert now < before / 2


def test_layers_multiply_in_bfloat16_and_give_float32(folder: Path) -> None:
    model = loaded(folder)
    assert use_float32_states(model)
    layer = model.model.layers[0].mlp.up_proj
    assert isinstance(layer, PackedLinear)
    rows = torch.randn(3, layer.in_features)
    with torch.inference_mode():
        found = layer(rows)
        expected = nn.functional.linear(rows.bfloat16(), layer.weight, layer.bias)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected.float(), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("bias", [True, False])
def test_the_largest_logits_are_products_of_float32(
    bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(float32_states, "ROWS_AT_ONCE", 3)
    torch.manual_seed(1)
    holder = nn.Sequential(nn.Linear(64, 500, bias=bias).bfloat16())
    pack_layers(holder)
    head: Any = holder[0]
    head.__class__ = float32_states.NearHead
    states = torch.randn(2, 4, 64)
    with torch.inference_mode():
        found = head(states)
        exact = states @ head.weight.float().T + (head.bias.float() if bias else 0)
    assert found.shape == exact.shape
    torch.testing.assert_close(found.topk(4).values, exact.topk(4).values, rtol=1e-5, atol=1e-5)
    assert torch.equal(found.argmax(-1), exact.argmax(-1))
    torch.testing.assert_close(found, exact, rtol=2e-2, atol=2e-2)


def test_a_model_that_cannot_stays_as_it_was(tmp_path: Path) -> None:
    """GPT-2's products are of layers of its own, which take no rows of another format."""
    folder = build_tiny_causal(tmp_path / "model", "gpt2")
    model = loaded(folder)
    expected = logits(model)
    assert not use_float32_states(model)
    assert type(model.get_output_embeddings()) is PackedLinear
    assert {one.dtype for one in model.parameters()} == {torch.bfloat16}
    assert torch.equal(logits(model), expected)


def test_a_model_that_computes_otherwise_then_stays_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded(folder)
    expected = logits(model)
    monkeypatch.setattr(float32_states, "TOLERANCE", -1.0)
    assert not use_float32_states(model)
    assert torch.equal(logits(model), expected)


def test_others_are_left_alone(folder: Path, tmp_path: Path) -> None:
    assert not use_float32_states(loaded(folder, "float32"))
    assert not use_float32_states(nn.Linear(2, 2))
    assert not use_float32_states(loaded(build_tiny_seq2seq(tmp_path / "t5")))
    unpacked = load_model_and_tokenizer(str(folder), dtype="bfloat16", device="cpu").model
    assert not use_float32_states(unpacked)


def test_answers_are_those_of_float32_and_the_format_is_named(folder: Path) -> None:
    asked = [Request(prompt=f"Anna has {count} apples", max_tokens=12) for count in range(20)]
    exact = open_model(LocalSettings(model=f"hf:{folder}", device="cpu", dtype="float32"))
    mixed = open_model(LocalSettings(model=f"hf:{folder}", device="cpu", dtype="bfloat16"))
    texts = [{one.request: one.text for one in model.complete(asked)} for model in (exact, mixed)]
    same = sum(texts[0][request] == texts[1][request] for request in asked)
    assert same >= 19
    assert (exact.number_format, mixed.number_format) == ("float32", FLOAT32_STATES)


def test_servers_come_nearest_in_float32() -> None:
    assert served_format(FLOAT32_STATES) == "float32"
    assert [served_format(name) for name in ("bfloat16", "float32")] == ["bfloat16", "float32"]
    facts = ServingFacts(
        name="pens", stop=(), max_tokens=8, context=64, number_format=FLOAT32_STATES, exact=True
    )
    assert " --dtype float32 " in vllm_command(facts, Path("out"))
