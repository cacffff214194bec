"""``hf:`` and ``bundled:`` models: transformers on this machine, decoded by a loop of our own.

:class:`HFModel` answers requests. It turns them into prompts (:class:`PromptEncoder`), queues these
by length (``batching.PromptQueue``), and writes tokens with a :class:`Decoder` whose batch is
refilled while it runs (continuous batching, as in Orca, Yu et al., 2022)::

    requests ─ PromptEncoder ─▶ prompts ─ PromptQueue ─▶ Decoder.join, .step ─▶ rows ─▶ completions
                                                      ─▶ TextScorer, of given texts ─▶ completions

:class:`PromptEncoder` goes from requests to token ids, and from token ids back to text without
losing a space: tokenizers drop the space before the first word of a text, so a completion is
decoded behind the last tokens of its prompt.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property
from itertools import islice

import numpy as np
from transformers import PreTrainedTokenizerBase

from potstill.errors import ModelError, extra
from potstill.models.interface import Model
from potstill.models.local.batching import COSTLY_TOKENS, Prompt, PromptQueue, Sharing
from potstill.models.settings import LocalSettings
from potstill.models.token_requests import SpelledToken, UnscorableText
from potstill.records import Completion, Request, TokenLogprobs
from potstill.runtime import Runtime
from potstill.runtime.events import EventLog
from potstill.runtime.number_formats import FLOAT32_STATES
from potstill.text.thinking import answer_and_thinking, separate

with extra("local", needed_for="running a model on this machine"):
    import torch
    from transformers import (
        DynamicCache,
        PretrainedConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
    )
    from transformers.cache_utils import DynamicLayer

    from potstill.models.local.decoding import Decoder, SampleRow
    from potstill.models.local.echoes import Echoes
    from potstill.models.local.float32_states import use_float32_states
    from potstill.models.local.format_trials import generation_format, shape_name
    from potstill.models.local.given_texts import GivenPrompt, TextScorer
    from potstill.models.local.lean_step import LeanStep
    from potstill.models.local.loading import (
        SMALL_MODEL,
        DTypeName,
        Loaded,
        load_config,
        load_model_and_tokenizer,
        model_name,
        parameters_of,
    )
    from potstill.models.local.packed_layers import pack_layers
    from potstill.models.local.prefill import reads_apart
    from potstill.models.local.prompt_encoding import PromptEncoder
    from potstill.models.local.token_bytes import token_speller

__all__ = ["HFModel", "Loaded", "load_model_and_tokenizer"]


logger = logging.getLogger(__name__)


class _Alike(Iterator[Request]):
    """The next requests of one kind: given texts, or such as are answered in the model's words.

    It ends before the first of the other kind, and where there is none just now; more may come
    later, so that it goes on if it is asked again. No request that was taken is lost.

    Args:
        source: All requests.
        ahead: The request that was taken from them and is still to come, if there is one.
        is_given: The kind.
    """

    def __init__(self, source: Iterator[Request], ahead: list[Request], *, is_given: bool) -> None:
        self._source, self._ahead, self._is_given = source, ahead, is_given

    def __next__(self) -> Request:
        request = self._ahead.pop() if self._ahead else next(self._source)
        if (request.given is not None) == self._is_given:
            return request
        self._ahead.append(request)
        raise StopIteration


class HFModel(Model):
    """A causal or encoder-decoder model of transformers.

    Prompts are batched by length up to ``settings.batch_tokens``; samples of a request share its
    prompt's computation, and prompts that of what they begin with alike; a finished sample leaves
    the batch at once and a waiting one takes its place. A sample's draws depend on its request
    alone, not on what is computed beside it.
    """

    scores_texts = True

    def __init__(
        self, settings: LocalSettings, *, source: str, runtime: Runtime | None = None
    ) -> None:
        runtime = runtime or Runtime()
        with runtime.events.noted(source, f"loading {settings.model}"):
            loaded = _load(settings, source, runtime)
        check_cache(loaded.model.config, source)
        name = model_name(settings, source, loaded.model.config)
        pack_layers(loaded.model)
        has_float32_states = use_float32_states(loaded.model)
        self._set_up(
            loaded,
            source,
            name=name,
            batch_tokens=settings.batch_tokens,
            control_tokens=settings.control_tokens,
        )
        if has_float32_states:
            self.number_format = FLOAT32_STATES
        self._events = runtime.events

    def _set_up(
        self,
        loaded: Loaded,
        source: str,
        *,
        name: str,
        batch_tokens: int,
        control_tokens: bool = False,
    ) -> None:
        """Keep the model and all that requests need of it; an ensemble is set up by this, too."""
        self.model, self.tokenizer, self.encoder_decoder = loaded
        self.name = name
        self.engine = "transformers"
        self.number_format = str(self.model.dtype).removeprefix("torch.")
        self._events = EventLog()
        self.chat = self.tokenizer.chat_template is not None
        self._batch_tokens = batch_tokens
        self._prompts = PromptEncoder(self.tokenizer, source, control_tokens=control_tokens)
        self._end_ids = _end_ids(self.model, self.tokenizer) | self._prompts.turn_ends
        self._echoes = Echoes(self.model, self._prompts, self._end_ids)
        text_config = self.model.config.get_text_config(decoder=True)
        self._positions: int | None = getattr(text_config, "max_position_embeddings", None)
        self._reads_apart = cache(lambda: reads_apart(self.model))
        self._lean_step = cache(lambda: LeanStep.of(self.model))

    @cached_property
    def token_names(self) -> list[bytes | None]:  # type: ignore[override]
        """The bytes that each token adds to an answer, by its id; None for one that adds none."""
        return self._prompts.token_names

    @cached_property
    def _sharing(self) -> Sharing | None:
        """The prefixes that are worth a forward pass of their own; None for the usual ones."""
        costly = self.model.device.type == "cpu" and parameters_of(self.model) >= SMALL_MODEL
        return COSTLY_TOKENS if costly else None

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer requests; see :class:`potstill.models.interface.Model`."""
        return self.complete_wanted(requests, lambda _: True)

    def complete_wanted(
        self, requests: Iterable[Request], wanted: Callable[[Request], bool]
    ) -> Iterator[Completion]:
        """Answer requests; see :class:`potstill.models.interface.Interruptible`."""
        # Given texts are scored, and all others written; either kind waits for the one before.
        source, ahead = iter(requests), list[Request]()
        while ahead or (ahead := [*islice(source, 1)]):
            is_given = ahead[0].given is not None
            answer = self._score if is_given else self._write
            yield from answer(_Alike(source, ahead, is_given=is_given), wanted)

    def _score(
        self, requests: Iterable[Request], wanted: Callable[[Request], bool]
    ) -> Iterator[Completion]:
        """Score given texts."""
        queue = PromptQueue(
            requests,
            self._prepare_given,
            self._batch_tokens,
            reads_apart=None if self.encoder_decoder else lambda: False,
            sharing=self._sharing,
        )
        scorer = TextScorer(self.model, names=self._prompts.token_names, end_ids=self._end_ids)
        yield from scorer.complete(queue, wanted)

    def _write(
        self, requests: Iterable[Request], wanted: Callable[[Request], bool]
    ) -> Iterator[Completion]:
        """Have the model write answers."""
        queue = PromptQueue(
            requests,
            self._prepare,
            self._batch_tokens,
            reads_apart=None if self.encoder_decoder else self._reads_apart,
            sharing=self._sharing,
        )
        decoder = Decoder(
            self.model,
            end_ids=self._end_ids,
            find_stop=self._prompts.stop_strings.find,
            end_thinking=self._end_thinking,
            lean_step=self._lean_step,
        )
        try:
            yield from self._decode(decoder, queue, wanted)
        finally:
            self._events.writing = 0

    def _decode(
        self, decoder: Decoder, queue: PromptQueue, wanted: Callable[[Request], bool]
    ) -> Iterator[Completion]:
        """Write what is queued to its end, and count tokens on the way."""
        while True:
            finished: list[SampleRow] = []
            if decoder.open:
                beside = decoder.rows[0].prompt if decoder.rows else None
                rows = len(decoder.rows)
                prompts = queue.take(rows=rows, width=decoder.width, beside=beside)
                refused = queue.refused()
                yield from refused
                if not prompts and not refused and not decoder.rows:
                    return
                finished += decoder.join(prompts) if prompts else []
            else:
                # A row that nobody waits for any more is given up before the next token.
                for row in decoder.rows:
                    row.finished = row.finished or not wanted(row.prompt.request)
                finished += decoder.step()
            decoder.drop_finished()
            self._events.writing = sum(len(row.tokens) for row in decoder.rows if not row.finished)
            for row in finished:
                yield self._completion(row)

    def _prepare(self, request: Request) -> Prompt | Completion:
        """Returns the request in tokens, or a completion that says why it cannot be asked."""
        try:
            return self._encode(request)
        except ModelError as error:
            if not self.chat:
                raise  # no message can be asked, this one or another
            return _refusal(request, str(error))  # its template refuses this order of turns

    def _encode(self, request: Request) -> Prompt | Completion:
        decoder_ids: list[int] = []
        if self.encoder_decoder:
            ids = self._prompts.encoder_ids(request)
            start = self.model.config.decoder_start_token_id
            decoder_ids = [start, *self._prompts.prefix_ids(request)]
        else:
            ids = self._echoes.prompt_ids(request)
        # A decoder's positions hold what it has read and what it writes.
        written = decoder_ids if self.encoder_decoder else ids
        room = request.max_tokens
        if self._positions is not None:
            room = min(room, self._positions - len(written))
        if not ids:
            return _refusal(request, "the prompt has no tokens")
        if done := self._echoes.at_once(request, ids, self._positions):
            return done
        if room < 1 or len(ids) > (self._positions or len(ids)):
            longest = max(len(ids), len(written))
            fault = f"the prompt has {longest} tokens; the model has {self._positions} positions"
            return _refusal(request, fault)
        return Prompt(
            request=request,
            samples=request.samples,
            ids=tuple(ids),
            decoder_ids=tuple(decoder_ids),
            anchor=tuple(self._prompts.anchor(written)),
            max_tokens=room,
        )

    def _prepare_given(self, request: Request) -> Prompt | Completion:
        """Returns a request with a given text in tokens, or why it cannot be scored."""
        try:
            ids = self._prompts.given_ids(request, apart=self.encoder_decoder)
        except UnscorableText as error:
            return _refusal(request, str(error))
        except ModelError as error:
            if not self.chat:
                raise  # no message can be asked, this one or another
            return _refusal(request, str(error))
        prompt = ids.prompt
        decoder_ids: list[int] = []
        if self.encoder_decoder:
            decoder_ids = [self.model.config.decoder_start_token_id, *ids.begun]
        # Where nothing stands before the text, its first token is what the others stand behind.
        begins = not prompt and not decoder_ids
        end_id = self._prompts.end_name(request)
        given = GivenPrompt(
            request=request,
            samples=request.samples,
            ids=tuple(ids.text[:1] if begins else prompt),
            decoder_ids=tuple(decoder_ids),
            max_tokens=len(ids.text) or 1,
            text_ids=tuple(ids.text),
            end_id=min(self._end_ids, default=None) if end_id is None else end_id,
            begins=begins,
        )
        return self._unscored(given) or given

    def _unscored(self, given: "GivenPrompt") -> Completion | None:
        """Returns why a text cannot be scored; None where it can be."""
        request, known = given.request, self._positions
        length = len(given.decoder_ids or given.ids) + len(given.unread_ids)
        if not given.ids:
            return _refusal(request, "prompt and text have no tokens")
        if given.ends and given.end_id is None:
            return _refusal(request, "the model has no token that ends a text; set ends to false")
        if known is not None and max(length, len(given.ids)) > known:
            fault = f"prompt and text have {length} tokens; the model has {known} positions"
            return _refusal(request, fault)
        return None

    def _end_thinking(self, row: SampleRow) -> list[int]:
        """Returns the tokens of the mark that ends thinking, if a row is inside it."""
        prompt = row.prompt
        found = separate(
            self._prompts.text(row.tokens, prompt.anchor),
            prompt=self._prompts.ending(prompt.decoder_ids or prompt.ids),
            begun=prompt.request.answer_prefix,
        )
        if found.thinking is None or found.closed:
            return []
        return self._prompts.laid_out_ids(self._prompts.layout_behind(prompt.request).closing)

    @cached_property
    def spell(self) -> Callable[[int], SpelledToken]:
        """Names tokens; see :class:`potstill.models.token_requests.TokenModel`."""
        return token_speller(self.tokenizer)

    def _completion(self, row: SampleRow) -> Completion:
        """Returns a finished row's text, cut before a stop string, and its probabilities."""
        prompt = row.prompt
        written = self._prompts.text(row.tokens, prompt.anchor)[: row.stop_at]
        if row.stop_at is not None and row.top:
            del row.top[self._prompts.count_to(len(written), row.tokens, prompt.anchor) :]
        text, thinking = answer_and_thinking(
            written,
            prompt=self._prompts.ending(prompt.decoder_ids or prompt.ids),
            begun=prompt.request.answer_prefix,
        )
        completion = Completion(
            request=prompt.request,
            sample=row.sample,
            text=text,
            thinking=thinking,
            finish_reason="stop" if row.ended else "length",
            prompt_tokens=len(prompt.ids),
            completion_tokens=len(row.tokens),
            thinking_ended=row.thinking_ended if prompt.request.thinking_tokens else None,
            logprobs=_token_logprobs(row),
        )
        return self._echoes.behind_prompt(completion, prompt.ids, row.tokens)


def _on_processor(device: str | None) -> bool:
    return device == "cpu" if device is not None else not torch.cuda.is_available()


def _load(settings: LocalSettings, source: str, runtime: Runtime) -> Loaded:
    """Loads a model in its number format; ``auto`` is, on a processor, what a trial speaks for."""

    def load(dtype: DTypeName) -> Loaded:
        return load_model_and_tokenizer(
            source,
            dtype=dtype,
            device=settings.device,
            revision=settings.revision,
            trust_remote_code=settings.trust_remote_code,
        )

    if settings.dtype != "auto" or not _on_processor(settings.device):
        return load(settings.dtype)
    known = runtime.number_formats.known(f"generation: {shape_name(load_config(settings))}")
    if known is not None:
        return load(known)
    loaded = load("float32")
    if generation_format(loaded.model, settings.model, runtime) == "float32":
        return loaded
    del loaded
    return load("bfloat16")  # anew: cast, the buffers of rotary positions would be rounded, too


def _token_logprobs(row: SampleRow) -> TokenLogprobs | None:
    """Returns a row's probabilities as ``(T, 1 + K)`` arrays, the chosen token in column 0."""
    k = row.prompt.request.top_logprobs
    if not k:
        return None
    logprobs = np.full((len(row.top), 1 + k), -np.inf, dtype=np.float32)
    ids = np.full((len(row.top), 1 + k), -1, dtype=np.int32)
    for place, top in enumerate(row.top):
        logprobs[place, : len(top.logprobs)] = top.logprobs
        ids[place, : len(top.ids)] = top.ids
    return TokenLogprobs(logprobs=logprobs, ids=ids)


def _refusal(request: Request, fault: str) -> Completion:
    return Completion(
        request=request, sample=request.samples[0], text="", finish_reason="error", error=fault
    )


def _end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Returns the tokens that end a text; a chat model may have several."""
    generation = model.generation_config
    named = generation.eos_token_id if generation is not None else None
    several = named if isinstance(named, list) else [named]
    return frozenset(token for token in [*several, tokenizer.eos_token_id] if token is not None)


def check_cache(config: PretrainedConfig, source: str) -> None:
    """Refuse models whose cache is other than keys and values (Mamba, linear attention).

    Sliding windows are welcome: the model masks what lies outside them.

    Raises:
        ModelError: The model keeps a recurrent state.
    """
    layers = DynamicCache(config=config).layers
    if not all(isinstance(layer, DynamicLayer) for layer in layers):
        raise ModelError(
            f"{source}: {config.model_type} models keep a recurrent state, which hf: cannot "
            "batch; serve it and give openai:NAME with base_url."
        )
