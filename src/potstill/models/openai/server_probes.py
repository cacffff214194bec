"""Probes: what a server can do, found out by a few tokens each before anything depends on it.

Each probe has a name, one or a few small requests, and a value that is a word or a number::

    continuing       how it goes on from an answer that is begun: a value of ``prefill``, or none
    samples_at_once  how many of three samples come in one answer
    temperature      honoured, or ignored: three samples at temperature 1 are one text
    logprobs         how many likeliest tokens it lists at each position; 0: none
    prompt_logprobs  how it scores a given text: prompt_logprobs, echo, input_token_logprobs
                     (SGLang's own route), or none
    token_ids        yes or no: whether its tokens come with their ids
    context          the longest prompt and answer together, in tokens

What a probe cannot tell is ``unknown``, never the good case. Every request is set aside in the
run's budget and settled as any other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from potstill.errors import ModelError
from potstill.models.openai.choice_text import content_of, error_in, message_in
from potstill.models.openai.client import Client
from potstill.models.openai.cost import Sizes, prices_of
from potstill.models.openai.http_errors import Fault
from potstill.models.openai.listed_models import listed_models
from potstill.models.openai.requests import request_body
from potstill.models.openai.usage import token_counts
from potstill.models.settings import OpenAISettings, Prefill
from potstill.records import UNKNOWN, CapabilityName, Request
from potstill.runtime import Runtime

Json = dict[str, Any]

QUESTION = "Which one word means very unusual? Begin with the words: the word is."

BEGUN, REST = "The word is extraord", "inary"
"""The beginning of an answer to it, which breaks off within a word, and how the word ends: a new
turn would begin with neither."""

FEW_TOKENS = 8

MANY_WORDS = "Invent a village. Give its name and describe it."
"""A prompt with so many answers that two samples hardly agree."""

SAMPLES = 3

SAMPLE_TOKENS = 16

LIKELIEST = (20, 5, 1)
"""Numbers of likeliest tokens that are tried, the most first."""

PROBE_RETRIES = 2

WAYS: tuple[Prefill, ...] = ("continue_final_message", "template", "prefix", "trailing")
"""Ways of going on from an answer that is begun, in the order in which they are tried."""

NO_WAY = "none"


class CapabilityProbe(NamedTuple):
    """One probe."""

    name: CapabilityName
    ask: "Callable[[Prober], Awaitable[str]]"


def find_capabilities(
    settings: OpenAISettings,
    key: str | None,
    runtime: Runtime,
    names: Collection[CapabilityName],
) -> dict[CapabilityName, str]:
    """Returns what a server can do, by the names of the probes that are wanted.

    Raises:
        ModelError: The server cannot be asked at all.
        BudgetError: The budget does not allow it.
    """
    return asyncio.run(probe_server(settings, key, runtime, names))


async def probe_server(
    settings: OpenAISettings,
    key: str | None,
    runtime: Runtime,
    names: Collection[CapabilityName],
) -> dict[CapabilityName, str]:
    """The same as :func:`find_capabilities`, in a running event loop."""
    prober = Prober(settings, key, runtime)
    found: dict[CapabilityName, str] = {}
    try:
        for probe in PROBES:
            if probe.name in names:
                found[probe.name] = await probe.ask(prober)
    finally:
        await prober.close()
    return found


class Refused(Exception):
    """The server does not take a request that has something special to it."""


class Prober:
    """Sends the probes' requests. Belongs to the event loop in which it is made."""

    def __init__(self, settings: OpenAISettings, key: str | None, runtime: Runtime) -> None:
        self.settings = settings.model_copy(update={"retries": PROBE_RETRIES})
        self._key = key
        self._client = Client(self.settings, key, runtime)
        self._sizes = Sizes(prices_of(settings))
        self._plain: Json | None = None

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def plain(self) -> Json:
        """Returns the answer to the question alone, which is asked once.

        Raises:
            ModelError: The server does not even take this.
        """
        if self._plain is None:
            try:
                self._plain = await self._send(self.settings, _request(QUESTION))
            except Refused as refused:
                raise ModelError(
                    f"{self.settings.model} at {self.settings.base_url} does not answer a plain "
                    f"question of one line ({refused})."
                ) from None
            if _is_empty(self._plain):
                raise ModelError(
                    f"{self.settings.model} at {self.settings.base_url} answers a plain question "
                    "of one line without any text."
                )
        return self._plain

    async def ask(
        self, request: Request, settings: OpenAISettings | None = None, **fields: object
    ) -> Json:
        """Returns the answer to a request with further fields.

        Raises:
            Refused: The server does not take it.
            ModelError: No request can succeed.
            BudgetError: The budget does not allow it.
        """
        await self.plain()  # else a fault of every request would be taken for one of this
        return await self._send(settings or self.settings, request, **fields)

    async def _send(self, settings: OpenAISettings, request: Request, **fields: object) -> Json:
        body = request_body(settings, request, request.samples) | fields
        try:
            reply = await self._client.post(body, self._sizes.size(request, body))
        except Fault as fault:
            raise Refused(str(fault)) from None
        self._client.stored(1)
        if error := error_in(reply):
            raise Refused(error)
        return reply

    async def listed(self) -> list[Json]:
        """Returns the models that the server lists; none where it lists none."""
        return await listed_models(self.settings, self._key)


def _request(prompt: str, **fields: Any) -> Request:
    return Request(**{"prompt": prompt, "max_tokens": FEW_TOKENS, **fields})


def _texts(reply: Json) -> list[str]:
    """Returns the texts of an answer's choices; an empty one for what is no text."""
    texts = []
    for choice in reply["choices"]:
        text: str | None = None
        with suppress(LookupError, TypeError, ValueError, AttributeError):
            text = content_of(message_in(choice).get("content")).text
        texts.append(text or "")
    return texts


def _is_empty(reply: Json) -> bool:
    """Whether an answer ended by itself without any text, and without tokens of thinking."""
    if any(_texts(reply)) or (token_counts(reply).written or 0) > 1:  # one may be the end's own
        return False
    ends = [choice.get("finish_reason") for choice in reply["choices"] if isinstance(choice, dict)]
    return bool(ends) and all(end == "stop" for end in ends)


# continuing --------------------------------------------------------------------------------------


async def _continuing(prober: Prober) -> str:
    settings = prober.settings
    if not settings.chat:
        return "completions"  # the prefix is part of the prompt
    if settings.prefill == "none":
        return NO_WAY
    ways: Sequence[Prefill] = (settings.prefill,) if settings.prefill else WAYS
    for way in ways:
        if way == "template" and settings.chat_template is None:
            continue
        with suppress(Refused):
            if await _goes_on(prober, settings.model_copy(update={"prefill": way})):
                return way
    return NO_WAY


async def _goes_on(prober: Prober, settings: OpenAISettings) -> bool:
    """Whether a server goes on within the word at which an answer breaks off.

    A new turn may repeat the beginning, and a weak model not know the word. Then the tokens of the
    prompt tell: those of the beginning are added and no others, where a new turn adds its marks.
    """
    reply = await prober.ask(_request(QUESTION, answer_prefix=BEGUN), settings)
    if _texts(reply)[0].lstrip().lower().startswith(REST):
        return True
    before, after = _prompt_tokens(await prober.plain()), _prompt_tokens(reply)
    longer = await prober.ask(_request(f"{QUESTION} {BEGUN}", max_tokens=1))
    return 0 < _prompt_tokens(longer) - before == after - before


def _prompt_tokens(reply: Json) -> int:
    return token_counts(reply).read or 0


# sampling ----------------------------------------------------------------------------------------


async def _samples_at_once(prober: Prober) -> str:
    try:
        return str(len((await _several(prober))["choices"]))
    except Refused:
        return "1"


async def _several(prober: Prober) -> Json:
    samples = tuple(range(SAMPLES))
    return await prober.ask(
        _request(MANY_WORDS, samples=samples, temperature=1.0, max_tokens=SAMPLE_TOKENS)
    )


async def _temperature(prober: Prober) -> str:
    """Compares samples, asked for one by one where they do not come at once."""
    texts: list[str] = []
    with suppress(Refused):
        texts = _texts(await _several(prober))
    try:
        for sample in range(len(texts), SAMPLES):
            request = _request(
                MANY_WORDS, samples=(sample,), temperature=1.0, max_tokens=SAMPLE_TOKENS
            )
            texts += _texts(await prober.ask(request))[:1]
    except Refused:
        return UNKNOWN
    if not all(text.strip() for text in texts):
        return UNKNOWN
    return "honoured" if len(set(texts)) > 1 else "ignored"


# probabilities -----------------------------------------------------------------------------------


async def _logprobs(prober: Prober) -> str:
    for top in LIKELIEST:
        with suppress(Refused):
            reply = await prober.ask(_request(QUESTION, top_logprobs=top, max_tokens=2))
            if listed := _likeliest(reply):
                return str(min(listed, top))
    return "0"


def _likeliest(reply: Json) -> int:
    """Returns how many likeliest tokens an answer lists at its first position; 0 for none."""
    with suppress(LookupError, TypeError, AttributeError):
        logprobs = reply["choices"][0]["logprobs"]
        if logprobs.get("content"):
            return len(logprobs["content"][0]["top_logprobs"])
        return len(logprobs["top_logprobs"][0])
    return 0


async def _prompt_logprobs(prober: Prober) -> str:
    if any("sglang" in str(model.get("owned_by")).lower() for model in await prober.listed()):
        return "input_token_logprobs"
    with suppress(Refused):
        reply = await prober.ask(_request(QUESTION, max_tokens=1), prompt_logprobs=1)
        choice = reply["choices"][0]
        if reply.get("prompt_logprobs") or choice.get("prompt_logprobs"):
            return "prompt_logprobs"
    plain = prober.settings.model_copy(update={"chat": False})
    with suppress(Refused, LookupError, TypeError, AttributeError):
        request = _request(QUESTION, max_tokens=1, top_logprobs=1)
        reply = await prober.ask(request, plain, echo=True)
        tokens = reply["choices"][0]["logprobs"]["tokens"]
        if len(tokens) > 2:  # those of the prompt among them
            return "echo"
    return NO_WAY


async def _token_ids(prober: Prober) -> str:
    with suppress(Refused):
        reply = await prober.ask(_request(QUESTION, max_tokens=2), return_token_ids=True)
        if reply["choices"][0].get("token_ids"):
            return "yes"
    with suppress(Refused, LookupError, TypeError):
        reply = await prober.ask(_request(QUESTION, max_tokens=2, top_logprobs=1))
        if type(reply["choices"][0]["logprobs"]["content"][0]["id"]) is int:
            return "yes"
    return "no"


# context -----------------------------------------------------------------------------------------


async def _context(prober: Prober) -> str:
    """Reads what the server says of its models; nothing is written for it."""
    models = await prober.listed()
    where = prober.settings.where
    named = [model for model in models if model.get("id") == where] or models[:1]
    for model in named:
        meta = model.get("meta")
        for source in (model, meta if isinstance(meta, dict) else {}):
            for field in ("max_model_len", "n_ctx", "context_length", "context_window"):
                if type(source.get(field)) is int and source[field] > 0:
                    return str(source[field])
    return UNKNOWN


PROBES = (
    CapabilityProbe("continuing", _continuing),
    CapabilityProbe("samples_at_once", _samples_at_once),
    CapabilityProbe("temperature", _temperature),
    CapabilityProbe("logprobs", _logprobs),
    CapabilityProbe("prompt_logprobs", _prompt_logprobs),
    CapabilityProbe("token_ids", _token_ids),
    CapabilityProbe("context", _context),
)
"""Every probe, in the order in which they are asked."""
