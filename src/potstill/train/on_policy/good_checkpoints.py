"""The weights of the last round that passed no limit, kept beside the checkpoints that are due.

    FOLDER/
      checkpoint-000100/        one that is due
      good-000130/              the student as it wrote the last good round; no optimiser state

A collapse makes it the training's last checkpoint. It is known by another name until then, as what
is written beside the due ones is removed at the next of them.
"""

import shutil
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from potstill.launched import is_main_process
from potstill.records import Collapse
from potstill.train.checkpoints import checkpoint_folder
from potstill.train.on_policy.settings import OnPolicySettings
from potstill.whole_files import unfinished_folder

_NAME = "good"


def keep(folder: Path, step: int, *, due: Container[int], write: Callable[[Path], None]) -> None:
    """Keep the weights after a step, in the place of those that were kept before.

    Args:
        folder: The training's folder.
        step: Optimiser steps that the student has taken.
        due: The steps after which a checkpoint is written in any case.
        write: Writes the weights to a folder, whole or not at all.
    """
    place = _place(folder, step)
    if step not in due and not place.exists():
        write(place)
    _drop_others(folder, but=place)


def settle(folder: Path, step: int) -> int:
    """Make the kept weights the training's last checkpoint, and remove those after it.

    Args:
        folder: The training's folder.
        step: The steps behind the last good round.

    Returns:
        The steps behind the last checkpoint: these, or fewer where theirs is not there, as after
        an interrupted training whose limits were set later.
    """
    kept = {_step(path): path for path in [*folder.glob("checkpoint-*"), *_kept(folder)]}
    last = max((one for one in kept if one <= step), default=min(kept))
    target = checkpoint_folder(folder, last)
    if not target.exists():
        kept[last].rename(target)
    for path in folder.glob("checkpoint-*"):
        if _step(path) > last:
            _remove(path)
    _drop_others(folder, but=None)
    return last


def after_collapse(folder: Path, collapse: Collapse, *, due: Iterable[int]) -> dict[str, object]:
    """Settle a training that a limit has ended, and return what is kept of that.

    Args:
        folder: The training's folder.
        collapse: The limit.
        due: The steps after which a checkpoint is written in any case.
    """
    last = settle(folder, collapse.step)
    kept = sorted(step for step in due if step < last)
    return {"steps": [*kept, last], "collapse": asdict(replace(collapse, step=last))}


def is_lifted(finished: Mapping[str, Any], settings: OnPolicySettings) -> bool:
    """Whether the limit that has ended a training, or its patience, is another one now.

    Args:
        finished: The record that is kept of the training.
        settings: The training's, as the recipe has them now.
    """
    collapse = finished.get("collapse")
    if collapse is None:
        return False
    limits = settings.limits
    if limits is None or limits.patience != finished.get("patience", limits.patience):
        return True
    return bool(getattr(limits, collapse["sign"]) != collapse["setting"])


def drop(folder: Path) -> None:
    """Remove what was kept of a training that has come to its end; the main process does."""
    if is_main_process():
        _drop_others(folder, but=None)


def _place(folder: Path, step: int) -> Path:
    return folder / f"{_NAME}-{step:06}"


def _kept(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_NAME}-*"))


def _step(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def _drop_others(folder: Path, *, but: Path | None) -> None:
    for path in _kept(folder):
        if path != but:
            _remove(path)


def _remove(place: Path) -> None:
    """Remove a folder; no part of it is ever seen under its name."""
    unfinished = unfinished_folder(place)
    place.rename(unfinished)
    shutil.rmtree(unfinished)
