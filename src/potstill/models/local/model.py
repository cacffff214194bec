"""``hf:`` and ``bundled:`` models: transformers on this machine, decoded by a loop of our own.

:class:`HFModel` answers requests. It turns them into prompts (:class:`PromptEncoder`), queues these
by length (``batching.PromptQueue``), and writes tokens with a :class:`Decoder` whose batch is
refilled while it runs (continuous batching, as in Orca, Yu et al., 2022)::

    requests ─ PromptEncoder ─▶ prompts ─ PromptQueue ─▶ Decoder.join, .step ─▶ rows ─▶ completions

:class:`PromptEncoder` goes from requests to token ids, and from token ids back to text without
losing a space: tokenizers drop the space before the first word of a text, so a completion is
decoded behind the last tokens of its prompt.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property

import numpy as np
from transformers import PreTrainedTokenizerBase

from potstill.errors import ModelError, extra, shortened
from potstill.models.interface import Model
from potstill.models.local.batching import Prompt, PromptQueue
from potstill.models.local.control_tokens import ControlTokens
from potstill.models.local.stop_strings import StopStrings
from potstill.models.settings import LocalSettings
from potstill.models.token_requests import SpelledToken
from potstill.records import Completion, Message, Request, TokenLogprobs
from potstill.runtime import Runtime
from potstill.runtime.events import EventLog
from potstill.text.thinking import answer_and_thinking
from potstill.text.thinking_marks import SPECIAL_MARKS

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
    from potstill.models.local.format_trials import generation_format, shape_name
    from potstill.models.local.loading import (
        DTypeName,
        Loaded,
        load_config,
        load_model_and_tokenizer,
        model_name,
    )
    from potstill.models.local.prefill import reads_apart
    from potstill.models.local.token_bytes import token_speller

__all__ = ["HFModel", "Loaded", "load_model_and_tokenizer"]


logger = logging.getLogger(__name__)


class HFModel(Model):
    """A causal or encoder-decoder model of transformers.

    Prompts are batched by length up to ``settings.batch_tokens``; samples of a request share its
    prompt's computation, and prompts that of what they begin with alike; a finished sample leaves
    the batch at once and a waiting one takes its place. A sample's draws depend on its request
    alone, not on what is computed beside it.
    """

    def __init__(
        self, settings: LocalSettings, *, source: str, runtime: Runtime | None = None
    ) -> None:
        runtime = runtime or Runtime()
        with runtime.events.noted(source, f"loading {settings.model}"):
            loaded = _load(settings, source, runtime)
        check_cache(loaded.model.config, source)
        name = model_name(settings, source, loaded.model.config)
        self._set_up(
            loaded,
            source,
            name=name,
            batch_tokens=settings.batch_tokens,
            control_tokens=settings.control_tokens,
        )
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
        self._end_ids = _end_ids(self.model, self.tokenizer)
        self._echoes = Echoes(self.model, self._prompts, self._end_ids)
        text_config = self.model.config.get_text_config(decoder=True)
        self._positions: int | None = getattr(text_config, "max_position_embeddings", None)
        self._reads_apart = cache(lambda: reads_apart(self.model))

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer requests; see :class:`potstill.models.interface.Model`."""
        return self.complete_wanted(requests, lambda _: True)

    def complete_wanted(
        self, requests: Iterable[Request], wanted: Callable[[Request], bool]
    ) -> Iterator[Completion]:
        """Answer requests; see :class:`potstill.models.interface.Interruptible`."""
        queue = PromptQueue(
            requests,
            self._prepare,
            self._batch_tokens,
            reads_apart=None if self.encoder_decoder else self._reads_apart,
        )
        decoder = Decoder(
            self.model, end_ids=self._end_ids, find_stop=self._prompts.stop_strings.find
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
            logprobs=_token_logprobs(row),
        )
        return self._echoes.behind_prompt(completion, prompt.ids, row.tokens)


def _unshown(tokenizer: PreTrainedTokenizerBase) -> frozenset[int] | None:
    """Returns the special tokens that texts leave out, where others among them mark thinking.

    Returns:
        None where no special token does, so that all of them are left out.
    """
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special = {number: token.content for number, token in added.items() if token.special}
    marks = {number for number, content in special.items() if content.strip() in SPECIAL_MARKS}
    return frozenset({*special, *tokenizer.all_special_ids} - marks) if marks else None


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


ANCHOR_TOKENS = 8
"""Most tokens before a completion that are decoded with it; a character is at most 4 bytes."""


ENDING_TOKENS = 16
"""Tokens at the end of a prompt that are searched for an opening mark of thinking."""


class PromptEncoder:
    """From requests to a model's token ids, and from its token ids to text.

    Args:
        tokenizer: The model's tokenizer.
        source: The model's folder or hub name, for messages.
        control_tokens: Read control tokens that texts spell as such; else they are text.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, source: str, *, control_tokens: bool = False
    ) -> None:
        self.tokenizer = tokenizer
        self.source = source
        self._control = ControlTokens(tokenizer, allowed=control_tokens)
        self._warned = False
        self.special = frozenset(tokenizer.all_special_ids)
        self._unshown = _unshown(tokenizer)
        self.stop_strings = StopStrings(tokenizer, self.text)

    @property
    def shows_marks(self) -> bool:
        """Whether some special tokens, which mark thinking, are part of a text."""
        return self._unshown is not None

    def prompt_ids(self, request: Request, *, then: str = "") -> list[int]:
        """Returns a decoder-only model's prompt in tokens, with the answer prefix at its end.

        Args:
            request: The request.
            then: Further text, as a model would have written it after the prompt.
        """
        text = self._hidden_text(request) + self._control.hide(then, answer=True)
        if not isinstance(request.prompt, str):
            return self._ids(text, special=False)
        # Once more, for what only both parts together spell.
        ids = self._ids(self._control.hide(text, answer=True), special=True)
        while ids and ids[-1] == self.tokenizer.eos_token_id:
            ids.pop()  # some tokenizers close every text; the prompt has to stay open
        return ids

    def prompt_text(self, request: Request) -> str:
        """Returns the text that a decoder-only model continues, rendered by its chat template.

        Raises:
            ModelError: There is no chat template, or it refuses the messages.
        """
        return self._control.shown(self._hidden_text(request))

    def _hidden_text(self, request: Request) -> str:
        """Returns the same with the spellings of control tokens hidden."""
        prefix = self._control.hide(request.answer_prefix, answer=True)
        if isinstance(request.prompt, str):
            return self._control.hide(request.prompt) + prefix
        return self._render(request.prompt, prefix)

    def encoder_ids(self, request: Request) -> list[int]:
        """Returns an encoder's input in tokens; the answer prefix goes to the decoder."""
        if isinstance(request.prompt, str):
            return self._ids(self._control.hide(request.prompt), special=True)
        return self._ids(self._render(request.prompt, ""), special=False)

    def prefix_ids(self, request: Request) -> list[int]:
        """Returns the answer prefix as a decoder's own tokens."""
        return self.answer_ids(request.answer_prefix) if request.answer_prefix else []

    def answer_ids(self, text: str) -> list[int]:
        """Returns the tokens of what a model writes, without those that stand around a text."""
        return self._ids(self._control.hide(text, answer=True), special=False)

    def anchor(self, ids: Sequence[int]) -> list[int]:
        """Returns the last tokens of a prompt, back to the last special one.

        A completion is decoded after them, because tokenizers drop the space before the first
        word of a text.
        """
        tail: list[int] = []
        for token in reversed(ids[-ANCHOR_TOKENS:]):
            if token in self.special:
                break
            tail.append(token)
        return tail[::-1]

    def text(self, tokens: Sequence[int], anchor: Sequence[int]) -> str:
        """Returns the text of ``tokens`` where they follow ``anchor``."""
        before = self._decode(anchor) if anchor else ""
        both = self._decode([*anchor, *tokens])
        return both[len(before) :] if both.startswith(before) else self._decode(tokens)

    def count_to(self, length: int, tokens: Sequence[int], anchor: Sequence[int]) -> int:
        """Returns how many of ``tokens`` it takes to write the first ``length`` characters."""
        count = len(tokens)
        while count and len(self.text(tokens[: count - 1], anchor)) >= length:
            count -= 1
        return count

    def ending(self, ids: Sequence[int]) -> str:
        """Returns the end of a prompt's text, long enough to hold an opening mark of thinking."""
        text = self.tokenizer.decode(list(ids[-ENDING_TOKENS:]), skip_special_tokens=False)
        assert isinstance(text, str)
        return text

    def _decode(self, tokens: Sequence[int]) -> str:
        if self._unshown is not None:
            tokens = [token for token in tokens if token not in self._unshown]
        text = self.tokenizer.decode(
            list(tokens),
            skip_special_tokens=self._unshown is None,
            clean_up_tokenization_spaces=False,
        )
        assert isinstance(text, str)
        return text

    def _ids(self, text: str, *, special: bool) -> list[int]:
        """Returns the tokens of a text in which the spellings of control tokens are hidden."""
        if self._control.is_hidden_in(text):
            self._warn(self._control.spelled(text))
            return self._control.encode(text, special=special)
        return list(self.tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])

    def _warn(self, spelled: str | None) -> None:
        """Say once that a text spells a control token: it may be a recipe's own prompt style."""
        if not self._warned:
            logger.warning(
                "%s: a text spells the control token %s, which is read as text. Where your own "
                "prompt style means the token, set control_tokens: true for the model.",
                self.source,
                spelled,
            )
        self._warned = True

    def _render(self, messages: tuple[Message, ...], prefix: str) -> str:
        """Returns a chat as text, the spellings of control tokens in its turns hidden.

        Args:
            messages: The turns.
            prefix: The beginning of the answer, what it spells hidden.

        Raises:
            ModelError: There is no chat template, or it refuses the messages.
        """
        if self.tokenizer.chat_template is None:
            raise ModelError(
                f"{self.source}: its tokenizer has no chat template, so it cannot be asked in "
                "chat messages; use a prompt style of plain text, such as zero_shot_cot."
            )
        turns = [
            {
                "role": turn.role,
                "content": self._control.hide(turn.content, answer=turn.role == "assistant"),
            }
            for turn in messages
        ]
        if prefix:
            turns.append({"role": "assistant", "content": prefix})
        try:
            text = self.tokenizer.apply_chat_template(
                turns,
                tokenize=False,
                add_generation_prompt=not prefix,
                continue_final_message=bool(prefix),
            )
        except Exception as error:  # a template is a program that somebody else wrote
            lines = str(error).strip().splitlines()
            raise ModelError(
                f"{self.source}: its chat template refuses these messages ({type(error).__name__}: "
                f"{shortened(lines[0] if lines else '', longest=200)}). Ask it in plain text, by a "
                "prompt style such as zero_shot_cot, or mend its chat template."
            ) from error
        assert isinstance(text, str)
        return text
