"""Encoder-decoder students encode each distinct input once, and learn the same."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import build_tiny_seq2seq
from torch import Tensor, nn

from potstill.models.local.loading import load_model_and_tokenizer
from potstill.train.batches import Batch, encoder_decoder
from potstill.train.encoder_sharing import EncoderOnce
from potstill.train.encoding import Encoded


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    folder = build_tiny_seq2seq(tmp_path_factory.mktemp("t5"))
    return load_model_and_tokenizer(str(folder), dtype="float32", device="cpu").model


def examples(prompts: list[int], seed: int = 0) -> list[Encoded]:
    """Targets of unequal length; prompts of the same number are the same."""
    draw = torch.Generator().manual_seed(seed)
    return [
        Encoded(
            [3 + number, *range(5, 9 + number), 1],
            [*torch.randint(3, 90, (row % 5 + 2,), generator=draw).tolist(), 1],
        )
        for row, number in enumerate(prompts)
    ]


def gradients(
    model: nn.Module, batch: Batch, *, once: bool, seen: list[int] | None = None
) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients, with the encoder's rows counted."""
    model = copy.deepcopy(model)
    if once:
        EncoderOnce(model).share(batch["first_rows"], batch["copies"])

    def count(_: nn.Module, __: Any, kwargs: dict[str, Any]) -> None:
        if seen is not None:
            seen.append(len(kwargs["input_ids"]))

    model.get_encoder().register_forward_pre_hook(count, with_kwargs=True)  # type: ignore[operator]
    logits = model(**batch["inputs"], use_cache=False).logits.flatten(0, 1)
    loss = nn.functional.cross_entropy(
        logits[batch["positions"]], batch["targets"]["labels_N"], reduction="sum"
    )
    loss.backward()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return loss.item(), found


def assert_same(model: nn.Module, rows: list[Encoded]) -> None:
    batch = encoder_decoder(pad=0, start=0)(rows)
    plain_loss, plain = gradients(model, batch, once=False)
    loss, shared = gradients(model, batch, once=True)
    assert loss == pytest.approx(plain_loss, rel=1e-5)
    assert shared.keys() == plain.keys()
    for name, gradient in plain.items():
        assert (shared[name] - gradient).norm() <= 1e-5 * gradient.norm() + 1e-7, name


@settings(max_examples=15)
@given(prompts=st.lists(st.integers(0, 3), min_size=1, max_size=9), seed=st.integers(0, 99))
def test_loss_and_gradients_are_those_of_the_plain_batch(
    t5: nn.Module, prompts: list[int], seed: int
) -> None:
    assert_same(t5, examples(prompts, seed))


def checkpointing(model: nn.Module) -> nn.Module:
    model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    return model.train()


def low_rank(model: nn.Module) -> nn.Module:
    peft = pytest.importorskip("peft")
    torch.manual_seed(1)
    config = peft.LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    wrapped: nn.Module = peft.get_peft_model(model, config)
    return wrapped


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("prepare", [checkpointing, low_rank], ids=lambda each: each.__name__)
def test_they_are_with_recomputation_and_with_low_rank_additions(
    t5: nn.Module, prepare: Callable[[nn.Module], nn.Module]
) -> None:
    model = copy.deepcopy(t5)
    for module in model.modules():  # dropout draws differ between rows that are computed together
        for name in ("p", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    assert_same(prepare(model), examples([0, 1, 0, 0, 2, 1]))


def test_the_encoder_sees_each_input_once(t5: nn.Module) -> None:
    batch = encoder_decoder(pad=0, start=0)(examples([2, 0, 2, 2, 1, 0]))
    seen: list[int] = []
    gradients(t5, batch, once=True, seen=seen)
    gradients(t5, batch, once=False, seen=seen)
    assert seen == [3, 6]


def test_each_decoder_layer_makes_keys_and_values_of_an_input_once(t5: nn.Module) -> None:
    model = copy.deepcopy(t5)
    sharing = EncoderOnce(model)
    batch = encoder_decoder(pad=0, start=0)(examples([1, 1, 1, 0]))
    rows: list[int] = []
    cross = model.decoder.block[1].layer[1].EncDecAttention  # type: ignore[union-attr, index]
    cross.k.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    sharing.share(batch["first_rows"], batch["copies"])
    model(**batch["inputs"], use_cache=False)
    sharing.forget()
    model(**batch["inputs"], use_cache=False)
    assert rows == [2, 4]


def test_a_folder_of_weights_is_not_touched(t5: nn.Module, tmp_path: Path) -> None:
    model = copy.deepcopy(t5)
    EncoderOnce(model)
    assert model.state_dict().keys() == t5.state_dict().keys()
