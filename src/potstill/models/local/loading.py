"""Loading a model and its tokenizer from the hub or a folder, by safetensors only."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
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
from potstill.errors import ModelError, PotstillError, without_remarks
from potstill.models.local.device_memory import give_back_unused
from potstill.models.local.learned_prefix import has_prefix, read_prefix
from potstill.models.local.weight_files import check_folder, check_weight_files, check_whole
from potstill.models.settings import LocalSettings

logger = logging.getLogger(__name__)

DTypeName = Literal["auto", "float32", "bfloat16", "float16", "float64"]

SMALL_MODEL = 20_000_000
"""Weights of a model below which float32 is kept, in use and on the disk, on a processor."""

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
    quantization: object = None,
) -> Loaded:
    """Load a causal or encoder-decoder model; its config says which.

    A tokenizer without a pad token gets its end token as one.

    Args:
        source: A hub name, or a folder.
        dtype: ``auto`` is bfloat16 on CUDA and float32 elsewhere.
        device: A torch device; by default CUDA where there is one, else the CPU.
        revision: Branch, tag or commit of a hub model.
        trust_remote_code: Run code that comes with the model.
        quantization: How weights are held in fewer bits, as transformers is told; None: as numbers
            of ``dtype``.

    Raises:
        ModelError: The folder is missing, lacks a part or is damaged, weights are pickled, missing
            or no numbers, its tokenizer belongs to another model, or the hub has no such model or
            cannot be reached.
    """
    give_back_unused()  # of a model before this one
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if is_folder(source):
        check_folder(Path(source))
        check_whole(Path(source))
    options = {"revision": revision, "trust_remote_code": trust_remote_code}
    held: dict[str, Any] = {}
    if quantization is not None:
        held = {"quantization_config": quantization, "device_map": {"": device}}
    with reading(source):
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
            **held,
        )
        model, outcome = loaded
        _check_weights(source, model, outcome["missing_keys"])
        if has_prefix(model):
            read_prefix(model, source)
        torch.nn.Module.to(model, device)
        model.eval()
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    whole = Loaded(model, tokenizer, encoder_decoder)
    check_embedding(whole, source)
    return whole


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
    with reading(source):
        config = AutoConfig.from_pretrained(
            source, revision=settings.revision, trust_remote_code=settings.trust_remote_code
        )
    assert isinstance(config, PretrainedConfig)
    return config


def load_tokenizer(settings: LocalSettings, *, is_here: bool = False) -> PreTrainedTokenizerBase:
    """Returns the tokenizer of an ``hf:`` or ``bundled:`` model.

    Args:
        settings: The model's.
        is_here: Whether a hub's tokenizer is on this machine; it is not asked for elsewhere then.

    Raises:
        ModelError: As :func:`load_model_and_tokenizer`; the weights are not read.
    """
    source = settings.source
    if is_folder(source):
        check_folder(Path(source))
    with reading(source):
        tokenizer = AutoTokenizer.from_pretrained(
            source,
            revision=settings.revision,
            trust_remote_code=settings.trust_remote_code,
            local_files_only=is_here,
        )
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return tokenizer


def check_embedding(loaded: Loaded, source: str) -> None:
    """Refuse a tokenizer whose tokens the model has no embeddings for.

    Special tokens that no text holds may lie beyond: Gemma 3's tokenizer has one for images.

    Raises:
        ModelError: An ordinary token, or one that begins or ends a text, has none.
    """
    tokenizer = loaded.tokenizer
    rows = embedding_rows(loaded.model)
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    allowed = special.difference({tokenizer.bos_token_id, tokenizer.eos_token_id})
    beyond = sorted(
        (token, text)
        for text, token in tokenizer.get_vocab().items()
        if token >= rows and token not in allowed
    )
    if beyond:
        token, text = beyond[0]
        raise ModelError(
            f"{source}: its tokenizer has {len(beyond):,} tokens that the model has no embedding "
            f"for, the first {text!r} ({token}); the model has {rows:,}. Resize its embeddings "
            "(model.resize_token_embeddings) and save it, or take the tokenizer that belongs to it."
        )


def embedding_rows(model: PreTrainedModel) -> int:
    """Returns the number of tokens that a model has embeddings for."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return int(weight.shape[0])


def check_device(device: str | None, *, at: str) -> None:
    """Refuse a device that is not there.

    Args:
        device: A torch device; None is always there.
        at: The model that is to be put on it, for the message.

    Raises:
        ModelError: torch does not know the device, or this machine has none.
    """
    if device is None:
        return
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"{at}: the device {device!r} cannot be used: {reason} Leave device out, or give cpu."
        ) from error


def parameters_of(model: torch.nn.Module) -> int:
    """Returns the number of a model's weights; tied ones count once."""
    return sum(weight.numel() for weight in model.parameters())


def trained_parameters(model: torch.nn.Module) -> int:
    """Returns the number of a model's weights that training changes."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def is_folder(source: str) -> bool:
    """Whether a source is meant as a folder: it exists, or it cannot be a hub name."""
    path = Path(source)
    return path.exists() or path.is_absolute() or source[0] in ".~" or len(path.parts) > 2


def folder_digest(folder: Path) -> str:
    """Returns 12 hexadecimal digits that change when the config, tokenizer or weights do."""
    return _digest(folder, lambda name: Path(name).suffix in READ_FILES)


def weights_digest(folder: Path) -> str:
    """Returns the same of the config and the weights alone."""
    return _digest(folder, lambda name: name == "config.json" or name.endswith(".safetensors"))


def _digest(folder: Path, is_read: Callable[[str], bool]) -> str:
    if is_removed(folder):
        files = read_checksums(folder)
    else:
        names = (path.name for path in folder.iterdir() if path.is_file())
        files = {name: sha256_of(folder / name) for name in names if is_read(name)}
    digest = hashlib.sha256()
    for name in sorted(files):
        if is_read(name):
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
    reading = "+control_tokens" if settings.control_tokens else ""
    if is_folder(source):
        return f"{kind}:{Path(where).name}@{folder_digest(Path(source))}{reading}"
    return f"{settings.model}@{str(config._commit_hash)[:12]}{reading}"


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
def reading(source: str) -> Iterator[None]:
    """Read files of a model in the block: without remarks, and with errors in one line.

    Where they are a hub's, that is said at once: a hub out of reach is waited for.
    """
    if not is_folder(source):
        _tell_of_hub(source)
    with quietly(), one_line_errors(source):
        yield


@cache
def _tell_of_hub(source: str) -> None:
    """Say once that a hub is asked; not where it is told not to be."""
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        logger.warning("looking for %s on the hub ...", source)


@contextmanager
def one_line_errors(source: str) -> Iterator[None]:
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
        what = source if is_folder(source) else f"{source} is not a folder, and as a hub name it"
        raise ModelError(f"{what} cannot be loaded: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Returns an error's first line, with the second where the first only announces it."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()] or [""]
    if not isinstance(error, OSError | ValueError | ImportError | RuntimeError) or not lines[0]:
        lines[0] = f"{type(error).__name__} {lines[0]}".rstrip()  # a KeyError says a key alone
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


@contextmanager
def quietly() -> Iterator[None]:
    """Silence the progress bars and remarks of transformers and the hub while the block runs."""
    level, bars = (
        transformers_logging.get_verbosity(),
        transformers_logging.is_progress_bar_enabled(),
    )
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        with without_remarks("huggingface_hub"):
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
