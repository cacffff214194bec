"""How sure a student is of its own step, and whether that calls for the teacher.

A conditional policy has the student write its own first step and looks at its :class:`Signals`:
``when_unsure`` and ``route`` at one of them, ``learned`` at the probability that guidance turns the
answer from wrong to right. ``any_step`` looks at one signal of the first token of every step. The
probability is a logistic regression on the standardised signals, fitted to development questions
and calibrated by Platt scaling (Platt 1999)::

    p(turned right) = 1 / (1 + exp(-(slope * (bias + w . (signals - mean) / scale) + offset)))

Shape suffixes: N questions, S signals, T tokens of a step, K likeliest tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from potstill.errors import ModelError
from potstill.records import Completion

SignalName = Literal["mean_logprob", "min_logprob", "entropy", "disagreement", "prompt_tokens"]


class Signals(NamedTuple):
    """The doubt in a student's first step; the greater a value, the less sure the student is.

    ``learned`` also looks at the length of what is asked: doubt alone does not tell a question on
    which the student needs one step from one that is beyond it.
    """

    mean_logprob: float
    """Mean of the negated log-probabilities of the step's tokens, in nats."""

    min_logprob: float
    """The lowest log-probability of the step's tokens, negated, in nats."""

    entropy: float
    """Mean entropy of the step's tokens, in nats; tokens beyond the likeliest count as one."""

    disagreement: float
    """Share of the sampled first steps that differ from the greedy one, between 0 and 1."""

    prompt_tokens: float
    """Length of the prompt, in the student's tokens."""


Gate = Callable[[Signals], bool]
"""Whether signals call for the teacher."""


def signals_of(
    step: Completion, samples: Sequence[str] = (), *, tokens: int | None = None
) -> Signals:
    """Read a student's signals.

    Args:
        step: The student's own step, greedy, with the probabilities of its tokens.
        samples: Further draws of the step, whose white space and case are of no account.
        tokens: How many tokens from the step's beginning are looked at; None: all.

    Raises:
        ModelError: The student gave no probabilities.
    """
    if step.logprobs is None:
        raise ModelError(
            "the student gives no token probabilities, which when_unsure, learned, any_step and "
            "route look at; take another policy, or a server that offers logprobs."
        )
    # One row a token: its own log-probability, then those of the likeliest tokens there.
    table = step.logprobs.logprobs[:tokens]
    table = table[np.isfinite(table[:, 0])]  # the others are not known
    if not len(table):  # it ended at once: nothing that could be doubted
        return Signals(0.0, 0.0, 0.0, _disagreement(step.text, samples), step.prompt_tokens)
    chosen = -table[:, 0].astype(np.float64)
    top = table[:, 1:].astype(np.float64)
    return Signals(
        float(chosen.mean()),
        float(chosen.max()),
        float(_entropies(top).mean()) if top.shape[1] else 0.0,
        _disagreement(step.text, samples),
        step.prompt_tokens,
    )


def _entropies(top_TK: np.ndarray) -> np.ndarray:
    """Entropy at each of T positions, from K log-probabilities and the mass they leave."""
    mass_TK = np.exp(top_TK)
    tail_T = np.clip(1.0 - mass_TK.sum(axis=1), 0.0, 1.0)
    # -p log p of the K likeliest; 0 where p is 0, whose log-probability is minus infinity.
    parts_TK = np.where(mass_TK > 0, -mass_TK * np.where(mass_TK > 0, top_TK, 0.0), 0.0)
    # All other tokens together count as one of the mass that is left.
    tail_entropy_T = -np.where(tail_T > 0, tail_T * np.log(np.where(tail_T > 0, tail_T, 1.0)), 0.0)
    entropy_T: np.ndarray = parts_TK.sum(axis=1) + tail_entropy_T
    return entropy_T


def _disagreement(text: str, samples: Sequence[str]) -> float:
    """The share of samples that are another text, white space and case aside."""
    plain = _normalized(text)
    differ = sum(_normalized(sample) != plain for sample in samples)
    return differ / len(samples) if samples else 0.0


def _normalized(text: str) -> str:
    return " ".join(text.casefold().split())


Floats = NDArray[np.float64]

STRENGTHS = (10.0, 1.0, 0.1, 0.01, 0.001)
"""L2 strengths that are tried, the most cautious first."""

FOLDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Classifier:
    """Logistic regression on standardised signals, and the calibration of its scores."""

    mean: tuple[float, ...]
    """The mean of each signal, subtracted from it."""

    scale: tuple[float, ...]
    """Standard deviation of each signal, which divides it; 1 for one that never varied."""

    weights: tuple[float, ...]
    bias: float
    slope: float
    """Platt scaling: the probability is the logistic function of slope * score + offset."""

    offset: float

    def probability(self, signals: Signals) -> float:
        """How likely guidance turns the answer right, between 0 and 1."""
        parts = zip(signals, self.mean, self.scale, self.weights, strict=True)
        score = self.bias + sum((x - mean) / scale * weight for x, mean, scale, weight in parts)
        return float(_logistic(np.float64(self.slope * score + self.offset)))


class LearnedClassifier(NamedTuple):
    """A classifier, and its probabilities for questions it had not seen."""

    classifier: Classifier
    held_out: tuple[float, ...]
    """The probability of each question it was fitted on, by the fit to the other folds."""

    strength: float
    """The L2 strength that cross-validation chose; 0 where there was nothing to learn from."""


def learn(signals: Sequence[Signals], turned: Sequence[bool], *, seed: int) -> LearnedClassifier:
    """Fit a classifier to development questions.

    The L2 strength is the one with the least log loss in cross-validation, and the scores that
    were held out there calibrate it (Platt 1999). Where fewer than two questions were turned right,
    or fewer than two were not, every question gets the same probability.

    Args:
        signals: The student's, question by question.
        turned: Whether guidance turned the answer from wrong to right.
        seed: Seeds the division into folds.
    """
    x_NS = np.array(signals, dtype=np.float64).reshape(len(turned), len(Signals._fields))
    y_N = np.array(turned, dtype=np.float64)
    mean_S, scale_S = _standard(x_NS)
    rare = int(min(y_N.sum(), len(y_N) - y_N.sum()))
    if rare < 2:
        return _constant(mean_S, scale_S, y_N)
    # Choose the L2 strength by the log loss of held-out scores.
    fold_N = _folds(y_N, min(FOLDS, rare), seed)
    scores = {strength: _held_out(x_NS, y_N, fold_N, strength) for strength in STRENGTHS}
    strength = min(STRENGTHS, key=lambda candidate: _log_loss(scores[candidate], y_N))
    # Fit all questions at that strength, and calibrate by the scores that were held out.
    weights_S, bias = fit((x_NS - mean_S) / scale_S, y_N, strength)
    slope, offset = _calibrated(scores[strength], y_N)
    classifier = Classifier(
        mean=tuple(mean_S.tolist()),
        scale=tuple(scale_S.tolist()),
        weights=tuple(weights_S.tolist()),
        bias=bias,
        slope=slope,
        offset=offset,
    )
    held_out = _logistic(slope * scores[strength] + offset)
    return LearnedClassifier(classifier, tuple(held_out.tolist()), strength)


def fit(x_NS: Floats, y_N: Floats, strength: float) -> tuple[Floats, float]:
    """Logistic regression: weights and bias with the least mean log loss plus L2 penalty.

    Args:
        x_NS: Standardised inputs.
        y_N: 0 or 1, or a probability between them.
        strength: Half of it times the weights' squared length is added; the bias is free.
    """
    from scipy.optimize import minimize  # loaded here: it takes longer than the rest

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights_S, bias = parameters[:-1], parameters[-1]
        z_N = x_NS @ weights_S + bias
        error_N = (_logistic(z_N) - y_N) / len(y_N)
        value = _log_loss(z_N, y_N) + 0.5 * strength * float(weights_S @ weights_S)
        return value, np.append(x_NS.T @ error_N + strength * weights_S, error_N.sum())

    start = np.zeros(x_NS.shape[1] + 1)
    options = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1000}
    parameters = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    return parameters[:-1], float(parameters[-1])


def _standard(x_NS: Floats) -> tuple[Floats, Floats]:
    scale_S = x_NS.std(axis=0)
    return x_NS.mean(axis=0), np.where(scale_S > 0, scale_S, 1.0)


def _constant(mean_S: Floats, scale_S: Floats, y_N: Floats) -> LearnedClassifier:
    """The share of those turned, by Laplace's rule, for every question."""
    share = float((y_N.sum() + 1) / (len(y_N) + 2))
    nothing = tuple(0.0 for _ in mean_S)
    offset = float(np.log(share / (1 - share)))
    classifier = Classifier(
        mean=tuple(mean_S.tolist()),
        scale=tuple(scale_S.tolist()),
        weights=nothing,
        bias=0.0,
        slope=1.0,
        offset=offset,
    )
    return LearnedClassifier(classifier, tuple(share for _ in y_N), 0.0)


def _folds(y_N: Floats, folds: int, seed: int) -> NDArray[np.int64]:
    """A fold for each question; both kinds are spread evenly."""
    order = np.random.default_rng(seed).permutation(len(y_N))
    order = order[np.argsort(y_N[order], kind="stable")]  # shuffled within each kind
    fold_N = np.empty(len(y_N), dtype=np.int64)
    fold_N[order] = np.arange(len(y_N)) % folds
    return fold_N


def _held_out(x_NS: Floats, y_N: Floats, fold_N: NDArray[np.int64], strength: float) -> Floats:
    """Each question's score by a fit to the other folds."""
    score_N = np.empty(len(y_N))
    for fold in np.unique(fold_N):
        out = fold_N == fold
        mean_S, scale_S = _standard(x_NS[~out])
        weights_S, bias = fit((x_NS[~out] - mean_S) / scale_S, y_N[~out], strength)
        score_N[out] = (x_NS[out] - mean_S) / scale_S @ weights_S + bias
    return score_N


def _calibrated(score_N: Floats, y_N: Floats) -> tuple[float, float]:
    """Platt scaling, with his targets; scores that tell nothing get slope 0, never a negative."""
    right = float(y_N.sum())
    wrong = len(y_N) - right
    target_N = np.where(y_N > 0, (right + 1) / (right + 2), 1 / (wrong + 2))
    weights_S, offset = fit(score_N[:, None], target_N, 1e-6)
    if weights_S[0] >= 0:
        return float(weights_S[0]), offset
    share = float(target_N.mean())
    return 0.0, float(np.log(share / (1 - share)))


def _log_loss(z_N: Floats, y_N: Floats) -> float:
    """Mean log loss of scores, in nats."""
    return float((np.logaddexp(0.0, z_N) - y_N * z_N).mean())


def _logistic(z: Floats | np.float64) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0.0, -z)))
