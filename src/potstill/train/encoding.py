"""Examples → token ids, the same ones that the student will read and write when asked.

A prompt is encoded by the code that asks models (:class:`PromptEncoder`), so that a chat template,
a beginning-of-sequence token or an answer prefix stand in training where they stand in use. The
target is what follows: where the seam allows it both are encoded as one text, so that a space at
the seam becomes part of the target's first token, as when the student writes it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from potstill.models.local.model import PromptEncoder
from potstill.records import Example, Request, SoftTargets
from potstill.train.alignment import Vocabulary, soft_targets
from potstill.train.settings import ALIGNMENTS, MatchingSettings

THINKING = "<think>\n"
"""The beginning of a target of the format ``chat_think``, and of answers in some chat templates."""


class Encoded(NamedTuple):
    """One example as token ids; the loss counts on ``target`` only."""

    prompt: list[int]
    target: list[int]
    """Ends with the end-of-sequence token."""

    weight: float = 1.0
    question_id: str = ""
    data_format: str = ""
    soft: SoftTargets | None = None
    """The teacher's probabilities of the target's tokens; None: its text alone is matched."""

    @property
    def length(self) -> int:
        """Tokens of prompt and target."""
        return len(self.prompt) + len(self.target)


class EncodedExamples(NamedTuple):
    """The examples that are trained on, and how many are left out."""

    examples: list[Encoded]
    too_long: int
    """Number of examples with more than ``max_length`` tokens; a cut would lose their answer."""

    @property
    def soft_share(self) -> float:
        """Share of the trained tokens for which the teacher's probabilities are known."""
        softs = [example.soft for example in self.examples if example.soft is not None]
        known = sum(int(soft.soft.sum()) for soft in softs)
        return known / sum(len(example.target) for example in self.examples)


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
        self._end = tokenizer.eos_token_id
        self._matching = matching if matching and matching.distribution else None
        self._vocabulary = Vocabulary(tokenizer) if self._matching else None

    def encode(self, examples: Sequence[Example], *, max_length: int) -> EncodedExamples:
        """Encode prompts as they will be asked, and targets as what follows them.

        Args:
            examples: The examples to train on.
            max_length: Most tokens of prompt and target together.
        """
        encoded = [self._encode(example) for example in examples]
        fitting = [example for example in encoded if example.length <= max_length]
        return EncodedExamples(fitting, too_long=len(encoded) - len(fitting))

    def _encode(self, example: Example) -> Encoded:
        request = Request(prompt=example.prompt)
        if self._encoder_decoder:
            prompt = self._prompts.encoder_ids(request)
            target = self._prompts.answer_ids(example.target)
        else:
            example = self._without_opening(example, request)
            prompt = self._prompts.prompt_ids(request)
            target = self._continuation(example.target, request, prompt)
        return Encoded(
            prompt,
            [*target, self._end],
            weight=example.weight,
            question_id=example.question_id,
            data_format=example.data_format,
            soft=self._soft(example, target),
        )

    def _without_opening(self, example: Example, request: Request) -> Example:
        """Returns an example without the mark of thinking, where the chat template writes it."""
        if isinstance(request.prompt, str) or not example.target.startswith(THINKING):
            return example
        if not self._prompts.prompt_text(request).endswith(THINKING):
            return example
        span, cut = example.teacher, len(THINKING)
        if span is not None:
            span = replace(
                span,
                start=max(span.start - cut, 0),
                end=span.end - cut,
                shift=span.shift + cut,
            )
        return replace(example, target=example.target[cut:], teacher=span)

    def _continuation(self, target: str, request: Request, prompt_ids: list[int]) -> list[int]:
        """Returns token ids that read as the target after the prompt's.

        Prompt and target are encoded together where the prompt's tokens stay what they are when it
        is asked alone. Elsewhere the target is encoded alone; some tokenizers put a space before a
        text, so the target's own first space is left out where the text would come back with two.
        """
        prompts = self._prompts
        # Together, if the seam falls between two tokens and the target comes back as it was.
        joint = prompts.prompt_ids(request, then=target)
        if joint[: len(prompt_ids)] == prompt_ids:
            ids = joint[len(prompt_ids) :]
            if prompts.text(ids, prompts.anchor(prompt_ids)) == target:
                return ids
        # Apart, with or without the target's first space.
        alone = prompts.answer_ids(target)
        for ids in (alone, prompts.answer_ids(target.removeprefix(" "))):
            if prompts.text(ids, prompts.anchor(prompt_ids)) == target:
                return ids
        return alone  # a tokenizer that loses part of any text, such as its line breaks

    def _soft(self, example: Example, target: list[int]) -> SoftTargets | None:
        """Returns the teacher's probabilities by token; the end-of-sequence token is hard."""
        if self._matching is None or self._vocabulary is None or example.teacher is None:
            return None
        carried = soft_targets(
            example.target,
            target,
            example.teacher,
            self._vocabulary,
            aligned_by=ALIGNMENTS.get(self._matching.alignment),
        )
        # One row more, for the end-of-sequence token: itself with probability 1.
        width = carried.ids.shape[1]
        end = np.full((1, width), -1, np.int32), np.zeros((1, width), np.float32)
        end[0][0, 0], end[1][0, 0] = self._end, 1.0
        return replace(
            carried,
            ids=np.concatenate([carried.ids, end[0]]),
            probabilities=np.concatenate([carried.probabilities, end[1]]),
            tail=np.append(carried.tail, np.float32(0)),
            soft=np.append(carried.soft, False),
        )
