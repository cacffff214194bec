"""A step of writing from the layers' own weights is the model's own step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import TEXTS, build_tiny_causal, byte_level_tokenizer
from torch import Tensor
from transformers import MistralConfig, MistralForCausalLM, PreTrainedModel

from potstill.models.local import batching, packed_layers
from potstill.models.local.lean_step import LeanStep
from potstill.models.local.model import HFModel
from potstill.models.local.packed_layers import MOST_ROWS, PackedLinear
from potstill.models.settings import LocalSettings
from potstill.records import Completion, Request

pytestmark = pytest.mark.skipif(
    not packed_layers._can_pack(), reason="this torch has no oneDNN, or another one"
)

HEAD = "\n\n".join(TEXTS[:3])
REQUESTS = [
    Request(
        prompt=prompt,
        samples=tuple(range(place % 3 + 1)),
        temperature=float(place % 2),
        top_logprobs=3,
        max_tokens=6 + place,
    )
    for place, prompt in enumerate(["Q: Why", f"{HEAD} so it is", TEXTS[4], f"{HEAD} Is it?"])
]


@pytest.fixture(autouse=True)
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers of small models are packed, too."""
    monkeypatch.setattr(packed_layers, "SMALL_MODEL", 0)


def mistral(folder: Path, window: int | None) -> Path:
    torch.manual_seed(0)
    tokenizer = byte_level_tokenizer()
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=window,
    )
    MistralForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def folder_of(kind: str, folder: Path) -> Path:
    if kind == "mistral":
        return mistral(folder, None)
    return build_tiny_causal(folder, kind)  # type: ignore[arg-type]


def opened(folder: Path, dtype: str = "float32") -> HFModel:
    settings = LocalSettings(model=f"hf:{folder}", device="cpu", dtype=dtype)  # type: ignore[arg-type]
    return HFModel(settings, source=str(folder))


def own_steps(model: HFModel) -> list[int]:
    """Returns the rows of each step that the model's own forward pass does from now on."""
    rows: list[int] = []

    def note(_: object, __: object, kwargs: dict[str, Tensor]) -> None:
        if kwargs["input_ids"].shape[1] == 1:
            rows.append(len(kwargs["input_ids"]))

    model.model.register_forward_pre_hook(note, with_kwargs=True)
    return rows


def answers(model: HFModel, requests: Sequence[Request] = REQUESTS) -> list[Completion]:
    done = {(one.request, one.sample): one for one in model.complete(requests)}
    return [done[request, sample] for request in requests for sample in request.samples]


def assert_same(ours: Sequence[Completion], theirs: Sequence[Completion], dtype: str) -> None:
    """The same to the last bit in bfloat16; in float32 within the rounding of a short prompt's
    products, which are those of plain weights in the one and of laid out ones in the other."""
    for own, expected in zip(ours, theirs, strict=True):
        assert own.text == expected.text
        assert own.logprobs is not None
        assert expected.logprobs is not None
        np.testing.assert_array_equal(own.logprobs.ids, expected.logprobs.ids)
        off = 0.0 if dtype == "bfloat16" else 1e-5
        np.testing.assert_allclose(
            own.logprobs.logprobs, expected.logprobs.logprobs, rtol=off, atol=off
        )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "mistral"])
@pytest.mark.parametrize("apart", [False, True])
def test_steps_are_those_of_the_model(
    kind: str, dtype: str, apart: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if apart:  # the head stands beside the rows
        monkeypatch.setattr(batching, "LEAST_SAVED", 16)
        monkeypatch.setattr(batching, "APART_SHARE", 1000)
    folder = folder_of(kind, tmp_path)
    lean, own = opened(folder, dtype), opened(folder, dtype)
    own._lean_step = lambda: None  # type: ignore[assignment]
    written = own_steps(own)
    expected = answers(own)
    assert written
    assert lean._lean_step() is not None
    written = own_steps(lean)
    assert_same(answers(lean), expected, dtype)
    assert written == []


def test_many_rows_are_left_to_the_model(tmp_path: Path) -> None:
    model = opened(build_tiny_causal(tmp_path, "qwen2"))
    assert model._lean_step() is not None
    written = own_steps(model)
    many = Request(prompt="Why", samples=tuple(range(MOST_ROWS + 1)), temperature=1.0, max_tokens=3)
    assert len(answers(model, [many])) == MOST_ROWS + 1
    assert max(written) == MOST_ROWS + 1


def merged(model: PreTrainedModel) -> list[bool]:
    layers: Any = model.model.layers
    return [type(layer.self_attn.q_proj) is not PackedLinear for layer in layers]


def test_other_models_have_no_such_step(tmp_path: Path) -> None:
    """Other layers, windows, other attention, and weights that are not laid out."""
    assert LeanStep.of(opened(build_tiny_causal(tmp_path / "gpt2", "gpt2")).model) is None
    assert LeanStep.of(opened(mistral(tmp_path / "window", 24)).model) is None
    eager = opened(build_tiny_causal(tmp_path / "llama", "llama")).model
    eager.set_attn_implementation("eager")
    assert LeanStep.of(eager) is None
    assert merged(eager) == [False, False]


def test_small_models_have_no_such_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_layers, "SMALL_MODEL", 10**9)
    assert LeanStep.of(opened(build_tiny_causal(tmp_path, "llama")).model) is None


def test_a_model_that_computes_otherwise_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class of the same name whose layers do something else keeps its own forward pass."""
    model: Any = opened(build_tiny_causal(tmp_path, "qwen3")).model
    plain = type(model.model.layers[1].mlp).forward
    monkeypatch.setattr(
        type(model.model.layers[1].mlp), "forward", lambda self, x: 1.5 * plain(self, x)
    )
    assert LeanStep.of(model) is None
    assert merged(model) == [False, False]  # laid out each by itself again


def test_a_changed_weight_is_read(tmp_path: Path) -> None:
    folder = build_tiny_causal(tmp_path, "qwen2")
    lean, own = opened(folder), opened(folder)
    own._lean_step = lambda: None  # type: ignore[assignment]
    answers(lean)
    with torch.no_grad():
        for one in (lean, own):
            layers: Any = one.model.model.layers
            layers[0].self_attn.k_proj.weight.mul_(3)
            layers[1].mlp.up_proj.weight.neg_()
    assert_same(answers(lean), answers(own), "float32")
