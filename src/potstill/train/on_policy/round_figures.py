"""The figures of a round that tell a student that learns from one that collapses.

All of them come from what the round has anyway: the student's answers with its own probabilities,
and the teacher's scores. None costs a request or a pass through a model.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from potstill.models.scored_tokens import answer_ends
from potstill.records import Completion, Question, TokenLogprobs
from potstill.train.on_policy.written_answers import WrittenAnswer, entropies

RUN = 4
"""Tokens of a run that may be repeated; seq-rep-4 of arXiv 1908.04319."""

LEAST_ENDS = 4
"""Scored ends from which on their mean probability says something."""

LEAST_LOGPROB = -100.0
"""Nats that stand for a token that the teacher gives no probability at all."""

SAME = 1e-3
"""Nats within which two log-probabilities are the same; servers round theirs."""

Right = Callable[[str, Question], bool]
"""Whether an answer is the gold answer of its question."""


class OwnFigures(NamedTuple):
    """Figures of answers before they are scored; see :class:`potstill.records.TrainingRound`."""

    answers: int = 0
    ended: int = 0
    right: int | None = None
    student_tokens: int = 0
    encoded_again: int = 0
    entropy: float | None = None
    repeated: float | None = None


class ScoredCounts(NamedTuple):
    """Costs of the scores, and tokens learned; see :class:`potstill.records.TrainingRound`."""

    teacher_tokens: int = 0
    usd: float = 0.0
    unlearned: int | None = None
    places: int = 0
    learned: int = 0


class TeacherFigures(NamedTuple):
    """Figures of answers by their scores; see :class:`potstill.records.TrainingRound`."""

    mass: float | None = None
    teacher_logprob: float | None = None
    teacher_entropy: float | None = None
    end_probability: float | None = None


def own_figures(
    written: Sequence[tuple[Question, Completion]],
    answers: Sequence[WrittenAnswer],
    right: Right | None,
) -> OwnFigures:
    """Returns what a round's answers tell before a teacher has seen them.

    Args:
        written: All answers with their questions.
        answers: The parts of them that are scored.
        right: None where only beginnings are written.
    """
    surprises: list[NDArray[np.float64]] = []
    repeated, runs = 0, 0
    for _, completion in written:
        tokens = completion.logprobs
        if tokens is None:
            continue
        own = -tokens.logprobs[:, 0].astype(np.float64)
        surprises.append(own[np.isfinite(own)])
        if tokens.ids is not None:
            again, all_runs = repeated_runs(tokens.ids[:, 0].tolist())
            repeated, runs = repeated + again, runs + all_runs
    known = np.concatenate(surprises) if surprises else np.zeros(0)
    return OwnFigures(
        answers=len(written),
        ended=sum(completion.finish_reason == "stop" for _, completion in written),
        right=None
        if right is None
        else sum(right(one.text, question) for question, one in written),
        student_tokens=sum(completion.completion_tokens for _, completion in written),
        encoded_again=sum(answer.is_encoded_again for answer in answers),
        entropy=float(known.mean()) if known.size else None,
        repeated=repeated / runs if runs else None,
    )


def repeated_runs(ids: Sequence[int]) -> tuple[int, int]:
    """Returns how many runs of four tokens stood there before, and how many runs there are."""
    runs = [tuple(ids[place : place + RUN]) for place in range(len(ids) - RUN + 1)]
    return len(runs) - len(set(runs)), len(runs)


def teacher_figures(
    answers: Sequence[WrittenAnswer], scores: Sequence[TokenLogprobs | None]
) -> TeacherFigures:
    """Returns what the teacher's scores tell of a round's answers.

    Args:
        answers: The parts of them that were scored.
        scores: By bytes; None where there are none.
    """
    inside, logprobs, ends = list[NDArray[np.bool_]](), list[NDArray[np.float64]](), list[float]()
    nats, places = 0.0, 0
    for answer, tokens in zip(answers, scores, strict=True):
        if tokens is None or not len(tokens.logprobs):
            continue
        rows = tokens.logprobs.astype(np.float64)
        if answer.ends and answer_ends(tokens)[-1, 0]:
            ends.append(float(np.exp(rows[-1, 0])))
        known = ~np.isnan(rows[:, 0])  # all but a first token that nothing stands before
        inside.append(_is_inside(tokens)[known])
        rows = rows[known]
        logprobs.append(np.maximum(rows[:, 0], LEAST_LOGPROB))
        nats += float(entropies(rows).sum())
        places += len(answer.ids) - answer.lead + answer.ends
    own = np.concatenate(logprobs) if logprobs else np.zeros(0)
    if not own.size:
        return TeacherFigures()
    return TeacherFigures(
        mass=float(np.concatenate(inside).mean()),
        teacher_logprob=float(own.mean()),
        teacher_entropy=nats / places if places else None,
        end_probability=float(np.mean(ends)) if len(ends) >= LEAST_ENDS else None,
    )


def _is_inside(tokens: TokenLogprobs) -> NDArray[np.bool_]:
    """Returns ``(T,)``: whether a text's own token is among the likeliest ones.

    Args:
        tokens: By bytes.
    """
    rows = tokens.logprobs.astype(np.float64)
    listed = np.where(np.isfinite(rows[:, 1:]), rows[:, 1:], np.inf)
    over = rows[:, 0] - listed.min(axis=1, initial=np.inf)
    inside: NDArray[np.bool_] = over > SAME
    for row in np.flatnonzero(np.abs(over) <= SAME):  # as likely as the last of them: is it that?
        own, *others = _names(tokens, int(row))
        inside[row] = own in others
    return inside


def _names(tokens: TokenLogprobs, row: int) -> list[bytes]:
    """Returns the bytes of a row's own token and of those listed beside it, padding left out."""
    assert tokens.lengths is not None, "tokens are named by bytes"
    lengths = tokens.lengths.astype(np.int64)
    stops = int(lengths[:row].sum()) + lengths[row].cumsum()
    held = np.isfinite(tokens.logprobs[row])
    return [
        tokens.token_bytes[stop - length : stop]
        for stop, length in zip(stops[held].tolist(), lengths[row][held].tolist(), strict=True)
    ]
