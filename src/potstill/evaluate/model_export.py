"""The chosen student as a folder of its own, with a model card."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from potstill.checksums import REMOVED, is_removed, write_checksums
from potstill.errors import DataError
from potstill.evaluate.model_card import StudentOrigin, model_card
from potstill.records import Checkpoint, Score
from potstill.records.training import ADAPTER
from potstill.sampling.ask import PromptConfig
from potstill.start_comparison import StartComparison
from potstill.whole_files import whole_folder

MODEL_FILES = {".json", ".safetensors", ".model", ".txt", ".jinja"}
"""The endings of the files that a model is loaded from."""


def export_model(
    chosen: Checkpoint,
    scores: Sequence[Score],
    folder: Path,
    origin: StudentOrigin,
    against_start: StartComparison | None = None,
    *,
    asking: PromptConfig | None = None,
) -> Path:
    """Copy the chosen checkpoint to ``model/`` beside its model card.

    An older ``model/`` is replaced only once the new one is whole.

    Args:
        chosen: The checkpoint to copy.
        scores: The scores of the evaluation that chose it.
        folder: The run's folder.
        origin: The student's origin.
        against_start: The student against its start, for the card.
        asking: How the student is asked; servers that load the folder ask it so, greedily. None:
            as the start is.

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
    card = model_card(chosen, scores, origin, against_start, asking=asking)
    model = folder / "model"
    with whole_folder(model) as unfinished:
        for file in sorted(source.iterdir()):
            if file.is_file() and file.suffix in MODEL_FILES:
                shutil.copy2(file, unfinished / file.name)
        if asking is not None and not chosen.encoder_decoder:
            word_as_trained(unfinished, asking)
        if (source / ADAPTER).is_dir():
            shutil.copytree(source / ADAPTER, unfinished / ADAPTER)
        (unfinished / "README.md").write_text(card, encoding="utf-8")
        write_checksums(unfinished)
    return model


def word_as_trained(folder: Path, asking: PromptConfig) -> bool:
    """Have servers that load a model's folder ask it as it was measured: worded so, and greedily.

    Args:
        folder: The model's; it is changed.
        asking: How the student was asked.

    Returns:
        Whether the chat route gives the very tokens that the student was measured with.
    """
    if not (folder / "tokenizer_config.json").is_file():
        return False
    from potstill.evaluate.served_form import set_chat_template, set_greedy

    set_greedy(folder)
    return set_chat_template(folder, asking.style, asking.exemplars).exact
