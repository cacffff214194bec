"""A student that trains in bfloat16 writes with weights that are rounded once a round."""

from pathlib import Path

import pytest
import torch
from dense_scorer import DenseScorer
from test_on_policy import on_policy, settings, trained
from tiny_models import build_tiny_causal
from transformers import PreTrainedModel

from potstill.models.local import packed_layers
from potstill.models.local.loading import load_model_and_tokenizer
from potstill.models.local.packed_layers import PackedLinear
from potstill.models.settings import LocalSettings
from potstill.store import Store
from potstill.train.on_policy import on_policy_trainer, student_writer
from potstill.train.on_policy.student_writer import rounded


@pytest.fixture(autouse=True)
def _no_model_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (packed_layers, student_writer):
        monkeypatch.setattr(module, "SMALL_MODEL", 1)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_a_round_is_written_as_the_rounded_checkpoint_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    copies = []

    def watched(model: PreTrainedModel) -> PreTrainedModel:
        copies.append(rounded(model))
        return copies[-1]

    monkeypatch.setattr(on_policy_trainer, "rounded", watched)
    start = build_tiny_causal(tmp_path / "start", "llama")
    scorer = DenseScorer(build_tiny_causal(tmp_path / "teacher", "qwen3", seed=1))
    values = settings({"own": on_policy(samples=2)}, precision=precision)
    first, _ = trained(tmp_path / "run", start, scorer, values)
    assert len(copies) == (2 if precision == "bfloat16" else 0)
    place = {"model": f"hf:{tmp_path / 'run' / first.folder}", "device": "cpu", "dtype": precision}
    after = LocalSettings.model_validate(place).open()
    with Store(tmp_path / "run" / "run.sqlite", read_only=True) as store:
        texts = [one.completion for one in store.pool(("train",)) if ":2" in one.model[-2:]]
    assert len(texts) == 12
    for completion in texts:
        (again,) = after.complete([completion.request])
        assert again.text == completion.text


def test_the_weights_in_training_stay_as_they_are(tmp_path: Path) -> None:
    place = build_tiny_causal(tmp_path / "start", "llama")
    model = load_model_and_tokenizer(str(place), dtype="float32", device="cpu").model
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    around = model.forward
    model.forward = around  # as accelerate leaves it
    model.train()
    copy = rounded(model)
    for name, weight in copy.named_parameters():
        if weight.dim() > 1:
            assert weight.dtype == torch.bfloat16
            assert torch.equal(weight, before[name].to(torch.bfloat16))
        assert not weight.requires_grad
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]) and weight.requires_grad
    assert any(isinstance(layer, PackedLinear) for layer in copy.modules())
    assert not any(isinstance(layer, PackedLinear) for layer in model.modules())
    assert model.training and not copy.training
    assert model.__dict__["forward"] == around and "forward" not in copy.__dict__
    inverse = "model.rotary_emb.inv_freq"
    assert torch.equal(dict(copy.named_buffers())[inverse], dict(model.named_buffers())[inverse])
