"""Examples → token ids, the same ones that the student will read and write when asked.

A prompt is encoded by the code that asks models (:class:`PromptEncoder`), so that a chat template,
a beginning-of-sequence token or an answer prefix stand in training where they stand in use. The
target is what follows: where the seam allows it both are encoded as one text, so that a space at
the seam becomes part of the target's first token, as when the student writes it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from potstill.models.local.answer_layout import end_ids
from potstill.models.local.prompt_encoding import PromptEncoder
from potstill.records import Example, Message, Request, SoftTargets, TeacherSpan
from potstill.text.thinking import worded_thinking
from potstill.text.thinking_marks import END_THINK, THINK
from potstill.train.alignment import Vocabulary, soft_targets
from potstill.train.settings import ALIGNMENTS, MatchingSettings


class Encoded(NamedTuple):
    """One example as token ids; the loss counts on ``target`` only."""

    prompt: list[int]
    target: list[int]
    """Ends with the token that ends the text, or by the chat template the turn."""

    weight: float = 1.0
    question_id: str = ""
    data_format: str = ""
    soft: SoftTargets | None = None
    """The teacher's probabilities of the target's tokens; None: its text alone is matched."""

    skip: int = 0
    """Tokens at the beginning of the target that have no loss."""

    unlikely: bool = False
    """Whether it is learned not to write the target."""

    places: tuple[int, ...] | None = None
    """The places of the target's tokens that have a loss, a row of ``soft`` each; None: all after
    those that are skipped."""

    @property
    def length(self) -> int:
        """Tokens of prompt and target."""
        return len(self.prompt) + len(self.target)

    @property
    def trained(self) -> list[int]:
        """The tokens that have a loss."""
        if self.places is not None:
            return [self.target[place] for place in self.places]
        return self.target[self.skip :] if self.skip else self.target

    @property
    def trained_places(self) -> Sequence[int]:
        """The places, in the target, of the tokens that have a loss."""
        return range(self.skip, len(self.target)) if self.places is None else self.places


class EncodedExamples(NamedTuple):
    """The examples that are trained on, and how many are left out."""

    examples: Sequence[Encoded]
    too_long: int
    """Number of examples with more than ``max_length`` tokens; a cut would lose their answer."""

    thinking_too_long: int = 0
    """Number of those that hold the teacher's thinking."""

    longest: int = 0
    """Tokens of the longest example, those that are left out among them."""

    def told_too_long(self, longest: int) -> str:
        """Returns how many examples are left out for their length, and the ways out.

        Args:
            longest: The most tokens that one may have.
        """
        count = len(self.examples) + self.too_long
        told = f"{self.too_long:,} of {count:,} examples have more than {longest:,} tokens and are"
        told += " left out whole"
        ways = f"the longest has {self.longest:,}. Raise train.max_length to that"
        if not self.thinking_too_long:
            return f"{told}; {ways}, or curate for shorter rationales"
        return (
            f"{told}, {self.thinking_too_long:,} of them with the teacher's thinking; {ways}, or "
            "set the student's thinking to drop or to a mixture such as {long: 0.2, short: 0.8}"
        )


@dataclass(slots=True)
class LeftOutExamples:
    """The examples that are too long, counted as they are met."""

    count: int = 0
    with_thinking: int = 0
    longest: int = 0
    """Tokens of the longest example, those that are not left out among them."""


class Encoder:
    """Encodes prompts and targets for one student.

    Args:
        tokenizer: The student's tokenizer; it has an end-of-sequence token.
        encoder_decoder: Whether prompts go to an encoder.
        matching: Whether, and how, the teacher's probabilities are carried to the student's
            tokens.
        control_tokens: Read control tokens that texts spell as such; else they are text.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        encoder_decoder: bool,
        matching: MatchingSettings | None = None,
        control_tokens: bool = False,
    ) -> None:
        self._prompts = PromptEncoder(tokenizer, "the student", control_tokens=control_tokens)
        self._encoder_decoder = encoder_decoder
        self._end: int = tokenizer.eos_token_id
        self._turn_ends = end_ids(tokenizer, self._prompts.layout)
        self._matching = matching if matching and matching.distribution else None
        self._vocabulary = Vocabulary(tokenizer) if self._matching else None

    def encode(self, examples: Sequence[Example], *, max_length: int) -> EncodedExamples:
        """Encode prompts as they will be asked, and targets as what follows them.

        Args:
            examples: The examples to train on.
            max_length: Most tokens of prompt and target together.
        """
        left_out = LeftOutExamples()
        fitting = list(self.fitting(examples, max_length, left_out))
        return EncodedExamples(fitting, left_out.count, left_out.with_thinking, left_out.longest)

    def fitting(
        self, examples: Iterable[Example], max_length: int, left_out: "LeftOutExamples"
    ) -> Iterator[Encoded]:
        """Yields the examples that are not too long, one at a time.

        Args:
            examples: The examples to train on.
            max_length: See :meth:`encode`.
            left_out: Counts the others.
        """
        for example in examples:
            encoded = self._encode(example)
            left_out.longest = max(left_out.longest, encoded.length)
            if encoded.length <= max_length:
                yield encoded
                continue
            left_out.count += 1
            left_out.with_thinking += example.thinking is not None

    def ends_of(self, prompt: str | tuple[Message, ...]) -> list[int]:
        """Returns the tokens that end an answer to a prompt."""
        return [self._end] if isinstance(prompt, str) else self._turn_ends

    def _encode(self, example: Example) -> Encoded:
        request = Request(prompt=example.prompt)
        words, thinking = _taken_apart(example)
        answer = self._prompts.laid_out(request, words, thinking)
        if self._encoder_decoder:
            prompt = self._prompts.encoder_ids(request)
            target = self._prompts.laid_out_ids(answer)
        else:
            prompt = self._prompts.prompt_ids(request)
            target = self._prompts.continuation_ids(request, prompt, answer)
        ends = self.ends_of(example.prompt)
        return Encoded(
            prompt,
            [*target, *ends],
            weight=example.weight,
            question_id=example.question_id,
            data_format=example.data_format,
            soft=self._soft(example, self._prompts.shown(answer), thinking, target, ends),
            unlikely=example.unlikely,
        )

    def _soft(
        self, example: Example, text: str, thinking: str | None, target: list[int], ends: list[int]
    ) -> SoftTargets | None:
        """Returns the teacher's probabilities by token; those that end the text are hard.

        Args:
            example: The example.
            text: All that is learned but for the end.
            thinking: The thinking in it.
            target: The tokens of the text.
            ends: The tokens behind it.
        """
        if self._matching is None or self._vocabulary is None or example.teacher is None:
            return None
        carried = soft_targets(
            text,
            target,
            _moved(example, text, thinking),
            self._vocabulary,
            aligned_by=ALIGNMENTS.get(self._matching.alignment),
        )
        # A row more for each token of the end: itself with probability 1.
        width, count = carried.ids.shape[1], len(ends)
        ids = np.full((count, width), -1, np.int32)
        probabilities = np.zeros((count, width), np.float32)
        ids[:, 0], probabilities[:, 0] = ends, 1.0
        return replace(
            carried,
            ids=np.concatenate([carried.ids, ids]),
            probabilities=np.concatenate([carried.probabilities, probabilities]),
            tail=np.append(carried.tail, np.zeros(count, np.float32)),
            soft=np.append(carried.soft, np.zeros(count, bool)),
        )


def _taken_apart(example: Example) -> tuple[str, str | None]:
    """Returns an example's answer and thinking.

    Those that the target of a chat words, as in ``chat_think``, are taken apart, so that they stand
    between the marks of the chat template, or behind the one that the prompt opens.
    """
    answer, thinking = example.target, None
    if not isinstance(example.prompt, str):
        answer, thinking = worded_thinking(answer)
    return answer, example.thinking if thinking is None else thinking


def _moved(example: Example, text: str, thinking: str | None) -> TeacherSpan:
    """Returns the place of what the teacher wrote in all that is learned.

    Args:
        example: The example, with the place in its target.
        text: All that is learned but for the end.
        thinking: The thinking in it.
    """
    span, target = example.teacher, example.target
    assert span is not None
    end = span.end
    if thinking is not None and example.thinking is None:  # taken out of the target
        by = len(text[: text.index(thinking)].encode()) - len(THINK)
        if not text[text.index(thinking) + len(thinking) :].startswith(END_THINK):
            end = min(end, len(THINK) + len(thinking.encode()))
    else:
        by = len(text.encode()) - len(target.encode())
    return replace(span, start=max(span.start + by, 0), end=end + by, shift=span.shift - by)
