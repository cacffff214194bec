"""Additions to a start's weights: their kinds, what is kept and merged, weights in 4 bits."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_training_values import small_recipe
from tiny_models import (
    Architecture,
    build_tiny_causal,
    build_tiny_seq2seq,
    byte_level_tokenizer,
)
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from potstill.errors import ConfigError, MissingExtraError, ModelError
from potstill.merge.members import merge_models
from potstill.models import open_model
from potstill.models.local.loading import load_model_and_tokenizer, parameters_of
from potstill.models.settings import LocalSettings
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.records import Example, Request
from potstill.runtime.progress import Meter
from potstill.train.reporter import TrainProgress
from potstill.train.settings import LoraSettings, PrefixSettings, StudentSettings, TrainSettings
from potstill.train.student import TrainedStudent, train_student

IDS = torch.tensor([[5, 9, 40, 41, 42, 7]])


def examples(count: int = 16) -> list[Example]:
    return [
        Example(prompt=f"Say {n}:", target=f" so it is {n % 3}", question_id=str(n))
        for n in range(count)
    ]


def trained(
    start: Path, folder: Path, added: LoraSettings | PrefixSettings, **options: Any
) -> TrainedStudent:
    of = "lora" if isinstance(added, LoraSettings) else "prefix"
    values = {"steps": 4, "batch_size": 4, "checkpoints": 2, "learning_rate": 0.05, of: added}
    settings = TrainSettings.model_validate({"precision": "float32", **values})
    student = StudentSettings(
        start=LocalSettings(model=f"hf:{start}", device="cpu"), data_format="fine_tune_cot"
    )
    return train_student(student, examples(), settings, folder, **options)


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=IDS).logits  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")  # peft asks by a former name
@pytest.mark.parametrize(
    ("kind", "architecture"),
    [("rslora", "qwen3"), ("dora", "llama"), ("ia3", "llama"), ("ia3", "qwen2")],
)
def test_every_kind_is_trained_kept_and_merged(
    tmp_path: Path, kind: Any, architecture: Architecture
) -> None:
    from peft import PeftModel

    start = build_tiny_causal(tmp_path / "start", architecture)
    student = trained(start, tmp_path / "out", LoraSettings(kind=kind, rank=4))
    assert 0 < student.trained_parameters < student.parameters / 3
    *_, (_, checkpoint) = student.checkpoints
    base = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    before = logits(base)
    wrapped = PeftModel.from_pretrained(base, checkpoint / "adapter")
    merged = load_model_and_tokenizer(str(checkpoint), dtype="float32", device="cpu").model
    torch.testing.assert_close(logits(merged), logits(wrapped), rtol=1e-4, atol=1e-4)
    assert (logits(merged) - before).abs().max() > 1e-3


def test_an_interrupted_training_of_factors_goes_on(tmp_path: Path) -> None:
    start = build_tiny_causal(tmp_path / "start", "llama")
    lora = LoraSettings(kind="ia3")
    whole = trained(start, tmp_path / "whole", lora)

    def stop(progress: TrainProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(start, tmp_path / "cut", lora, on_step=stop)
    again = trained(start, tmp_path / "cut", lora)
    for one, other in zip(whole.checkpoints, again.checkpoints, strict=True):
        models = [load_model_and_tokenizer(str(place)).model for _, place in (one, other)]
        assert torch.equal(logits(models[0]), logits(models[1]))


def test_kinds_that_do_not_fit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="leave target_modules out"):
        LoraSettings(kind="ia3", target_modules=("q_proj",))
    with pytest.raises(ValueError, match="kind is dora"):
        LoraSettings(kind="dora", quantize="4bit")
    start = build_tiny_causal(tmp_path / "start", "qwen3")
    known = "peft.tuners.ia3.model.TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING"
    monkeypatch.setattr(known, {})
    monkeypatch.setattr("peft.tuners.ia3.model.IA3Model.target_module_mapping", {}, raising=False)
    with pytest.raises(ConfigError, match="no layers of qwen3 models"):
        trained(start, tmp_path / "out", LoraSettings(kind="ia3"))


def test_the_package_for_4_bits_is_asked_for_before_the_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    recipe = load_recipe(small_recipe(tmp_path, steps=1, lora={"quantize": "4bit"}))
    with (
        Run(recipe, Meter(None)) as run,
        pytest.raises(MissingExtraError, match=r"pip install 'potstill\[qlora\]'"),
    ):
        run.check()


def test_a_student_of_weights_in_4_bits_is_the_one_that_was_trained(tmp_path: Path) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    tokenizer = byte_level_tokenizer()
    shape: dict[str, Any] = {
        "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 128,
    }  # fmt: skip
    config = LlamaConfig(vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, **shape)
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "start")
    tokenizer.save_pretrained(tmp_path / "start")
    student = trained(tmp_path / "start", tmp_path / "out", LoraSettings(rank=4, quantize="4bit"))
    assert student.parameters == parameters_of(model)
    *_, (_, checkpoint) = student.checkpoints
    merged = load_model_and_tokenizer(str(checkpoint), dtype="float32", device="cpu").model
    assert not hasattr(merged.config, "quantization_config")
    layers = [module for module in merged.modules() if isinstance(module, torch.nn.Linear)]
    assert not any(isinstance(layer, bitsandbytes.nn.Linear4bit) for layer in layers)
    # Without the additions the weights are those that 4 bits stand for: near, and not the same.
    moved = (logits(merged) - logits(model)).abs().max()
    assert moved > 1e-3
    answers = open_model(LocalSettings(model=f"hf:{checkpoint}", device="cpu")).complete(
        [Request(prompt="Say 1:", max_tokens=4)]
    )
    assert [answer.error for answer in answers] == [None]


# a learned prefix


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainedStudent]:
    """A start, and a student of it with a learned prefix."""
    folder = tmp_path_factory.mktemp("prefixed")
    start = build_tiny_causal(folder / "start", "qwen3")
    return start, trained(start, folder / "out", PrefixSettings(tokens=6))


def test_a_prefix_alone_is_trained_and_read_by_every_token(
    prefixed: tuple[Path, TrainedStudent],
) -> None:
    start, student = prefixed
    base = load_model_and_tokenizer(str(start), dtype="float32", device="cpu").model
    config = base.config
    a_layer = 2 * 6 * config.num_key_value_heads * config.head_dim
    assert student.trained_parameters == config.num_hidden_layers * a_layer
    *_, (_, checkpoint) = student.checkpoints
    model = load_model_and_tokenizer(str(checkpoint), dtype="float32", device="cpu").model
    assert (logits(model) - logits(base)).abs().amax(-1).min() > 1e-3  # the first token, too
    for name, weight in base.state_dict().items():
        assert torch.equal(weight, model.state_dict()[name])


def test_a_prefix_is_read_alike_in_a_batch_token_by_token_and_at_once(
    prefixed: tuple[Path, TrainedStudent],
) -> None:
    *_, (_, checkpoint) = prefixed[1].checkpoints
    settings = LocalSettings(model=f"hf:{checkpoint}", device="cpu")
    prompts = ["Say 1:", "Say 12345, and say it once more:", "Anna has 3"]
    requests = [Request(prompt=prompt, max_tokens=6) for prompt in prompts]
    together = {one.request.prompt: one.text for one in open_model(settings).complete(requests)}
    loaded = load_model_and_tokenizer(str(checkpoint), dtype="float32", device="cpu")
    for request in requests:
        (alone,) = open_model(settings).complete([request])
        assert alone.text == together[request.prompt] and alone.error is None
        ids = loaded.tokenizer(str(request.prompt), return_tensors="pt")["input_ids"]
        assert isinstance(ids, torch.Tensor)
        begin = ids.shape[1]
        with torch.inference_mode():
            for _ in range(alone.completion_tokens):  # anew from the first token, without a cache
                following = loaded.model(input_ids=ids, use_cache=False).logits[0, -1].argmax()
                ids = torch.cat([ids, following.view(1, 1)], dim=1)
        written = loaded.tokenizer.decode(ids[0, begin:], skip_special_tokens=True)
        assert str(written).startswith(alone.text)


def test_checkpoints_of_a_prefix_are_told_apart_and_refused_by_others(
    prefixed: tuple[Path, TrainedStudent],
) -> None:
    names = {
        LocalSettings(model=f"hf:{place}", device="cpu").identity().name
        for _, place in prefixed[1].checkpoints
    }
    assert len({name.rpartition("@")[2] for name in names}) == 2
    *_, (_, checkpoint) = prefixed[1].checkpoints
    config = json.loads((checkpoint / "config.json").read_text())
    assert config["architectures"] == ["PotstillLearnedPrefix"] and config["learned_prefix"] == 6
    with pytest.raises(ConfigError, match="has a learned prefix"):
        merge_models([checkpoint, checkpoint], lambda *_: pytest.fail("nothing is merged"))


def test_an_interrupted_training_of_a_prefix_goes_on(
    prefixed: tuple[Path, TrainedStudent], tmp_path: Path
) -> None:
    start, whole = prefixed

    def stop(progress: TrainProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(start, tmp_path, PrefixSettings(tokens=6), on_step=stop)
    again = trained(start, tmp_path, PrefixSettings(tokens=6))
    for (_, one), (_, other) in zip(whole.checkpoints, again.checkpoints, strict=True):
        first, second = (load_file(place / "learned_prefix.safetensors") for place in (one, other))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_prefix_that_is_lost_and_models_without_one_are_refused(
    prefixed: tuple[Path, TrainedStudent], tmp_path: Path
) -> None:
    *_, (_, checkpoint) = prefixed[1].checkpoints
    shutil.copytree(checkpoint, tmp_path / "lost")
    (tmp_path / "lost" / "learned_prefix.safetensors").unlink()
    (tmp_path / "lost" / "checksums.json").unlink(missing_ok=True)
    with pytest.raises(ModelError, match=r"learned_prefix\.safetensors"):
        load_model_and_tokenizer(str(tmp_path / "lost"))
    t5 = build_tiny_seq2seq(tmp_path / "t5")
    with pytest.raises(ConfigError, match=r"t5 models cannot have a learned prefix"):
        trained(t5, tmp_path / "out", PrefixSettings())
    with pytest.raises(ValueError, match="lora and prefix are both given"):
        TrainSettings(lora=LoraSettings(), prefix=PrefixSettings())
