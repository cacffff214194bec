"""What prompts begin with is computed once, and changes nothing that is written."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import TEXTS, build_tiny_causal, byte_level_tokenizer
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
)

from potstill.models import prefixes
from potstill.models.hf import HFModel
from potstill.models.settings import LocalSettings
from potstill.records import Completion, Request

EXEMPLARS = [text.replace("3", str(place)) for place, text in enumerate(TEXTS[:2] * 3)]
HEAD = "\n\n".join(EXEMPLARS)
OTHER_HEAD = "\n\n".join(EXEMPLARS[:3] + EXEMPLARS[4:])
"""One exemplar left out."""

QUESTIONS = ["Is it?", "How many apples?", "Tom flips the coin.", "6 * 5 =", "Why", "so it is", "x"]
PROMPTS = [
    *(f"{HEAD}\n\nQ: {question}\nA:" for question in QUESTIONS),
    *(f"{OTHER_HEAD}\n\nQ: {question}\nA:" for question in QUESTIONS[:3]),
    "Q: short",
    TEXTS[4],
]
SIZES = {"num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2}
Seen = list[tuple[int, int]]
Make = Callable[[str], HFModel]


def others(kind: str, vocab_size: int) -> PreTrainedModel:
    """Architectures that mask, count or weigh places in ways of their own."""
    shape = {"vocab_size": vocab_size, "hidden_size": 32, "intermediate_size": 48, **SIZES}
    if kind == "mistral":  # every layer reads the last 24 tokens only
        return MistralForCausalLM(MistralConfig(**shape, sliding_window=24))
    if kind == "gemma2":  # every second layer does, and scores are capped
        return Gemma2ForCausalLM(Gemma2Config(**shape, sliding_window=24, head_dim=8))
    if kind == "opt":
        return OPTForCausalLM(
            OPTConfig(
                vocab_size=vocab_size,
                hidden_size=32,
                ffn_dim=48,
                num_attention_heads=4,
                num_hidden_layers=2,
                word_embed_proj_dim=32,
                max_position_embeddings=512,
            )
        )
    assert kind == "bloom"  # takes no positions: biases by distance
    return BloomForCausalLM(BloomConfig(vocab_size=vocab_size, hidden_size=32, n_layer=2, n_head=4))


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    folders: dict[str, Path] = {}

    def opened(kind: str) -> HFModel:
        if kind not in folders:
            folder = folders[kind] = tmp_path_factory.mktemp(kind)
            if kind in ("llama", "gpt2", "qwen2", "qwen3"):
                build_tiny_causal(folder, kind)  # type: ignore[arg-type]
            else:
                torch.manual_seed(0)
                tokenizer = byte_level_tokenizer()
                model = others(kind, len(tokenizer))
                model.get_output_embeddings().weight.data.mul_(8.0)
                model.config.eos_token_id = model.generation_config.eos_token_id = 0
                model.save_pretrained(folder)
                tokenizer.save_pretrained(folder)
        return opened_at(folders[kind])

    return opened


def opened_at(folder: Path, batch_tokens: int = 16_384) -> HFModel:
    settings = LocalSettings(
        model=f"hf:{folder}", device="cpu", dtype="float32", batch_tokens=batch_tokens
    )
    return HFModel(settings, source=str(folder))


def seen_by(model: HFModel) -> Seen:
    """Rows and tokens of each forward pass to come."""
    seen: Seen = []

    def note(_: object, __: object, kwargs: dict[str, torch.Tensor]) -> None:
        rows, tokens = kwargs["input_ids"].shape
        seen.append((rows, tokens))

    model.model.register_forward_pre_hook(note, with_kwargs=True)
    return seen


def answers(model: HFModel, requests: Iterable[Request]) -> dict[tuple[object, int], Completion]:
    return {(done.request, done.sample): done for done in model.complete(requests)}


def prompt_tokens(seen: Seen) -> int:
    return sum(rows * tokens for rows, tokens in seen if tokens > 1)


@pytest.mark.parametrize(
    "kind", ["llama", "gpt2", "qwen2", "qwen3", "mistral", "gemma2", "bloom", "opt"]
)
def test_sharing_changes_nothing_that_is_written(
    kind: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [
        Request(
            prompt=prompt,
            samples=tuple(range(place % 3 + 1)),
            temperature=float(place % 2),
            top_logprobs=3,
            max_tokens=4 + place,
        )
        for place, prompt in enumerate(PROMPTS)
    ]
    sharing, plain = make(kind), make(kind)
    seen, seen_plain = seen_by(sharing), seen_by(plain)
    shared = answers(sharing, requests)
    monkeypatch.setattr(prefixes, "LEAST_SAVED", 10**9)
    alone = answers(plain, requests)
    assert prompt_tokens(seen) < prompt_tokens(seen_plain) / 2
    assert shared.keys() == alone.keys()
    for key, done in shared.items():
        assert done.text == alone[key].text
        assert done.logprobs is not None
        own, expected = done.logprobs, alone[key].logprobs
        assert expected is not None
        np.testing.assert_array_equal(own.ids, expected.ids)
        np.testing.assert_allclose(np.exp(own.logprobs), np.exp(expected.logprobs), atol=1e-4)
