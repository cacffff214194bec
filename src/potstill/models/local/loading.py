"""Loading a model and its tokenizer from the hub or a folder, by safetensors only."""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from potstill.checksums import is_removed, read_checksums, sha256_of
from potstill.errors import ModelError, PotstillError
from potstill.models.local.weight_files import check_folder, check_weight_files, check_whole
from potstill.models.settings import LocalSettings

DTypeName = Literal["auto", "float32", "bfloat16", "float16"]

READ_FILES = (".json", ".safetensors", ".model", ".txt", ".jinja", ".py")
"""Endings of the files in a model's folder that can change what it writes."""


class Loaded(NamedTuple):
    """A model ready to be run or trained, in evaluation mode."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    encoder_decoder: bool


def load_model_and_tokenizer(
    source: str,
    *,
    dtype: DTypeName | torch.dtype = "auto",
    device: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> Loaded:
    """Load a causal or encoder-decoder model; its config says which.

    A tokenizer without a pad token gets its end token as one.

    Args:
        source: A hub name, or a folder.
        dtype: ``auto`` is bfloat16 on CUDA and float32 elsewhere.
        device: A torch device; by default CUDA where there is one, else the CPU.
        revision: Branch, tag or commit of a hub model.
        trust_remote_code: Run code that comes with the model.

    Raises:
        ModelError: The folder is missing, lacks a part or is damaged, weights are pickled, missing
            or no numbers, or the hub has no such model or cannot be reached.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if is_folder(source):
        check_folder(Path(source))
        check_whole(Path(source))
    options = {"revision": revision, "trust_remote_code": trust_remote_code}
    with quietly(), _one_line_errors(source):
        check_weight_files(source, revision)
        config = AutoConfig.from_pretrained(source, **options)
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        encoder_decoder = bool(config.is_encoder_decoder)
        auto = AutoModelForSeq2SeqLM if encoder_decoder else AutoModelForCausalLM
        loaded: Any = auto.from_pretrained(
            source,
            config=config,
            dtype=_dtype(dtype, device),
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
        model, outcome = loaded
        _check_weights(source, model, outcome["missing_keys"])
        torch.nn.Module.to(model, device)
        model.eval()
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Loaded(model, tokenizer, encoder_decoder)


def is_encoder_decoder(settings: LocalSettings) -> bool:
    """Whether an ``hf:`` or ``bundled:`` model reads its prompt with an encoder.

    Raises:
        ModelError: As :func:`load_model_and_tokenizer`; the weights are not read.
    """
    return bool(load_config(settings).is_encoder_decoder)


def load_config(settings: LocalSettings) -> PretrainedConfig:
    """Returns the config of an ``hf:`` or ``bundled:`` model.

    Raises:
        ModelError: As :func:`load_model_and_tokenizer`; the weights are not read.
    """
    source = settings.source
    if is_folder(source):
        check_folder(Path(source))
    with quietly(), _one_line_errors(source):
        config = AutoConfig.from_pretrained(
            source, revision=settings.revision, trust_remote_code=settings.trust_remote_code
        )
    assert isinstance(config, PretrainedConfig)
    return config


def load_tokenizer(settings: LocalSettings) -> PreTrainedTokenizerBase:
    """Returns the tokenizer of an ``hf:`` or ``bundled:`` model.

    Raises:
        ModelError: As :func:`load_model_and_tokenizer`; the weights are not read.
    """
    source = settings.source
    with quietly(), _one_line_errors(source):
        tokenizer = AutoTokenizer.from_pretrained(
            source, revision=settings.revision, trust_remote_code=settings.trust_remote_code
        )
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return tokenizer


def parameters_of(model: torch.nn.Module) -> int:
    """Returns the number of a model's weights; tied ones count once."""
    return sum(weight.numel() for weight in model.parameters())


def is_folder(source: str) -> bool:
    """Whether a source is meant as a folder: it exists, or it cannot be a hub name."""
    path = Path(source)
    return path.exists() or path.is_absolute() or source[0] in ".~" or len(path.parts) > 2


def folder_digest(folder: Path) -> str:
    """Returns 12 hexadecimal digits that change when the config, tokenizer or weights do."""
    if is_removed(folder):
        files = read_checksums(folder)
    else:
        paths = (path for path in folder.iterdir() if path.is_file())
        files = {path.name: sha256_of(path) for path in paths if path.suffix in READ_FILES}
    digest = hashlib.sha256()
    for name in sorted(files):
        if Path(name).suffix in READ_FILES:
            digest.update(name.encode() + b"\0" + bytes.fromhex(files[name]))
    return digest.hexdigest()[:12]


def model_name(settings: LocalSettings, source: str, config: PretrainedConfig) -> str:
    """Returns the name that tells these weights from others; a folder may move and keeps it.

    Args:
        settings: The model's settings.
        source: The folder or hub name; the files of a folder are read for their digest.
        config: The model's config, which knows the hub's commit.
    """
    kind, _, where = settings.model.partition(":")
    if is_folder(source):
        return f"{kind}:{Path(where).name}@{folder_digest(Path(source))}"
    return f"{settings.model}@{str(config._commit_hash)[:12]}"


def _check_weights(source: str, model: PreTrainedModel, missing: Iterable[str]) -> None:
    """Refuse a model that has weights which the files do not give, or which are no numbers.

    Args:
        source: The model's folder or hub name, for messages.
        model: The model, loaded.
        missing: The names of the weights that transformers has drawn at random.

    Raises:
        ModelError: There are such weights.
    """
    lacking = sorted(missing)
    if lacking:
        raise ModelError(
            f"{source} lacks {len(lacking)} of its weights, such as {lacking[0]}; they would be "
            "random. Fetch or save the model again."
        )
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and not bool(weight.isfinite().all()):
            raise ModelError(
                f"{source} is damaged: {name} holds values that are no numbers (NaN or infinite)."
            )


def _dtype(dtype: DTypeName | torch.dtype, device: str) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype == "auto":
        return torch.bfloat16 if device.startswith("cuda") else torch.float32
    named = getattr(torch, dtype)
    assert isinstance(named, torch.dtype)
    return named


@contextmanager
def _one_line_errors(source: str) -> Iterator[None]:
    """Say in one line why a model cannot be had.

    Nothing but transformers works in the block, on files that others wrote, so whatever it raises
    is a model that cannot be had: a RuntimeError may be a device that is not there, or too little
    memory; a config of the wrong types ends in an AttributeError.
    """
    try:
        yield
    except PotstillError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        if not isinstance(error, OSError | ValueError | ImportError | RuntimeError) or not lines[0]:
            lines[0] = f"{type(error).__name__} {lines[0]}".rstrip()
        what = source if is_folder(source) else f"{source} is not a folder, and as a hub name it"
        raise ModelError(f"{what} cannot be loaded: {lines[0]}") from error


@contextmanager
def quietly() -> Iterator[None]:
    """Silence the progress bars and remarks of transformers while the block runs."""
    level, bars = (
        transformers_logging.get_verbosity(),
        transformers_logging.is_progress_bar_enabled(),
    )
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
