"""Examples that are computed at once, as tensors.

Shape suffixes: B rows, T tokens of a row, N trained tokens of a batch, K candidates of a token.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from potstill.models.loading import Loaded
from potstill.records import SoftTargets
from potstill.train.encoding import Encoded
from potstill.train.prefixes import forest

Batch = dict[str, Any]
"""``inputs`` of the model; ``positions`` of the N trained tokens in its flattened outputs;
``targets`` and ``weights`` of these; how its examples share work, if they do."""

Collate = Callable[[Sequence[Encoded]], Batch]

LEAST_SHARED = 8
"""Fewest common tokens that are worth computing once; below, attention in pieces costs more."""


class Collator:
    """The parts of one step as tensors.

    Args:
        collate: What to make of a part: :func:`flat`, or one of the padded forms.
    """

    def __init__(self, collate: Collate) -> None:
        self._collate = collate

    def __call__(self, steps: Sequence[list[list[Encoded]]]) -> list[Batch]:
        """The parts of the one step that is given."""
        (parts,) = steps
        return [self._collate(examples) for examples in parts]


def flat(examples: Sequence[Encoded]) -> Batch:
    """One row without padding, in which every distinct token in its context stands once."""
    shared = forest(
        [[*one.prompt, *one.target[:-1]] for one in examples], least_shared=LEAST_SHARED
    )
    positions = [
        place
        for one, places in zip(examples, shared.places, strict=True)
        for place in places[len(one.prompt) - 1 :]
    ]
    return {
        "inputs": {
            "input_ids": torch.tensor([shared.ids]),
            "position_ids": torch.tensor([shared.positions]),
        },
        "forest": shared,
        **_merged(_trained(examples, positions)),
    }


def padded(pad: int, multiple: int = 1) -> Collate:
    """Rows of a decoder-only model, filled up on the right.

    Args:
        pad: The token to fill with; it is masked, so any will do.
        multiple: Pad to a multiple of this many tokens.
    """

    def collate(examples: Sequence[Encoded]) -> Batch:
        ids, mask = _padded([[*one.prompt, *one.target[:-1]] for one in examples], pad, multiple)
        firsts = [len(one.prompt) - 1 for one in examples]
        positions = _places(examples, firsts, ids.shape[1])
        inputs = {"input_ids": ids, "attention_mask": mask}
        return {"inputs": inputs, **_trained(examples, positions)}

    return collate


def encoder_decoder(pad: int, start: int, multiple: int = 1) -> Collate:
    """Rows of an encoder-decoder, and which of them have an input of their own.

    Args:
        pad: The token to fill with; it is masked, so any will do.
        start: The token that a target begins after.
        multiple: Pad to a multiple of this many tokens.
    """

    def collate(examples: Sequence[Encoded]) -> Batch:
        written, written_mask = _padded(
            [[start, *one.target[:-1]] for one in examples], pad, multiple
        )
        ids, mask = _padded([one.prompt for one in examples], pad, multiple)
        numbers: dict[tuple[int, ...], int] = {}
        copies = [numbers.setdefault(tuple(one.prompt), len(numbers)) for one in examples]
        return {
            "inputs": {
                "input_ids": ids,
                "attention_mask": mask,
                "decoder_input_ids": written,
                "decoder_attention_mask": written_mask,
            },
            "first_rows": torch.tensor([copies.index(number) for number in range(len(numbers))]),
            "copies": torch.tensor(copies),
            **_trained(examples, _places(examples, [0] * len(examples), written.shape[1])),
        }

    return collate


def padded_collation(loaded: Loaded, multiple: int = 1) -> Collate:
    """How a model's examples become rows that are filled up to one length.

    Args:
        loaded: The model.
        multiple: Pad to a multiple of this many tokens.
    """
    start = getattr(loaded.model.config, "decoder_start_token_id", None)
    pad = loaded.tokenizer.pad_token_id
    known = pad if pad < loaded.model.get_input_embeddings().num_embeddings else 0
    if loaded.encoder_decoder:
        return encoder_decoder(known, pad if start is None else start, multiple)
    return padded(known, multiple)


def _padded(rows: Sequence[Sequence[int]], pad: int, multiple: int) -> tuple[Tensor, Tensor]:
    """Rows filled up on the right, and where their own tokens stand."""
    longest = max(len(row) for row in rows)
    width = -(-longest // multiple) * multiple
    ids_BT = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
    lengths_B = torch.tensor([len(row) for row in rows])
    return ids_BT, (torch.arange(width) < lengths_B[:, None]).long()


def _places(examples: Sequence[Encoded], firsts: Sequence[int], width: int) -> list[int]:
    """Where in flattened ``(B * T)`` outputs the trained tokens are predicted."""
    return [
        row * width + first + offset
        for row, (first, one) in enumerate(zip(firsts, examples, strict=True))
        for offset in range(len(one.target))
    ]


def _trained(examples: Sequence[Encoded], positions: Sequence[int]) -> Batch:
    """The trained tokens, where they are predicted and what is learned there."""
    labels = [token for one in examples for token in one.target]
    weights = [one.weight for one in examples for _ in one.target]
    targets = {"labels_N": torch.tensor(labels)}
    softs = [one.soft for one in examples]
    if any(soft is not None for soft in softs):
        targets |= _soft_targets(examples, softs)
    return {
        "positions": torch.tensor(positions),
        "weights": torch.tensor(weights),
        "targets": targets,
    }


def _soft_targets(
    examples: Sequence[Encoded], softs: Sequence[SoftTargets | None]
) -> dict[str, Tensor]:
    """All soft targets in one table; the rows of an example without any are hard."""
    width = max(soft.ids.shape[1] for soft in softs if soft is not None)
    count = sum(len(one.target) for one in examples)
    ids, probabilities = np.full((count, width), -1, np.int64), np.zeros((count, width), np.float32)
    tail, is_soft = np.zeros(count, np.float32), np.zeros(count, np.bool_)
    first = 0
    for one, soft in zip(examples, softs, strict=True):
        rows = slice(first, first + len(one.target))
        if soft is None:
            ids[rows, 0], probabilities[rows, 0] = one.target, 1.0
        else:
            ids[rows, : soft.ids.shape[1]] = soft.ids
            probabilities[rows, : soft.ids.shape[1]] = soft.probabilities
            tail[rows], is_soft[rows] = soft.tail, soft.soft
        first = rows.stop
    return {
        "ids_NK": torch.from_numpy(ids),
        "probabilities_NK": torch.from_numpy(probabilities),
        "tail_N": torch.from_numpy(tail),
        "soft_N": torch.from_numpy(is_soft),
    }


def _merged(batch: Batch) -> Batch:
    """Trained tokens that examples share counted once, with the weight of all; hard ones only."""
    if "soft_N" in batch["targets"]:
        return batch
    labels, positions = batch["targets"]["labels_N"], batch["positions"]
    pairs = torch.stack([positions, labels])
    distinct, which = pairs.unique(dim=1, return_inverse=True)
    if distinct.shape[1] == len(labels):
        return batch
    weights = torch.zeros(distinct.shape[1]).index_add_(0, which, batch["weights"])
    return {"positions": distinct[0], "weights": weights, "targets": {"labels_N": distinct[1]}}
