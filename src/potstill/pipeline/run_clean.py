"""The parts of a finished run that nothing needs any more, and their removal.

Kept is whatever a repeated command would have to pay or to train for: the store, the checkpoints
that were chosen, unfinished trainings. Of checkpoints that were not chosen the weights go; their
checksums, config and tokenizer stay, so that their answers are found in the store by their name.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from potstill.checksums import CHECKSUMS, REMOVED, damage, is_removed, write_checksums
from potstill.pipeline.run import Run
from potstill.pipeline.stale import stale_stages, untrained_students
from potstill.train.checkpoints import FINISHED, RESUME
from potstill.whole_files import ENDING, write_whole

NOTE = (
    "potstill clean removed the weights of this checkpoint, which was not chosen. To have them "
    "trained again, remove this file and run potstill train.\n"
)


class Superseded(NamedTuple):
    """Something that can go."""

    what: str
    """Its name in a few words, e.g. ``weights of a checkpoint that was not chosen``."""

    path: Path
    """A file or folder; of a checkpoint its folder, whose weights go."""

    size: int
    """Bytes that become free."""


CHECKPOINT = "weights of a checkpoint that was not chosen"
STALE = "training that no recipe of the run needs any more"
STATE = "optimizer state of a finished training"
LEFTOVER = "left by a killed process"


def superseded(run: Run) -> list[Superseded]:
    """Returns what can go, in the order of its folders. Nothing is removed.

    Args:
        run: Opened for writing, so that no other process works on it.
    """
    found = [*_leftovers(run.folder), *_states(run.folder / "checkpoints")]
    stale = {stage.stage for stage in stale_stages(run)}
    if not {"train", "evaluate"} & stale:
        if not untrained_students(run):
            found += _stale_trainings(run)
        found += _unchosen(run)
    return found


def remove(superseded_things: Iterable[Superseded]) -> None:
    """Remove what :func:`superseded` found; what a killed call left is found by the next."""
    for thing in superseded_things:
        if thing.what == CHECKPOINT:
            _remove_weights(thing.path)
        elif thing.path.is_dir():
            shutil.rmtree(thing.path)
        else:
            thing.path.unlink(missing_ok=True)


def _remove_weights(checkpoint: Path) -> None:
    """Remove a checkpoint's weights; before, note that it was on purpose."""
    if not (checkpoint / CHECKSUMS).is_file():  # an older potstill wrote it
        write_checksums(checkpoint)
    write_whole(checkpoint / REMOVED, NOTE)
    for weights in _weights(checkpoint):
        weights.unlink()


def _weights(checkpoint: Path) -> list[Path]:
    return sorted(checkpoint.glob("*.safetensors"))


def _leftovers(folder: Path) -> Iterator[Superseded]:
    """Yields files and folders that were never given their names; nobody else is at work here."""
    for pattern in (f".*.{ENDING}", f"checkpoints/*/.*.{ENDING}"):
        for path in sorted(folder.glob(pattern)):
            yield Superseded(LEFTOVER, path, _size(path))


def _states(trainings: Path) -> Iterator[Superseded]:
    for finished in sorted(trainings.glob(f"*/{FINISHED}")):
        for state in sorted(finished.parent.glob(f"checkpoint-*/{RESUME}")):
            yield Superseded(STATE, state, _size(state))


def _stale_trainings(run: Run) -> Iterator[Superseded]:
    """Yields finished trainings that the store does not name, where it names all students'.

    Unfinished ones stay: whether they are of today's recipe is not known, and they took long.
    """
    needed = {(run.folder / checkpoint.folder).parent for checkpoint in run.store.checkpoints()}
    if not needed:
        return
    for finished in sorted((run.folder / "checkpoints").glob(f"*/{FINISHED}")):
        if finished.parent not in needed:
            yield Superseded(STALE, finished.parent, _size(finished.parent))


def _unchosen(run: Run) -> Iterator[Superseded]:
    """Yields the checkpoints that no student is taken from, where the evaluation has chosen."""
    choices = {(choice.system, choice.step) for choice in run.store.choices() if choice.used}
    chosen_students = {system for system, _ in choices}
    pairs = run.recipe.evaluate.socratic.values()
    paired = {name for pair in pairs for name in (pair.questioner, pair.solver)}
    for checkpoint in run.store.checkpoints():
        path = run.folder / checkpoint.folder
        is_needed = (
            (checkpoint.system, checkpoint.step) in choices
            or checkpoint.system not in chosen_students
            or checkpoint.student in paired
        )
        # Where a removal was killed half way, the note is there, and weights as well.
        is_whole = is_removed(path) or not damage(path)
        if not is_needed and is_whole and _weights(path):
            yield Superseded(CHECKPOINT, path, sum(map(_size, _weights(path))))


def _size(path: Path) -> int:
    """Returns the bytes of a file, or of all files below a folder."""
    files = [path] if path.is_file() else [inner for inner in path.rglob("*") if inner.is_file()]
    return sum(file.lstat().st_size for file in files)
