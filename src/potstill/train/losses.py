"""Losses at the trained tokens: the teacher's text, its token probabilities, or both.

The teacher is known by its likeliest tokens only. What a student is to match is a vector over the
whole vocabulary all the same, and it is never built: every sum over it is a sum over the
candidates and one over all logits.

Shape suffixes: N trained tokens, K candidates of a token, V vocabulary.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from potstill.train.settings import MatchingSettings

BLOCK_LOGITS = 2**20
"""Logits at which a divergence that needs several buffers of their size is computed at once."""

TAIL_FLOOR = 1e-6
"""Least mass outside the candidates for reverse KL, which is infinite where there is none."""


class Targets(NamedTuple):
    """What is learned at N positions; without candidates the labels alone."""

    labels_N: Tensor
    ids_NK: Tensor | None = None
    """The teacher's candidates; -1 where a position has fewer than K."""

    probabilities_NK: Tensor | None = None
    tail_N: Tensor | None = None
    """The teacher's mass outside its candidates."""

    soft_N: Tensor | None = None
    """Whether the teacher's probabilities are known here; elsewhere the label is learned."""

    def at(self, rows: slice) -> "Targets":
        """Those of some positions."""
        more = (None if each is None else each[rows] for each in self[1:])
        return Targets(self.labels_N[rows], *more)


def sample_matching(logits_NV: Tensor, labels_N: Tensor) -> Tensor:
    """``(N,)`` cross-entropy in nats."""
    ones_N1 = torch.ones_like(labels_N[:, None], dtype=torch.float32)
    return _CrossEntropy.apply(logits_NV, labels_N[:, None], ones_N1, None)  # type: ignore[no-any-return, no-untyped-call]


def matching_loss(logits_NV: Tensor, targets: Targets, matching: MatchingSettings) -> Tensor:
    """``(N,)`` nats: distribution matching with its weight, sample matching with the rest.

    On CUDA with liger-kernel installed, sample matching alone is one fused pass, which overwrites
    the logits.
    """
    if matching.distribution == 0 or targets.soft_N is None:
        fused = _fused_cross_entropy() if logits_NV.is_cuda else None
        if fused is not None:
            return fused(logits_NV, targets.labels_N, reduction="none").float()
        return sample_matching(logits_NV, targets.labels_N)
    share_N = matching.distribution * targets.soft_N.float()
    if matching.divergence == "forward_kl" and matching.temperature == 1:
        return _forward_kl(logits_NV, targets, matching, share_N)
    sample_N = sample_matching(logits_NV, targets.labels_N)
    return torch.lerp(sample_N, distribution_matching(logits_NV, targets, matching), share_N)


def distribution_matching(
    logits_NV: Tensor, targets: Targets, matching: MatchingSettings
) -> Tensor:
    """``(N,)`` divergence of the student's distribution from the teacher's, in nats.

    With ``forward_kl`` and ``tail: drop`` this is the loss of Fu et al. (arXiv 2301.12726,
    ``kl_divergence`` of their code): the kept mass is below 1, and so is the loss's weight.

    Args:
        logits_NV: The student's.
        targets: With the teacher's candidates; labels are not looked at.
        matching: The divergence, the temperature on both sides (the loss is multiplied by its
            square, Hinton et al., arXiv 1503.02531), and what becomes of the tail.
    """
    if matching.temperature != 1:
        logits_NV = logits_NV.float() / matching.temperature
    if matching.divergence == "forward_kl":
        all_N = torch.ones_like(targets.labels_N, dtype=torch.float32)
        nats_N = _forward_kl(logits_NV, targets, matching, all_N)
    else:
        jsd = partial(_jsd, beta=matching.beta)
        nats_of = jsd if matching.divergence == "jsd" else _reverse_kl
        teacher = _teacher(targets, matching, vocabulary=logits_NV.shape[1])
        nats_N = _Blocks.apply(logits_NV, teacher, nats_of)  # type: ignore[no-untyped-call]
    return nats_N * matching.temperature**2


@cache
def _fused_cross_entropy() -> Callable[..., Tensor] | None:
    """Liger's kernel, where it is installed."""
    try:
        from liger_kernel.transformers.functional import liger_cross_entropy
    except ImportError:
        return None
    return liger_cross_entropy  # type: ignore[no-any-return]


class _Teacher(NamedTuple):
    """The vector to match: candidates, and one probability for each token that is none."""

    ids_NK: Tensor
    """Padded with 0."""

    probabilities_NK: Tensor
    known_NK: Tensor
    """Where there is a candidate."""

    other_N: Tensor
    """Probability of each other token."""

    others_N: Tensor
    """How many other tokens there are."""


def _teacher(targets: Targets, matching: MatchingSettings, *, vocabulary: int) -> _Teacher:
    """The treatment of the tail, and the temperature, put on the candidates."""
    assert targets.ids_NK is not None
    assert targets.probabilities_NK is not None
    assert targets.tail_N is not None
    known_NK = targets.ids_NK >= 0
    kept_NK = targets.probabilities_NK.float()
    others_N = vocabulary - known_NK.sum(1)
    other_N = torch.zeros_like(targets.tail_N, dtype=torch.float32)
    mass_N = kept_NK.sum(1) if matching.tail == "drop" else torch.ones_like(other_N)
    if matching.tail == "uniform_tail":
        tail_N = targets.tail_N.float()
        if matching.divergence == "reverse_kl":
            tail_N = tail_N.clamp(min=TAIL_FLOOR)
        other_N = tail_N / others_N.clamp(min=1)
    power = 1.0 / matching.temperature
    kept_NK = torch.where(known_NK, kept_NK**power, 0.0)
    other_N = other_N**power
    scale_N = mass_N / (kept_NK.sum(1) + others_N * other_N).clamp(min=TAIL_FLOOR)
    ids_NK, kept_NK = targets.ids_NK.clamp(min=0), kept_NK * scale_N[:, None]
    return _Teacher(ids_NK, kept_NK, known_NK, other_N * scale_N, others_N)


class _CrossEntropy(torch.autograd.Function):
    """``(N,)`` nats of weights on some tokens, and of a weight on every token.

    The gradient is the student's probabilities times all weight, less the weights, in their place.
    """

    @staticmethod
    def forward(
        ctx: Any, logits_NV: Tensor, ids_NK: Tensor, weights_NK: Tensor, every_N: Tensor | None
    ) -> Tensor:
        q_NV = logits_NV.softmax(1, dtype=torch.float32)
        normaliser_N = logits_NV.amax(1).float() - q_NV.amax(1).log()
        nats_NK = normaliser_N[:, None] - logits_NV.gather(1, ids_NK).float()
        nats_N, mass_N = (weights_NK * nats_NK).sum(1), weights_NK.sum(1)
        if every_N is not None:
            spread_N = logits_NV.shape[1] * every_N
            nats_N += spread_N * (normaliser_N - logits_NV.mean(1, dtype=torch.float32))
            mass_N += spread_N
        ctx.how = q_NV, mass_N, ids_NK, weights_NK, every_N, logits_NV.dtype
        return nats_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, ...]:
        """Overwrites the probabilities, so that a second backward pass is refused."""
        grad_NV, mass_N, ids_NK, weights_NK, every_N, dtype = ctx.how
        del ctx.how
        grad_NV *= (grad_N * mass_N)[:, None]
        if every_N is not None:
            grad_NV -= (grad_N * every_N)[:, None]
        grad_NV.scatter_add_(1, ids_NK, -grad_N[:, None] * weights_NK)
        return grad_NV.to(dtype), None, None, None


class _Blocks(torch.autograd.Function):
    """``(N,)`` nats and their gradient, some rows at a time, so intermediates stay small."""

    @staticmethod
    def forward(
        ctx: Any, logits_NV: Tensor, teacher: _Teacher, nats_of: Callable[..., Tensor]
    ) -> Tensor:
        size = max(BLOCK_LOGITS // logits_NV.shape[1], 1)
        nats, ctx.grad_NV = [], torch.empty_like(logits_NV)
        for first in range(0, len(logits_NV), size):
            rows = slice(first, first + size)
            with torch.enable_grad():
                logits_nV = logits_NV[rows].detach().requires_grad_()
                nats_n = nats_of(logits_nV, _Teacher(*(each[rows] for each in teacher)))
                (ctx.grad_NV[rows],) = torch.autograd.grad(nats_n.sum(), logits_nV)
            nats.append(nats_n.detach())
        return torch.cat(nats)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, ...]:
        """Overwrites what was made on the way forward; a second backward pass is refused."""
        grad_NV = ctx.grad_NV
        del ctx.grad_NV
        return grad_NV.mul_(grad_N[:, None]), None, None


def _forward_kl(
    logits_NV: Tensor, targets: Targets, matching: MatchingSettings, share_N: Tensor
) -> Tensor:
    """With its share of the loss; the rest is cross-entropy of the labels, in the same pass."""
    teacher = _teacher(targets, matching, vocabulary=logits_NV.shape[1])
    p_NK, other_N = teacher.probabilities_NK, teacher.other_N
    own_N = torch.xlogy(p_NK, p_NK).sum(1) + teacher.others_N * torch.xlogy(other_N, other_N)
    over_NK = torch.where(teacher.known_NK, p_NK - other_N[:, None], 0.0)
    nats_N: Tensor = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
        logits_NV,
        torch.cat([teacher.ids_NK, targets.labels_N[:, None]], 1),
        torch.cat([share_N[:, None] * over_NK, 1 - share_N[:, None]], 1),
        share_N * other_N if matching.tail == "uniform_tail" else None,
    )
    return share_N * own_N + nats_N


def _reverse_kl(logits_NV: Tensor, teacher: _Teacher) -> Tensor:
    logq_NV = logits_NV.log_softmax(1, dtype=torch.float32)
    q_NV = logq_NV.exp()
    q_NK = q_NV.gather(1, teacher.ids_NK)
    tiny = torch.finfo(torch.float32).tiny
    # As if every token were another one; the candidates' share of that is then made good.
    logp_NK = teacher.probabilities_NK.clamp(min=tiny).log()
    log_other_N = teacher.other_N.clamp(min=tiny).log()
    correction_NK = torch.where(teacher.known_NK, q_NK * (logp_NK - log_other_N[:, None]), 0.0)
    return (q_NV * logq_NV).sum(1) - log_other_N - correction_NK.sum(1)


def _jsd(logits_NV: Tensor, teacher: _Teacher, beta: float) -> Tensor:
    """``beta KL(p | m) + (1 - beta) KL(q | m)`` with m their mixture (GKD, arXiv 2306.13649)."""
    q_NV = logits_NV.softmax(1, dtype=torch.float32)
    q_NK = q_NV.gather(1, teacher.ids_NK)
    other_N1 = teacher.other_N[:, None]

    def nats(p: Tensor, q: Tensor) -> Tensor:
        mixed = beta * p + (1 - beta) * q
        own = beta * torch.xlogy(p, p) + (1 - beta) * torch.xlogy(q, q)
        return own - torch.xlogy(mixed, mixed)

    candidates_NK = nats(teacher.probabilities_NK, q_NK) - nats(other_N1.expand_as(q_NK), q_NK)
    return nats(other_N1, q_NV).sum(1) + torch.where(teacher.known_NK, candidates_NK, 0.0).sum(1)
