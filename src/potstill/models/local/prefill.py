"""Running prompts, and attention of many rows over one prefix that stands beside them.

A prompt is run from where its share of a prefix ends (:class:`Prefill`). Rows that take over little
get a copy of the prefix's keys and values in their own columns. Where many rows read one prefix, it
stands apart, once: its keys are multiplied with all rows' queries in one product, in place of a
copy in each row (Hydragen, arXiv 2402.05099, section 3; :func:`prefix_attention`).

Softmax over both parts needs one number of each, its sum of exponentials. With m the larger of both
parts' largest scores, and scores s, p over the row's own columns and the prefix::

    out = (exp(s - m) @ values + exp(p - m) @ prefix_values) / (sum exp(s - m) + sum exp(p - m))

This attention is registered among transformers' implementations, so that a model's own code
computes everything else, and :func:`reads_apart` proves on a few tokens that a model computes with
a prefix apart what it computes over the whole.

Shape suffixes: P prompts, R rows, H query heads, K key-value heads, G query heads a key-value head,
T tokens of a row that are run, N queries of a row for one key-value head (G times T), L tokens of a
prefix, C columns of a row's own, D head dimension, V vocabulary.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.modeling_outputs import BaseModelOutput

from potstill.models.local.batching import Prefix, Prompt
from potstill.models.local.cache_argument import with_cache
from potstill.models.local.kv_cache import filled_layer, layer_states
from potstill.models.local.learned_prefix import has_prefix
from potstill.text.common_prefix import common_prefix

States = tuple[Tensor, Tensor]
"""Keys and values of one layer."""

PROMPT_TOKENS = 2048
"""Tokens of prompts that are run at once: more take memory for activations, and gain no time."""

BESIDE_TOKENS = 512
"""Tokens that are run at once beside a prefix: all their scores with it are in memory at once."""

NAME = "potstill_prefix"
"""The name of this attention among transformers' implementations."""

UNSUPPORTED = ("softcap", "s_aux", "position_bias", "sliding_window")
"""Options that some models ask of their attention and this one does not have."""

FAULTS = (RuntimeError, ValueError, TypeError, AttributeError, LookupError)
"""Errors that a model may raise whose parts are others than those assumed here."""

PROBE, PROBE_PREFIX = 12, 6
"""The number of tokens that are computed both ways, and how many of them stand apart."""


class Prefill:
    """Runs prompts, each from where its share of a prefix ends.

    Args:
        model: A decoder-only model.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        accepted = inspect.signature(model.forward).parameters
        self.takes_positions = "position_ids" in accepted
        self.takes_count = "logits_to_keep" in accepted
        self._last_only = {"logits_to_keep": 1} if self.takes_count else {}
        self._states: WeakKeyDictionary[Prefix, DynamicCache] = WeakKeyDictionary()

    def run(self, prompts: Sequence[Prompt]) -> tuple[DynamicCache, Tensor]:
        """Returns the prompts' cache, left-padded, and the ``(P, V)`` logits of their first tokens.

        Where the prompts' prefix stands apart, the cache has the columns after it. Where not, as
        many tokens of each are run as of the one that takes over least, so that those that are
        run need no padding among them: each row has its columns side by side, as models expect
        that measure distances by columns (windows, biases).
        """
        device = self._model.device
        rest = max(prompt.rest for prompt in prompts)
        apart = prompts[0].apart
        if apart is None:
            # The last ``rest`` tokens of every prompt in one rectangle; all before them taken over.
            ids, mask = padded([prompt.ids for prompt in prompts], device, left=True)
            cache = self._taken_over(prompts, rest)
            return cache, self._forward(cache, ids[:, -rest:], mask)
        # Each prompt's own rest, left-padded; a token reads its row's tokens up to itself.
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
            prefix: The prefix that all rows share.
            tokens: The number of the prefix's tokens that each row reads, from the first.
            own_RTC: Whether each of a row's tokens reads each of its own columns.
        """
        # In each layer the prefix's keys and values, (K, L, D): one row for all that read it.
        layers = [
            (keys_1HTD[0], values_1HTD[0])
            for keys_1HTD, values_1HTD in map(layer_states, self._prefix(prefix).layers)
        ]
        # (R, L): the first tokens of the prefix, as many as a row reads; no mask if all read all.
        length, prefix_RL = len(prefix.ids), None
        if min(tokens) < length:
            counts = torch.tensor(tokens, device=own_RTC.device)
            prefix_RL = torch.arange(length, device=own_RTC.device) < counts[:, None]
        return reading(self._model, SharedPrefixes(layers, prefix_RL, own_RTC))

    def _taken_over(self, prompts: Sequence[Prompt], rest: int) -> DynamicCache:
        """Returns a cache of the prompts' columns but the last ``rest``, copied from prefixes."""
        taken_over = DynamicCache()
        # All but the last ``rest`` columns of a prompt; none of a prompt that is shorter.
        counts = [max(0, len(prompt.ids) - rest) for prompt in prompts]
        prefixes = {
            prompt.share.prefix: self._prefix(prompt.share.prefix)
            for prompt, count in zip(prompts, counts, strict=True)
            if count and prompt.share is not None
        }
        # Layer by layer: each row's columns from its own prefix, laid side by side.
        for layers in zip(*(cache.layers for cache in prefixes.values()), strict=True):
            states = dict(zip(prefixes, map(layer_states, layers), strict=True))
            taken = [
                (states[prompt.share.prefix] if count and prompt.share is not None else None, count)
                for prompt, count in zip(prompts, counts, strict=True)
            ]
            taken_over.layers.append(filled_layer(*(_lay(taken, which) for which in (0, 1))))
        return taken_over

    def _prefix(self, prefix: Prefix) -> DynamicCache:
        """Returns the model's states of a prefix, run from where a known one parts from it."""
        if prefix not in self._states:
            cache, known = self._nearest(prefix)
            ids_1T = torch.from_numpy(prefix.ids.astype(np.int64))[None].to(self._model.device)
            for start in range(known, len(prefix.ids), PROMPT_TOKENS):
                end = min(start + PROMPT_TOKENS, len(prefix.ids))
                self._forward(cache, ids_1T[:, start:end], torch.ones_like(ids_1T[:, :end]))
            self._states[prefix] = cache
        return self._states[prefix]

    def _nearest(self, prefix: Prefix) -> tuple[DynamicCache, int]:
        """Returns a cache with as much of a prefix as is known, and how many tokens that is."""
        cache = DynamicCache()
        shared = {other: common_prefix(prefix.ids, other.ids) for other in self._states}
        # A copy of the states up to where the two part; the rest is run after it.
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
        """Returns the ``(P, V)`` logits after the last token.

        Args:
            cache: The states of the tokens before ``ids``; those of ``ids`` are added.
            ids: The tokens to run, ``(P, T)``.
            mask: 1 for columns, of the cache and of ``ids``, that are tokens.
            before: The number of tokens of each row that stand apart.
        """
        # A token's position is the number of real tokens before it in its row.
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :] + before
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            use_cache=True,
            **with_cache(self._model, cache),
            **({"position_ids": positions} if self.takes_positions else {}),
            **self._last_only,
        )
        logits: Tensor = output.logits
        return logits[:, -1]


class EncoderRead(NamedTuple):
    """Prompts that an encoder has read, and the decoder's first tokens behind them."""

    hidden_PTD: Tensor
    mask_PT: Tensor
    """1 where a hidden state is a prompt's own; prompts are padded on the right."""

    own: DynamicCache
    """The decoder's keys and values of its own tokens."""

    cross: DynamicCache
    """The decoder's keys and values of the encoder's output."""

    logits_PV: Tensor
    """The logits of each prompt's next token."""


def read_by_encoder(model: PreTrainedModel, prompts: Sequence[Prompt]) -> EncoderRead:
    """Encodes each prompt once and runs the decoder's first tokens, as many for each of them."""
    ids_PT, mask_PT = padded([prompt.ids for prompt in prompts], model.device, left=False)
    hidden = model.get_encoder()(input_ids=ids_PT, attention_mask=mask_PT)[0]
    caches = EncoderDecoderCache(DynamicCache(), DynamicCache())
    output = model(
        encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
        attention_mask=mask_PT,
        decoder_input_ids=torch.tensor(
            [prompt.decoder_ids for prompt in prompts], device=ids_PT.device
        ),
        use_cache=True,
        **with_cache(model, caches),
    )
    own, cross = caches.self_attention_cache, caches.cross_attention_cache
    assert isinstance(own, DynamicCache)
    assert isinstance(cross, DynamicCache)
    return EncoderRead(hidden, mask_PT, own, cross, output.logits[:, -1])


def _lay(taken: Sequence[tuple[States | None, int]], which: int) -> Tensor:
    """Returns rows of the first columns of a prefix each, ending side by side.

    Args:
        taken: For each row the prefix's keys and values, and how many columns of it are taken.
        which: 0 for keys, 1 for values.
    """
    first = next(states for states, _ in taken if states is not None)[which]
    counts = [count for _, count in taken]
    if min(counts) == max(counts) and all(states is taken[0][0] for states, _ in taken):
        # All rows are alike: one view of the prefix, not copied.
        return first[:, :, : counts[0]].expand(len(taken), -1, -1, -1)
    _, heads, _, dimension = first.shape
    # Zeros on the left of shorter ones: they are masked out, and have to be finite.
    laid_PHCD = first.new_zeros(len(taken), heads, max(counts), dimension)
    for row_HCD, (states, count) in zip(laid_PHCD, taken, strict=True):
        if states is not None:
            row_HCD[:, -count:] = states[which][0, :, :count]
    return laid_PHCD


def padded(
    ids: Sequence[Sequence[int]], device: torch.device, *, left: bool
) -> tuple[Tensor, Tensor]:
    """Returns token ids in a rectangle padded with 0, and 1 where they are real."""
    width = max(len(row) for row in ids)
    padded = np.zeros((len(ids), width), dtype=np.int64)
    mask = np.zeros((len(ids), width), dtype=np.int64)
    for place, row in enumerate(ids):
        own = slice(width - len(row), width) if left else slice(0, len(row))
        padded[place, own], mask[place, own] = row, 1
    return torch.from_numpy(padded).to(device), torch.from_numpy(mask).to(device)


class SharedPrefixes(NamedTuple):
    """The tokens and columns that the rows of a batch read in one forward pass."""

    layers: Sequence[tuple[Tensor, Tensor]]
    """The prefix's keys and values ``(K, L, D)`` in each layer."""

    prefix_RL: Tensor | None
    """Whether a row reads each of the prefix's tokens; None where all rows read all."""

    own_RTC: Tensor
    """Whether each of a row's tokens reads each of the row's own columns."""


_shared: ContextVar[SharedPrefixes] = ContextVar("shared")


@contextmanager
def reading(model: PreTrainedModel, shared: SharedPrefixes) -> Iterator[None]:
    """Have a model's forward pass read a prefix, too, while the block runs."""
    former = model.config._attn_implementation
    token = _shared.set(shared)
    model.config._attn_implementation = NAME
    try:
        yield
    finally:
        model.config._attn_implementation = former
        _shared.reset(token)


def prefix_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it, over the prefix and the rows' own columns.

    Args:
        module: The attention layer.
        query: ``(R, H, T, D)``.
        key: ``(R, K, C, D)``.
        value: ``(R, K, C, D)``.
        attention_mask: None; :class:`SharedPrefixes` says what is read.
        dropout: 0, as always while text is written.
        scaling: Factor of the scores; the inverse root of D by default.
        options: Whatever else a model asks of its attention.

    Returns:
        ``(R, T, H, D)``, and no weights.

    Raises:
        NotImplementedError: The model asks for what is not done here.
    """
    missing = [name for name in UNSUPPORTED if options.get(name) is not None]
    if missing or attention_mask is not None or dropout:
        raise NotImplementedError(f"attention apart from a prefix has no {missing or 'such mask'}")
    shared = _shared.get()
    R, H, T, D = query.shape
    K, G = key.shape[1], H // key.shape[1]
    keys_KLD, values_KLD = shared.layers[int(module.layer_idx)]  # type: ignore[arg-type]
    # Every row's queries for one key-value head side by side: N = G * T of them.
    scaled_RKND = (query * (D**-0.5 if scaling is None else scaling)).reshape(R, K, G * T, D)
    # Scores with the prefix, in one product for all rows: (K, R * N, D) @ (K, D, L).
    prefix_KND = scaled_RKND.transpose(0, 1).reshape(K, -1, D)
    prefix_KRNL = (prefix_KND @ keys_KLD.mT).view(K, R, G * T, -1).float()
    if shared.prefix_RL is not None:
        prefix_KRNL.masked_fill_(~shared.prefix_RL[None, :, None], -torch.inf)
    # Scores with each row's own columns.
    own_RKNC = (scaled_RKND @ key.mT).float()
    own_RKNC.view(R, K, G, T, -1).masked_fill_(~shared.own_RTC[:, None, None], -torch.inf)
    # Exponentials of both parts, less the larger of their largest scores so that none overflows.
    own_top, prefix_top = own_RKNC.amax(-1, keepdim=True), prefix_KRNL.amax(-1, keepdim=True)
    top_RKN1 = torch.maximum(own_top, prefix_top.transpose(0, 1))
    own_RKNC.sub_(top_RKN1).exp_()
    prefix_KRNL.sub_(top_RKN1.transpose(0, 1)).exp_()
    # Their sum is the denominator of the softmax over both parts.
    total_RKN1 = own_RKNC.sum(-1, keepdim=True)
    total_RKN1 += prefix_KRNL.sum(-1, keepdim=True).transpose(0, 1)
    # The values of both parts, weighted by the exponentials.
    out_RKND = (own_RKNC.to(value.dtype) @ value).float()
    read_KND = prefix_KRNL.to(value.dtype).flatten(1, 2) @ values_KLD
    out_RKND += read_KND.view(K, R, G * T, -1).transpose(0, 1)
    # (R, K, G * T, D) to (R, H, T, D): head k * G + g is query head g of key-value head k.
    out_RHTD = (out_RKND / total_RKN1).to(value.dtype).view(R, H, T, -1)
    return out_RHTD.transpose(1, 2), None


AttentionInterface.register(NAME, prefix_attention)  # without a mask function: no mask is made


@torch.inference_mode()
def reads_apart(model: nn.Module) -> bool:
    """Whether a model computes with a prefix apart what it computes over the whole.

    A few tokens are computed both ways, so that a model whose tokens hear of one another by
    another way than plain attention is found out.
    """
    if not isinstance(model, PreTrainedModel) or not model._can_set_attn_implementation():
        return False
    if has_prefix(model):  # its attention is another one already
        return False
    plain_layers = all(
        type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers
    )
    if not plain_layers or "position_ids" not in inspect.signature(model.forward).parameters:
        return False
    try:
        whole, apart = _probe(model)
    except FAULTS:
        return False
    tolerance = 1e-3 if model.dtype == torch.float32 else 5e-2  # its weights', be states float32
    return bool((whole - apart).abs().max() <= tolerance * whole.abs().max())


def _probe(model: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """Returns the logits after a few tokens, computed in one pass and with a prefix apart."""
    vocabulary = int(model.config.get_text_config(decoder=True).vocab_size)
    ids_1T = torch.tensor([[(17 * n + 5) % vocabulary for n in range(PROBE)]], device=model.device)
    positions = torch.arange(PROBE, device=model.device)[None]
    whole = model(input_ids=ids_1T, position_ids=positions, use_cache=False).logits[0, -1]
    # The head alone, for its states; then the tail, which reads them apart.
    cache = DynamicCache()
    head_1T, tail_1T = ids_1T[:, :PROBE_PREFIX], ids_1T[:, PROBE_PREFIX:]
    model(input_ids=head_1T, use_cache=True, **with_cache(model, cache))
    states = [layer_states(layer) for layer in cache.layers]
    read_TT = torch.ones(tail_1T.shape[1], tail_1T.shape[1], dtype=torch.bool).tril()
    layers = [(keys[0], values[0]) for keys, values in states]
    with reading(model, SharedPrefixes(layers, None, read_TT[None].to(model.device))):
        apart = model(
            input_ids=tail_1T,
            position_ids=positions[:, PROBE_PREFIX:],
            use_cache=True,
            **with_cache(model, DynamicCache()),
        )
    return whole, apart.logits[0, -1]
