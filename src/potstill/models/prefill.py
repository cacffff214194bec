"""The forward passes over a decoder-only model's prompts, and over what they share.

Shape suffixes: P prompts, R rows, H key-value heads, T tokens that are run or stand in a prefix, C
columns taken over or a row's own, L tokens of a prefix, D head dimension, V vocabulary.
"""

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from potstill.models.batching import Prompt
from potstill.models.prefix_attention import Reading, reading
from potstill.models.prefixes import Prefix, common
from potstill.models.rowcache import filled_layer, layer_states

States = tuple[Tensor, Tensor]
"""Keys and values of one layer."""

PROMPT_TOKENS = 2048
"""Tokens of prompts that are run at once: more take memory for activations, and gain no time."""

BESIDE_TOKENS = 512
"""The same beside a prefix: all their scores with it are in memory at once."""


class Prefill:
    """Runs prompts, each from where its share of a prefix ends.

    Args:
        model: Decoder-only.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        accepted = inspect.signature(model.forward).parameters
        self.takes_positions = "position_ids" in accepted
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        self._states: WeakKeyDictionary[Prefix, DynamicCache] = WeakKeyDictionary()

    def run(self, prompts: Sequence[Prompt]) -> tuple[DynamicCache, Tensor]:
        """The prompts' cache, left-padded, and the scores ``(P, V)`` of their first new tokens.

        Where the prompts' prefix stands apart, the cache has the columns after it. Where not, as
        many tokens of each are run as of the one that takes over least, so that those that are
        run need no padding among them: each row has its columns side by side, as models expect
        that measure distances by columns (windows, biases).
        """
        device = self._model.device
        rest = max(prompt.rest for prompt in prompts)
        apart = prompts[0].apart
        if apart is None:
            ids, mask = padded([prompt.ids for prompt in prompts], device, left=True)
            cache = self._taken_over(prompts, rest)
            return cache, self._forward(cache, ids[:, -rest:], mask)
        cache = DynamicCache()
        ids, mask = padded([prompt.ids[-prompt.rest :] for prompt in prompts], device, left=True)
        taken = [prompt.taken for prompt in prompts]
        causal = torch.ones(rest, rest, dtype=torch.bool, device=device).tril()
        with self.beside(apart, taken, causal & mask[:, None].bool()):
            before = torch.tensor(taken, device=device)[:, None]
            return cache, self._forward(cache, ids, mask, before)

    def beside(
        self, prefix: Prefix, tokens: Sequence[int], own_RTC: Tensor
    ) -> AbstractContextManager[None]:
        """Have rows read a prefix beside their own columns.

        Args:
            prefix: Of all rows.
            tokens: How many of the prefix's tokens each row reads.
            own_RTC: Which of its own columns each of a row's tokens reads.
        """
        layers = [
            (keys_1HTD[0], values_1HTD[0])
            for keys_1HTD, values_1HTD in map(layer_states, self._prefix(prefix).layers)
        ]
        length, prefix_RL = len(prefix.ids), None
        if min(tokens) < length:
            counts = torch.tensor(tokens, device=own_RTC.device)
            prefix_RL = torch.arange(length, device=own_RTC.device) < counts[:, None]
        return reading(self._model, Reading(layers, prefix_RL, own_RTC))

    def _taken_over(self, prompts: Sequence[Prompt], rest: int) -> DynamicCache:
        """All columns of the prompts but the last ``rest``."""
        cache = DynamicCache()
        counts = [max(0, len(prompt.ids) - rest) for prompt in prompts]
        prefixes = {
            prompt.share.prefix: self._prefix(prompt.share.prefix)
            for prompt, count in zip(prompts, counts, strict=True)
            if count and prompt.share is not None
        }
        for layers in zip(*(each.layers for each in prefixes.values()), strict=True):
            states = dict(zip(prefixes, map(layer_states, layers), strict=True))
            taken = [
                (states[prompt.share.prefix] if count and prompt.share is not None else None, count)
                for prompt, count in zip(prompts, counts, strict=True)
            ]
            cache.layers.append(filled_layer(*(_laid(taken, which) for which in (0, 1))))
        return cache

    def _prefix(self, prefix: Prefix) -> DynamicCache:
        """What the model computes of a prefix; run from where another one parts from it."""
        if prefix not in self._states:
            cache, known = self._nearest(prefix)
            ids_1T = torch.from_numpy(prefix.ids.astype(np.int64))[None].to(self._model.device)
            for start in range(known, len(prefix.ids), PROMPT_TOKENS):
                end = min(start + PROMPT_TOKENS, len(prefix.ids))
                self._forward(cache, ids_1T[:, start:end], torch.ones_like(ids_1T[:, :end]))
            self._states[prefix] = cache
        return self._states[prefix]

    def _nearest(self, prefix: Prefix) -> tuple[DynamicCache, int]:
        """A cache with as much of a prefix as is known, and how many tokens that is."""
        cache = DynamicCache()
        shared = {other: common(prefix.ids, other.ids) for other in self._states}
        nearest = max(shared, key=lambda other: shared[other], default=None)
        if nearest is None or shared[nearest] == 0:
            return cache, 0
        for layer in self._states[nearest].layers:
            keys, values = (states[:, :, : shared[nearest]] for states in layer_states(layer))
            cache.layers.append(filled_layer(keys, values))
        return cache, shared[nearest]

    def _forward(
        self, cache: DynamicCache, ids: Tensor, mask: Tensor, before: Tensor | int = 0
    ) -> Tensor:
        """The scores after the last token.

        Args:
            cache: Of the tokens before ``ids``.
            ids: What the cache does not have yet.
            mask: Which columns, of the cache and of ``ids``, are tokens.
            before: How many tokens of each row stand apart.
        """
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :] + before
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            **({"position_ids": positions} if self.takes_positions else {}),
            **self._last_only,
        )
        logits: Tensor = output.logits
        return logits[:, -1]


def _laid(taken: Sequence[tuple[States | None, int]], which: int) -> Tensor:
    """Rows of the first columns of a prefix each, ending side by side; not copied if all alike."""
    first = next(states for states, _ in taken if states is not None)[which]
    counts = [count for _, count in taken]
    if min(counts) == max(counts) and all(states is taken[0][0] for states, _ in taken):
        return first[:, :, : counts[0]].expand(len(taken), -1, -1, -1)
    _, heads, _, dimension = first.shape
    laid_PHCD = first.new_zeros(len(taken), heads, max(counts), dimension)
    for row_HCD, (states, count) in zip(laid_PHCD, taken, strict=True):
        if states is not None:
            row_HCD[:, -count:] = states[which][0, :, :count]
    return laid_PHCD


def padded(
    ids: Sequence[Sequence[int]], device: torch.device, *, left: bool
) -> tuple[Tensor, Tensor]:
    """Token ids in a rectangle, and which of them are real; 0 stands for padding."""
    width = max(len(row) for row in ids)
    padded = np.zeros((len(ids), width), dtype=np.int64)
    mask = np.zeros((len(ids), width), dtype=np.int64)
    for place, row in enumerate(ids):
        own = slice(width - len(row), width) if left else slice(0, len(row))
        padded[place, own], mask[place, own] = row, 1
    return torch.from_numpy(padded).to(device), torch.from_numpy(mask).to(device)
