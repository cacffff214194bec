"""Beginnings that prompts share are computed once, and change nothing that is written."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

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

from potstill.models.local import batching
from potstill.models.local.ensemble import EnsembleModel
from potstill.models.local.kv_cache import RowLayer
from potstill.models.local.model import HFModel
from potstill.models.local.prefill import reads_apart
from potstill.models.settings import LocalSettings
from potstill.records import Completion, Message, Request

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
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
Seen = list[tuple[int, int]]
Make = Callable[[str], HFModel]


def others(kind: str, vocab_size: int) -> PreTrainedModel:
    """Architectures that mask, count or weigh places in ways of their own."""
    shape: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "intermediate_size": 48,
        **SIZES,
    }
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


REQUESTS = [
    Request(
        prompt=prompt,
        samples=tuple(range(place % 3 + 1)),
        temperature=float(place % 2),
        top_logprobs=3,
        max_tokens=4 + place,
    )
    for place, prompt in enumerate(PROMPTS)
]


def assert_same(
    shared: dict[tuple[object, int], Completion], alone: dict[tuple[object, int], Completion]
) -> None:
    """Texts and tokens equal, probabilities within the noise of float32."""
    assert shared.keys() == alone.keys()
    for key, done in shared.items():
        assert done.text == alone[key].text
        own, expected = done.logprobs, alone[key].logprobs
        assert own is not None
        assert expected is not None
        np.testing.assert_array_equal(own.ids, expected.ids)
        np.testing.assert_allclose(np.exp(own.logprobs), np.exp(expected.logprobs), atol=1e-4)


@pytest.mark.parametrize(
    "kind", ["llama", "gpt2", "qwen2", "qwen3", "mistral", "gemma2", "bloom", "opt"]
)
def test_sharing_changes_nothing_that_is_written(
    kind: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, apart, plain = make(kind), make(kind), make(kind)
    seen, seen_apart, seen_plain = seen_by(copied), seen_by(apart), seen_by(plain)
    monkeypatch.setattr(batching, "APART_SHARE", 0)
    copies = answers(copied, REQUESTS)
    monkeypatch.setattr(batching, "APART_SHARE", 1000)
    beside = answers(apart, REQUESTS)
    monkeypatch.setattr(batching, "LEAST_SAVED", 10**9)
    alone = answers(plain, REQUESTS)
    assert prompt_tokens(seen) < 0.6 * prompt_tokens(seen_plain)
    assert prompt_tokens(seen_apart) < 0.6 * prompt_tokens(seen_plain)
    assert_same(copies, alone)
    assert_same(beside, alone)


@pytest.mark.parametrize(
    ("kind", "apart"),
    [
        *(("llama", True), ("gpt2", True), ("qwen3", True), ("opt", True)),
        *(("mistral", False), ("gemma2", False), ("bloom", False)),
    ],
)
def test_only_plain_attention_is_split(kind: str, apart: bool, make: Make) -> None:
    """Windows, capped scores and biases by distance are left to the model's own attention."""
    assert reads_apart(make(kind).model) is apart


def test_rows_beside_a_prefix_hold_their_own_tokens_only(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths: list[int] = []
    update = RowLayer.update

    def noted(self: RowLayer, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = update(self, *args, **kwargs)
        widths.append(keys.shape[2])
        return keys, values

    monkeypatch.setattr(RowLayer, "update", noted)
    model = make("llama")
    shared = [Request(prompt=prompt, max_tokens=8) for prompt in PROMPTS[:7]]
    monkeypatch.setattr(batching, "APART_SHARE", 1000)
    list(model.complete(shared))
    apart = max(widths)
    widths.clear()
    monkeypatch.setattr(batching, "APART_SHARE", 0)
    list(model.complete(shared))
    assert max(widths) > 100
    assert apart < 30


@pytest.mark.parametrize("refilled", [False, True])
def test_small_batches_and_parts_change_nothing(
    refilled: bool, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answers(make("qwen3"), REQUESTS)
    if refilled:
        monkeypatch.setattr("potstill.models.local.decoding.COST_BY_ROW", frozenset())
    monkeypatch.setattr("potstill.models.local.decoding.PROMPT_TOKENS", 60)
    monkeypatch.setattr("potstill.models.local.prefill.PROMPT_TOKENS", 50)
    model = make("qwen3")
    model._batch_tokens = 900
    seen = seen_by(model)
    assert_same(answers(model, REQUESTS), expected)
    assert (1, 50) in seen, "a long prefix is run in parts"


def test_a_prefix_is_computed_once_for_all_lots_of_requests(make: Make) -> None:
    model = make("gpt2")
    model._batch_tokens = 1500
    seen = seen_by(model)
    requests = (
        Request(prompt=f"{HEAD}\n\nQ: {number} + {number}?\nA:", max_tokens=2)
        for number in range(120)
    )
    assert len(list(model.complete(requests))) == 120
    long = [rows * tokens for rows, tokens in seen if tokens > 100]
    assert len(long) == 1


def test_samples_that_do_not_fit_together_share_their_prompt(make: Make) -> None:
    model = make("llama")
    model._batch_tokens = 800
    seen = seen_by(model)
    request = Request(prompt=PROMPTS[0], samples=tuple(range(40)), temperature=1.0, max_tokens=5)
    assert len(list(model.complete([request]))) == 40
    assert prompt_tokens(seen) < 2 * len(model.tokenizer(PROMPTS[0])["input_ids"])


def test_chat_messages_share_the_head_of_their_template(tmp_path: Path) -> None:
    folder = build_tiny_causal(tmp_path, "gpt2", chat=True)
    model, system = opened_at(folder), Message(role="system", content=HEAD)
    seen = seen_by(model)
    chats = [(system, Message(role="user", content=question)) for question in QUESTIONS]
    assert len(list(model.complete(Request(prompt=chat, max_tokens=3) for chat in chats))) == 7
    assert prompt_tokens(seen) < 2 * len(model.tokenizer(HEAD)["input_ids"])


def test_members_of_an_ensemble_share_too(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened_at(build_tiny_causal(tmp_path / "one", "gpt2"))
    second = opened_at(build_tiny_causal(tmp_path / "two", "qwen2", seed=1))
    (tmp_path / "one" / "tokenizer.json").replace(tmp_path / "two" / "tokenizer.json")
    second = opened_at(tmp_path / "two")
    second.tokenizer = first.tokenizer
    ensemble = EnsembleModel([first, second])
    seen = seen_by(ensemble)
    shared = answers(ensemble, REQUESTS)
    monkeypatch.setattr(batching, "LEAST_SAVED", 10**9)
    ensemble = EnsembleModel([first, second])
    assert_same(shared, answers(ensemble, REQUESTS))
    assert any(rows == 1 and tokens > 100 for rows, tokens in seen)


def test_refusals_are_handed_over_while_requests_still_come(make: Make) -> None:
    pulled = 0

    def requests() -> Iterator[Request]:
        nonlocal pulled
        for pulled in range(1, 1001):
            yield Request(prompt="word " * 300 if pulled < 1000 else "Let's", max_tokens=2)

    answered = make("gpt2").complete(requests())
    assert next(answered).finish_reason == "error"
    assert pulled <= 64
    reasons = [done.finish_reason for done in answered]
    assert reasons.count("error") == 998
    assert len(reasons) == 999
