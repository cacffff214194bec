"""Losses against dense float64 references, and the output layer computed in chunks."""

import copy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import build_tiny_causal, build_tiny_seq2seq
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
)

from potstill.models.local.loading import load_model_and_tokenizer
from potstill.train import losses as losses_module
from potstill.train.chunked_loss import Head
from potstill.train.losses import (
    TAIL_FLOOR,
    Targets,
    distribution_matching,
    matching_loss,
    sample_matching,
)
from potstill.train.settings import MatchingSettings


def draw_targets(seed: int, n: int, k: int, vocabulary: int) -> tuple[Tensor, Targets]:
    """Logits and soft targets with unequal numbers of candidates, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, vocabulary, generator=generator, dtype=torch.float64)
    ids = torch.stack([torch.randperm(vocabulary, generator=generator)[:k] for _ in range(n)])
    mass = torch.rand(n, k + 1, generator=generator, dtype=torch.float64) + 1e-3
    counts = torch.randint(1, k + 1, (n,), generator=generator)
    absent = torch.arange(k) >= counts[:, None]
    mass[:, :k][absent] = 0.0
    mass[::3, k] = 0.0  # some without a tail
    mass /= mass.sum(1, keepdim=True)
    return logits, Targets(
        labels_N=ids[:, 0],
        ids_NK=ids.masked_fill(absent, -1),
        probabilities_NK=mass[:, :k],
        tail_N=mass[:, k],
        soft_N=torch.ones(n, dtype=torch.bool),
    )


def dense_target(targets: Targets, matching: MatchingSettings, vocabulary: int) -> Tensor:
    """The vector that is matched, built in full."""
    assert targets.ids_NK is not None
    assert targets.probabilities_NK is not None
    assert targets.tail_N is not None
    rows = []
    for ids, probabilities, tail in zip(
        targets.ids_NK.tolist(), targets.probabilities_NK, targets.tail_N.tolist(), strict=True
    ):
        known = [(i, p) for i, p in zip(ids, probabilities.tolist(), strict=True) if i >= 0]
        row = torch.zeros(vocabulary, dtype=torch.float64)
        if matching.tail == "uniform_tail":
            floor = TAIL_FLOOR if matching.divergence == "reverse_kl" else 0.0
            row += max(tail, floor) / (vocabulary - len(known))
        for place, probability in known:
            row[place] = probability
        mass = row.sum() if matching.tail == "drop" else 1.0
        row = row ** (1 / matching.temperature)
        rows.append(mass * row / row.sum())
    return torch.stack(rows)


def dense_loss(logits: Tensor, targets: Targets, matching: MatchingSettings) -> Tensor:
    p = dense_target(targets, matching, logits.shape[1])
    q = (logits / matching.temperature).softmax(1)
    m = matching.beta * p + (1 - matching.beta) * q

    def kl(one: Tensor, two: Tensor) -> Tensor:
        return (torch.xlogy(one, one) - torch.xlogy(one, two)).sum(1)

    nats = {
        "forward_kl": lambda: kl(p, q),
        "reverse_kl": lambda: kl(q, p),
        "jsd": lambda: matching.beta * kl(p, m) + (1 - matching.beta) * kl(q, m),
    }[matching.divergence]()
    return nats * matching.temperature**2


CASES = [
    MatchingSettings.model_validate({"divergence": divergence, "tail": tail, **more})
    for divergence in ("forward_kl", "reverse_kl", "jsd")
    for tail in ("drop", "renormalise", "uniform_tail")
    if divergence != "reverse_kl" or tail == "uniform_tail"
    for more in ({}, {"temperature": 2.0}, {"temperature": 0.7, "beta": 0.2})
]


@pytest.mark.parametrize("matching", CASES, ids=str)
@settings(max_examples=8)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 9),
    k=st.integers(1, 6),
    more=st.integers(1, 40),
)
def test_values_and_gradients_are_those_of_the_dense_vector(
    matching: MatchingSettings, seed: int, n: int, k: int, more: int
) -> None:
    logits, targets = draw_targets(seed, n, k, k + more)
    ours, reference = (logits.clone().requires_grad_() for _ in range(2))
    single = distribution_matching(ours.float(), targets, matching)
    double = dense_loss(reference, targets, matching)
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=2e-5)
    single.sum().backward()
    double.sum().backward()
    torch.testing.assert_close(ours.grad, reference.grad, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("divergence", ["forward_kl", "jsd"])
def test_a_student_that_equals_its_teacher_has_no_loss(divergence: str) -> None:
    matching = MatchingSettings.model_validate({"divergence": divergence})
    _, targets = draw_targets(1, 6, 5, 20)
    same = dense_target(targets, matching, 20).clamp(min=1e-30).log().float()
    nats = distribution_matching(same.requires_grad_(), targets, matching)
    assert nats.abs().max() < 1e-5
    nats.sum().backward()
    assert same.grad is not None
    assert same.grad.abs().max() < 1e-5


def test_one_certain_candidate_is_cross_entropy() -> None:
    logits, _ = draw_targets(2, 5, 1, 12)
    labels = torch.tensor([3, 1, 4, 1, 5])
    certain = Targets(
        labels, labels[:, None], torch.ones(5, 1), torch.zeros(5), torch.ones(5, dtype=torch.bool)
    )
    for tail in ("drop", "renormalise", "uniform_tail"):
        matching = MatchingSettings.model_validate({"tail": tail})
        torch.testing.assert_close(
            distribution_matching(logits.float(), certain, matching),
            sample_matching(logits.float(), labels),
        )


def test_the_published_loss_is_soft_cross_entropy_scaled_by_the_kept_mass() -> None:
    logits, targets = draw_targets(3, 8, 5, 30)
    assert targets.tail_N is not None
    raw, scaled = (logits.float().requires_grad_() for _ in range(2))
    drop, whole = (MatchingSettings.model_validate({"tail": t}) for t in ("drop", "renormalise"))
    distribution_matching(raw, targets, drop).sum().backward()
    kept = (1 - targets.tail_N).float()
    (distribution_matching(scaled, targets, whole) * kept).sum().backward()
    torch.testing.assert_close(raw.grad, scaled.grad)


def test_weights_mix_and_hard_positions_learn_their_label() -> None:
    logits, targets = draw_targets(4, 6, 4, 15)
    hard = torch.tensor([True, False, True, True, False, True])
    targets = targets._replace(soft_N=hard)
    mixed = matching_loss(logits.float(), targets, MatchingSettings(distribution=0.25))
    sample = sample_matching(logits.float(), targets.labels_N)
    soft = distribution_matching(logits.float(), targets, MatchingSettings())
    torch.testing.assert_close(mixed, torch.where(hard, 0.25 * soft + 0.75 * sample, sample))
    alone = matching_loss(logits.float(), targets, MatchingSettings(distribution=0.0))
    torch.testing.assert_close(alone, sample)


def test_reverse_kl_without_a_tail_is_refused() -> None:
    with pytest.raises(ValueError, match="reverse_kl is infinite"):
        MatchingSettings(divergence="reverse_kl", tail="drop")


def test_sample_matching_on_cuda_takes_the_fused_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    functional = ModuleType("liger_kernel.transformers.functional")
    functional.liger_cross_entropy = lambda logits, labels, reduction: labels * 2  # type: ignore[attr-defined]
    for name in ("liger_kernel", "liger_kernel.transformers"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, functional.__name__, functional)
    losses_module._fused_cross_entropy.cache_clear()

    class OnCuda:
        is_cuda = True

    loss = matching_loss(OnCuda(), Targets(torch.tensor([3])), MatchingSettings(distribution=0.0))  # type: ignore[arg-type]
    losses_module._fused_cross_entropy.cache_clear()
    assert loss.tolist() == [6.0]


# The output layer


def gemma(folder: Path) -> nn.Module:
    return Gemma2ForCausalLM(Gemma2Config(**SHAPE, final_logit_softcapping=2.0, head_dim=8))


def cohere(folder: Path) -> nn.Module:
    return CohereForCausalLM(CohereConfig(**SHAPE, logit_scale=0.25))


def granite(folder: Path) -> nn.Module:
    return GraniteForCausalLM(GraniteConfig(**SHAPE, logits_scaling=3.0))


def llama(folder: Path) -> nn.Module:
    path = build_tiny_causal(folder)
    return load_model_and_tokenizer(str(path), dtype="float32", device="cpu").model


def t5(folder: Path) -> nn.Module:
    path = build_tiny_seq2seq(folder)
    return load_model_and_tokenizer(str(path), dtype="float32", device="cpu").model


def tied_t5(folder: Path) -> nn.Module:
    model = t5(folder)
    model.config.tie_word_embeddings = True  # type: ignore[union-attr]
    model.config.scale_decoder_outputs = True  # type: ignore[union-attr]
    model.tie_weights()  # type: ignore[operator]
    return model


def unknown_scale(folder: Path) -> nn.Module:
    """A model that does something to its logits that no config tells."""
    model = llama(folder)
    model.register_forward_hook(
        lambda _, __, output: output.__setitem__("logits", output.logits * 1.5)
    )
    return model


SHAPE: dict[str, Any] = {
    "vocab_size": 90,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def loss_and_gradients(
    model: nn.Module, head: Head | None, chunk_logits: int = 2**20
) -> tuple[float, dict[str, Tensor]]:
    """Returns the loss and the gradients, by the head or by the model's own logits."""
    model = copy.deepcopy(model).eval()
    ids = torch.arange(24).reshape(2, 12) % 80
    more = {"decoder_input_ids": ids.flip(0)} if model.config.is_encoder_decoder else {}  # type: ignore[union-attr]
    positions, labels = torch.tensor([3, 4, 9, 15, 15, 23]), torch.tensor([7, 8, 9, 1, 2, 3])
    weights = torch.tensor([1.0, 0.5, 1.0, 2.0, 1.0, 1.0])

    def compute(logits: Tensor, rows: slice) -> Tensor:
        return sample_matching(logits, labels[rows])

    if head is None:
        logits = model(input_ids=ids, use_cache=False, **more).logits.flatten(0, 1)[positions]
        total = (F.cross_entropy(logits, labels, reduction="none") * weights).sum()
    else:
        own = Head.of(model)
        assert own.chunked == head.chunked
        with own.losses(positions, weights, compute, chunk_logits=chunk_logits) as loss:
            loss.finish(model(input_ids=ids, use_cache=False, **more).logits)
        total = loss.total
    total.backward()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return total.item(), found


@pytest.mark.parametrize("chunk_logits", [1, 200, 2**20])
@pytest.mark.parametrize(
    "build", [llama, gemma, cohere, granite, t5, tied_t5, unknown_scale], ids=lambda b: b.__name__
)
def test_chunks_give_the_whole_loss_and_its_gradients(
    tmp_path: Path, build: Callable[[Path], nn.Module], chunk_logits: int
) -> None:
    torch.manual_seed(0)
    model = build(tmp_path)
    head = Head.of(model)
    assert head.chunked == (build is not unknown_scale)
    total, gradients = loss_and_gradients(model, head, chunk_logits)
    whole, expected = loss_and_gradients(model, None)
    assert total == pytest.approx(whole, rel=1e-6)
    assert gradients.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (gradients[name] - gradient).norm() <= 1e-6 * gradient.norm() + 1e-8, name


def test_a_frozen_layer_gets_no_gradient(tmp_path: Path) -> None:
    model = llama(tmp_path)
    model.get_output_embeddings().weight.requires_grad_(False)  # type: ignore[operator]
    _, gradients = loss_and_gradients(model, Head.of(model))
    assert "lm_head.weight" not in gradients
    assert "model.layers.0.self_attn.q_proj.weight" in gradients


def test_no_gradient_is_computed_where_none_is_wanted(tmp_path: Path) -> None:
    model = llama(tmp_path)
    head, ids = Head.of(model), torch.arange(6)[None]
    with (
        torch.no_grad(),
        head.losses(
            torch.tensor([2, 3]), torch.ones(2), lambda logits, _: logits.logsumexp(1)
        ) as loss,
    ):
        loss.finish(model(input_ids=ids).logits)
    assert not loss.total.requires_grad
    own = model(input_ids=ids).logits[0, 2:4].logsumexp(1).sum()
    assert loss.total.item() == pytest.approx(own.item(), rel=1e-5)


def test_only_a_chunk_of_logits_stands_in_memory(tmp_path: Path) -> None:
    model, seen = llama(tmp_path), list[int]()

    def compute(logits: Tensor, _: slice) -> Tensor:
        seen.append(logits.numel())
        return logits.logsumexp(1)

    vocabulary: int = model.config.vocab_size  # type: ignore[union-attr, assignment]
    with Head.of(model).losses(
        torch.arange(20), torch.ones(20), compute, chunk_logits=3 * vocabulary
    ) as loss:
        loss.finish(model(input_ids=torch.arange(20)[None]).logits)
    assert seen == [3 * vocabulary] * 6 + [2 * vocabulary]


@pytest.mark.parametrize("chunk_logits", [100, 2**20])
@pytest.mark.parametrize("divergence", ["sample", "forward_kl", "reverse_kl", "jsd"])
def test_bfloat16_autocast_gives_float32_gradients(divergence: str, chunk_logits: int) -> None:
    layer, hidden = nn.Linear(16, 40), torch.randn(1, 9, 16, requires_grad=True)
    _, targets = draw_targets(5, 9, 3, 40)
    given = {"distribution": 0.0} if divergence == "sample" else {"divergence": divergence}
    matching = MatchingSettings.model_validate(given)

    def gradients(*, autocast: bool) -> list[Tensor]:
        head = Head(layer, lambda logits: logits)
        with (
            torch.autocast("cpu", torch.bfloat16, enabled=autocast),
            head.losses(
                torch.arange(9),
                torch.ones(9),
                lambda logits, rows: matching_loss(logits, targets.at(rows), matching),
                chunk_logits=chunk_logits,
            ) as loss,
        ):
            loss.finish(layer(hidden))
        return list(torch.autograd.grad(loss.total, [hidden, layer.weight, layer.bias]))

    for half, single in zip(gradients(autocast=True), gradients(autocast=False), strict=True):
        assert half.dtype == torch.float32
        assert (half - single).norm() < 0.02 * single.norm()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
