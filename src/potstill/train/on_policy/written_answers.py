r"""A student's answers, the part of each that a teacher scores, and the scores at its tokens.

A student's answer is known by the tokens that it wrote: encoded again, its text may be others. The
part that is scored begins behind what the student's layout puts before an answer, and ends with the
answer, or before::

    the student wrote    "\nHe has 3 + 4 = 7 apples. --> 7<end>"
    the teacher is given  " He has 3 + 4 = 7 apples."
    places that learn       ^^ ^^^ . . .            ^

Where the teacher is asked by another prompt than the student, white space before an answer is what
that prompt asks for. Where the teacher's prompt does not ask for the words by which the student's
data format closes an answer, such as ``-->``, the text from there on is not scored: a teacher that
never writes them finds them all but impossible, and the student would unlearn to close its answers.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from potstill.keys import settings_hash
from potstill.models.local.prompt_encoding import PromptEncoder
from potstill.records import (
    Completion,
    Example,
    Message,
    Question,
    Request,
    SoftTargets,
    TeacherSpan,
    TokenLogprobs,
)
from potstill.store.packed_logprobs import is_own
from potstill.text.steps import StepKind, split_steps
from potstill.train.alignment import Vocabulary, soft_targets
from potstill.train.encoding import Encoded, Encoder
from potstill.train.on_policy.settings import ScoreSettings

FEW = 1e-6
"""The least probability that a token is taken to have where the teacher does not list it."""


class WrittenAnswer(NamedTuple):
    """The part of a student's answer that is scored, in the student's tokens."""

    question: Question
    prompt: str | tuple[Message, ...]
    lead: int
    """Tokens before the text, as a chat template may have them."""

    ids: list[int]
    """The tokens, those before the text among them, without one that ends it."""

    text: str
    """The text that the tokens behind the lead spell."""

    ends: bool
    """Whether the answer ends behind them."""

    logprobs: NDArray[np.float32]
    """``(T, 1 + K)``, the student's own of these tokens and of its likeliest ones."""

    is_encoded_again: bool = False
    """Whether the tokens are those of the text and not those that were written."""


class _Spelled(NamedTuple):
    """The beginning of a text, and the number of tokens that spell it."""

    tokens: int
    text: str


class AnswerReader:
    """Reads a student's answers, and makes examples of them once they are scored.

    Args:
        tokenizer: The student's.
        encoder_decoder: Whether it reads its prompt with an encoder.
        control_tokens: Whether texts may spell control tokens.
        score: The part that is scored.
        closing: The words from which on answers are not scored; empty: they are scored to the end.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        encoder_decoder: bool,
        control_tokens: bool,
        score: ScoreSettings,
        closing: str,
    ) -> None:
        self._encoder = Encoder(
            tokenizer, encoder_decoder=encoder_decoder, control_tokens=control_tokens
        )
        prompts = PromptEncoder(tokenizer, "the student", control_tokens=control_tokens)
        encode = prompts.encoder_ids if encoder_decoder else prompts.prompt_ids
        self.prompt_ids = cache(lambda prompt: encode(Request(prompt=prompt)))
        self.token_names = prompts.token_names
        self._vocabulary = Vocabulary(tokenizer)
        self._score, self._closing = score, closing

    def read(
        self, question: Question, completion: Completion, kind: StepKind
    ) -> WrittenAnswer | None:
        """Returns the part of an answer that is scored; None where there is nothing of it.

        Args:
            question: The question.
            completion: The student's answer, with its token probabilities.
            kind: The layout of its steps.
        """
        answer = self._as_written(question, completion)
        places = [len(answer.text)]
        if self._closing and self._closing in answer.text:
            places.append(answer.text.index(self._closing))
        if self._score.first_steps is not None:
            places.append(_end_of_steps(answer.text, self._score.first_steps, kind))
        answer = self._cut(answer, min(places)) if min(places) < len(answer.text) else answer
        return answer if answer.text or answer.ends else None

    def _as_written(self, question: Question, completion: Completion) -> WrittenAnswer:
        """Returns a whole answer in the tokens that were written, if they spell its text."""
        tokens, text = completion.logprobs, completion.text
        ends, prompt = completion.finish_reason == "stop", completion.request.prompt
        if tokens is not None and tokens.ids is not None:
            ids: list[int] = tokens.ids[:, 0].tolist()
            lead = self._lead(ids, text)
            if lead is not None:
                return WrittenAnswer(
                    question, prompt, lead, ids, text, ends, tokens.logprobs[: len(ids)]
                )
            whole = self._whole_characters(ids)
            if whole.tokens < len(ids) and text.startswith(whole.text):  # what follows is no text
                return WrittenAnswer(
                    question,
                    prompt,
                    0,
                    ids[: whole.tokens],
                    whole.text,
                    False,
                    tokens.logprobs[: whole.tokens],
                )
        (encoded,) = self._encoder.encode(
            [Example(prompt=prompt, target=text)], max_length=2**31
        ).examples
        ids = encoded.target[: len(encoded.target) - len(self._encoder.ends_of(prompt))]
        unknown = np.full((len(ids), 2), np.nan, np.float32)
        return WrittenAnswer(
            question, prompt, self._lead(ids, text) or 0, ids, text, ends, unknown, True
        )

    def _lead(self, ids: Sequence[int], text: str) -> int | None:
        """Returns how many tokens stand before those that spell a text; None: none spell it."""
        pieces = [self._vocabulary.bytes_of(token) or b"" for token in ids]
        wanted = text.encode()
        if b"".join(pieces) in (wanted, b" " + wanted):
            return 0
        for place in range(len(pieces) - 1, 0, -1):
            rest = b"".join(pieces[place:])
            if len(rest) >= len(wanted):
                return place if rest == wanted else None
        return None

    def _whole_characters(self, ids: Sequence[int]) -> "_Spelled":
        """Returns the most tokens, from the first on, that spell whole characters."""
        found, spelled = _Spelled(0, ""), b""
        for count, token in enumerate(ids, start=1):
            spelled += self._vocabulary.bytes_of(token) or b""
            with suppress(UnicodeDecodeError):
                found = _Spelled(count, spelled.decode())
        return found

    def _cut(self, answer: WrittenAnswer, characters: int) -> WrittenAnswer:
        """Returns an answer up to the last token that lies within its first characters."""
        data, wanted = answer.text.encode(), len(answer.text[:characters].encode())
        end, count = 0, answer.lead
        spans = self._vocabulary.spans(answer.text, answer.ids[answer.lead :])
        for number, stop in enumerate(spans[:, 1].tolist(), start=answer.lead + 1):
            if stop <= wanted and _is_text(data[:stop]):
                end, count = stop, number
        return answer._replace(
            ids=answer.ids[:count],
            text=data[:end].decode(),
            ends=False,
            logprobs=answer.logprobs[:count],
        )

    def learned(
        self,
        answer: WrittenAnswer,
        given: str,
        scores: TokenLogprobs,
        data_format: str,
        *,
        are_reduced: bool = False,
    ) -> Encoded | None:
        """Returns an answer with the teacher's probabilities at its tokens.

        Tokens that they do not reach have no loss: by its own words a student learns nothing.

        Args:
            answer: The answer.
            given: The text that the teacher was given of it.
            scores: The teacher's probabilities of that, tokens named by bytes.
            data_format: The example's.
            are_reduced: Whether they have likeliest tokens only where :meth:`kept` has said.

        Returns:
            None where they reach none of its tokens.
        """
        carried, rows = self._carried(answer, given, scores, are_reduced=are_reduced)
        if not rows.size:
            return None
        end = self._encoder.ends_of(answer.prompt)[-1]
        return Encoded(
            self.prompt_ids(answer.prompt),
            [*answer.ids, end] if answer.ends else answer.ids,
            question_id=answer.question.id,
            data_format=data_format,
            soft=replace(
                carried,
                ids=carried.ids[rows],
                probabilities=carried.probabilities[rows],
                tail=carried.tail[rows],
                soft=carried.soft[rows],
            ),
            places=tuple((rows + answer.lead).tolist()),
        )

    def choice_of(self, answer: WrittenAnswer) -> str:
        """Returns a digest of what chooses the tokens that are learned; empty: all of them are."""
        if self._score.share == 1:
            return ""
        own = np.where(np.isfinite(answer.logprobs), answer.logprobs, 1.0).tolist()
        return settings_hash(self._score.share, self._score.by, answer.ids, own)

    def kept(self, answer: WrittenAnswer, given: str, scores: TokenLogprobs) -> NDArray[np.bool_]:
        """Returns at which of the teacher's tokens its likeliest ones are learned of.

        They are those between two places at which both have a boundary, around a token that is
        learned; and the end.

        Args:
            answer: The answer.
            given: The text that the teacher was given of it.
            scores: The teacher's probabilities of that, tokens named by bytes.

        Raises:
            ValueError: They are of another text.
        """
        _, rows = self._carried(answer, given, scores, are_reduced=False)
        own, teachers = self._stretches(answer, span_of(answer.text, given, scores))
        assert scores.lengths is not None
        kept: NDArray[np.bool_] = np.isin(teachers, own[rows[rows < len(own)]])
        kept |= scores.lengths[:, 0] == 0
        return kept

    def _stretches(
        self, answer: WrittenAnswer, span: TeacherSpan
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the number of the stretch that each token of either is in.

        A stretch lies between two places at which both have a boundary.
        """
        own = self._vocabulary.spans(answer.text, answer.ids[answer.lead :])
        assert span.tokens.lengths is not None
        ends = span.tokens.lengths[:, 0].cumsum(dtype=np.int64) - span.shift
        places = np.intersect1d(own[:, 1], ends)
        return np.searchsorted(places, own[:, 1]), np.searchsorted(places, ends)

    def _carried(
        self, answer: WrittenAnswer, given: str, scores: TokenLogprobs, *, are_reduced: bool
    ) -> tuple[SoftTargets, NDArray[np.int64]]:
        """Returns the teacher's probabilities at an answer's tokens, and which are learned."""
        span = span_of(answer.text, given, scores)
        ids, end = answer.ids[answer.lead :], self._encoder.ends_of(answer.prompt)[-1]
        carried = soft_targets(answer.text, ids, span, self._vocabulary, end=end)
        reached = carried.soft.nonzero()[0]
        reached = reached[reached < len(ids) + answer.ends]
        if self._score.share == 1:
            return carried, reached
        unkept = np.zeros(0, np.int64)
        if are_reduced:
            own, teachers = self._stretches(answer, span)
            others = np.isfinite(scores.logprobs) & ~is_own(scores)
            unkept = np.isin(own, teachers[~others.any(axis=1)]).nonzero()[0]
        return carried, self._chosen(answer, carried, reached, unkept)

    def _chosen(
        self,
        answer: WrittenAnswer,
        carried: SoftTargets,
        rows: NDArray[np.int64],
        unkept: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Returns the share of the rows that is ranked first, in order.

        Args:
            answer: The answer.
            carried: The teacher's probabilities at its tokens.
            rows: The places that have the teacher's probabilities.
            unkept: The places where the own token's alone are: not chosen before, ranked last.
        """
        ranks = np.full(len(carried.soft), np.inf)  # of the end, and of what is not known: first
        own = answer.logprobs[answer.lead :].astype(np.float64)
        if self._score.by == "entropy":
            found = entropies(own)
        else:
            ids = np.array(answer.ids[answer.lead :])[:, None]
            same = carried.ids[: len(ids)] == ids
            teachers = (carried.probabilities[: len(ids)] * same).sum(axis=1)
            found = np.abs(np.log(np.maximum(teachers, FEW)) - own[:, 0])
        ranks[: len(found)] = np.where(np.isnan(found), np.inf, found)
        ranks[unkept] = -np.inf
        count = max(round(self._score.share * rows.size), 1)
        first = rows[np.argsort(-ranks[rows], kind="stable")[:count]]
        return np.sort(first)


def entropies(logprobs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the ``(T,)`` entropies in nats of the likeliest tokens and the rest as one.

    Args:
        logprobs: ``(T, 1 + K)``, as in :class:`potstill.records.TokenLogprobs`.
    """
    likeliest = np.exp(logprobs[:, 1:])
    rest = np.maximum(1.0 - likeliest.sum(axis=1, keepdims=True), 0.0)
    shares = np.concatenate([likeliest, rest], axis=1)
    logs = np.log(np.where(shares > 0, shares, 1.0))
    entropy: NDArray[np.float64] = -(shares * logs).sum(axis=1)
    return entropy


def span_of(text: str, given: str, scores: TokenLogprobs) -> TeacherSpan:
    """Returns the stretch of a student's text that the teacher was given.

    Args:
        text: The student's text.
        given: The text that the teacher was given: the same but for white space before it.
        scores: The teacher's probabilities of ``given``.
    """
    common = 0  # white space that both have
    own, theirs = (len(whole) - len(whole.lstrip()) for whole in (text, given))
    while common < min(own, theirs) and text[own - 1 - common] == given[theirs - 1 - common]:
        common += 1
    start = len(text[: own - common].encode())
    shift = len(given[: theirs - common].encode()) - start
    return TeacherSpan(tokens=scores, start=start, end=len(text.encode()), shift=shift)


def _end_of_steps(text: str, count: int, kind: StepKind) -> int:
    """Returns where the first steps of a text end, in characters."""
    end = 0
    for step in split_steps(text, kind)[:count]:
        end = text.index(step, end) + len(step)
    return end if len(split_steps(text, kind)) > count else len(text)


def _is_text(data: bytes) -> bool:
    """Whether bytes end with a whole character of UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
