"""The members of a merge: chosen students of finished runs, and one model made of their weights.

A member is the student in ``model/`` of a run's folder, with the checkpoint that it is a copy of,
the task that it was trained for and the way of asking that it was trained on. Weights can be merged
where the models agree in architecture, shapes and vocabulary.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from potstill.errors import ConfigError, DataError
from potstill.merge.weights import MergedWeights, Weights, linear_layers
from potstill.models.local.learned_prefix import has_prefix
from potstill.models.local.loading import (
    Loaded,
    folder_digest,
    load_config,
    load_model_and_tokenizer,
    parameters_of,
    quietly,
    weights_digest,
)
from potstill.models.local.saving import dtype_on_disk, save_model
from potstill.models.settings import LocalSettings
from potstill.pipeline.recipe import Recipe, load_recipe
from potstill.pipeline.run import Run
from potstill.prompts.formats import format_named
from potstill.records import Checkpoint, Task
from potstill.runtime.progress import Meter
from potstill.sampling.ask import PromptConfig
from potstill.sampling.exemplar_pool import EVALUATION, draw_exemplars, worked_questions
from potstill.store import Store
from potstill.text.chosen_on_test import is_chosen_on_test
from potstill.train.defaults import longest_example
from potstill.train.examples import as_written, make_examples
from potstill.train.settings import StudentSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from potstill.train.encoding import Encoded


class MergeMember(NamedTuple):
    """The chosen student of a finished run."""

    name: str
    folder: Path
    """The folder of its run."""

    recipe: Recipe
    task: Task
    """The task that it was trained for."""

    checkpoint: Checkpoint
    asking: PromptConfig
    """How it was trained to be asked."""

    digest: str
    """A hash of its weights, config and tokenizer."""

    on_test: bool = False
    """Whether its checkpoint was chosen on the test questions of its task."""

    @property
    def model(self) -> Path:
        """The folder of its weights."""
        return self.folder / "model"

    @property
    def settings(self) -> StudentSettings:
        """How it was trained."""
        student = self.recipe.train.sweep()[self.checkpoint.system]
        if student.is_settled:
            return student
        return student.model_copy(update={"data_format": self.checkpoint.data_format})

    @property
    def start(self) -> LocalSettings:
        """The model that its training started from."""
        return self.settings.start or self.recipe.student


def read_members(folders: Sequence[Path], meter: Meter) -> list[MergeMember]:
    """The chosen students of these runs.

    Args:
        folders: The runs' folders.
        meter: Passed on to the runs.

    Raises:
        ConfigError: A folder holds no finished run, or one is given twice.
    """
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        listed = ", ".join(map(str, folders))
        raise ConfigError(f"merge takes two or more different runs, and was given {listed}.")
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [folder.as_posix() for folder in folders]
    return [_read_member(name, folder, meter) for name, folder in zip(names, folders, strict=True)]


def _read_member(name: str, folder: Path, meter: Meter) -> MergeMember:
    if not (folder / "model" / "config.json").is_file():
        raise ConfigError(
            f"{folder} holds no finished run: it has no model/config.json. Give a run's folder, "
            "and finish it first with: potstill evaluate"
        )
    with _open_finished(folder, meter) as run:
        digest = folder_digest(folder / "model")
        checkpoint = _chosen_checkpoint(run.store, folder)
        member = MergeMember(
            name=name,
            folder=folder,
            recipe=run.recipe,
            task=run.task,
            checkpoint=checkpoint,
            asking=_asking(checkpoint, run.recipe),
            digest=digest,
            on_test=is_chosen_on_test(run.store.choices()),
        )
        return member._replace(asking=_with_exemplars(member, run.store))


def _open_finished(folder: Path, meter: Meter) -> Run:
    """The run in a folder, wherever it was moved to, opened to be read."""
    recipe = load_recipe(folder / "recipe.yaml").model_copy(update={"run": str(folder)})
    return Run(recipe, meter, read_only=True, is_moved=True)


def _chosen_checkpoint(store: Store, folder: Path) -> Checkpoint:
    """The checkpoint whose weights ``model/`` holds."""
    weights = weights_digest(folder / "model")
    tested = {(score.system.bare, score.step) for score in store.scores() if score.split == "test"}
    for checkpoint in store.checkpoints():
        place = folder / checkpoint.folder
        is_tested = (checkpoint.system, checkpoint.step) in tested
        if is_tested and place.is_dir() and weights_digest(place) == weights:
            return checkpoint
    raise DataError(
        f"{folder / 'model'} is none of the checkpoints that its run has measured. Run potstill "
        "evaluate on the run again."
    )


def _asking(checkpoint: Checkpoint, recipe: Recipe) -> PromptConfig:
    style = format_named(checkpoint.data_format).style(encoder_decoder=checkpoint.encoder_decoder)
    return PromptConfig(style=style, sampling=recipe.evaluate.greedy)


def _with_exemplars(member: MergeMember, store: Store) -> PromptConfig:
    """The member's way of being asked, with worked training questions where it shows some."""
    if not format_named(member.checkpoint.data_format).needs_exemplars:
        return member.asking
    rationales = store.training_rationales(member.task)
    pool = worked_questions(member.task.splits["train"], rationales)
    count, seed = member.settings.exemplars, member.recipe.seed
    return replace(member.asking, exemplars=draw_exemplars(pool, count, seed=seed, key=EVALUATION))


def training_examples(
    member: MergeMember,
    count: int,
    tokenizer: "PreTrainedTokenizerBase",
    meter: Meter,
    *,
    seed: int,
) -> list["Encoded"]:
    """Returns at most ``count`` of the examples that a member was trained on, drawn uniformly.

    Raises:
        DataError: Its run has none any more.
    """
    from potstill.train.encoding import Encoder
    from potstill.train.resolution import start_facts

    encoder_decoder = member.checkpoint.encoder_decoder
    with _open_finished(member.folder, meter) as run:
        examples = make_examples(
            as_written(run.store.training_rationales(run.task), member.settings, run.store),
            run.task.splits["train"],
            member.settings,
            encoder_decoder=encoder_decoder,
            seed=member.recipe.seed,
        )
    drawn = random.Random(seed).sample(examples, min(count, len(examples)))
    encoder = Encoder(
        tokenizer,
        encoder_decoder=encoder_decoder,
        control_tokens=member.start.control_tokens,
    )
    longest = longest_example(member.recipe.train, start_facts(member.start))
    encoded = [*encoder.encode(drawn, max_length=longest).examples]
    if not encoded:
        raise DataError(
            f"{member.folder} holds no example that {member.name} was trained on, and regmean and "
            "fisher learn from them. Give the run with its rationales, or leave both out: "
            "--method average."
        )
    return encoded


# models ------------------------------------------------------------------------------------------

Combine = Callable[[Sequence[Weights], dict[str, bool]], MergedWeights]
"""Merges the members' weights, given also which layers of their model are linear."""


class MergedModel(NamedTuple):
    """A model with merged weights."""

    loaded: Loaded
    ridged: tuple[str, ...]
    """The linear layers whose Grams were singular."""


def merge_models(folders: Sequence[Path], combine: Combine) -> MergedModel:
    """One model with the combined weights of several.

    Args:
        folders: Models of one architecture, size and vocabulary.
        combine: Makes one set of weights of all the models'.

    Raises:
        ConfigError: The models differ in more than their weights.
    """
    loaded = [load_model_and_tokenizer(str(f), dtype="float32", device="cpu") for f in folders]
    for folder, member in zip(folders, loaded, strict=True):
        if has_prefix(member.model):
            raise ConfigError(
                f"{folder} has a learned prefix (train.prefix), which cannot be merged. Take it in "
                "an ensemble alone: --method ensemble."
            )
    first = loaded[0]
    for folder, other in zip(folders[1:], loaded[1:], strict=True):
        difference = _difference(first, other)
        if difference:
            raise ConfigError(
                f"{folders[0]} and {folder} cannot be merged: {difference}. Merge students of one "
                "start checkpoint, or take them as an ensemble alone: --method ensemble."
            )
    states = [member.model.state_dict() for member in loaded]
    merged = combine(states, linear_layers(first.model))
    first.model.load_state_dict(merged.weights)
    return MergedModel(first, merged.ridged)


def save_merged(merged: Loaded, folder: Path, *, member: Path) -> None:
    """Write a model as ``hf:`` loads it, in the number format of one of its members."""
    start = LocalSettings(model=f"hf:{member}")
    dtype = dtype_on_disk(load_config(start), parameters_of(merged.model))
    with quietly():
        save_model(merged.model, merged.tokenizer, folder, dtype=dtype)


def _difference(one: Loaded, other: Loaded) -> str | None:
    """The first difference between two models beside their weights, in words; None without one."""
    kinds = one.model.config.model_type, other.model.config.model_type
    if kinds[0] != kinds[1]:
        return f"one is a {kinds[0]} model, the other a {kinds[1]} model"
    shapes = [
        {name: list(weight.shape) for name, weight in loaded.model.state_dict().items()}
        for loaded in (one, other)
    ]
    for name in sorted(shapes[0].keys() | shapes[1].keys()):
        sizes = [own_shapes.get(name, "absent") for own_shapes in shapes]
        if sizes[0] != sizes[1]:
            return f"{name} is {sizes[0]} in one, {sizes[1]} in the other"
    if one.tokenizer.get_vocab() != other.tokenizer.get_vocab():
        return "their tokenizers have different vocabularies"
    return None
