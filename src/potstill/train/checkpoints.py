"""Checkpoints on disk: each is whole or not there.

    FOLDER/
      training.json             what is trained here; written first
      checkpoint-000100/        weights, config and tokenizer, as ``hf:`` loads them; checksums
      checkpoint-000200/
        resume/                 optimiser, schedule, random state; in the newest checkpoint alone
          optimizer/            the optimiser's state in parts, of weights that are held in parts
      finished.json             losses and counts; written last

Where training is interrupted, a checkpoint beside those that are due is written to go on from; the
next one that is due takes its place. A checkpoint is written under another name and renamed once
all of it is on the disk, so a process that is killed leaves at most a folder that the next one
removes. What was lost or damaged since is known by the checksums, and trained again: from the
newest checkpoint where that and all before it are whole, else from the beginning.
"""

import json
import logging
import shutil
from collections.abc import Container, Iterable
from pathlib import Path

from potstill.checksums import damage, write_checksums
from potstill.errors import ConfigError
from potstill.launched import is_main_process
from potstill.whole_files import ENDING, unfinished_folder, write_whole

logger = logging.getLogger(__name__)

RESUME = "resume"
IDENTITY = "training.json"
FINISHED = "finished.json"
PARTS = "optimizer"
"""The folder of a resume state that holds the optimiser's state, where several processes have it in
parts."""


def checkpoint_folder(folder: Path, step: int) -> Path:
    """Returns the folder of the checkpoint after so many steps."""
    return folder / f"checkpoint-{step:06}"


def claim(folder: Path, identity: str, steps: int) -> None:
    """Take a folder for one training, and remove what a killed process left half written.

    Of several processes the main one does so, and the others rely on it.

    Args:
        folder: The training's folder; made where it is missing.
        identity: A digest of everything that determines the result.
        steps: The steps of the training, for those who look at it.

    Raises:
        ConfigError: The folder holds another training, or what it holds cannot be told.
    """
    if not is_main_process():
        return
    folder.mkdir(parents=True, exist_ok=True)
    training = read_json(folder / IDENTITY)
    if training is None and (folder / IDENTITY).exists():
        if not folder.name.endswith(f"-{identity[:8]}"):  # else the folder's own name says it
            raise ConfigError(
                f"{folder / IDENTITY} is damaged, so what is trained there cannot be told; "
                "give another folder, or remove this one."
            )
    elif training is not None and training.get("identity") != identity:
        raise ConfigError(
            f"{folder} holds a student of other examples or settings; "
            "give another folder, or remove this one."
        )
    for leftover in folder.glob(f"*{ENDING}*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    if training is None:
        write_json(folder / IDENTITY, {"identity": identity, "steps": steps})


def finish(folder: Path, values: dict[str, object]) -> None:
    """Mark a training as finished, then remove what only going on with it would need."""
    if is_main_process():
        write_json(folder / FINISHED, values)
        drop_resume_states(folder)


def reopen(folder: Path) -> None:
    """Take back that a training is finished, so that it is trained anew."""
    if is_main_process():
        (folder / FINISHED).unlink(missing_ok=True)


def read_finished(folder: Path) -> dict[str, object] | None:
    """Returns what :func:`finish` wrote; None where training has not ended, or some of it is lost.

    What is lost is said, and stays where it is until it is written again.
    """
    path = folder / FINISHED
    values = read_json(path)
    if values is None:
        if path.exists():
            logger.warning("%s is damaged; the student is trained again", path)
        return None
    steps = values.get("steps")
    assert isinstance(steps, list)
    lost = lost_checkpoints(folder, steps)
    for checkpoint, faults in lost.items():
        logger.warning("%s: %s; the student is trained again", checkpoint, "; ".join(faults))
    return None if lost else values


def lost_checkpoints(folder: Path, steps: Iterable[int]) -> dict[Path, list[str]]:
    """Returns what is wrong with the checkpoints after these steps, by those that are not whole."""
    faults = {place: damage(place) for step in steps for place in [checkpoint_folder(folder, step)]}
    return {place: found for place, found in faults.items() if found}


def newest_resumable(folder: Path) -> Path | None:
    """Returns the newest checkpoint with what going on from it takes, if there is one."""
    states = sorted(folder.glob(f"checkpoint-*/{RESUME}"), key=lambda path: path.parent.name)
    return states[-1].parent if states else None


def whole_resumable(folder: Path, save_steps: Iterable[int]) -> Path | None:
    """Returns the newest checkpoint to go on from, if that and all before it are whole.

    Args:
        folder: The training's folder.
        save_steps: The steps after which a checkpoint is written.
    """
    newest = newest_resumable(folder)
    if newest is None:
        return None
    reached = int(newest.name.rpartition("-")[2])
    lost = lost_checkpoints(folder, (step for step in save_steps if step <= reached))
    for folder in (newest / RESUME, newest / RESUME / PARTS):
        if folder.is_dir() and (state := damage(folder)):
            lost[folder] = state
    for checkpoint, faults in lost.items():
        logger.warning("%s: %s; training begins anew", checkpoint, "; ".join(faults))
    return None if lost else newest


def seal(checkpoint: Path) -> None:
    """Write the checksums of a checkpoint and of its resume state."""
    for folder in (checkpoint / RESUME / PARTS, checkpoint / RESUME, checkpoint):
        if folder.is_dir():
            write_checksums(folder)


def drop_resume_states(folder: Path, *, but: Path | None = None) -> None:
    """Remove the resume states of all checkpoints but one."""
    for state in folder.glob(f"checkpoint-*/{RESUME}"):
        if state.parent != but:
            unfinished = unfinished_folder(folder / f"{state.parent.name}-{RESUME}")
            state.rename(unfinished)
            shutil.rmtree(unfinished)


def drop_interrupted(folder: Path, *, due: Container[int], but: Path) -> None:
    """Remove checkpoints that were written only to go on from, where training was interrupted.

    Args:
        folder: The training's folder.
        due: The steps after which a checkpoint is written in any case.
        but: The newest checkpoint, which stays.
    """
    for place in folder.glob("checkpoint-*"):
        step = place.name.rpartition("-")[2]
        if place != but and step.isdecimal() and int(step) not in due:
            unfinished = unfinished_folder(place)
            place.rename(unfinished)
            shutil.rmtree(unfinished)


def write_json(path: Path, values: dict[str, object]) -> None:
    """Write a file whole or not at all."""
    write_whole(path, json.dumps(values) + "\n")


def read_json(path: Path) -> dict[str, object] | None:
    """Returns what :func:`write_json` wrote, or None where there is no such file, or no such JSON.

    Raises:
        ConfigError: The file cannot be read at all.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
