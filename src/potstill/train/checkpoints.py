"""Checkpoints on disk: each is whole or not there.

    FOLDER/
      training.json             what is trained here; written first
      checkpoint-000100/        weights, config and tokenizer, as ``hf:`` loads them
      checkpoint-000200/
        resume/                 optimiser, schedule, random state; in the newest checkpoint alone
      finished.json             losses and counts; written last

A checkpoint is written under another name and renamed once all of it is on the disk, so a process
that is killed leaves at most a folder that the next one removes.
"""

import json
import os
import shutil
from pathlib import Path

from potstill.errors import ConfigError
from potstill.whole_files import ENDING, unfinished_folder, write_whole

RESUME = "resume"
IDENTITY = "training.json"
FINISHED = "finished.json"


def checkpoint_folder(folder: Path, step: int) -> Path:
    """Returns the folder of the checkpoint after so many steps."""
    return folder / f"checkpoint-{step:06}"


def first_process() -> bool:
    """Whether this process is the one of ``accelerate launch`` that writes."""
    return os.environ.get("RANK", "0") == "0"


def claim(folder: Path, identity: str) -> None:
    """Take a folder for one training, and remove what a killed process left half written.

    Of several processes the first does so, and the others rely on it.

    Args:
        folder: The training's folder; made where it is missing.
        identity: A digest of everything that determines the result.

    Raises:
        ConfigError: The folder holds another training.
    """
    if not first_process():
        return
    folder.mkdir(parents=True, exist_ok=True)
    training = read_json(folder / IDENTITY)
    if training is not None and training.get("identity") != identity:
        raise ConfigError(
            f"{folder} holds a student of other examples or settings; "
            "give another folder, or remove this one."
        )
    for leftover in folder.glob(f"*{ENDING}*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    if training is None:
        write_json(folder / IDENTITY, {"identity": identity})
    if (folder / FINISHED).exists():
        drop_resume_states(folder)


def finish(folder: Path, values: dict[str, object]) -> None:
    """Mark a training as finished, then remove what only going on with it would need."""
    if first_process():
        write_json(folder / FINISHED, values)
        drop_resume_states(folder)


def newest_resumable(folder: Path) -> Path | None:
    """Returns the newest checkpoint that training can go on from, if there is one."""
    states = sorted(folder.glob(f"checkpoint-*/{RESUME}"), key=lambda path: path.parent.name)
    return states[-1].parent if states else None


def drop_resume_states(folder: Path, *, but: Path | None = None) -> None:
    """Remove the resume states of all checkpoints but one."""
    for state in folder.glob(f"checkpoint-*/{RESUME}"):
        if state.parent != but:
            unfinished = unfinished_folder(folder / f"{state.parent.name}-{RESUME}")
            state.rename(unfinished)
            shutil.rmtree(unfinished)


def write_json(path: Path, values: dict[str, object]) -> None:
    """Write a file whole or not at all."""
    write_whole(path, json.dumps(values) + "\n")


def read_json(path: Path) -> dict[str, object] | None:
    """Returns what :func:`write_json` wrote, or None where there is no such file."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    assert isinstance(values, dict)
    return values
