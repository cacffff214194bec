"""The files that a model's weights are read from: safetensors alone, all of them there and whole.

``use_safetensors`` of transformers says which file is opened first, and that file may name others:
the index of a model in several files, the config's ``transformers_weights``, a low-rank adapter.
All of them are looked at before anything is loaded, in a folder and on the hub.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

from transformers.utils import SAFE_WEIGHTS_INDEX_NAME
from transformers.utils.hub import cached_file

from potstill.checksums import CHECKSUMS, REMOVED, damage, is_removed, read_checksums
from potstill.errors import MissingExtraError, ModelError, shortened

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
SAFE = ".safetensors"
SAFE_INDEX = ".safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")

PICKLED = (
    "pickled weights can run code when they are read. Load the model once where you trust it, and "
    "save it again with model.save_pretrained."
)


def check_folder(folder: Path) -> None:
    """Refuse a folder that no model can be loaded from; the weights are not read.

    Raises:
        ModelError: It is missing, lacks a part, or has pickled weights only.
    """
    if not folder.is_dir():
        raise ModelError(
            f"{folder} is not a folder; give a folder with a model in it, or a hub name."
        )
    if not is_removed(folder):
        _refuse_lost(folder)
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has no config.json, so it does not hold a transformers model.")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(
            f"{folder} has no tokenizer ({' or '.join(TOKENIZER_FILES)}); "
            "save one beside the model with tokenizer.save_pretrained."
        )
    if is_removed(folder) or any(folder.glob(f"*{SAFE}")):
        return
    if any(file for pattern in PICKLES for file in folder.glob(pattern)):
        raise ModelError(f"{folder} has only pickled weights: {PICKLED}")
    raise ModelError(f"{folder} has no weights (*{SAFE}).")


def _refuse_lost(folder: Path) -> None:
    """Refuse a folder of a run without a file that was written; none is read.

    Raises:
        ModelError: One is missing.
    """
    lost = [name for name in read_checksums(folder) if not (folder / Path(name).name).is_file()]
    if lost:
        raise _damaged(folder, [f"{name} is missing" for name in lost])


def _damaged(folder: Path, faults: list[str]) -> ModelError:
    return ModelError(
        f"{folder} is damaged: {'; '.join(faults)}. A checkpoint of a run is trained again by "
        "potstill train, and model/ is written again by potstill evaluate. If you changed the "
        f"files yourself, remove {folder / CHECKSUMS}."
    )


def check_whole(folder: Path) -> None:
    """Refuse a folder whose files are not those that were written; see :mod:`potstill.checksums`.

    Raises:
        ModelError: A file is missing or was changed, or ``potstill clean`` removed the weights.
    """
    if is_removed(folder):
        raise ModelError(
            f"{folder} has no weights any more: potstill clean removed them. To train them again, "
            f"remove {folder / REMOVED} and repeat potstill train."
        )
    faults = damage(folder)
    if faults:
        raise _damaged(folder, faults)


def check_weight_files(source: str, revision: str | None = None) -> None:
    """Refuse a model that would have other files read than safetensors of its own.

    Args:
        source: A folder or a hub name.
        revision: Branch, tag or commit of a hub model.

    Raises:
        ModelError: The config, an index or an adapter names a file of another kind or place, or
            one that the folder lacks.
        MissingExtraError: The model has a low-rank adapter, which only peft can load.
    """
    config = _read_json(source, "config.json", revision) or {}
    named = config.get("transformers_weights")
    if named is not None:
        _check_named(source, [named], "config.json: transformers_weights", also=SAFE_INDEX)
    indexes = {SAFE_WEIGHTS_INDEX_NAME}
    if isinstance(named, str) and named.endswith(SAFE_INDEX):
        indexes.add(named)
    for index in sorted(indexes):
        _check_index(source, index, revision)
    adapter = _read_json(source, "adapter_config.json", revision)
    if adapter is not None:
        _check_adapter(source, adapter, revision, has_config=bool(config))


def _check_index(source: str, index: str, revision: str | None) -> None:
    """Refuse an index that names anything but safetensors beside it."""
    values = _read_json(source, index, revision)
    if values is None:
        return
    shards = values.get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ModelError(f"{source}: {index} has no weight_map, which says where weights stand.")
    files = sorted(set(map(str, shards.values())))
    _check_named(source, files, index)
    folder = Path(source)
    missing = [file for file in files if folder.is_dir() and not (folder / file).is_file()]
    if missing:
        raise ModelError(f"{source}: {index} names {', '.join(missing[:3])}, which is not there.")


def _check_adapter(
    source: str, adapter: dict[str, Any], revision: str | None, *, has_config: bool
) -> None:
    """Refuse a low-rank adapter that is pickled, that peft lacks for, or whose base is so."""
    if _find(source, f"adapter_model{SAFE}", revision) is None:
        raise ModelError(f"{source}: its adapter has no adapter_model{SAFE}; {PICKLED}")
    if importlib.util.find_spec("peft") is None:
        raise MissingExtraError(
            f"{source} has a low-rank adapter, which needs the package 'peft'. "
            "Install it with: pip install 'potstill[lora]'"
        )
    base = adapter.get("base_model_name_or_path")
    if not has_config and isinstance(base, str) and base != source:
        check_weight_files(base)


def _check_named(source: str, files: list[Any], where: str, *, also: str = SAFE) -> None:
    for file in files:
        if not isinstance(file, str) or not file.endswith((SAFE, also)):
            raise ModelError(f"{source}: {where} names {shortened(file)}; {PICKLED}")
        if Path(file).name != file:
            raise ModelError(
                f"{source}: {where} names {shortened(file)}, which is not beside it. Weights are "
                "read from the model's own folder alone."
            )


def _read_json(source: str, name: str, revision: str | None) -> dict[str, Any] | None:
    """Returns a JSON file of the model; None where it has none.

    Raises:
        ModelError: It is no JSON object.
    """
    path = _find(source, name, revision)
    if path is None:
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} is no JSON object, but {shortened(values)}.")
    return values


def _find(source: str, name: str, revision: str | None) -> Path | None:
    """Returns where a file of the model is on this machine, fetched if it is on the hub alone."""
    if Path(source).is_dir():
        path = Path(source) / name
        return path if path.is_file() else None
    found = cached_file(
        source,
        name,
        revision=revision,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return Path(found) if found else None
