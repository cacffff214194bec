"""Scoring: the probability that a model gives each token of a text that it did not write.

Prompts are batched and share what they begin with as when they are answered (``batching``,
``prefill``): a prompt with many texts is run once. Its keys and values then become a row for each
text, whose tokens are run in chunks, so that the logits over the vocabulary stay small::

    prompts   P rows   run up to the last token      ─▶ logits of each text's first token
    texts     R rows   run in chunks of columns      ─▶ logits of the tokens behind
              longest first, so that a row which is done leaves

A row lists the text's own token and the K likeliest. All tokens that end an answer stand there as
one, with the sum of their probabilities: it is the probability that the answer ends. Other tokens
that add nothing to a text are not listed, and their probability is part of what is left over.

Shape suffixes: P prompts, R rows (texts), N places of texts, T tokens run, L columns of the cache,
D hidden size, V vocabulary, K likeliest tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Cache, DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from potstill.models.local.batching import Prompt, PromptQueue, in_parts
from potstill.models.local.cache_argument import with_cache
from potstill.models.local.kv_cache import filled_layer, layer_states
from potstill.models.local.loading import SMALL_MODEL, parameters_of
from potstill.models.local.prefill import PROMPT_TOKENS, Prefill, padded, read_by_encoder
from potstill.models.local.sampling import Top
from potstill.records import Completion, Request, TokenLogprobs

LOGITS = {"cpu": 2**25}
"""Most logits that are computed at once, by the kind of device: 128 MiB in float32."""

MOST_LOGITS = 2**28
"""The same on all other devices, which need more at once to be busy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenPrompt(Prompt):
    """A request with a given text, in tokens."""

    text_ids: tuple[int, ...]

    end_id: int | None
    """The token that stands for all that end an answer; None where the model has none."""

    begins: bool = False
    """Whether nothing stands before the text. Its first token is the prompt then, and has no
    probability."""

    @property
    def ends(self) -> bool:
        """Whether the end of the answer is scored, too."""
        return self.request.given is not None and self.request.given.ends

    @property
    def unread_ids(self) -> tuple[int, ...]:
        """The tokens of the text that are not part of the prompt."""
        return self.text_ids[1:] if self.begins else self.text_ids

    @property
    def read_ids(self) -> tuple[int, ...]:
        """The tokens that are run behind the prompt: nothing is scored behind the last one."""
        return self.unread_ids if self.ends else self.unread_ids[:-1]

    @property
    def targets(self) -> tuple[int, ...]:
        """The tokens that have a probability, the end among them."""
        end = (self.end_id,) if self.ends and self.end_id is not None else ()
        return self.unread_ids + end


class _Begun(NamedTuple):
    """Prompts that were run, and what their texts go on from."""

    cache: DynamicCache
    mask_PL: Tensor
    """1 for columns of the cache that are a prompt's own."""

    logits_PV: Tensor
    """The logits of each text's first token."""

    cross: DynamicCache | None = None
    """The decoder's keys and values of an encoder's output."""

    hidden_PTD: Tensor | None = None
    source_PT: Tensor | None = None
    """The encoder's output, and 1 where it is no padding; None but for an encoder-decoder."""

    def rows(self, places: Tensor) -> Self:
        """Returns these rows, in this order, which may name one more than once."""
        return self._replace(
            cache=_rows_of(self.cache, places),
            mask_PL=self.mask_PL[places],
            logits_PV=self.logits_PV[places],
            cross=None if self.cross is None else _rows_of(self.cross, places),
            hidden_PTD=None if self.hidden_PTD is None else self.hidden_PTD[places],
            source_PT=None if self.source_PT is None else self.source_PT[places],
        )

    def first(self, count: int) -> Self:
        """Returns the first rows, without a copy."""
        return self._replace(
            cache=_first_of(self.cache, count),
            mask_PL=self.mask_PL[:count],
            cross=None if self.cross is None else _first_of(self.cross, count),
            hidden_PTD=None if self.hidden_PTD is None else self.hidden_PTD[:count],
            source_PT=None if self.source_PT is None else self.source_PT[:count],
        )


class TextScorer:
    """Scores texts by forward passes alone; nothing is kept from one call of it to the next.

    Args:
        model: A causal model or an encoder-decoder.
        names: The bytes that each token adds to a text, by id; None for one that adds nothing.
        end_ids: The tokens that end an answer.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        names: Sequence[bytes | None],
        end_ids: frozenset[int],
    ) -> None:
        self._model, self._names = exact_model(model), names
        self._end_ids = sorted(end_ids)
        self._encoder_decoder = bool(model.config.is_encoder_decoder)
        self._prefill = Prefill(self._model)
        self._logits = LOGITS.get(model.device.type, MOST_LOGITS)
        self._unlisted_by_width: dict[int, Tensor] = {}

    def complete(
        self, queue: PromptQueue, wanted: Callable[[Request], bool]
    ) -> Iterator[Completion]:
        """Yields the completions of all requests in a queue, whose prompts are given texts."""
        while True:
            prompts = queue.take(rows=0, width=0, beside=None)
            refused = queue.refused()
            yield from refused
            if not prompts and not refused:
                return
            given = [prompt for prompt in prompts if isinstance(prompt, GivenPrompt)]
            for prompt, top in self.score([one for one in given if wanted(one.request)]):
                yield from completions_of(prompt, top)

    def score(self, prompts: Sequence[GivenPrompt]) -> Iterator[tuple[GivenPrompt, Top]]:
        """Yields each prompt with ``(T, 1 + K)`` log-probabilities and ids of its text."""
        texts: dict[object, list[GivenPrompt]] = {}
        for prompt in prompts:
            texts.setdefault((prompt.ids, prompt.decoder_ids), []).append(prompt)
        alike = {id(same[0]): same for same in texts.values()}
        vocabulary = int(self._model.config.get_text_config(decoder=True).vocab_size)
        at_once = max(1, self._logits // vocabulary)
        firsts = in_parts([same[0] for same in texts.values()], PROMPT_TOKENS)
        parts = [part[at : at + at_once] for part in firsts for at in range(0, len(part), at_once)]
        for part in parts:
            begun = self._begin(part)
            rows = [(text, place) for place, first in enumerate(part) for text in alike[id(first)]]
            rows.sort(key=lambda row: -len(row[0].read_ids))  # those that are done leave at the end
            for start in range(0, len(rows), at_once):
                given, places = zip(*rows[start : start + at_once], strict=True)
                yield from zip(given, self._score_rows(begun, places, given), strict=True)

    @torch.inference_mode()
    def _begin(self, prompts: Sequence[Prompt]) -> _Begun:
        """Runs prompts up to their last tokens."""
        if self._encoder_decoder:
            read = read_by_encoder(self._model, prompts)
            mask_PL = torch.ones_like(read.mask_PT[:, :1]).expand(-1, read.own.get_seq_length())
            return _Begun(
                read.own, mask_PL, read.logits_PV, read.cross, read.hidden_PTD, read.mask_PT
            )
        cache, logits_PV = self._prefill.run(prompts)
        columns = torch.arange(cache.get_seq_length(), device=self._model.device)
        lengths_P1 = torch.tensor([[len(prompt.ids)] for prompt in prompts], device=columns.device)
        return _Begun(cache, (columns >= len(columns) - lengths_P1).long(), logits_PV)

    @torch.inference_mode()
    def _score_rows(
        self, begun: _Begun, places: Sequence[int], prompts: Sequence[GivenPrompt]
    ) -> list[Top]:
        """Returns the scores of texts, longest first, behind the prompts at these places."""
        device = self._model.device
        scores = _Scores(prompts)
        rows = begun.rows(torch.tensor(places, device=device))
        self._keep(scores, rows.logits_PV[:, None], 0)
        read = [prompt.read_ids for prompt in prompts]
        if not read[0]:
            return scores.tops
        ids_RT, _ = padded(read, device, left=False)
        lengths = np.array([len(ids) for ids in read])
        vocabulary, start = begun.logits_PV.shape[-1], 0
        while start < len(read[0]):
            count = int((lengths > start).sum())
            tokens = max(1, min(self._logits // vocabulary, PROMPT_TOKENS) // count)
            chunk_RT = ids_RT[:count, start : start + tokens]
            rows = rows.first(count)
            rows = rows._replace(mask_PL=torch.cat([rows.mask_PL, torch.ones_like(chunk_RT)], -1))
            self._keep(scores, self._forward(rows, chunk_RT), start + 1)
            start += tokens
        return scores.tops

    def _forward(self, rows: _Begun, ids_RT: Tensor) -> Tensor:
        """Returns the ``(R, T, V)`` logits behind tokens, whose states are added to the cache."""
        every: dict[str, Any] = {"logits_to_keep": 0} if self._prefill.takes_count else {}
        if rows.cross is not None:
            assert rows.hidden_PTD is not None
            output = self._model(
                encoder_outputs=BaseModelOutput(last_hidden_state=rows.hidden_PTD),
                attention_mask=rows.source_PT,
                decoder_input_ids=ids_RT,
                use_cache=True,
                **with_cache(self._model, EncoderDecoderCache(rows.cache, rows.cross)),
                **every,
            )
        else:
            positions = rows.mask_PL.cumsum(-1)[:, -ids_RT.shape[1] :] - 1
            output = self._model(
                input_ids=ids_RT,
                attention_mask=rows.mask_PL,
                use_cache=True,
                **with_cache(self._model, rows.cache),
                **({"position_ids": positions} if self._prefill.takes_positions else {}),
                **every,
            )
        logits: Tensor = output.logits
        return logits

    def _keep(self, scores: "_Scores", logits_RTV: Tensor, first: int) -> None:
        """Keep the probabilities of the targets from a place on, whose logits these are."""
        rows, columns, device = len(logits_RTV), logits_RTV.shape[1], logits_RTV.device
        there_RT = scores.targets_RN[:rows, first : first + columns] >= 0
        row_N, column_N = there_RT.nonzero()
        if not len(row_N):
            return
        place_N = first + column_N
        asked = _AskedPlaces(
            target_N=torch.from_numpy(scores.targets_RN[row_N, place_N]).to(device),
            is_end_N=torch.from_numpy(scores.is_end(row_N, place_N)).to(device),
            end_N=torch.from_numpy(scores.end_R[row_N]).to(device),
        )
        picked = torch.from_numpy(row_N).to(device), torch.from_numpy(column_N).to(device)
        logits_NV = logits_RTV[picked]
        if logits_NV.dtype != torch.float64:
            logits_NV = logits_NV.float()
        scores.put(row_N, place_N, self._top(logits_NV, asked, scores.k))

    def _top(self, logits_NV: Tensor, asked: "_AskedPlaces", k: int) -> Top:
        """Returns the log-probabilities of targets and of the k likeliest; changes the logits."""
        total_N1 = logits_NV.logsumexp(-1, keepdim=True)
        own_N1 = logits_NV.gather(-1, asked.target_N[:, None])
        ends_N1 = logits_NV[:, self._end_ids].logsumexp(-1, keepdim=True) if self._end_ids else None
        if ends_N1 is not None:
            own_N1 = torch.where(asked.is_end_N[:, None], ends_N1, own_N1)
        if not k:
            logprobs = (own_N1 - total_N1).cpu().numpy()
            return Top(logprobs, asked.target_N[:, None].int().cpu().numpy())
        # From here on one token stands for all ends, and those that add nothing are not listed.
        logits_NV.index_fill_(-1, self._unlisted(logits_NV), -torch.inf)
        if ends_N1 is not None:
            logits_NV.scatter_(-1, asked.end_N[:, None], ends_N1)
        best_NK = logits_NV.topk(min(k, logits_NV.shape[-1]), dim=-1)
        logprobs_N = torch.cat([own_N1, best_NK.values], -1) - total_N1
        ids_NK = best_NK.indices.masked_fill(best_NK.values == -torch.inf, -1)
        ids_N = torch.cat([asked.target_N[:, None], ids_NK], -1)
        return Top(logprobs_N.cpu().numpy(), ids_N.int().cpu().numpy())

    def _unlisted(self, logits_NV: Tensor) -> Tensor:
        """Returns the ids that add nothing to a text, those of ends among them."""
        found = self._unlisted_by_width.get(logits_NV.shape[-1])
        if found is None:
            named = [bool(name) for name in self._names]
            adds = np.zeros(logits_NV.shape[-1], np.bool_)
            adds[: len(named)] = named[: len(adds)]
            adds[self._end_ids] = False
            found = torch.from_numpy((~adds).nonzero()[0]).to(logits_NV.device)
            self._unlisted_by_width[logits_NV.shape[-1]] = found
        return found


def exact_model(model: PreTrainedModel) -> PreTrainedModel:
    """Returns a copy in float64 of a small model that is in float32 on a processor.

    Rounding in float32 moves a log-probability by some 0.00003. Of a small model twice the time
    is short, and is spent on that; every other one is returned itself.
    """
    is_small = parameters_of(model) < SMALL_MODEL
    if not is_small or model.device.type != "cpu" or model.dtype != torch.float32:
        return model
    return deepcopy(model).double()


class _AskedPlaces(NamedTuple):
    """The tokens whose probability is asked for at N places."""

    target_N: Tensor
    is_end_N: Tensor
    """Whether it is the end of the answer, whichever token ends it."""

    end_N: Tensor
    """The token by which the end is named there."""


class _Scores:
    """The scores of texts, filled in as they are computed.

    Args:
        prompts: The texts.
    """

    def __init__(self, prompts: Sequence[GivenPrompt]) -> None:
        targets = [prompt.targets for prompt in prompts]
        widest = max(len(ids) for ids in targets)
        self.k = max(prompt.request.top_logprobs for prompt in prompts)
        self.end_R = np.array([prompt.end_id or 0 for prompt in prompts], np.int64)
        self.targets_RN = np.full((len(prompts), max(widest, 1)), -1, np.int64)
        for row, ids in enumerate(targets):
            self.targets_RN[row, : len(ids)] = ids
        self._end_places = np.array(
            [
                len(ids) - 1 if prompt.ends else -1
                for prompt, ids in zip(prompts, targets, strict=True)
            ]
        )
        shape = (*self.targets_RN.shape, 1 + self.k)
        self._logprobs = np.full(shape, -np.inf, np.float32)
        self._ids = np.full(shape, -1, np.int32)
        self._prompts = prompts

    def is_end(self, rows: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether these targets are the ends of answers."""
        ends: NDArray[np.bool_] = self._end_places[rows] == places
        return ends

    def put(self, rows: NDArray[np.int64], places: NDArray[np.int64], top: Top) -> None:
        """Keep the scores of some targets."""
        columns = top.logprobs.shape[1]  # fewer than 1 + K where the vocabulary is smaller
        self._logprobs[rows, places, :columns] = top.logprobs
        self._ids[rows, places, :columns] = top.ids

    @property
    def tops(self) -> list[Top]:
        """The scores of each text; a first token that nothing stands before has NaN."""
        tops = []
        for row, prompt in enumerate(self._prompts):
            part = row, slice(len(prompt.targets)), slice(1 + prompt.request.top_logprobs)
            top = Top(self._logprobs[part], self._ids[part])
            tops.append(_behind_nothing(top, prompt.text_ids[0]) if prompt.begins else top)
        return tops


def _behind_nothing(top: Top, first_id: int) -> Top:
    """Returns scores with a row before them, of a first token whose probability is not known."""
    columns = top.logprobs.shape[1]
    logprobs, ids = np.full((1, columns), -np.inf, np.float32), np.full((1, columns), -1, np.int32)
    logprobs[0, 0], ids[0, 0] = np.nan, first_id
    return Top(np.concatenate([logprobs, top.logprobs]), np.concatenate([ids, top.ids]))


def completions_of(prompt: GivenPrompt, top: Top) -> list[Completion]:
    """Returns the completions of a scored text, the same for each sample of its request."""
    request = prompt.request
    assert request.given is not None
    scored = Completion(
        request=request,
        sample=request.samples[0],
        text=request.given.text,
        finish_reason="stop",
        prompt_tokens=len(prompt.ids)
        + max(len(prompt.decoder_ids) - 1, 0)
        + len(prompt.unread_ids),
        logprobs=TokenLogprobs(logprobs=top.logprobs, ids=top.ids),
    )
    if np.isnan(top.logprobs[1 if prompt.begins else 0 :]).any():
        fault = "the model gives probabilities that are no numbers; its weights may be damaged"
        scored = replace(scored, text="", finish_reason="error", error=fault, logprobs=None)
    return [replace(scored, sample=sample) for sample in prompt.samples]


def _rows_of(cache: Cache, places: Tensor) -> DynamicCache:
    """Returns a copy of a cache's rows."""
    picked = DynamicCache()
    for layer in cache.layers:
        keys, values = layer_states(layer)
        picked.layers.append(filled_layer(keys[places], values[places]))
    return picked


def _first_of(cache: DynamicCache, count: int) -> DynamicCache:
    """Returns a cache without all but its first rows, which it loses itself."""
    for layer in cache.layers:
        keys, values = layer_states(layer)
        layer.keys, layer.values = keys[:count], values[:count]  # type: ignore[union-attr]
    return cache
