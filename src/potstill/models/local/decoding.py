"""The decoding loop: one batch whose rows leave as they finish and are replaced by waiting prompts.

Works with any causal or encoder-decoder model of transformers through its own ``forward``. A
prompt is run once however many samples are drawn from it (:mod:`potstill.models.local.prefill`);
each sample is a row of the batch from then on. :meth:`Decoder.join` takes prompts in and writes
their rows' first tokens, :meth:`Decoder.step` writes one token of every row, and
:meth:`Decoder.drop_finished` closes the gaps.

Shape suffixes: P prompts, R rows (samples), T tokens, V vocabulary.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from potstill.models.interface import sample_seed
from potstill.models.local.batching import Prompt, in_parts
from potstill.models.local.cache_argument import with_cache
from potstill.models.local.kv_cache import Room, RowCache, layer_states
from potstill.models.local.lean_step import LeanStep
from potstill.models.local.prefill import BESIDE_TOKENS, PROMPT_TOKENS, Prefill, read_by_encoder
from potstill.models.local.sampling import Draw, Top, choose, top_logprobs, uniforms

TURNOVER = 8
"""Finished rows leave once they are one in so many of the batch: moving rows costs more than some
idle ones."""


@dataclass(slots=True, eq=False)
class SampleRow:
    """One sample while it is being written."""

    prompt: Prompt
    sample: int
    uniforms: NDArray[np.float64]
    """A number from [0, 1) for each token that may be drawn."""

    tokens: list[int] = field(default_factory=list)
    """The tokens written, without the one that ends a text."""

    top: list[Top] = field(default_factory=list)
    """The probabilities of each token, if they are asked for."""

    finished: bool = False
    ended: bool = False
    """Whether it finished by itself: by an end token or a stop string, not by its length."""

    forced: list[int] = field(default_factory=list)
    """Tokens that are written next, whatever the model would choose."""

    thinking_ended: bool = False
    """Whether the end of its thinking is written for it."""

    stop_at: int | None = None
    """The place in the text where a stop string begins."""

    def draw(self) -> Draw:
        """Returns how the next token is drawn."""
        request, step = self.prompt.request, len(self.tokens)
        uniform = float(self.uniforms[step]) if request.temperature else 0.0
        return Draw(request.temperature, request.top_p, uniform)


class Source(NamedTuple):
    """An encoder's output and the decoder's keys and values of it, for each row."""

    hidden_RTD: Tensor
    mask_RT: Tensor
    cross: DynamicCache

    def picked(self, rows: Tensor) -> "Source":
        """Returns these rows only, in this order; the cache is changed in place."""
        for layer in self.cross.layers:
            keys, values = layer_states(layer)
            layer.keys, layer.values = keys[rows], values[rows]  # type: ignore[union-attr]
        return Source(self.hidden_RTD[rows], self.mask_RT[rows], self.cross)


COST_BY_ROW = frozenset({"cpu"})
"""Devices on which the cost of a step grows with its rows.

There a batch is finished before the next: a row that joins others lies beside longer ones, and
attention goes through their columns too. On all others a step costs much the same for few rows as
for many, so batches are kept full.
"""

FindStop = Callable[[Sequence[int], Sequence[int], tuple[str, ...]], int | None]
"""Finds a stop string in the tokens written after an anchor; see ``StopStrings.find``."""


class Decoder:
    """The rows of one batch, and the model that writes them.

    Args:
        model: A causal model or an encoder-decoder.
        end_ids: The tokens that end a text.
        find_stop: Finds stop strings.
        end_thinking: Returns the tokens that end the thinking of a row that has spent its budget of
            it; none where the row does not think.
        lean_step: Returns the model's lean step, once there is a step to be done; None where there
            is no such step.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        end_ids: frozenset[int],
        find_stop: FindStop,
        end_thinking: Callable[[SampleRow], Sequence[int]] = lambda _: (),
        lean_step: Callable[[], LeanStep | None] = lambda: None,
    ):
        self.model = model
        self.end_ids = end_ids
        self.find_stop = find_stop
        self.end_thinking = end_thinking
        self.lean_step = lean_step
        self.rows: list[SampleRow] = []
        self._freed = 0
        self._cache: RowCache | None = None
        self._source: Source | None = None
        self._lengths_R = self._tokens_R = torch.zeros(0, dtype=torch.long, device=model.device)
        self._apart_R = self._lengths_R
        """The number of a row's tokens that stand in a prefix beside its own columns."""

        self._encoder_decoder = bool(model.config.is_encoder_decoder)
        # An encoder-decoder's batch has to be finished before the next.
        by_row = model.device.type in COST_BY_ROW
        self._refilled = not self._encoder_decoder and not by_row
        self._prefill = Prefill(model)

    @property
    def open(self) -> bool:
        """Whether prompts may join now."""
        return not self.rows or (self._refilled and self._freed > 0)

    @property
    def width(self) -> int:
        """The most cache columns that any row comes to."""
        return max((row.prompt.width for row in self.rows), default=0)

    @torch.inference_mode()
    def join(self, prompts: Sequence[Prompt]) -> list[SampleRow]:
        """Run new prompts, let their rows join, and write each row's first token.

        Returns:
            The rows that are finished already.
        """
        room = Room(
            rows=len(self.rows) + sum(len(prompt.samples) for prompt in prompts),
            columns=max(self.width, *(prompt.width for prompt in prompts)),
        )
        tokens = PROMPT_TOKENS if prompts[0].apart is None else BESIDE_TOKENS
        parts = [prompts] if self._encoder_decoder else in_parts(prompts, tokens)
        return [row for part in parts for row in self._join_part(part, room)]

    def _join_part(self, prompts: Sequence[Prompt], room: Room) -> list[SampleRow]:
        """Run these prompts together; ``room`` is for them and for what joins after them."""
        # One row for each sample; its source is the prompt that it continues.
        sources = [index for index, prompt in enumerate(prompts) for _ in prompt.samples]
        rows = [_new_row(prompt, sample) for prompt in prompts for sample in prompt.samples]
        if self._encoder_decoder:
            cache, logits_PV = self._run_encoder_prompts(prompts, sources)
            lengths = [len(prompt.decoder_ids) for prompt in prompts]
        else:
            cache, logits_PV = self._prefill.run(prompts)
            lengths = [len(prompt.ids) for prompt in prompts]
        # Lay the prompts' keys and values into the batch's buffers, once for each sample.
        if self._cache is None:
            self._cache = RowCache(cache)
        self._cache.join(cache, sources, room)
        self.rows += rows
        apart = [prompt.taken if prompt.apart is not None else 0 for prompt in prompts]
        self._lengths_R = _appended(self._lengths_R, [lengths[source] for source in sources])
        self._apart_R = _appended(self._apart_R, [apart[source] for source in sources])
        # All samples of a prompt draw from the same logits: (P, V) to (R, V).
        chosen_R, finished = self._write(rows, logits_PV[sources])
        self._tokens_R = torch.cat([self._tokens_R, chosen_R])
        return finished

    @torch.inference_mode()
    def step(self) -> list[SampleRow]:
        """Write one token of every row.

        Returns:
            The rows that this finished.
        """
        assert self._cache is not None
        self._cache.open_column()
        logits_RV = self._forward(self._cache)
        self._cache.advance()
        self._lengths_R += 1
        self._tokens_R, finished = self._write(self.rows, logits_RV)
        return finished

    @torch.inference_mode()
    def drop_finished(self) -> None:
        """Let finished rows leave, once they are enough to be worth the move."""
        gone = sum(row.finished for row in self.rows)
        self._freed = 0
        if gone == 0 or gone * TURNOVER < len(self.rows):
            return
        stay = len(self.rows) - gone
        if stay == 0:
            self._clear()
            return
        # The last rows move into the holes that finished ones leave among the first ``stay``.
        holes = [place for place in range(stay) if self.rows[place].finished]
        movers = [place for place in range(stay, len(self.rows)) if not self.rows[place].finished]
        order = list(range(stay))
        for hole, mover in zip(holes, movers, strict=True):
            order[hole] = mover
        self._reorder(order)
        assert self._cache is not None
        self._cache.leave(
            movers, holes, rows=stay, width=int((self._lengths_R - self._apart_R).max())
        )
        self._freed = gone

    def _reorder(self, order: list[int]) -> None:
        """Keep the rows at these places, in this order, in all that belongs to a row."""
        picked = torch.tensor(order, device=self._lengths_R.device)
        self.rows = [self.rows[place] for place in order]
        self._lengths_R, self._tokens_R = self._lengths_R[picked], self._tokens_R[picked]
        self._apart_R = self._apart_R[picked]
        if self._encoder_decoder:
            assert self._source is not None
            self._source = self._source.picked(picked)

    def _clear(self) -> None:
        """Start again without rows; the next batch gets buffers of its own size."""
        self.rows, self._freed, self._cache, self._source = [], 0, None, None
        self._lengths_R = self._tokens_R = self._apart_R = self._lengths_R[:0]

    def _run_encoder_prompts(
        self, prompts: Sequence[Prompt], sources: Sequence[int]
    ) -> tuple[DynamicCache, Tensor]:
        """Encode each prompt once and run the decoder's first tokens.

        Returns:
            The prompts' decoder cache, and the ``(P, V)`` logits of their next tokens. The
            encoder's output is kept for each row.
        """
        read = read_by_encoder(self.model, prompts)
        # From prompts to rows: encodings and cross-attention's keys and values, once a sample.
        picked = torch.tensor(sources, device=read.mask_PT.device)
        self._source = Source(read.hidden_PTD, read.mask_PT, read.cross).picked(picked)
        return read.own, read.logits_PV

    def _forward(self, cache: RowCache) -> Tensor:
        """Returns the ``(R, V)`` logits of each row's next token, given its last one."""
        tokens_R1 = self._tokens_R[:, None]
        if self._source is not None:
            output = self.model(
                encoder_outputs=BaseModelOutput(last_hidden_state=self._source.hidden_RTD),
                attention_mask=self._source.mask_RT,
                decoder_input_ids=tokens_R1,
                use_cache=True,
                **with_cache(self.model, EncoderDecoderCache(cache, self._source.cross)),
            )
        else:
            # The last token is run at the new column, which is the row's own.
            own_RC = self._mask(cache.live.width + 1)
            positions_R1 = self._lengths_R[:, None]
            lean = self.lean_step() if LeanStep.takes(len(self.rows)) else None
            with self._beside(own_RC):
                if lean is not None:
                    beside = self.rows[0].prompt.apart is not None
                    return lean.logits(
                        self._tokens_R, self._lengths_R, cache, own_RC, beside=beside
                    )
                output = self.model(
                    input_ids=tokens_R1,
                    attention_mask=own_RC,
                    use_cache=True,
                    **with_cache(self.model, cache),
                    **({"position_ids": positions_R1} if self._prefill.takes_positions else {}),
                )
        logits_RTV: Tensor = output.logits
        return logits_RTV[:, -1]

    def _beside(self, own_RC: Tensor) -> AbstractContextManager[None]:
        """Read the rows' common prefix, if it stands apart, beside their own columns."""
        prefix = self.rows[0].prompt.apart
        if prefix is None:
            return nullcontext()
        taken = [row.prompt.taken for row in self.rows]
        return self._prefill.beside(prefix, taken, own_RC[:, None])

    def _mask(self, width: int) -> Tensor:
        """Returns ``(R, C)``: whether a column is a row's own, a token that does not stand apart.

        All rows end at the right edge, so the last columns are a row's, as many as it has tokens.
        """
        # Own columns are ``width - own`` and on, with own = length - apart + 1 for the new token.
        columns = torch.arange(width, device=self._lengths_R.device)
        return columns >= (width - 1 - self._lengths_R + self._apart_R)[:, None]

    def _write(
        self, rows: Sequence[SampleRow], logits_RV: Tensor
    ) -> tuple[Tensor, list[SampleRow]]:
        """Choose each row's next token.

        Returns:
            ``(R,)`` the tokens, and the rows that they finish.
        """
        chosen_R = choose(logits_RV, [row.draw() if not row.finished else IDLE for row in rows])
        for place, row in enumerate(rows):
            if row.forced and not row.finished:
                chosen_R[place] = row.forced.pop(0)
        # The most alternatives that any row wants; each keeps its own first columns of them.
        k = max(0 if row.finished else row.prompt.request.top_logprobs for row in rows)
        top = top_logprobs(logits_RV, chosen_R, k) if k else None
        finished: list[SampleRow] = []
        for place, (row, token) in enumerate(zip(rows, chosen_R.tolist(), strict=True)):
            if row.finished:
                continue
            self._append(row, token)
            wanted = row.prompt.request.top_logprobs
            # No entry for an end token, which is not part of the text.
            if top is not None and wanted and len(row.top) < len(row.tokens):
                own = slice(0, 1 + wanted)
                row.top.append(Top(top.logprobs[place, own], top.ids[place, own]))
            if row.finished:
                finished.append(row)
        return chosen_R, finished

    def _append(self, row: SampleRow, token: int) -> None:
        """Add a token to a row, or see that it has ended."""
        if token in self.end_ids:
            row.finished = row.ended = True
            return
        row.tokens.append(token)
        prompt = row.prompt
        if prompt.request.stop:
            row.stop_at = self.find_stop(row.tokens, prompt.anchor, prompt.request.stop)
            row.ended = row.stop_at is not None
        row.finished = row.ended or len(row.tokens) == prompt.max_tokens
        if not row.finished and len(row.tokens) == prompt.request.thinking_tokens:
            row.forced = list(self.end_thinking(row))
            row.thinking_ended = bool(row.forced)


IDLE = Draw(temperature=0.0, top_p=1.0, uniform=0.0)
"""The draw of a finished row that has not left yet."""


def _appended(numbers_R: Tensor, more: Sequence[int]) -> Tensor:
    return torch.cat([numbers_R, torch.tensor(more).to(numbers_R)])


def _new_row(prompt: Prompt, sample: int) -> SampleRow:
    request = prompt.request
    seed = sample_seed(request, sample)
    return SampleRow(prompt, sample, uniforms(request, seed, prompt.max_tokens))
