"""A model's folder as one GGUF file, by llama.cpp's own converter.

The converter is a script among llama.cpp's sources; ``LLAMA_CPP`` in the environment names their
folder, or the script is on the PATH, as Homebrew puts it there.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

from potstill.errors import ConfigError, MissingExtraError, ModelError
from potstill.text.terminal_text import terminal_text

GgufType = Literal["f16", "bf16", "q8_0"]
"""Number formats of a GGUF file; ``q8_0`` rounds weights to 8 bits."""

CONVERTER = "convert_hf_to_gguf.py"
SOURCES = "LLAMA_CPP"

MAGIC = b"GGUF"

LARGEST_F16 = 65504.0
"""The largest number of the format f16."""

LAST_LINES = 3
"""Lines of the converter's in an error, its last ones."""


def gguf_converter() -> Path:
    """Returns llama.cpp's converter.

    Raises:
        ConfigError: ``LLAMA_CPP`` names a folder without it.
        MissingExtraError: It is not installed.
    """
    sources = os.environ.get(SOURCES, "").strip()
    if sources:
        place = Path(sources).expanduser()
        script = place if place.is_file() else place / CONVERTER
        if not script.is_file():
            raise ConfigError(f"{SOURCES} is {sources!r}, and there is no {CONVERTER} in it.")
        return script
    installed = shutil.which(CONVERTER)
    if installed is None:
        raise MissingExtraError(
            f"a GGUF file is made by llama.cpp's {CONVERTER}, which is not on the PATH. Fetch "
            "llama.cpp's sources (git clone --depth 1 https://github.com/ggml-org/llama.cpp), set "
            f"{SOURCES} to their folder, and install what the script needs: "
            "pip install 'potstill[gguf]'"
        )
    return Path(installed)


def write_gguf(model: Path, file: Path, gguf_type: GgufType) -> None:
    """Write a model as a GGUF file.

    Args:
        model: The model's folder.
        file: The file to be written.
        gguf_type: The number format of its weights.

    Raises:
        ModelError: A weight is too large for f16, or the converter cannot convert the model; the
            message has its last words.
        PotstillError: See :func:`gguf_converter`.
    """
    converter = gguf_converter()
    if gguf_type == "f16" and (name := _too_large_weight(model)) is not None:
        raise ModelError(
            f"{model}: {name} holds a weight beyond {LARGEST_F16:,.0f}, which f16 has no number "
            "for. Give --dtype bf16"
        )
    command = [sys.executable, str(converter), str(model), "--outfile", str(file)]
    done = subprocess.run(
        [*command, "--outtype", gguf_type],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    if done.returncode == 0 and file.is_file():
        with file.open("rb") as written:
            if written.read(len(MAGIC)) == MAGIC:
                return
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    said = terminal_text(" | ".join(lines[-LAST_LINES:]))
    raise ModelError(
        f"{converter} could not convert {model} (exit status {done.returncode}): {said}"
    )


def _too_large_weight(model: Path) -> str | None:
    """Returns the name of a tensor with a weight that f16 cannot hold; None where there is none."""
    from safetensors import safe_open

    for file in sorted(model.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no mapping
                weight = tensors.get_tensor(name)
                if weight.numel() and not bool(weight.abs().max() <= LARGEST_F16):
                    return str(name)
    return None
