"""Merged models on disk, each in a folder of its own and made once.

A folder is named for its method and holds ``merged.json``, the hash of what it was made from: the
members' weights and the settings of the method. Where the hash is another one, it is made anew.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_file, save
from transformers import PreTrainedModel

from potstill.keys import settings_hash
from potstill.merge.fisher import fisher_diagonal, fisher_mean
from potstill.merge.members import (
    Combine,
    MergeMember,
    merge_models,
    save_merged,
    training_examples,
)
from potstill.merge.settings import MergeSettings
from potstill.merge.weights import (
    MergedWeights,
    TokenIds,
    Weights,
    average,
    gram_matrices,
    regmean,
)
from potstill.models.local.loading import load_model_and_tokenizer
from potstill.runtime.progress import Meter
from potstill.train.checkpoints import read_json, write_json
from potstill.whole_files import whole_file, whole_folder

IDENTITY_FILE = "merged.json"
"""The file in a merged model's folder that says what it was made from."""

FORMER_IDENTITY_FILE = "fused.json"
"""This file's name in folders made by ``potstill fuse``, the command's former name."""


class Statistic(NamedTuple):
    """A statistic that a method computes from a member's training examples and stores."""

    folder: str
    """The folder that the statistic is kept in."""

    label: str
    """The progress meter's text, with the member's name at ``{}``."""

    measure: Callable[[PreTrainedModel, Iterator[TokenIds]], Weights]
    """The function that computes it from a member and its examples."""


class ModelMerger:
    """Makes the merged models that are not there yet.

    Args:
        members: The students to be merged; their order changes nothing.
        folder: Takes a folder for each merged model, ``grams/`` and ``fisher_diagonals/``.
        settings: How many examples Grams and Fisher information are made from, and which.
        meter: Shows how far these are.
    """

    def __init__(
        self, members: Sequence[MergeMember], folder: Path, settings: MergeSettings, meter: Meter
    ) -> None:
        self._members = sorted(members, key=lambda member: member.digest)
        self._folder, self._settings, self._meter = folder, settings, meter

    def average(self, name: str) -> Path:
        """The folder of the members' average."""
        return self._model_folder(name, (), lambda members, _: MergedWeights(average(members), ()))

    def fisher(self, name: str) -> Path:
        """The folder of the members' mean, weighted by their Fisher information."""
        count, seed = self._settings.fisher_examples, self._settings.seed

        def measure(model: PreTrainedModel, examples: Iterator[TokenIds]) -> Weights:
            return fisher_diagonal(model, examples, seed=seed)

        def combine(members: Sequence[Weights], _: dict[str, bool]) -> MergedWeights:
            statistic = Statistic("fisher_diagonals", "Fisher information of {}", measure)
            fishers = [self._measured(member, statistic, count) for member in self._members]
            return fisher_mean(members, fishers)

        return self._model_folder(name, ("fisher", count, seed), combine)

    def regmean(self, name: str, alpha: float) -> Path:
        """The folder of the members merged by RegMean."""
        count, seed = self._settings.gram_examples, self._settings.seed

        def combine(members: Sequence[Weights], layers: dict[str, bool]) -> MergedWeights:
            statistic = Statistic("grams", "Grams of {}", gram_matrices)
            grams = [self._measured(member, statistic, count) for member in self._members]
            return regmean(members, grams, layers, alpha=alpha)

        return self._model_folder(name, ("regmean", alpha, count, seed), combine)

    def ridged(self, name: str) -> list[str]:
        """The linear layers of a merged model whose Grams were singular."""
        layers = _read_identity(self._folder / name).get("ridged", [])
        assert isinstance(layers, list)
        return layers

    def _model_folder(self, name: str, method: tuple[object, ...], combine: Combine) -> Path:
        """A model's folder; made where it is not there, or was made from something else."""
        folder = self._folder / name
        identity = settings_hash(method, [member.digest for member in self._members])
        if _read_identity(folder).get("identity") != identity:
            model, ridged = merge_models([member.model for member in self._members], combine)
            with whole_folder(folder) as unfinished:
                save_merged(model, unfinished, member=self._members[0].model)
                made_from: dict[str, object] = {"identity": identity, "ridged": list(ridged)}
                write_json(unfinished / IDENTITY_FILE, made_from)
        return folder

    def _measured(self, member: MergeMember, statistic: Statistic, count: int) -> Weights:
        """A member's statistic; once it is here, the member's training data need not be."""
        name = settings_hash(member.digest, count, self._settings.seed)
        path = self._folder / statistic.folder / f"{name}.safetensors"
        if not path.is_file():
            measured = dict(self._measure(member, statistic, count))
            with whole_file(path) as file:
                file.write(save(measured))
        return load_file(path)

    def _measure(self, member: MergeMember, statistic: Statistic, count: int) -> Weights:
        model, tokenizer, _ = load_model_and_tokenizer(
            str(member.model), dtype="float32", device=member.start.device
        )
        seed = self._settings.seed
        examples = training_examples(member, count, tokenizer, self._meter, seed=seed)
        label = statistic.label.format(member.name)
        with self._meter.stage(label, total=len(examples), unit="examples") as advance:

            def counted() -> Iterator[TokenIds]:
                for example in examples:
                    yield TokenIds(example.prompt, example.target)
                    advance(1, example.length, 0.0)

            return statistic.measure(model, counted())


def _read_identity(folder: Path) -> dict[str, object]:
    """The content of a merged model's identity file; empty where there is none."""
    return read_json(folder / IDENTITY_FILE) or read_json(folder / FORMER_IDENTITY_FILE) or {}
