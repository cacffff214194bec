"""Whether the models that students start from can be trained as the recipe says.

Found before anything is asked, by config and tokenizer alone: the model is built without weights
(on torch's ``meta`` device), low-rank additions are put on it as in training, and some questions
are encoded as the student will read them. What only the weights show is found when they are loaded.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from potstill.errors import ConfigError
from potstill.models.local.learned_prefix import prefix_parameters, put_prefix
from potstill.models.local.loading import (
    Loaded,
    check_device,
    check_embedding,
    embedding_rows,
    load_config,
    load_tokenizer,
    parameters_of,
    trained_parameters,
)
from potstill.models.local.model import check_cache
from potstill.models.local.prompt_encoding import PromptEncoder
from potstill.models.local.saving import dtype_on_disk
from potstill.models.local.weight_files import check_weight_files
from potstill.models.settings import LocalSettings
from potstill.prompts.formats import format_named
from potstill.prompts.styles import Exemplar, question_text
from potstill.records import Example, Question, Request, System
from potstill.train.defaults import longest_example
from potstill.train.encoding import Encoder
from potstill.train.lora import add_lora
from potstill.train.memory import TrainedWeights, refuse_too_large
from potstill.train.quantization import four_bits
from potstill.train.resolution import start_device, start_facts
from potstill.train.settings import LoraSettings, PrefixSettings, StudentSettings, TrainSettings
from potstill.train.skeleton import model_without_weights, weights_in_4_bits

TRIED_QUESTIONS = 50
"""Questions that are encoded for each data format."""


class Skeleton(NamedTuple):
    """A model without weights, with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    encoder_decoder: bool


def check_starts(
    settings: TrainSettings,
    students: Mapping[System, StudentSettings],
    starts: Mapping[System, LocalSettings],
    questions: Sequence[Question],
) -> None:
    """Find what would stop the training of any student, before its rationales are paid for.

    Args:
        settings: How they are trained; its students are not looked at.
        students: The students, their data formats settled.
        starts: The model that each student starts from.
        questions: The questions that are trained on; the first few are encoded.

    Raises:
        ModelError: A start cannot be had: its folder, its tokenizer, the hub or the device.
        ConfigError: A start cannot be trained as the recipe says, or has no room here.
        MissingExtraError: A package that the recipe needs is not installed.
    """
    check_memory(settings, starts)
    skeletons: dict[LocalSettings, Skeleton] = {}
    for system, start in starts.items():
        if start not in skeletons:
            skeletons[start] = _skeleton(start, settings)
        longest = longest_example(settings, start_facts(start))
        _check_prompts(system.label, students[system], skeletons[start], longest, questions)


def check_memory(settings: TrainSettings, starts: Mapping[System, LocalSettings]) -> None:
    """Refuse starts whose weights and their state alone are more than there is memory.

    Args:
        settings: How they are trained.
        starts: The model that each student starts from.

    Raises:
        ConfigError: One has no room here; says what takes less.
        ModelError: A start cannot be had.
    """
    for start in dict.fromkeys(starts.values()):
        label = next(system.label for system, own in starts.items() if own == start)
        weights = weights_in_training(start, settings.lora, settings.prefix)
        refuse_too_large(label, weights, start_facts(start))


def weights_in_training(
    start: LocalSettings, lora: LoraSettings | None, prefix: PrefixSettings | None = None
) -> TrainedWeights:
    """Returns the weights that a start is trained with.

    Raises:
        PotstillError: As :func:`check_starts`.
    """
    parameters = start_facts(start).parameters
    if lora is None and prefix is None:
        return TrainedWeights(parameters, parameters)
    skeleton = model_without_weights(load_config(start), start)
    if prefix is not None:
        return TrainedWeights(parameters, _prefix_weights(skeleton, prefix))
    assert lora is not None
    in_4_bits = weights_in_4_bits(skeleton) if lora.quantize else 0
    return TrainedWeights(parameters, trained_parameters(add_lora(skeleton, lora)), in_4_bits)


class StartShape(NamedTuple):
    """The sizes of a start, found without its weights."""

    start: LocalSettings
    config: PretrainedConfig
    tokenizer: PreTrainedTokenizerBase
    encoder_decoder: bool
    parameters: int
    trained: int
    """The number of weights that training changes."""

    stored_bytes: int
    """Bytes a weight of a checkpoint."""

    layers: int
    width: int
    device: str
    """The torch device that it is trained on."""

    @property
    def on_processor(self) -> bool:
        """Whether it is trained on a processor."""
        return self.device == "cpu"

    def lengths(self, examples: Sequence[Example]) -> list[int]:
        """Returns the tokens of each example, prompt and target."""
        encoder = Encoder(self.tokenizer, encoder_decoder=self.encoder_decoder)
        encoded = encoder.encode(examples, max_length=sys.maxsize)
        return [example.length for example in encoded.examples]

    def with_random_weights(self) -> Loaded:
        """Returns a model of this shape, on the processor, to be tried and thrown away."""
        model = model_without_weights(self.config, self.start)
        torch.nn.Module.to_empty(model, device="cpu")
        draw = torch.Generator().manual_seed(0)
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.data.normal_(std=0.02, generator=draw)
            else:
                tensor.data.zero_()
        return Loaded(model, self.tokenizer, self.encoder_decoder)


def _prefix_weights(skeleton: PreTrainedModel, prefix: PrefixSettings) -> int:
    put_prefix(skeleton, prefix.tokens)
    return sum(part.numel() for part in prefix_parameters(skeleton).values())


def start_shape(
    start: LocalSettings, lora: LoraSettings | None, prefix: PrefixSettings | None = None
) -> StartShape:
    """Returns the sizes of a start, and what of it is trained.

    Args:
        start: The start.
        lora: Low-rank additions, where only those are trained.
        prefix: A prefix, where it alone is.

    Raises:
        PotstillError: As :func:`check_starts`.
    """
    config = load_config(start)
    model = model_without_weights(config, start)
    parameters = parameters_of(model)
    trained = weights_in_training(start, lora, prefix).trained
    text_config = config.get_text_config(decoder=True)
    stacks = 2 if config.is_encoder_decoder else 1
    return StartShape(
        start=start,
        config=config,
        tokenizer=load_tokenizer(start),
        encoder_decoder=bool(config.is_encoder_decoder),
        parameters=parameters,
        trained=trained,
        stored_bytes=dtype_on_disk(config, parameters).itemsize,
        layers=stacks * int(getattr(text_config, "num_hidden_layers", 0) or 0),
        width=int(getattr(text_config, "hidden_size", 0) or 0),
        device=start.device or ("cuda" if torch.cuda.is_available() else "cpu"),
    )


def _skeleton(start: LocalSettings, settings: TrainSettings) -> Skeleton:
    """Returns the start without its weights, once nothing that shows in it speaks against it."""
    config, tokenizer = load_config(start), load_tokenizer(start)
    check_weight_files(start.source, start.revision)
    check_device(start.device, at=start.model)
    check_end_token(tokenizer, start.model)
    check_cache(config, start.model)
    model = model_without_weights(config, start)
    encoder_decoder = bool(config.is_encoder_decoder)
    check_embedding(Loaded(model, tokenizer, encoder_decoder), start.model)
    if settings.prefix is not None:
        put_prefix(model_without_weights(config, start), settings.prefix.tokens)
    if settings.lora is not None:
        if settings.lora.quantize:
            four_bits(start_device(start))
        add_lora(model_without_weights(config, start), settings.lora)
    return Skeleton(model, tokenizer, encoder_decoder)


def check_end_token(tokenizer: PreTrainedTokenizerBase, source: str) -> None:
    """Refuse a tokenizer without an end token: the student could not learn to end.

    Raises:
        ConfigError: It has none.
    """
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            f"{source}: its tokenizer has no end-of-sequence token to learn. Set eos_token in its "
            "tokenizer_config.json to the token that ends a text."
        )


def _check_prompts(
    label: str,
    student: StudentSettings,
    start: Skeleton,
    longest: int,
    questions: Sequence[Question],
) -> None:
    """Refuse data formats whose prompts this start cannot read, or has no room for.

    Raises:
        ModelError: The chat template is missing or refuses the questions.
        ConfigError: A token has no embedding, or no prompt fits.
    """
    encoder = PromptEncoder(start.tokenizer, f"the student {label}")
    rows = embedding_rows(start.model)
    for name in student.formats:
        lengths = []
        for question in questions[:TRIED_QUESTIONS]:
            ids = _prompt_ids(encoder, name, start, question)
            if beyond := [token for token in ids if token >= rows]:
                raise ConfigError(
                    f"the student {label}: the data format {name} takes the token "
                    f"{start.tokenizer.convert_ids_to_tokens(beyond[0])!r} ({beyond[0]}), and the "
                    f"model has embeddings for {rows:,}. Resize its embeddings, or take the "
                    "tokenizer that belongs to it."
                )
            lengths.append(len(ids))
        if lengths and min(lengths) >= longest:
            raise ConfigError(
                f"train.max_length is {longest}, and of {len(lengths)} questions in "
                f"the data format {name} the shortest takes {min(lengths)} tokens before an answer "
                "begins. Raise it."
            )


def _prompt_ids(
    encoder: PromptEncoder, name: str, start: Skeleton, question: Question
) -> list[int]:
    data_format = format_named(name)
    shown: tuple[Exemplar, ...] = ()
    if data_format.needs_exemplars:  # as many as can be known by now
        shown = (Exemplar(question=question_text(question), rationale="", answer=question.answer),)
    prompt = data_format.prompt(question, encoder_decoder=start.encoder_decoder, exemplars=shown)
    if start.encoder_decoder:
        return encoder.encoder_ids(Request(prompt=prompt))
    return encoder.prompt_ids(Request(prompt=prompt))
