"""``openai:`` models: any OpenAI-compatible server, by its chat or its completions route.

The way of a request: :meth:`OpenAIModel.complete_in_groups` takes it from the caller,
:class:`~potstill.models.openai.session.Session` carries it to an event loop in another thread, and
there :meth:`Asker.ask <potstill.models.openai.session.Asker.ask>` has
:meth:`Client.post <potstill.models.openai.client.Client.post>` send it.
"""

import gc
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from urllib.parse import SplitResult, urlsplit

from potstill.errors import AuthError, ConfigError, extra
from potstill.keys import settings_hash
from potstill.models.background import arrivals, one_by_one
from potstill.models.interface import Model
from potstill.models.openai.batch.model import Batches
from potstill.models.openai.first_answers import FirstAnswers
from potstill.models.openai.given_asker import ScoreFacts
from potstill.models.openai.logprobs import TokenNames
from potstill.models.openai.session import ServerFacts, Session
from potstill.models.settings import OpenAISettings
from potstill.models.token_requests import GivenTokens
from potstill.records import Completion, Request
from potstill.runtime import Runtime

LOOPBACK = ("localhost", "127.0.0.1", "::1")

REQUESTS_AHEAD = 2
"""Requests taken ahead of their answers, as a multiple of the concurrency."""

GC_THRESHOLD = 50_000
"""New objects between two runs of the garbage collector."""


class OpenAIModel(Model):
    """A server that speaks ``/chat/completions`` or ``/completions``.

    The samples of a request are asked for together, with ``n``, so its prompt is paid for once; a
    server that returns fewer is asked again for the rest. A request that fails for good becomes a
    completion with ``finish_reason="error"`` for each of its samples; when the server as a whole
    fails, the error is raised.

    The name holds the server's address and a digest of ``settings.body``, because both determine
    what is answered; it never holds a key.

    Args:
        settings: The server.
        runtime: The run's budget, log and stop signal.
        token_names: The bytes of the model's tokens, for a server that is asked to name them by
            their ids.
        load_tokens: Returns the model's tokenizer, for texts that are to be scored; by default it
            is that of ``chat_template``, where the settings name one.
    """

    is_server = True

    def __init__(
        self,
        settings: OpenAISettings,
        runtime: Runtime | None = None,
        token_names: TokenNames | None = None,
        load_tokens: Callable[[], GivenTokens | None] | None = None,
    ) -> None:
        self._settings = settings
        self._runtime = runtime or Runtime()
        first = FirstAnswers(settings.base_url)
        scores = ScoreFacts(load_tokens or (lambda: _named_tokens(settings)))
        self._known = ServerFacts(first=first, token_names=token_names, scores=scores)
        self.scores_texts = not settings.in_batches
        self._key = server_key(settings)
        self.chat = settings.chat
        self.name = server_name(settings)
        self._batches = (
            Batches(settings, self._key, self.name, self._runtime) if settings.in_batches else None
        )

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answers requests; see :meth:`complete_in_groups`."""
        if self._batches is not None:
            return self._batches.complete(requests)
        return one_by_one(self.complete_in_groups(requests))

    def complete_in_groups(self, requests: Iterable[Request]) -> Generator[list[Completion]]:
        """Answers requests; see :meth:`potstill.models.interface.Model.complete_in_groups`.

        Requests are taken in the caller's thread, at most ``REQUESTS_AHEAD`` times the concurrency
        before their answers. Once the run is to stop, or no request can succeed any more, nothing
        is sent, and what is in flight is still yielded. Closing the iterator gives it up.
        """
        if self._batches is not None:
            yield from arrivals(self._batches.complete(requests))
            return
        ahead = REQUESTS_AHEAD * self._settings.concurrency
        waiting = iter(requests)
        with (
            rare_collections(),
            Session(self._settings, self._key, self._runtime, self._known) as session,
        ):
            asked = session.start(list(islice(waiting, ahead)))
            while asked:
                arrived = session.take()
                if arrived.completions:
                    yield arrived.completions
                session.stored(arrived.answers)  # the caller has stored what it was given
                asked -= arrived.ended
                if not session.halted:
                    asked += session.start(list(islice(waiting, max(ahead - asked, 0))))
            session.check()


def _named_tokens(settings: OpenAISettings) -> GivenTokens | None:
    """Returns the tokenizer that the settings name; None where they name none."""
    if settings.chat_template is None:
        return None
    with extra("local", needed_for="scoring texts in a served model's tokens"):
        from potstill.models.local.served_tokens import served_tokens
    return served_tokens(settings.chat_template)


@contextmanager
def rare_collections() -> Iterator[None]:
    """Lets the garbage collector run seldom.

    An answer with probabilities is thousands of small objects that live for a millisecond; at the
    usual thresholds the collector walks all that is alive several times an answer, and takes half
    of the processor's time.
    """
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], GC_THRESHOLD), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def server_name(settings: OpenAISettings) -> str:
    """Returns the name that a server's answers are stored under; it takes no key to tell.

    Raises:
        ConfigError: ``base_url`` cannot be used.
    """
    url = _checked_url(settings)
    route = "" if settings.chat else "/completions"
    name = f"openai:{settings.where}@{url.netloc}{url.path.rstrip('/')}{route}"
    return f"{name}#{settings_hash(settings.body)}" if settings.body else name


def _checked_url(settings: OpenAISettings) -> SplitResult:
    url = urlsplit(settings.base_url)
    if url.username is not None or url.password is not None:
        raise ConfigError(
            f"base_url of {settings.model} holds a user name or a password, which would be stored; "
            "put the key in an environment variable and name it with api_key_env."
        )
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise ConfigError(
            f"base_url of {settings.model} is {settings.base_url!r}: give the address at which "
            "the routes begin, e.g. http://127.0.0.1:8000/v1."
        )
    return url


def server_key(settings: OpenAISettings) -> str | None:
    """Returns the key from the environment; a server on this machine may do without.

    Raises:
        ConfigError: ``base_url`` cannot be used.
        AuthError: The key is missing, or no key at all.
    """
    url, variable = _checked_url(settings), settings.api_key_env
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key and url.hostname in LOOPBACK:
        return None
    if not key:
        raise AuthError(
            f"{settings.model} needs a key: set the environment variable {variable}, or "
            "api_key_env to the one that holds it (null for a server without keys)."
        )
    if not (key.isascii() and key.isprintable()):
        raise AuthError(f"{variable} holds characters that no key has; set it again.")
    return key
