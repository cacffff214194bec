"""Starts that cannot be trained as the recipe says are refused before anything is asked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner
from tiny_models import build_tiny_causal, build_tiny_seq2seq
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

import potstill.models.local.saving
from potstill.cli import main
from potstill.errors import ConfigError, ModelError
from potstill.models.local.loading import load_model_and_tokenizer
from potstill.models.settings import LocalSettings
from potstill.records import Example, Question, System
from potstill.train.lora import add_lora
from potstill.train.precision import trained_rate
from potstill.train.settings import LoraSettings, StudentSettings, TrainSettings
from potstill.train.start_checks import check_starts, start_shape
from potstill.train.student import train_student

QUESTIONS = [Question(id=str(n), text=f"What is {n} times 7?", answer=str(7 * n)) for n in (2, 3)]


def check(folder: Path, *, device: str = "cpu", **changes: object) -> None:
    values = {"students": {"r": {"data_format": "fine_tune_cot"}}, "steps": 2, **changes}
    start = LocalSettings(model=f"hf:{folder}", device=device)
    settings = TrainSettings.model_validate(values)
    students = {system: one.settled(chat=False) for system, one in settings.sweep().items()}
    check_starts(settings, students, {System("r"): start}, QUESTIONS)


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen3"])
def test_sound_starts_pass(tmp_path: Path, architecture: str) -> None:
    check(build_tiny_causal(tmp_path, architecture), lora={})  # type: ignore[arg-type]


def test_a_sound_encoder_decoder_passes(tmp_path: Path) -> None:
    check(build_tiny_seq2seq(tmp_path), lora={})


def without_end_token(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", eos_token=None)


def with_added_tokens(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<tool>", "What"])
    tokenizer.save_pretrained(folder)


def with_a_new_end_token(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"eos_token": "<|new|>"})
    tokenizer.save_pretrained(folder)


def with_a_torn_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"model": ')


def with_an_unknown_model_type(folder: Path) -> None:
    edit(folder / "config.json", model_type="no_such_model", architectures=["NoSuch"])


def with_a_shape_that_cannot_be(folder: Path) -> None:
    edit(folder / "config.json", num_attention_heads=3)


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (without_end_token, "no end-of-sequence token"),
        (with_added_tokens, "has 2 tokens that the model has no embedding for"),
        (with_a_new_end_token, "1 tokens that the model has no embedding for, the first '<|new|>'"),
        (with_a_torn_tokenizer, "cannot be loaded"),
        (with_an_unknown_model_type, "no_such_model"),
        (with_a_shape_that_cannot_be, "cannot be"),
        (without_weights, "no weights"),
    ],
)
def test_a_start_that_cannot_be_trained_is_refused(
    tmp_path: Path, harm: Callable[[Path], None], message: str
) -> None:
    folder = build_tiny_causal(tmp_path, "llama")
    harm(folder)
    with pytest.raises((ConfigError, ModelError), match=message) as caught:
        check(folder)
    assert "\n" not in str(caught.value)


def test_special_tokens_that_no_text_holds_may_lie_beyond_the_embedding(tmp_path: Path) -> None:
    folder = build_tiny_causal(tmp_path, "llama")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.save_pretrained(folder)
    check(folder)


def test_a_chat_template_is_tried_on_the_questions(tmp_path: Path) -> None:
    students = {"r": {"data_format": "chat"}}
    plain, chat = (
        build_tiny_causal(tmp_path / name, chat=name == "chat") for name in ("a", "chat")
    )
    check(chat, students=students)
    with pytest.raises(ModelError, match="no chat template"):
        check(plain, students=students)
    (chat / "chat_template.jinja").write_text("{{ raise_exception('users only on Mondays') }}")
    with pytest.raises(ModelError, match=r"chat template refuses.*users only on Mondays"):
        check(chat, students=students)


def test_questions_that_leave_no_room_are_refused(tmp_path: Path) -> None:
    folder = build_tiny_causal(tmp_path)
    with pytest.raises(ConfigError, match="max_length is 4, and of 2 questions"):
        check(folder, max_length=4)


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    folder = build_tiny_causal(tmp_path)
    with pytest.raises(ModelError, match="'cuda:77' cannot be used"):
        check(folder, device="cuda:77")
    with pytest.raises(ModelError, match="'graphics' cannot be used"):
        check(folder, device="graphics")


# Low-rank additions


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_causal(tmp_path_factory.mktemp("gpt2"), "gpt2")


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (["c_attn", "lm_head"], "lm_head shares its weight with transformer.wte"),
        (["wte"], "transformer.wte shares its weight with lm_head"),
        (["c_atn"], "c_atn.*Its linear layers are c_attn, c_fc, c_proj, lm_head"),
        (["c_attn", "q_proj"], "names 'q_proj', and the model has no such layer"),
        (["ln_1"], "not supported"),
    ],
)
def test_layers_that_cannot_have_an_addition_are_refused(
    gpt2: Path, tmp_path: Path, modules: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check(gpt2, lora={"target_modules": modules})
    assert "\n" not in str(caught.value)
    student = StudentSettings(start=LocalSettings(model=f"hf:{gpt2}", device="cpu"))
    lora = TrainSettings(steps=1, lora=LoraSettings(target_modules=tuple(modules)))
    with pytest.raises(ConfigError, match=message):
        train_student(student, [Example(prompt="a", target=" b")], lora, tmp_path)


def test_a_shared_embedding_of_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    folder = build_tiny_seq2seq(tmp_path)
    with pytest.raises(ConfigError, match="shares its weight with"):
        check(folder, lora={"target_modules": ["shared"]})


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        result: torch.Tensor = model(input_ids=torch.arange(20)[None] + 30).logits
    return result


@pytest.mark.parametrize("modules", [None, ["q_proj", "lm_head"], ["embed_tokens"], ["lm_head"]])
def test_the_saved_model_computes_what_the_trained_one_did(
    tmp_path: Path, modules: list[str] | None
) -> None:
    """The head and the embeddings can each have an addition if a model does not tie them."""
    folder = build_tiny_causal(tmp_path, "llama")
    model = load_model_and_tokenizer(str(folder), dtype="float32", device="cpu").model
    torch.manual_seed(0)
    chosen = tuple(modules) if modules else None
    wrapped = add_lora(model, LoraSettings(rank=4, target_modules=chosen))
    for name, weight in wrapped.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.1)
    wrapped.eval()
    trained = logits(wrapped)
    wrapped.merge_and_unload().save_pretrained(tmp_path / "saved")  # type: ignore[operator]
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").eval()
    assert not torch.allclose(trained, logits(AutoModelForCausalLM.from_pretrained(folder).eval()))
    torch.testing.assert_close(logits(saved), trained, rtol=1e-4, atol=1e-4)


# The commands


def tied_recipe(tmp_path: Path, student: Path, **train: object) -> Path:
    rows = [
        {"question": f"What is {n} times 7?", "answer": str(7 * n), "split": split}
        for n, split in enumerate(["train", "train", "dev", "test"], start=2)
    ]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = {
        "task": {"file": str(tmp_path / "q.jsonl")},
        "teacher": "bundled:teacher",
        "student": {"model": f"hf:{student}", "device": "cpu"},
        "train": {"steps": 2, **train},
        "run": str(tmp_path / "run"),
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_run_refuses_before_the_teacher_is_asked(gpt2: Path, tmp_path: Path) -> None:
    recipe = tied_recipe(tmp_path, gpt2, lora={"target_modules": ["lm_head"]})
    result = CliRunner().invoke(main, ["run", str(recipe)])
    assert result.exit_code == 2
    assert "shares its weight with transformer.wte" in result.stderr
    assert "rationales" not in result.output


def test_every_start_of_a_sweep_is_looked_at(gpt2: Path, tmp_path: Path) -> None:
    bad = build_tiny_causal(tmp_path / "bad", "llama")
    without_end_token(bad)
    starts = {"one": f"hf:{gpt2}", "two": {"model": f"hf:{bad}", "device": "cpu"}}
    recipe = tied_recipe(tmp_path, gpt2, starts=starts)
    result = CliRunner().invoke(main, ["run", str(recipe)])
    assert result.exit_code == 2
    assert "no end-of-sequence token" in result.stderr


def test_a_tied_model_of_one_folder_is_told_by_its_config() -> None:
    """Building on the meta device ties what loading ties."""
    shape: dict[str, Any] = {"vocab_size": 50, "hidden_size": 8, "intermediate_size": 8}
    shape |= {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    for tied in (True, False):
        config = LlamaConfig(**shape, tie_word_embeddings=tied)
        with torch.device("meta"):
            model = LlamaForCausalLM(config)
        settings = LoraSettings(target_modules=("lm_head",))
        if tied:
            with pytest.raises(ConfigError, match="shares its weight"):
                add_lora(model, settings)
        else:
            add_lora(model, settings)


def test_a_shape_is_told_without_weights_and_keeps_the_starts_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(potstill.models.local.saving, "SMALL_MODEL", 0)
    folder = build_tiny_causal(tmp_path, "llama")
    edit(folder / "config.json", dtype="bfloat16")
    shape = start_shape(LocalSettings(model=f"hf:{folder}", device="cpu"), None)
    whole = load_model_and_tokenizer(str(folder), device="cpu").model
    assert shape.parameters == shape.trained == sum(one.numel() for one in whole.parameters())
    assert (shape.stored_bytes, shape.layers, shape.width) == (2, 2, 32)
    # The first call of a process, which took 9 seconds, says nothing of the steps after it.
    clock = iter([0.0, 9.0, 10.0, 10.5, 11.0, 11.25, 12.0, 12.4])
    with monkeypatch.context() as patched:
        patched.setattr("potstill.train.precision.time.perf_counter", lambda: next(clock))
        assert trained_rate(shape.with_random_weights(), 20) == 20 / 0.25
