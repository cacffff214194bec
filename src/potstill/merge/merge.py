"""The models that are fused of members' weights, each in a folder of its own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from potstill.keys import settings_hash
from potstill.merge.members import Member, training_examples
from potstill.merge.settings import MergeSettings
from potstill.runtime.progress import Meter
from potstill.train.checkpoints import read_json, whole_folder, write_json

if TYPE_CHECKING:
    from potstill.merge.members import Combine
    from potstill.merge.weights import MergedWeights, Weights

MADE = "fused.json"
"""In a fused model's folder: what it was made from."""


class MergedModels:
    """Makes what is not there yet.

    Args:
        members: What is fused; their order changes nothing.
        folder: Takes a folder for each model, and ``grams/``.
        settings: How they are fused.
        meter: Shown the progress.
    """

    def __init__(
        self, members: Sequence[Member], folder: Path, settings: MergeSettings, meter: Meter
    ) -> None:
        self._members = sorted(members, key=lambda member: member.digest)
        self._folder, self._settings, self._meter = folder, settings, meter

    def average(self, name: str) -> Path:
        """The folder of the members' average."""
        from potstill.merge.weights import MergedWeights, average

        return self._made(name, (), lambda members, _: MergedWeights(average(members), ()))

    def regmean(self, name: str, alpha: float) -> Path:
        """The folder of the members fused by RegMean."""
        from potstill.merge.weights import regmean

        def combine(members: Sequence["Weights"], layers: dict[str, bool]) -> "MergedWeights":
            grams = [self._grams(member) for member in self._members]
            return regmean(members, grams, layers, alpha=alpha)

        settings = self._settings
        how = ("regmean", alpha, settings.gram_examples, settings.seed)
        return self._made(name, how, combine)

    def ridged(self, name: str) -> list[str]:
        """The linear layers of a fused model whose Grams were singular."""
        made = read_json(self._folder / name / MADE) or {}
        layers = made.get("ridged", [])
        assert isinstance(layers, list)
        return layers

    def _made(self, name: str, how: tuple[object, ...], combine: "Combine") -> Path:
        """A model's folder; made where it is not there, or was made from something else."""
        from potstill.merge.members import fused_model, save

        folder = self._folder / name
        identity = settings_hash(how, [member.digest for member in self._members])
        made = read_json(folder / MADE)
        if made is None or made["identity"] != identity:
            model, ridged = fused_model([member.model for member in self._members], combine)
            with whole_folder(folder) as fresh:
                save(model, fresh)
                write_json(fresh / MADE, {"identity": identity, "ridged": list(ridged)})
        return folder

    def _grams(self, member: Member) -> "Weights":
        """A member's Gram matrices; once they are here, its training data need not be."""
        from safetensors.torch import load_file, save_file

        count, seed = self._settings.gram_examples, self._settings.seed
        name = settings_hash(member.digest, count, seed)
        file = self._folder / "grams" / f"{name}.safetensors"
        if not file.is_file():
            file.parent.mkdir(exist_ok=True)
            draft = file.with_suffix(".draft")
            save_file(dict(self._new_grams(member)), draft)
            draft.replace(file)
        return load_file(file)

    def _new_grams(self, member: Member) -> "Weights":
        from potstill.merge.weights import TokenIds, gram_matrices
        from potstill.models.local.loading import load_model_and_tokenizer

        model, tokenizer, _ = load_model_and_tokenizer(
            str(member.model), dtype="float32", device=member.start.device
        )
        count, seed = self._settings.gram_examples, self._settings.seed
        examples = training_examples(member, count, tokenizer, self._meter, seed=seed)
        label = f"Grams of {member.name}"
        with self._meter.stage(label, total=len(examples), unit="examples") as advance:

            def counted() -> Iterator[TokenIds]:
                for example in examples:
                    yield TokenIds(example.prompt, example.target)
                    advance(1, example.length, 0.0)

            return gram_matrices(model, counted())
