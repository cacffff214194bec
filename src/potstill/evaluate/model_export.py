"""The chosen student as a folder of its own, with a model card."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from potstill.checksums import REMOVED, is_removed, write_checksums
from potstill.errors import DataError
from potstill.prompts.formats import format_named
from potstill.prompts.styles import PromptStyle, shows_exemplars
from potstill.records import Checkpoint, Score
from potstill.records.training import ADAPTER
from potstill.whole_files import whole_folder

MODEL_FILES = {".json", ".safetensors", ".model", ".txt", ".jinja"}
"""The endings of the files that a model is loaded from."""

CARD = """---
base_model: {start}
tags: [potstill, distillation, chain-of-thought]
---
# {task} student

Distilled with potstill: the rationales of `{teacher}` on **{task}**, started from `{start}`.
This is checkpoint {step} of the student `{student}`, chosen by its accuracy on the development
split; the test split chose nothing.

## How to ask it

{prompt}

It was trained to be asked in the data format `{data_format}`, and writes {reading}

## Accuracy on test questions

| system | task | right | accuracy | 95% interval |
|---|---|---|---|---|
{rows}

Intervals are Wilson's. Trained on one task, a student pays with its other abilities: measure what
you need before you rely on it.
"""


def export_model(
    chosen: Checkpoint,
    scores: Sequence[Score],
    folder: Path,
    *,
    task: str,
    teacher: str,
    start: str,
) -> Path:
    """Copy the chosen checkpoint to ``model/`` beside its model card.

    An older ``model/`` is replaced only once the new one is whole.

    Args:
        chosen: The checkpoint to copy.
        scores: The scores of the evaluation that chose it.
        folder: The run's folder.
        task: The name of the task it was trained for.
        teacher: The teacher, as the recipe names it.
        start: The start checkpoint, as the recipe names it.

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
    card = model_card(chosen, scores, task=task, teacher=teacher, start=start)
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


def model_card(
    chosen: Checkpoint, scores: Sequence[Score], *, task: str, teacher: str, start: str
) -> str:
    """The model card's text; arguments as for :func:`export_model`."""
    data_format = format_named(chosen.data_format)
    rows = [
        f"| {score.system.label} | {score.task} | {score.correct}/{score.total} "
        f"| {score.correct / score.total:.1%} | {score.low:.1%} to {score.high:.1%} |"
        for score in scores
        if score.split == "test"
    ]
    return CARD.format(
        start=start,
        task=task,
        teacher=teacher,
        step=chosen.step,
        student=chosen.system.label,
        prompt=_prompt(data_format.style(encoder_decoder=chosen.encoder_decoder)),
        data_format=chosen.data_format,
        reading=data_format.reading,
        rows="\n".join(rows),
    )


def _prompt(style: PromptStyle) -> str:
    """Returns how to ask in this style, in words."""
    kind = "The user's turn of a chat" if style.chat else "Prompt"
    words = f"{kind}, with the question in the place of `{{question}}`:\n\n{_block(style.template)}"
    if shows_exemplars(style):
        words += (
            "\n\nIn the place of `{exemplars}` stand worked questions with a blank line between "
            f"them, each worded so:\n\n{_block(style.exemplar)}"
        )
    return words


def _block(text: str) -> str:
    return f"```\n{text}\n```"
