"""Whether the models that students start from can be trained as the recipe says.

Found before anything is asked, by config and tokenizer alone: the model is built without weights
(on torch's ``meta`` device), low-rank additions are put on it as in training, and some questions
are encoded as the student will read them. What only the weights show is found when they are loaded.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jinja2 import TemplateError
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.integrations.integration_utils import get_available_reporting_integrations

from potstill.errors import ConfigError
from potstill.models.local.loading import (
    Loaded,
    check_device,
    check_embedding,
    embedding_rows,
    first_line,
    load_config,
    load_tokenizer,
    one_line_errors,
    quietly,
)
from potstill.models.local.model import PromptEncoder, check_cache
from potstill.models.settings import LocalSettings
from potstill.prompts.formats import format_named
from potstill.prompts.styles import Exemplar, question_text
from potstill.records import Question, Request, System
from potstill.train.lora import add_lora
from potstill.train.settings import StudentSettings, TrainSettings

TRIED_QUESTIONS = 50
"""Questions that are encoded for each data format."""


class Skeleton(NamedTuple):
    """A model without weights, with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    encoder_decoder: bool


def check_starts(
    settings: TrainSettings,
    starts: Mapping[System, LocalSettings],
    questions: Sequence[Question],
) -> None:
    """Find what would stop the training of any student, before its rationales are paid for.

    Args:
        settings: The students, and how they are trained.
        starts: The model that each student starts from.
        questions: Those that are trained on; the first few are encoded.

    Raises:
        ModelError: A start cannot be had: its folder, its tokenizer, the hub or the device.
        ConfigError: A start cannot be trained as the recipe says.
        MissingExtraError: A package that the recipe needs is not installed.
    """
    check_trackers(settings.report_to)
    students = settings.sweep()
    skeletons: dict[LocalSettings, Skeleton] = {}
    for system, start in starts.items():
        if start not in skeletons:
            skeletons[start] = _skeleton(start, settings)
        _check_prompts(system.label, students[system], skeletons[start], settings, questions)


def check_trackers(names: Iterable[str]) -> None:
    """Refuse trackers that are unknown or not installed.

    Raises:
        ConfigError: One of ``train.report_to`` is.
    """
    available = get_available_reporting_integrations()
    for name in names:
        if name not in (*available, "all", "none"):
            listed = ", ".join(available) or "none"
            raise ConfigError(
                f"train.report_to names {name!r}, which transformers does not know or which is "
                f"not installed; installed are: {listed}."
            )


def _skeleton(start: LocalSettings, settings: TrainSettings) -> Skeleton:
    """Returns the start without its weights, once nothing that shows in it speaks against it."""
    config, tokenizer = load_config(start), load_tokenizer(start)
    check_device(start.device, at=start.model)
    check_end_token(tokenizer, start.model)
    check_cache(config, start.model)
    model = _built(config, start)
    encoder_decoder = bool(config.is_encoder_decoder)
    check_embedding(Loaded(model, tokenizer, encoder_decoder), start.model)
    if settings.lora is not None:
        add_lora(_built(config, start), settings.lora)
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


def _built(config: PretrainedConfig, start: LocalSettings) -> PreTrainedModel:
    auto: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with quietly(), one_line_errors(start.source), torch.device("meta"):
        model = auto.from_config(config, trust_remote_code=start.trust_remote_code)
        model.tie_weights()
    assert isinstance(model, PreTrainedModel)
    return model


def _check_prompts(
    label: str,
    student: StudentSettings,
    start: Skeleton,
    settings: TrainSettings,
    questions: Sequence[Question],
) -> None:
    """Refuse data formats whose prompts this start cannot read, or has no room for.

    Raises:
        ConfigError: The chat template fails, a token has no embedding, or no prompt fits.
    """
    encoder = PromptEncoder(start.tokenizer, f"the student {label}")
    rows = embedding_rows(start.model)
    for name in student.formats:
        lengths = []
        for question in questions[:TRIED_QUESTIONS]:
            ids = _prompt_ids(encoder, name, start, question, label)
            if beyond := [token for token in ids if token >= rows]:
                raise ConfigError(
                    f"the student {label}: the data format {name} takes the token "
                    f"{start.tokenizer.convert_ids_to_tokens(beyond[0])!r} ({beyond[0]}), and the "
                    f"model has embeddings for {rows:,}. Resize its embeddings, or take the "
                    "tokenizer that belongs to it."
                )
            lengths.append(len(ids))
        if lengths and min(lengths) >= settings.max_length:
            raise ConfigError(
                f"train.max_length is {settings.max_length}, and of {len(lengths)} questions in "
                f"the data format {name} the shortest takes {min(lengths)} tokens before an answer "
                "begins. Raise it."
            )


def _prompt_ids(
    encoder: PromptEncoder, name: str, start: Skeleton, question: Question, label: str
) -> list[int]:
    data_format = format_named(name)
    shown: tuple[Exemplar, ...] = ()
    if data_format.needs_exemplars:  # as many as can be known by now
        shown = (Exemplar(question=question_text(question), rationale="", answer=question.answer),)
    prompt = data_format.prompt(question, encoder_decoder=start.encoder_decoder, exemplars=shown)
    try:
        if start.encoder_decoder:
            return encoder.encoder_ids(Request(prompt=prompt))
        return encoder.prompt_ids(Request(prompt=prompt))
    except (TemplateError, ValueError) as error:
        raise ConfigError(
            f"the student {label}: the tokenizer's chat template fails on the data format {name}: "
            f"{first_line(error)}"
        ) from error
