"""Losses at the trained tokens: the teacher's text, its token probabilities, or both.

Sample matching is the cross-entropy of the teacher's text. Distribution matching is a divergence
from the teacher's token probabilities: KL in either direction, or the generalised Jensen-Shannon
divergence (Hinton et al., arXiv 1503.02531; Fu et al., arXiv 2301.12726; GKD, arXiv 2306.13649).

A teacher is known by its K likeliest tokens and by the mass r that they leave open. The vector p
that a student matches still covers the whole vocabulary: the K candidates have their own
probabilities, and with ``tail: uniform_tail`` each of the V - K other tokens has o = r / (V - K).
It is never built. Any sum over the vocabulary is the sum as if every token were such another one,
and a correction at the K candidates. So, with q the student's probabilities, the part of forward
KL that has a gradient is

    -sum_v p_v log q_v  =  -o sum_v log q_v  -  sum_k (p_k - o) log q_k

which takes one softmax over V and one gather of K, in memory for (N, V) once.

A loss of one's own is a function of the form of :data:`Loss`.

Shape suffixes: N trained tokens, n some of them, K candidates of a token, V vocabulary.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from potstill.errors import ConfigError
from potstill.train.settings import LOSSES, MatchingSettings, StudentSettings

BLOCK_LOGITS = 2**20
"""Most logits of a block, where a divergence needs several buffers as large as its logits."""

TAIL_FLOOR = 1e-6
"""Least mass outside the candidates for reverse KL, which is infinite where there is none."""


class Targets(NamedTuple):
    """The targets at N positions; all but the labels are None without soft targets."""

    labels_N: Tensor
    """int64: the token of the teacher's text that stands here."""

    ids_NK: Tensor | None = None
    """int64: the teacher's candidates; -1 where a position has fewer than K."""

    probabilities_NK: Tensor | None = None
    """float32: their probabilities; 0 where there is no candidate."""

    tail_N: Tensor | None = None
    """float32: the teacher's mass outside its candidates."""

    soft_N: Tensor | None = None
    """bool: whether the teacher's probabilities are known here; elsewhere the label is learned."""

    unlikely_N: Tensor | None = None
    """bool: whether the label is learned not to be written; None: no label is."""

    def at(self, rows: slice | Tensor) -> "Targets":
        """Returns the targets of some positions, a slice of them or their indices."""
        soft = (None if tensor is None else tensor[rows] for tensor in self[1:])
        return Targets(self.labels_N[rows], *soft)


Loss = Callable[[Tensor, Targets], Tensor]
"""``loss(logits_NV, targets) -> nats_N``: one loss in nats at each of N trained tokens.

The logits are the student's before the softmax, with a gradient, in the precision of training.
Tokens are independent: the N given are only some of a step's, as many as fit into memory at once,
so a loss must not normalise over them. Their weighted mean over the whole step is minimised.
"""


def loss_named(name: str) -> Loss:
    """Returns a loss of a user's own by its ``module:name`` or the name of its entry point.

    Raises:
        ConfigError: There is none, or it cannot be loaded.
    """
    return LOSSES.named(name)


def loss_of(student: StudentSettings) -> Loss:
    """Returns the loss that a student's settings ask for; one of a user's own is looked after."""
    learned: Loss = partial(matching_loss, matching=student.matching)
    if student.loss is not None:
        learned = CheckedLoss(student.loss, loss_named(student.loss))
    return learned if student.unlikelihood is None else partial(_with_unlikelihood, learned=learned)


def _with_unlikelihood(logits_NV: Tensor, targets: Targets, learned: Loss) -> Tensor:
    """Returns ``(N,)`` nats: unlikelihood of the labels that are not to be written, else a loss."""
    if targets.unlikely_N is None or not bool(targets.unlikely_N.any()):
        return learned(logits_NV, targets._replace(unlikely_N=None))
    nats_N = logits_NV.new_zeros(len(logits_NV), dtype=torch.float32)
    wrong_n = targets.unlikely_N.nonzero()[:, 0]
    unlikely_n = unlikelihood(logits_NV[wrong_n], targets.labels_N[wrong_n])
    nats_N = nats_N.index_copy(0, wrong_n, unlikely_n)
    right_n = (~targets.unlikely_N).nonzero()[:, 0]
    if not len(right_n):
        return nats_N
    nats_n = learned(logits_NV[right_n], targets.at(right_n)._replace(unlikely_N=None))
    return nats_N.index_copy(0, right_n, nats_n.float())


class CheckedLoss:
    """A loss of a user's own, whose values are looked at before they are learned from.

    Shape, type and gradient are checked at every call; whether all values are NaN at the first
    alone, since it takes a wait for the device.

    Args:
        name: The loss's name in the recipe, for messages.
        loss: The loss.
    """

    def __init__(self, name: str, loss: Loss) -> None:
        self._name, self._loss = name, loss
        self._is_first = True

    def __call__(self, logits_NV: Tensor, targets: Targets) -> Tensor:
        """Returns the loss's values.

        Raises:
            ConfigError: They are not one number with a gradient for each of the tokens.
        """
        learns = logits_NV.requires_grad and torch.is_grad_enabled()  # it may detach them in place
        nats_N: object = self._loss(logits_NV, targets)
        if fault := self._fault(nats_N, len(targets.labels_N), learns=learns):
            raise ConfigError(
                f"the loss {self._name} returned {fault}. It has to return a tensor of nats, one "
                f"for each of the {len(targets.labels_N)} tokens that it was given."
            )
        self._is_first = False
        return nats_N  # type: ignore[return-value]

    def _fault(self, nats_N: object, tokens: int, *, learns: bool) -> str:
        """Returns the words for what is wrong with a loss's values; empty: nothing is."""
        if not isinstance(nats_N, Tensor):
            return f"a {type(nats_N).__name__}"
        if nats_N.shape != (tokens,):
            return f"values of the shape {tuple(nats_N.shape)} in place of ({tokens},)"
        if not nats_N.is_floating_point():
            return f"values of the type {nats_N.dtype}, which have no gradient"
        if learns and not nats_N.requires_grad:
            return "values that have no gradient to the logits"
        if self._is_first and tokens and bool(nats_N.isnan().all()):
            return "NaN for every token"
        return ""


def sample_matching(logits_NV: Tensor, labels_N: Tensor) -> Tensor:
    """Returns the ``(N,)`` cross-entropies of the labels, in nats."""
    ones_N1 = torch.ones_like(labels_N[:, None], dtype=torch.float32)
    return _CrossEntropy.apply(logits_NV, labels_N[:, None], ones_N1, None)  # type: ignore[no-any-return, no-untyped-call]


def unlikelihood(logits_NV: Tensor, labels_N: Tensor) -> Tensor:
    """Returns ``-log(1 - q)`` of the labels' probabilities q, in nats (arXiv 1908.04319).

    Minus the cross-entropy would grow without end as q falls, and the student with it. Here the
    gradient to the logits is q at the label and -q r_v elsewhere, with r the distribution of the
    other tokens: never longer than that of a token that is learned, and gone where q is 0.
    """
    return _Unlikelihood.apply(logits_NV, labels_N[:, None])  # type: ignore[no-any-return, no-untyped-call]


def matching_loss(logits_NV: Tensor, targets: Targets, matching: MatchingSettings) -> Tensor:
    """Returns ``(N,)`` nats: distribution matching with its weight, sample matching with the rest.

    On CUDA with liger-kernel installed, sample matching alone is one fused pass, which overwrites
    the logits.
    """
    if matching.distribution == 0 or targets.soft_N is None:
        fused = _fused_cross_entropy() if logits_NV.is_cuda else None
        if fused is not None:
            return fused(logits_NV, targets.labels_N, reduction="none").float()
        return sample_matching(logits_NV, targets.labels_N)
    # Where the teacher's probabilities are unknown, the weight of distribution matching is 0.
    share_N = matching.distribution * targets.soft_N.float()
    if matching.divergence == "forward_kl" and matching.temperature == 1:
        return _forward_kl(logits_NV, targets, matching, share_N)
    sample_N = sample_matching(logits_NV, targets.labels_N)
    return torch.lerp(sample_N, distribution_matching(logits_NV, targets, matching), share_N)


def distribution_matching(
    logits_NV: Tensor, targets: Targets, matching: MatchingSettings
) -> Tensor:
    """Returns the ``(N,)`` divergences of the student's distributions from the teacher's, in nats.

    With ``forward_kl`` and ``tail: drop`` this is the loss of Fu et al. (arXiv 2301.12726,
    ``kl_divergence`` of their code): the kept mass is below 1, and so is the loss's weight.

    Args:
        logits_NV: The student's logits.
        targets: Soft targets; the labels are not looked at.
        matching: The divergence, the temperature on both sides (the loss is multiplied by its
            square, Hinton et al., arXiv 1503.02531), and what becomes of the tail.
    """
    # The student's side of the temperature; the teacher's is in its vector.
    if matching.temperature != 1:
        logits_NV = logits_NV.float() / matching.temperature
    if matching.divergence == "forward_kl":
        all_N = torch.ones_like(targets.labels_N, dtype=torch.float32)
        nats_N = _forward_kl(logits_NV, targets, matching, all_N)
    else:
        jsd = partial(_jsd, beta=matching.beta)
        nats_of = jsd if matching.divergence == "jsd" else _reverse_kl
        teacher = _teacher_vector(targets, matching, vocabulary=logits_NV.shape[1])
        nats_N = _Blocks.apply(logits_NV, teacher, nats_of)  # type: ignore[no-untyped-call]
    return nats_N * matching.temperature**2


@cache
def _fused_cross_entropy() -> Callable[..., Tensor] | None:
    """Returns Liger's kernel, where it is installed."""
    try:
        from liger_kernel.transformers.functional import liger_cross_entropy
    except ImportError:
        return None
    return liger_cross_entropy  # type: ignore[no-any-return]


class _TeacherVector(NamedTuple):
    """The vector p over the vocabulary: K candidates, and one probability for each other token."""

    ids_NK: Tensor
    """The candidates, padded with 0."""

    probabilities_NK: Tensor
    """The candidates' probabilities; 0 where there is no candidate."""

    known_NK: Tensor
    """Whether there is a candidate in this column."""

    other_N: Tensor
    """The probability o of each other token."""

    others_N: Tensor
    """The number of other tokens."""


def _teacher_vector(
    targets: Targets, matching: MatchingSettings, *, vocabulary: int
) -> _TeacherVector:
    """Returns the candidates with the tail treated and the temperature applied."""
    assert targets.ids_NK is not None
    assert targets.probabilities_NK is not None
    assert targets.tail_N is not None
    known_NK = targets.ids_NK >= 0
    kept_NK = targets.probabilities_NK.float()
    others_N = vocabulary - known_NK.sum(1)
    # The mass that p comes to: below 1 only if the tail is dropped.
    other_N = torch.zeros_like(targets.tail_N, dtype=torch.float32)
    mass_N = kept_NK.sum(1) if matching.tail == "drop" else torch.ones_like(other_N)
    # The mass that the candidates leave open is spread evenly over the V - K other tokens.
    if matching.tail == "uniform_tail":
        tail_N = targets.tail_N.float()
        if matching.divergence == "reverse_kl":
            tail_N = tail_N.clamp(min=TAIL_FLOOR)
        other_N = tail_N / others_N.clamp(min=1)
    # softmax(z / t) is proportional to softmax(z) ** (1 / t); the sums are made good afterwards.
    power = 1.0 / matching.temperature
    kept_NK = torch.where(known_NK, kept_NK**power, 0.0)
    other_N = other_N**power
    scale_N = mass_N / (kept_NK.sum(1) + others_N * other_N).clamp(min=TAIL_FLOOR)
    ids_NK, kept_NK = targets.ids_NK.clamp(min=0), kept_NK * scale_N[:, None]
    return _TeacherVector(ids_NK, kept_NK, known_NK, other_N * scale_N, others_N)


class _CrossEntropy(torch.autograd.Function):
    """Cross-entropy of a sparse target: ``-sum_k w_k log q_k - e sum_v log q_v``, for each row.

    With q = softmax(z) its gradient to z is ``q (sum_k w_k + V e) - e``, less w_k at token k, so
    backward needs q alone and writes the gradient into its memory.
    """

    @staticmethod
    def forward(
        ctx: Any, logits_NV: Tensor, ids_NK: Tensor, weights_NK: Tensor, every_N: Tensor | None
    ) -> Tensor:
        # log q_v = z_v - log Z, and log Z is read off the likeliest token: z_max - log q_max.
        q_NV = logits_NV.softmax(1, dtype=torch.float32)
        normaliser_N = logits_NV.amax(1).float() - q_NV.amax(1).log()
        nats_NK = normaliser_N[:, None] - logits_NV.gather(1, ids_NK).float()
        nats_N, mass_N = (weights_NK * nats_NK).sum(1), weights_NK.sum(1)
        if every_N is not None:  # e sum_v -log q_v = V e (log Z - the mean of z)
            spread_N = logits_NV.shape[1] * every_N
            nats_N += spread_N * (normaliser_N - logits_NV.mean(1, dtype=torch.float32))
            mass_N += spread_N
        ctx.saved_for_gradient = q_NV, mass_N, ids_NK, weights_NK, every_N, logits_NV.dtype
        return nats_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradient in the memory of q, so that a second backward pass is refused."""
        grad_NV, mass_N, ids_NK, weights_NK, every_N, dtype = ctx.saved_for_gradient
        del ctx.saved_for_gradient
        # q (sum_k w_k + V e), less e everywhere, less w_k at the K candidates.
        grad_NV *= (grad_N * mass_N)[:, None]
        if every_N is not None:
            grad_NV -= (grad_N * every_N)[:, None]
        grad_NV.scatter_add_(1, ids_NK, -grad_N[:, None] * weights_NK)
        return grad_NV.to(dtype), None, None, None


class _Unlikelihood(torch.autograd.Function):
    """``-log(1 - q)`` for each row; the sum over the other tokens is exact where q is nearly 1."""

    @staticmethod
    def forward(ctx: Any, logits_NV: Tensor, labels_N1: Tensor) -> Tensor:
        r_NV = logits_NV.softmax(1, dtype=torch.float32)
        q_N1 = r_NV.gather(1, labels_N1)
        r_NV.scatter_(1, labels_N1, 0.0)
        others_N1 = r_NV.sum(1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny)
        r_NV /= others_N1
        ctx.saved_for_gradient = r_NV, q_N1, labels_N1, logits_NV.dtype
        return -others_N1[:, 0].log()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradient in the memory of r, so that a second backward pass is refused."""
        grad_NV, q_N1, labels_N1, dtype = ctx.saved_for_gradient
        del ctx.saved_for_gradient
        grad_N1 = grad_N[:, None] * q_N1
        grad_NV *= -grad_N1
        grad_NV.scatter_(1, labels_N1, grad_N1)
        return grad_NV.to(dtype), None


class _Blocks(torch.autograd.Function):
    """``(N,)`` nats of a divergence, some rows at a time, so that its buffers stay small.

    Their gradient to the logits is made on the way forward, and is all that is kept.
    """

    @staticmethod
    def forward(
        ctx: Any, logits_NV: Tensor, teacher: _TeacherVector, nats_of: Callable[..., Tensor]
    ) -> Tensor:
        size = max(BLOCK_LOGITS // logits_NV.shape[1], 1)
        nats, ctx.grad_NV = [], torch.empty_like(logits_NV)
        for first in range(0, len(logits_NV), size):
            rows = slice(first, first + size)
            # A graph of n rows, whose gradient to its logits is taken before the next is built.
            with torch.enable_grad():
                logits_nV = logits_NV[rows].detach().requires_grad_()
                nats_n = nats_of(logits_nV, _TeacherVector(*(tensor[rows] for tensor in teacher)))
                (ctx.grad_NV[rows],) = torch.autograd.grad(nats_n.sum(), logits_nV)
            nats.append(nats_n.detach())
        return torch.cat(nats)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_N: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradient made on the way forward, in its memory; a second pass is refused."""
        grad_NV = ctx.grad_NV
        del ctx.grad_NV
        return grad_NV.mul_(grad_N[:, None]), None, None


def _forward_kl(
    logits_NV: Tensor, targets: Targets, matching: MatchingSettings, share_N: Tensor
) -> Tensor:
    """Returns ``share KL(p | q) + (1 - share) CE(label | q)``, both in one pass over the logits.

    ``KL(p | q) = sum p log p - sum p log q``: the first sum has no gradient, and the second is a
    cross-entropy with weight p_k - o at the candidates and o on every token. The label is one more
    candidate with weight 1 - share.
    """
    teacher = _teacher_vector(targets, matching, vocabulary=logits_NV.shape[1])
    p_NK, other_N = teacher.probabilities_NK, teacher.other_N
    own_N = torch.xlogy(p_NK, p_NK).sum(1) + teacher.others_N * torch.xlogy(other_N, other_N)
    # A candidate's weight is what it has over the weight o that every token gets.
    over_NK = torch.where(teacher.known_NK, p_NK - other_N[:, None], 0.0)
    nats_N: Tensor = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
        logits_NV,
        torch.cat([teacher.ids_NK, targets.labels_N[:, None]], 1),
        torch.cat([share_N[:, None] * over_NK, 1 - share_N[:, None]], 1),
        share_N * other_N if matching.tail == "uniform_tail" else None,
    )
    return share_N * own_N + nats_N


def _reverse_kl(logits_NV: Tensor, teacher: _TeacherVector) -> Tensor:
    """Returns ``KL(q | p) = sum q log q - sum q log p``."""
    logq_NV = logits_NV.log_softmax(1, dtype=torch.float32)
    # The student's probabilities of the teacher's candidates, (N, K) of (N, V).
    q_NV = logq_NV.exp()
    q_NK = q_NV.gather(1, teacher.ids_NK)
    tiny = torch.finfo(torch.float32).tiny
    # sum q log p = log o + sum_k q_k (log p_k - log o), as the q of all tokens sum to 1.
    logp_NK = teacher.probabilities_NK.clamp(min=tiny).log()
    log_other_N = teacher.other_N.clamp(min=tiny).log()
    correction_NK = torch.where(teacher.known_NK, q_NK * (logp_NK - log_other_N[:, None]), 0.0)
    return (q_NV * logq_NV).sum(1) - log_other_N - correction_NK.sum(1)


def _jsd(logits_NV: Tensor, teacher: _TeacherVector, beta: float) -> Tensor:
    """Returns ``beta KL(p | m) + (1 - beta) KL(q | m)``, m their mixture (arXiv 2306.13649)."""
    q_NV = logits_NV.softmax(1, dtype=torch.float32)
    q_NK = q_NV.gather(1, teacher.ids_NK)
    other_N1 = teacher.other_N[:, None]

    def nats(p: Tensor, q: Tensor) -> Tensor:
        mixed = beta * p + (1 - beta) * q
        own = beta * torch.xlogy(p, p) + (1 - beta) * torch.xlogy(q, q)
        return own - torch.xlogy(mixed, mixed)

    # Every token as another one, and at the candidates the difference to that.
    candidates_NK = nats(teacher.probabilities_NK, q_NK) - nats(other_N1.expand_as(q_NK), q_NK)
    return nats(other_N1, q_NV).sum(1) + torch.where(teacher.known_NK, candidates_NK, 0.0).sum(1)
