"""The chosen student as a folder of its own, with a model card."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from potstill.checksums import REMOVED, is_removed, write_checksums
from potstill.errors import DataError
from potstill.evaluate.model_card import StudentOrigin, model_card
from potstill.records import Checkpoint, Comparison, Score
from potstill.records.training import ADAPTER
from potstill.whole_files import whole_folder

MODEL_FILES = {".json", ".safetensors", ".model", ".txt", ".jinja"}
"""The endings of the files that a model is loaded from."""


def export_model(
    chosen: Checkpoint,
    scores: Sequence[Score],
    folder: Path,
    origin: StudentOrigin,
    against_start: Comparison | None = None,
) -> Path:
    """Copy the chosen checkpoint to ``model/`` beside its model card.

    An older ``model/`` is replaced only once the new one is whole.

    Args:
        chosen: The checkpoint to copy.
        scores: The scores of the evaluation that chose it.
        folder: The run's folder.
        origin: Where the student comes from.
        against_start: The student against its start, for the card.

    Returns:
        The folder of the model.

    Raises:
        DataError: ``potstill clean`` removed the weights of this checkpoint.
    """
    source = folder / chosen.folder
    if is_removed(source):
        raise DataError(
            f"{source} is chosen now, and potstill clean removed its weights. Remove "
            f"{source / REMOVED}, then run potstill train and potstill evaluate again."
        )
    card = model_card(chosen, scores, origin, against_start)
    model = folder / "model"
    with whole_folder(model) as unfinished:
        for file in sorted(source.iterdir()):
            if file.is_file() and file.suffix in MODEL_FILES:
                shutil.copy2(file, unfinished / file.name)
        if (source / ADAPTER).is_dir():
            shutil.copytree(source / ADAPTER, unfinished / ADAPTER)
        (unfinished / "README.md").write_text(card, encoding="utf-8")
        write_checksums(unfinished)
    return model
