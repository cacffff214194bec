"""Training on shared prefixes computes what the plain sequences do."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import Architecture, build_tiny_causal, build_tiny_seq2seq
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BloomConfig,
    BloomForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
)

from potstill.errors import ModelError
from potstill.train.prefix_sharing import attention, can_share, enable, forest, layout, use

Rows = list[list[int]]
Tiny = Callable[[Architecture], PreTrainedModel]

FEW_SHOT = [
    [*range(1, 30), *range(40, 52), *range(60, 67), 3, 4, 5],  # exemplars, question, rationale
    [*range(1, 30), *range(40, 52), *range(60, 67), 9],
    [*range(1, 30), *range(40, 52), 7, 7, 7, 8],
    [*range(1, 30), 11, 12, 13, 14, 15],
    [*range(1, 30), 11, 12, 13, 14, 15],
    [*range(1, 30), 11, 12],
    [90, 91, 92, 93],
]
"""Three levels, an example that stands twice, one that begins another, one that shares nothing."""


@cache
def tokens(length: int) -> list[int]:
    generator = torch.Generator().manual_seed(length)
    return torch.randint(0, 200, (length,), generator=generator).tolist()


@st.composite
def families(draw: st.DrawFn) -> Rows:
    """Sequences that continue beginnings of one another."""
    rows: Rows = []
    for _ in range(draw(st.integers(1, 6))):
        host = draw(st.sampled_from(rows)) if rows else []
        kept = host[: draw(st.integers(0, len(host)))]
        rows.append([*kept, *draw(st.lists(st.integers(0, 9), min_size=1, max_size=20))])
    return rows


rows_of_tokens = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), max_size=9)


# The forest


def test_a_forest_by_hand() -> None:
    trees = forest([[1, 2, 4, 5], [1, 2, 3], [1, 2], [7], [1, 2, 3]])
    assert trees.ids == [1, 2, 3, 4, 5, 7]
    assert trees.positions == [0, 1, 2, 2, 3, 0]
    assert trees.nodes == [(0, 2, 5, None), (2, 3, 3, 0), (3, 5, 5, 0), (5, 6, 6, None)]
    assert trees.places == [[0, 1, 3, 4], [0, 1, 2], [0, 1], [5], [0, 1, 2]]


def test_short_beginnings_are_repeated_and_long_ones_below_them_are_not() -> None:
    trees = forest([[1, 2, 3, 4], [1, 2, 3, 5], [1, 6]], least_shared=2)
    assert trees.ids == [1, 2, 3, 4, 5, 1, 6]
    assert [node.parent for node in trees.nodes] == [None, 0, 0, None]
    assert forest([[1, 2, 3], [1, 2, 4]], least_shared=3).ids == [1, 2, 3, 1, 2, 4]


@given(rows_of_tokens)
def test_a_forest_holds_each_beginning_once(rows: Rows) -> None:
    beginnings = {tuple(row[:end]) for row in rows for end in range(1, len(row) + 1)}
    assert len(forest(rows).ids) == len(beginnings)


@given(rows_of_tokens, st.integers(1, 6))
def test_sequences_come_back_from_their_places(rows: Rows, least_shared: int) -> None:
    trees = forest(rows, least_shared=least_shared)
    for row, places in zip(rows, trees.places, strict=True):
        assert [trees.ids[place] for place in places] == row
        assert [trees.positions[place] for place in places] == list(range(len(row)))


@given(rows_of_tokens, st.integers(1, 6))
def test_trees_stand_depth_first(rows: Rows, least_shared: int) -> None:
    nodes = forest(rows, least_shared=least_shared).nodes
    end = 0
    for number, node in enumerate(nodes):
        assert node.start == end < node.end <= node.subtree_end
        end = node.end
        children = [child for child in nodes if child.parent == number]
        if children:
            edges = [node.end, *(child.subtree_end for child in children)]
            assert [child.start for child in children] == edges[:-1]
            assert edges[-1] == node.subtree_end
            assert len(children) > 1
            assert node.end - node.start >= least_shared
        else:
            assert node.subtree_end == node.end


def test_thousands_of_nested_beginnings_need_no_recursion() -> None:
    rows = [[*[1] * length, 2] for length in range(1, 1500)]
    assert len(forest(rows).ids) == 1499 + 1499


@pytest.mark.parametrize(("rows", "least"), [([[1], []], 1), ([[1]], 0)])
def test_a_forest_refuses_what_has_no_place_in_it(rows: Rows, least: int) -> None:
    with pytest.raises(ValueError, match="a token or more"):
        forest(rows, least_shared=least)


# Attention


def dense_reads(rows: Rows) -> tuple[Any, Tensor]:
    """A forest, and the dense ``(N, N)`` mask of who reads whom, from its sequences alone."""
    trees = forest(rows)
    dense = torch.zeros(len(trees.ids), len(trees.ids), dtype=torch.bool)
    for places in trees.places:
        for reader, read in itertools.combinations_with_replacement(reversed(places), 2):
            dense[reader, read] = True
    return trees, dense


Three = tuple[Tensor, Tensor, Tensor]


def states(
    count: int, size: int, *, heads: int = 2, key_heads: int = 2, dtype: torch.dtype = torch.float32
) -> Three:
    """Queries, keys and values ``(1, heads, N, D)``, laid out as a linear layer gives them."""
    generator = torch.Generator().manual_seed(count)
    return _three(
        torch.randn(1, count, of, size, generator=generator, dtype=torch.float64)
        .to(dtype)
        .transpose(1, 2)
        .requires_grad_()
        for of in (heads, key_heads, key_heads)
    )


def exact(inputs: Three) -> Three:
    """Copies in double precision."""
    return _three(one.detach().double().requires_grad_() for one in inputs)


def _three(tensors: Iterable[Tensor]) -> Three:
    query, key, value = tensors
    return query, key, value


def grads(inputs: Three) -> Tensor:
    """All in one vector, since a token that reads only itself has none in query and key."""
    return torch.cat([one.grad.flatten() for one in inputs if one.grad is not None])


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-10), (torch.float32, 1e-5), (torch.bfloat16, 3e-2)],
)
@pytest.mark.parametrize(("heads", "key_heads", "size"), [(4, 4, 16), (6, 2, 10), (3, 1, 7)])
@settings(max_examples=8)
@given(rows=families(), scaling=st.sampled_from([None, 0.7]))
def test_attention_equals_that_with_a_dense_mask(
    heads: int,
    key_heads: int,
    size: int,
    dtype: torch.dtype,
    tolerance: float,
    rows: Rows,
    scaling: float | None,
) -> None:
    trees, dense = dense_reads(rows)
    use(layout(trees))
    inputs = states(len(trees.ids), size, heads=heads, key_heads=key_heads, dtype=dtype)
    wide = exact(inputs)
    out, _ = attention.tree_attention(nn.Identity(), *inputs, None, scaling=scaling)
    expected = F.scaled_dot_product_attention(
        *wide, attn_mask=dense, scale=scaling, enable_gqa=True
    ).transpose(1, 2)
    weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view(out.shape)
    (out.double() * weights).sum().backward()
    (expected * weights).sum().backward()
    assert close(out, expected, tolerance)
    assert close(grads(inputs), grads(wide), tolerance)


def test_a_gradient_of_any_memory_layout_counts() -> None:
    """The gradient of a sum is an expanded tensor: one number in memory stands for all."""
    trees, dense = dense_reads(FEW_SHOT)
    use(layout(trees))
    inputs = states(len(trees.ids), 8, dtype=torch.float64)
    wide = exact(inputs)
    attention.tree_attention(nn.Identity(), *inputs, None)[0].sum().backward()
    F.scaled_dot_product_attention(*wide, attn_mask=dense).sum().backward()
    assert close(grads(inputs), grads(wide), 1e-10)


@given(families())
def test_the_mask_on_a_gpu_is_that_of_the_sequences(rows: Rows) -> None:
    trees, dense = dense_reads(rows)
    place = torch.arange(len(trees.ids))
    zero = torch.tensor(0)
    mask = attention.reads(layout(trees).readers_N)
    assert torch.equal(mask(zero, zero, place[:, None], place), dense)


@pytest.mark.filterwarnings("ignore:flex_attention called without:UserWarning")
def test_flex_attention_computes_the_same() -> None:
    from torch.nn.attention.flex_attention import flex_attention

    trees, dense = dense_reads(
        [[*tokens(150), *tokens(20)], [*tokens(150), *tokens(40)], tokens(60)]
    )
    query, key, value = (one.detach() for one in states(len(trees.ids), 16))
    ours = flex_attention(query, key, value, block_mask=layout(trees).block_mask)
    assert close(ours, F.scaled_dot_product_attention(query, key, value, attn_mask=dense), 1e-5)


# Models


def close(one: Tensor | None, other: Tensor | None, tolerance: float) -> bool:
    """Whether two tensors differ by a small part of their size, measured as a whole."""
    assert one is not None
    assert other is not None
    distance = torch.linalg.vector_norm(one.double() - other.double())
    return bool(distance <= tolerance * torch.linalg.vector_norm(other.double()))


@cache
def folder_of(architecture: Architecture, base: Path) -> Path:
    return build_tiny_causal(base / architecture, architecture)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A tiny model of an architecture, without dropout."""
    base = tmp_path_factory.mktemp("models")

    def load(architecture: Architecture) -> PreTrainedModel:
        none = {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0}
        more = none if architecture == "gpt2" else {}
        model = AutoModelForCausalLM.from_pretrained(folder_of(architecture, base), **more)
        assert isinstance(model, PreTrainedModel)
        return model

    return load


def nats(logits: Tensor, ids: Sequence[int], weights: Tensor) -> Tensor:
    """Each sequence's next-token losses, weighted; a target may weigh nothing, as prompts do."""
    losses = F.cross_entropy(logits[:-1].float(), torch.tensor(ids[1:]), reduction="none")
    return (losses * weights).sum()


def plain_loss(model: nn.Module, rows: Rows) -> Tensor:
    return torch.stack(
        [nats(model(input_ids=torch.tensor([row])).logits[0], row, weighted(row)) for row in rows]
    ).sum()


def shared_loss(model: nn.Module, rows: Rows, least_shared: int = 1) -> Tensor:
    trees = forest(rows, least_shared=least_shared)
    use(layout(trees))
    logits = model(
        input_ids=torch.tensor([trees.ids]),
        position_ids=torch.tensor([trees.positions]),
        use_cache=False,
    ).logits[0]
    return torch.stack(
        [
            nats(logits[torch.tensor(places)], row, weighted(row))
            for row, places in zip(rows, trees.places, strict=True)
        ]
    ).sum()


def weighted(row: Sequence[int]) -> Tensor:
    return torch.linspace(0, 1, len(row))[1:]


def gradients(model: nn.Module, loss: Tensor) -> Tensor:
    """All in one vector."""
    model.zero_grad()
    loss.backward()
    return torch.cat(
        [one.grad.flatten().double() for one in model.parameters() if one.grad is not None]
    )


def assert_equal_training(
    model: nn.Module, base: PreTrainedModel, rows: Rows, *, least_shared: int = 1
) -> None:
    plain = plain_loss(model, rows)
    expected = gradients(model, plain)
    enable(base)
    shared = shared_loss(model, rows, least_shared)
    found = gradients(model, shared)
    base.set_attn_implementation("sdpa")
    assert shared.item() == pytest.approx(plain.item(), rel=1e-5)
    assert expected.norm() > 0
    assert close(found, expected, 1e-5)


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_gradients_equal_those_of_the_plain_sequences(
    architecture: Architecture, tiny: Tiny
) -> None:
    model = tiny(architecture).train()
    assert can_share(model, longest=64) is None
    for least_shared in (1, 8, 100):
        assert_equal_training(model, model, FEW_SHOT, least_shared=least_shared)


@settings(max_examples=15)
@given(rows=families(), least_shared=st.integers(1, 5))
def test_gradients_are_equal_over_any_forest(rows: Rows, least_shared: int, tiny: Tiny) -> None:
    model = tiny("llama").train()
    longer = [[*row, 3] for row in rows]  # a single token predicts nothing
    assert_equal_training(model, model, longer, least_shared=least_shared)


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradients_are_equal_with_checkpointing(reentrant: bool, tiny: Tiny) -> None:
    model = tiny("qwen2").train()
    model.activation_checkpointing_enable({"use_reentrant": reentrant})
    model.enable_input_require_grads()
    assert_equal_training(model, model, FEW_SHOT)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_gradients_are_equal_with_lora(tiny: Tiny) -> None:
    peft = pytest.importorskip("peft")
    base = tiny("llama")
    config = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    torch.manual_seed(0)
    model = peft.get_peft_model(base, config).train()
    for name, one in model.named_parameters():
        if "lora_B" in name:  # zero at the start, when no gradient reaches the other half
            nn.init.normal_(one, std=0.1)
    assert_equal_training(model, base, FEW_SHOT)


def test_autocast_trains_alike(tiny: Tiny) -> None:
    model = tiny("qwen3").train()
    expected = gradients(model, plain_loss(model, FEW_SHOT))
    enable(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = shared_loss(model, FEW_SHOT)
    assert close(gradients(model, loss), expected, 5e-2)


def test_short_blocks_are_computed_in_float32_whatever_the_products_are() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 12, 16).bfloat16() for _ in range(3))
    use(layout(forest([list(range(12))])))
    exact, _ = attention.tree_attention(
        nn.Identity(), query.float(), key.float(), value.float(), None
    )
    found, _ = attention.tree_attention(nn.Identity(), query, key, value, None)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, exact.bfloat16())


# Models that cannot share prefixes

SMALL: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


def refused(model: PreTrainedModel, *, longest: int = 64) -> str:
    """The reason, after which the model has to be as it was."""
    ids = torch.arange(1, 12)[None]
    former, training = model.config._attn_implementation, model.training
    model.eval()
    before = model(input_ids=ids).logits
    model.train(training)
    reason = can_share(model, longest=longest)
    assert (model.config._attn_implementation, model.training) == (former, training)
    model.eval()
    assert torch.equal(model(input_ids=ids).logits, before)
    assert reason is not None
    return reason


def test_encoder_decoders_are_refused(tmp_path: Path) -> None:
    model = AutoModelForSeq2SeqLM.from_pretrained(build_tiny_seq2seq(tmp_path))
    assert can_share(model, longest=64) == "it is an encoder-decoder model."


def test_states_are_refused() -> None:
    config = MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=1, state_size=4)
    assert "no positions" in refused(MambaForCausalLM(config).train())


def test_biases_by_distance_are_refused() -> None:
    config = BloomConfig(vocab_size=64, hidden_size=16, n_layer=1, n_head=2)
    assert refused(BloomForCausalLM(config))


def test_convolutions_between_attention_layers_are_found_out() -> None:
    config = Lfm2Config(**SMALL, layer_types=["conv", "full_attention"])
    model = Lfm2ForCausalLM(config)
    assert "its logits would be off by" in refused(model)


class OffOverForests(nn.Module):
    """An output layer whose logits over a forest are off, in one number format or in all."""

    def __init__(self, model: PreTrainedModel, share: float, only: torch.dtype | None) -> None:
        super().__init__()
        self._layer, self._config = model.get_output_embeddings(), model.config
        self._share, self._only = share, only

    def forward(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self._layer(hidden)
        over_forest = self._config._attn_implementation == attention.NAME
        off = over_forest and self._only in (None, hidden.dtype)
        return logits * (1 + self._share) if off else logits


def off_over_forests(
    tiny: Tiny, share: float, dtype: torch.dtype, only: torch.dtype | None
) -> PreTrainedModel:
    model: Any = tiny("llama")
    model.to(dtype).set_output_embeddings(OffOverForests(model, share, only))
    return cast("PreTrainedModel", model)


@pytest.mark.parametrize(("dtype", "share"), [(torch.float32, 1e-3), (torch.bfloat16, 2e-2)])
def test_what_rounding_makes_of_a_deep_model_is_no_reason_to_share_nothing(
    dtype: torch.dtype, share: float, tiny: Tiny
) -> None:
    # SmolLM2-135M's two ways differ by 1.2e-4 in float32 and by 1.9e-2 in bfloat16.
    model = off_over_forests(tiny, share, dtype, only=dtype)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    assert can_share(model, longest=64) is None
    after = model.state_dict()
    assert all(after[name].dtype == one.dtype for name, one in before.items())
    assert all(torch.equal(after[name], one) for name, one in before.items())


def test_a_difference_that_stays_in_float64_is_none_of_rounding(tiny: Tiny) -> None:
    model = off_over_forests(tiny, 1e-3, torch.float32, only=None)
    assert can_share(model, longest=64) == (
        "its logits would be off by 0.10%: its tokens do not read by attention only."
    )


def test_a_difference_beyond_rounding_is_refused_at_once(tiny: Tiny) -> None:
    model = off_over_forests(tiny, 0.1, torch.float32, only=torch.float32)
    assert "its logits would be off by 10.00%" in str(can_share(model, longest=64))


def test_windows_shorter_than_a_sequence_are_refused() -> None:
    model = MistralForCausalLM(MistralConfig(**SMALL, sliding_window=32)).train()
    assert "a window of 32 tokens" in refused(model, longest=33)
    assert can_share(model, longest=32) is None


def test_soft_caps_are_refused() -> None:
    config = Gemma2Config(**SMALL, head_dim=16, sliding_window=4096)
    assert "'softcap'" in refused(Gemma2ForCausalLM(config))


def test_random_attention_is_refused(tiny: Tiny) -> None:
    model = tiny("gpt2").train()
    model.config.attn_pdrop = 0.1
    assert "attn_pdrop = 0.1" in refused(model)


def test_what_the_probe_cannot_see_is_refused_in_training() -> None:
    trees, _ = dense_reads(FEW_SHOT)
    use(layout(trees))
    inputs = states(len(trees.ids), 8)
    with pytest.raises(ModelError, match="drops attention weights"):
        attention.tree_attention(nn.Identity(), *inputs, None, dropout=0.1)
