"""Students of finished runs, read to be fused.

Members' folders → one model, with their tokenizer.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from potstill.errors import ConfigError, DataError
from potstill.merge.weights import MergedWeights, Weights, linear_layers
from potstill.models.local.loading import Loaded, load_model_and_tokenizer, quietly
from potstill.models.settings import LocalSettings
from potstill.pipeline.recipe import Recipe, load_recipe
from potstill.pipeline.run import Run
from potstill.prompts.formats import format_named
from potstill.records import Checkpoint, Example, Rationale, Task
from potstill.runtime.progress import Meter
from potstill.sampling.ask import PromptConfig, SamplingParams
from potstill.sampling.exemplar_pool import EVALUATION, draw_exemplars, worked_questions
from potstill.store import Store
from potstill.train.examples import make_examples
from potstill.train.settings import StudentSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from potstill.train.encoding import Encoded


class Member(NamedTuple):
    """The chosen student of a finished run."""

    name: str
    folder: Path
    """Its run's."""

    recipe: Recipe
    task: Task
    """What it was trained for."""

    checkpoint: Checkpoint
    asking: PromptConfig
    """How it was trained to be asked."""

    digest: str
    """Stands for its weights, config and tokenizer."""

    @property
    def model(self) -> Path:
        """The folder of its weights."""
        return self.folder / "model"

    @property
    def settings(self) -> StudentSettings:
        """How it was trained."""
        return self.recipe.train.sweep()[self.checkpoint.student]

    @property
    def start(self) -> LocalSettings:
        """What its training started from."""
        return self.settings.start or self.recipe.student


def read_members(folders: Sequence[Path], meter: Meter) -> list[Member]:
    """The chosen students of these runs.

    Args:
        folders: The runs'. Relative paths in their recipes count from the working folder.
        meter: Shown the progress.

    Raises:
        ConfigError: A folder holds no finished run, or one is given twice.
    """
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        given = ", ".join(map(str, folders))
        raise ConfigError(f"fuse takes two or more different runs, and was given {given}.")
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [folder.as_posix() for folder in folders]
    return [_member(name, folder, meter) for name, folder in zip(names, folders, strict=True)]


def open_run(folder: Path, meter: Meter) -> Run:
    """A run that is there already, to be read."""
    recipe = load_recipe(folder / "recipe.yaml").model_copy(update={"run": str(folder)})
    return Run(recipe, meter, read_only=True)


def training_examples(
    member: Member, count: int, tokenizer: "PreTrainedTokenizerBase", meter: Meter, *, seed: int
) -> list["Encoded"]:
    """At most ``count`` of the examples that a member was trained on, drawn uniformly.

    Raises:
        DataError: Its run has none any more.
    """
    from potstill.train.encoding import Encoder

    encoder_decoder = member.checkpoint.encoder_decoder
    with open_run(member.folder, meter) as run:
        examples: list[Example] = make_examples(
            run.store.rationales(),
            run.task.splits["train"],
            member.settings,
            encoder_decoder=encoder_decoder,
            seed=member.recipe.seed,
        )
    drawn = random.Random(seed).sample(examples, min(count, len(examples)))
    encoder = Encoder(tokenizer, encoder_decoder=encoder_decoder)
    encoded = encoder.encode(drawn, max_length=member.recipe.train.max_length).examples
    if not encoded:
        raise DataError(
            f"{member.folder} holds no example that {member.name} was trained on, and RegMean "
            "learns from them. Give the run with its rationales, or leave regmean out: "
            "--method average."
        )
    return encoded


def _member(name: str, folder: Path, meter: Meter) -> Member:
    from potstill.models.local.loading import folder_digest

    if not (folder / "model" / "config.json").is_file():
        raise ConfigError(
            f"{folder} holds no finished run: it has no model/config.json. Give a run's folder, "
            "and finish it first with: potstill evaluate"
        )
    with open_run(folder, meter) as run:
        digest = folder_digest(folder / "model")
        checkpoint = _chosen(run.store, folder, digest)
        member = Member(
            name=name,
            folder=folder,
            recipe=run.recipe,
            task=run.task,
            checkpoint=checkpoint,
            asking=_asking(checkpoint, run.recipe),
            digest=digest,
        )
        shown = _exemplars(member, run.store.rationales())
    return member._replace(asking=shown)


def _chosen(store: Store, folder: Path, digest: str) -> Checkpoint:
    """The checkpoint that ``model/`` is a copy of."""
    from potstill.models.local.loading import folder_digest

    tested = {(score.system, score.step) for score in store.scores() if score.split == "test"}
    for checkpoint in store.checkpoints():
        place = folder / checkpoint.folder
        measured = (checkpoint.student, checkpoint.step) in tested
        if measured and place.is_dir() and folder_digest(place) == digest:
            return checkpoint
    raise DataError(
        f"{folder / 'model'} is none of the checkpoints that its run has measured. Run potstill "
        "evaluate on the run again."
    )


def _asking(checkpoint: Checkpoint, recipe: Recipe) -> PromptConfig:
    style = format_named(checkpoint.data_format).style(encoder_decoder=checkpoint.encoder_decoder)
    return PromptConfig(style=style, sampling=SamplingParams(max_tokens=recipe.evaluate.max_tokens))


def _exemplars(member: Member, rationales: Sequence[Rationale]) -> PromptConfig:
    """The member's way of being asked, with worked training questions where it shows some."""
    if not format_named(member.checkpoint.data_format).needs_exemplars:
        return member.asking
    pool = worked_questions(member.task.splits["train"], rationales)
    shown = draw_exemplars(pool, member.settings.exemplars, seed=member.recipe.seed, key=EVALUATION)
    return replace(member.asking, exemplars=shown)


Combine = Callable[[Sequence[Weights], dict[str, bool]], MergedWeights]
"""The members' weights, and the linear layers of their model → the fused weights."""


class MergedModel(NamedTuple):
    """A model of fused weights."""

    loaded: Loaded
    ridged: tuple[str, ...]
    """The linear layers whose Grams were singular."""


def fused_model(folders: Sequence[Path], combine: Combine) -> MergedModel:
    """A model with the combined weights of all.

    Args:
        folders: Models of one architecture, size and vocabulary.
        combine: How their weights become one.

    Raises:
        ConfigError: The models differ in more than their weights.
    """
    loaded = [_on_cpu(folder) for folder in folders]
    first = loaded[0]
    for folder, other in zip(folders[1:], loaded[1:], strict=True):
        difference = _difference(first, other)
        if difference:
            raise ConfigError(
                f"{folders[0]} and {folder} cannot be fused: {difference}. Fuse students of one "
                "start checkpoint, or take them as an ensemble alone: --method ensemble."
            )
    members = [each.model.state_dict() for each in loaded]
    fused = combine(members, linear_layers(first.model))
    first.model.load_state_dict(fused.weights)
    return MergedModel(first, fused.ridged)


def save(fused: Loaded, folder: Path) -> None:
    """Write a model as ``hf:`` loads it."""
    with quietly():
        fused.model.save_pretrained(folder)
        fused.tokenizer.save_pretrained(folder)


def _on_cpu(folder: Path) -> Loaded:
    return load_model_and_tokenizer(str(folder), dtype="float32", device="cpu")


def _difference(one: Loaded, other: Loaded) -> str | None:
    """What sets two models apart beside their weights, in words."""
    kinds = one.model.config.model_type, other.model.config.model_type
    if kinds[0] != kinds[1]:
        return f"one is a {kinds[0]} model, the other a {kinds[1]} model"
    shapes = [
        {name: list(weight.shape) for name, weight in each.model.state_dict().items()}
        for each in (one, other)
    ]
    for name in sorted(shapes[0].keys() | shapes[1].keys()):
        sizes = [each.get(name, "absent") for each in shapes]
        if sizes[0] != sizes[1]:
            return f"{name} is {sizes[0]} in one, {sizes[1]} in the other"
    if one.tokenizer.get_vocab() != other.tokenizer.get_vocab():
        return "their tokenizers have different vocabularies"
    return None
