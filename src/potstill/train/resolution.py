"""Filling in what a recipe leaves open of a training, from the start and the student's examples.

Nothing but config and tokenizer of the start is read. What was filled in is kept in the run's
``training_values.json``, so that a training that is resumed or repeated, be it on another machine
or by a later version, is the same one.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import torch

from potstill.keys import settings_hash
from potstill.models.local.device_memory import total_memory
from potstill.models.local.loading import load_config, load_tokenizer, parameters_of
from potstill.models.settings import LocalSettings
from potstill.records import Example
from potstill.train.defaults import (
    KEPT_VALUES,
    OPEN,
    ResolvedTraining,
    StartFacts,
    Work,
    is_open,
    resolve,
    with_values,
)
from potstill.train.encoding import Encoder
from potstill.train.example_list import data_formats
from potstill.train.examples import REPLAY, example_shares
from potstill.train.settings import StudentSettings, TrainSettings
from potstill.train.skeleton import model_without_weights
from potstill.train.wrong_chains import WRONG_CHAINS
from potstill.whole_files import write_whole

BESIDE = (WRONG_CHAINS, REPLAY)
"""The data formats of examples that a student learns beside its own."""

COUNTED_EXAMPLES = 200
"""Examples whose tokens are counted, spread over all."""


@lru_cache(maxsize=16)
def start_facts(start: LocalSettings) -> StartFacts:
    """Returns what is known of a start by its config and tokenizer.

    Raises:
        ModelError: They cannot be had.
    """
    config = load_config(start)
    text_config = config.get_text_config(decoder=True)
    encoder_decoder = bool(config.is_encoder_decoder)
    device = start_device(start)
    return StartFacts(
        parameters=parameters_of(model_without_weights(config, start)),
        encoder_decoder=encoder_decoder,
        chat=load_tokenizer(start).chat_template is not None,
        positions=None if encoder_decoder else _positions(text_config),
        layers=(2 if encoder_decoder else 1) * int(getattr(text_config, "num_hidden_layers", 0)),
        width=int(getattr(text_config, "hidden_size", 0) or 0),
        on_processor=device.partition(":")[0] == "cpu",
        memory=total_memory(device),
    )


def start_device(start: LocalSettings) -> str:
    """Returns the torch device that a start is trained on."""
    return start.device or ("cuda" if torch.cuda.is_available() else "cpu")


def resolved_training(
    settings: TrainSettings, student: StudentSettings, examples: Sequence[Example]
) -> ResolvedTraining:
    """Returns the settings of a student's training with nothing left open.

    Args:
        settings: With the student's own length of training, if it has one.
        student: Its start is looked at, and the formats that it mixes.
        examples: Its examples; the tokens of some are counted.

    Raises:
        ModelError: The start cannot be had.
    """
    if isinstance(settings, ResolvedTraining):
        return settings
    if not is_open(settings):
        return with_values(settings, {})
    assert student.start is not None, "the recipe's student is filled in before"
    return resolve(settings, start_facts(student.start), _work(student, examples))


def pass_size(data_formats: Iterable[str], shares: Mapping[str, float]) -> float:
    """Returns the number of examples in a pass.

    A pass over a mixture of formats ends when its slowest one has been gone through; wrong
    rationales that are learned not to be written, and what is replayed of other tasks, do not make
    it longer.

    Args:
        data_formats: The format of each example.
        shares: The share of each format that has examples; empty: all are one pool.
    """
    counts = Counter(data_formats)
    learned = {name: share for name, share in shares.items() if name not in BESIDE}
    return max((counts[name] / share for name, share in learned.items()), default=counts.total())


def training_steps(
    settings: ResolvedTraining, student: StudentSettings, examples: Sequence[Example]
) -> int:
    """Returns the optimiser steps of a student's training.

    Where they follow from passes, examples that are too long are counted here and left out there.
    """
    if settings.steps is not None:
        return settings.steps
    return settings.steps_for(_in_a_pass(student, examples))


def _in_a_pass(student: StudentSettings, examples: Sequence[Example]) -> float:
    """Returns how many of a student's examples are in a pass over them."""
    formats = [*data_formats(examples)]
    return pass_size(formats, example_shares(student, {*formats}))


class KeptValues:
    """The values filled in for settings left open, for the students of one run.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / KEPT_VALUES
        self._kept: dict[str, dict[str, object]] = {}
        if self._path.is_file():
            self._kept = json.loads(self._path.read_text(encoding="utf-8"))

    def resolved(
        self,
        label: str,
        settings: TrainSettings,
        student: StudentSettings,
        examples: Sequence[Example],
    ) -> ResolvedTraining:
        """Returns a student's settings: as they were filled in before, else by today's defaults.

        Args:
            label: The student's name with its start's.
            settings: See :func:`resolved_training`.
            student: Likewise.
            examples: Likewise; with others the values are found anew.
        """
        if not is_open(settings):
            return resolved_training(settings, student, examples)
        assert student.start is not None
        given = settings.model_dump(
            mode="json", include={"steps", "epochs", "lora", "prefix", *OPEN}, exclude_defaults=True
        )
        start = student.start.model, student.start.revision
        # The parts that came later count where they are given.
        further: dict[str, object] = {}
        if student.long_share:
            further["thinking"] = student.long_share
        if student.take != "first":
            further["take"] = student.take
        stands_for = settings_hash(
            given, start, example_shares(student), len(examples), *([further] if further else [])
        )
        kept = self._kept.get(label, {})
        values = kept.get("values")
        if kept.get("of") == stands_for and isinstance(values, dict):
            length = {name: values[name] for name in ("steps", "epochs")}
            return with_values(settings, values).model_copy(update=length)
        found = resolved_training(settings, student, examples)
        self._kept[label] = {"of": stands_for, "values": plain_values(found)}
        return found

    def max_length(self, label: str) -> int | None:
        """Returns the longest example that was filled in for a student, in tokens; None: none was.

        Args:
            label: The student's name with its start's.
        """
        values = self._kept.get(label, {}).get("values")
        length = values.get("max_length") if isinstance(values, dict) else None
        return length if isinstance(length, int) else None

    def write(self) -> None:
        """Write the file."""
        write_whole(self._path, json.dumps(self._kept, indent=2) + "\n")


def plain_values(settings: ResolvedTraining) -> dict[str, object]:
    """Returns the values that may be left open, by name; ``epochs: null`` with no steps is 20."""
    return settings.model_dump(mode="json", include={"steps", "epochs", *OPEN})


def _positions(text_config: object) -> int | None:
    positions = getattr(text_config, "max_position_embeddings", None)
    return positions if isinstance(positions, int) else None


def _work(student: StudentSettings, examples: Sequence[Example]) -> Work:
    assert student.start is not None
    on_policy = student.on_policy is not None
    if not examples:  # of a student that writes them itself
        return Work(0.0, 0.0, on_policy)
    encoder = Encoder(
        load_tokenizer(student.start),
        encoder_decoder=start_facts(student.start).encoder_decoder,
        control_tokens=student.start.control_tokens,
    )
    counted = examples[:: -(-len(examples) // COUNTED_EXAMPLES)]
    lengths = [each.length for each in encoder.encode(counted, max_length=sys.maxsize).examples]
    return Work(_in_a_pass(student, examples), sum(lengths) / len(lengths), on_policy)
