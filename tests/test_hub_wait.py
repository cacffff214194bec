"""A hub is waited for, be it out of reach, only after it was said."""

import logging
from pathlib import Path

import pytest
import transformers
from huggingface_hub import constants
from tiny_models import build_tiny_causal

from potstill.errors import ModelError
from potstill.models.local import loading
from potstill.models.settings import LocalSettings


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    loading._tell_of_hub.cache_clear()


def out_of_reach(caplog: pytest.LogCaptureFixture, said: list[str]) -> object:
    def ask(*_: object, **__: object) -> None:
        said.append(caplog.text)
        raise OSError("the hub is out of reach")

    return ask


@pytest.mark.parametrize("door", ["identity", "config", "weights", "server's tokenizer"])
def test_what_is_looked_for_is_said_before_it_is_waited_for(
    door: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []
    ask = out_of_reach(caplog, said)
    for reader in (transformers.AutoConfig, transformers.AutoTokenizer):
        monkeypatch.setattr(reader, "from_pretrained", ask)
    monkeypatch.setattr(loading, "check_weight_files", ask)
    settings = LocalSettings(model="hf:nobody/at-all")
    with caplog.at_level(logging.WARNING), pytest.raises(ModelError, match="out of reach"):
        if door == "identity":
            settings.identity(content=False)
        elif door == "config":
            loading.load_config(settings)
        elif door == "weights":
            loading.load_model_and_tokenizer(settings.source)
        else:
            from potstill.models.openai.chat_templates import templated

            templated("nobody/at-all", [])
    assert "looking for nobody/at-all on the hub ..." in said[0]
    assert caplog.text.count("looking for") == 1, "said once"


def test_of_a_folder_or_offline_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = build_tiny_causal(tmp_path / "m", "qwen2")
    with caplog.at_level(logging.WARNING):
        loading.load_config(LocalSettings(model=f"hf:{folder}"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(ModelError):
            loading.load_config(LocalSettings(model="hf:nobody/at-all"))
    assert "looking for" not in caplog.text
