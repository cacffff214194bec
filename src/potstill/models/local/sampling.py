"""Choosing the next token of each row, by draws that belong to the row alone.

A token is drawn by the inverse of the cumulative distribution: with u from [0, 1), the first token
at which the running sum of probabilities exceeds u. The u of a sample's n-th token comes from a
counter-based generator (Philox, Salmon et al., 2011) seeded by the request and the sample, so that
a text does not depend on what is computed beside it::

    p           0.2  0.5  0.3       u = 0.6 takes token 1, since 0.2 <= 0.6 < 0.7
    cumulative  0.2  0.7  1.0

Shape suffixes: R rows, V vocabulary, K likeliest tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from potstill.records import Request


@dataclass(frozen=True, slots=True)
class Draw:
    """The temperature, top p and random number that one row's next token is drawn with."""

    temperature: float
    """0 takes the likeliest token."""

    top_p: float
    """Mass of the likeliest tokens that is drawn from; 1 draws from all."""

    uniform: float
    """The point of the cumulative distribution that is taken, from [0, 1)."""


class Top(NamedTuple):
    """The chosen and the K likeliest tokens' log-probabilities, the chosen one in column 0."""

    logprobs: NDArray[np.float32]
    ids: NDArray[np.int32]


def uniforms(request: Request, seed: int, count: int) -> NDArray[np.float64]:
    """Returns one sample's draws for its first ``count`` tokens; greedy requests need none."""
    if request.temperature == 0:
        return np.zeros(0)
    return np.random.Generator(np.random.Philox(seed)).random(count)


def choose(logits_RV: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Returns ``(R,)``: each row's next token, by the inverse of its cumulative distribution.

    With ``top_p`` below 1 only the likeliest tokens are kept, up to and including the one with
    which their probabilities reach ``top_p``.
    """
    greedy_R = logits_RV.max(dim=-1).indices  # argmax takes four times as long in bfloat16
    if all(draw.temperature == 0 for draw in draws):
        return greedy_R
    # In float64: sums over a vocabulary in float32 would move the boundaries between tokens.
    uniform_R1 = _column([draw.uniform for draw in draws], logits_RV)
    temperature_R1 = _column([draw.temperature or 1.0 for draw in draws], logits_RV)
    p_RV = torch.softmax(logits_RV.double() / temperature_R1, dim=-1)
    if all(draw.top_p >= 1 for draw in draws):
        drawn_R1 = _inverse_cdf(p_RV, uniform_R1)
    else:
        # Likeliest first; a token is kept if the mass before it is below top_p.
        p_RV, ids_RV = p_RV.sort(dim=-1, descending=True, stable=True)
        before_RV = p_RV.cumsum(dim=-1) - p_RV
        top_p_R1 = _column([draw.top_p for draw in draws], logits_RV)
        p_RV = p_RV.masked_fill((before_RV >= top_p_R1) & (top_p_R1 < 1), 0.0)
        drawn_R1 = ids_RV.gather(-1, _inverse_cdf(p_RV, uniform_R1))
    # Rows at temperature 0 were drawn with the others, at temperature 1; theirs is put back.
    is_greedy_R = torch.tensor([draw.temperature == 0 for draw in draws], device=drawn_R1.device)
    return torch.where(is_greedy_R, greedy_R, drawn_R1[:, 0])


def top_logprobs(logits_RV: Tensor, chosen_R: Tensor, k: int) -> Top:
    """Returns the log-probabilities at temperature 1 of the chosen and the k likeliest tokens."""
    logprobs_RV = torch.log_softmax(logits_RV.float(), dim=-1)
    # The chosen token in column 0, the likeliest behind it; it may be one of them, too.
    best_RK = logprobs_RV.topk(min(k, logprobs_RV.shape[-1]), dim=-1)
    chosen_R1 = chosen_R[:, None]
    logprobs = torch.cat([logprobs_RV.gather(-1, chosen_R1), best_RK.values], dim=-1)
    ids = torch.cat([chosen_R1, best_RK.indices], dim=-1)
    return Top(logprobs.cpu().numpy(), ids.int().cpu().numpy())


def _inverse_cdf(p_RV: Tensor, uniform_R1: Tensor) -> Tensor:
    """Returns ``(R, 1)``: the first column at which the running sum exceeds the row's draw."""
    cdf_RV = p_RV.cumsum(dim=-1)
    # Draws are scaled by the row's sum, which top_p or rounding leave below 1.
    point_R1 = uniform_R1 * cdf_RV[:, -1:]
    return torch.searchsorted(cdf_RV, point_R1, right=True).clamp(max=p_RV.shape[-1] - 1)


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=like.device)[:, None]
