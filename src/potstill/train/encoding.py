"""Examples → token ids, the same ones that the student will read and write when asked."""

from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from potstill.models.wording import Wording
from potstill.records import Example, Request


class Encoded(NamedTuple):
    """One example as token ids; the loss counts on ``target`` only."""

    prompt: list[int]
    target: list[int]
    """Ends with the end-of-sequence token."""

    weight: float

    @property
    def length(self) -> int:
        """Tokens of prompt and target."""
        return len(self.prompt) + len(self.target)


class EncodedExamples(NamedTuple):
    """What is trained on, and how many examples are not."""

    examples: list[Encoded]
    too_long: int
    """Examples of more than ``max_length`` tokens; a cut would lose their answer."""


def encode_examples(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    *,
    encoder_decoder: bool,
    max_length: int,
) -> EncodedExamples:
    """Encode prompts as they will be asked, and targets as what follows them.

    Args:
        examples: What to train on.
        tokenizer: The student's; it has an end-of-sequence token.
        encoder_decoder: Whether prompts go to an encoder.
        max_length: Most tokens of prompt and target together.
    """
    wording = Wording(tokenizer, "the student")
    encoded = [_encode(example, wording, encoder_decoder) for example in examples]
    fitting = [example for example in encoded if example.length <= max_length]
    return EncodedExamples(fitting, too_long=len(encoded) - len(fitting))


def _encode(example: Example, wording: Wording, encoder_decoder: bool) -> Encoded:
    request = Request(prompt=example.prompt)
    if encoder_decoder:
        prompt = wording.encoder_ids(request)
        target = _ids(wording.tokenizer, example.target)
    else:
        prompt = wording.prompt_ids(request)
        target = continuation_ids(wording, example.prompt, prompt, example.target)
    return Encoded(prompt, [*target, wording.tokenizer.eos_token_id], example.weight)


def continuation_ids(
    wording: Wording, prompt: str, prompt_ids: list[int], target: str
) -> list[int]:
    """Token ids that read as ``target`` after the prompt's.

    Prompt and target are encoded together where the prompt's tokens stay what they are when it is
    asked alone. Elsewhere the target is encoded alone; some tokenizers put a space before a text,
    so the target's own first space is left out where the text would come back with two.
    """
    joint = wording.prompt_ids(Request(prompt=prompt + target))
    if joint[: len(prompt_ids)] == prompt_ids:
        ids = joint[len(prompt_ids) :]
        if wording.text(ids, wording.anchor(prompt_ids)) == target:
            return ids
    alone = _ids(wording.tokenizer, target)
    without_space = _ids(wording.tokenizer, target.removeprefix(" "))
    for ids in (alone, without_space):
        if wording.text(ids, wording.anchor(prompt_ids)) == target:
            return ids
    return alone  # a tokenizer that loses part of any text, such as its line breaks


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
