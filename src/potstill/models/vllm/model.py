"""``vllm:`` models: a server of vLLM, started when it is first asked and ended with this process.

The server speaks OpenAI's protocol, so it is asked as every
:class:`~potstill.models.openai.model.OpenAIModel` is; this module adds when it runs, and the name
by which its answers are stored.
"""

import weakref
from collections.abc import Generator, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path

from potstill.errors import MissingExtraError, ModelError, ServerError, extra
from potstill.keys import settings_hash
from potstill.models.background import one_by_one
from potstill.models.interface import Model
from potstill.models.openai.logprobs import TokenNames
from potstill.models.openai.model import OpenAIModel
from potstill.models.settings import OpenAISettings, VLLMSettings
from potstill.models.token_requests import GivenTokens
from potstill.models.vllm.launcher import LaunchedServer, vllm_program
from potstill.records import Completion, Request
from potstill.runtime import Runtime
from potstill.runtime.events import EventLog

NEUTRAL_OPTIONS = {
    "api-server-count",
    "cpu-offload-gb",
    "data-parallel-size",
    "disable-log-stats",
    "disable-uvicorn-access-log",
    "download-dir",
    "enable-log-requests",
    "enable-prefix-caching",
    "enforce-eager",
    "gpu-memory-utilization",
    "max-num-batched-tokens",
    "max-num-seqs",
    "max-parallel-loading-workers",
    "pipeline-parallel-size",
    "swap-space",
    "tensor-parallel-size",
    "uvicorn-log-level",
}
"""Options that say how a model is run, and change none of its answers."""


class VLLMModel(Model):
    """A model served by vLLM on this machine, for this process alone.

    The server is started by the first request, and ends when the model is closed or let go, when
    the run releases its models, when asking fails, and when this process ends, be it by kill -9.
    Asked again later, it is started again.

    The name holds no port. It holds a digest of a folder's content, and one of the options and of
    the body wherever they may change what is answered.
    """

    scores_texts = True

    def __init__(self, settings: VLLMSettings, runtime: Runtime | None = None) -> None:
        self._runtime = runtime or Runtime()
        self.chat = settings.chat
        self.name = stored_name(settings)
        self._settings = settings
        self._token_names: TokenNames | None = None
        self._load_tokens = partial(_tokens_here, settings.where, self._runtime.events)
        self._server = LaunchedServer(vllm_program(settings), self._runtime.events)
        self._runtime.releasing.append(self._server.stop)
        weakref.finalize(self, self._server.stop)

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answers requests; see :meth:`complete_in_groups`."""
        return one_by_one(self.complete_in_groups(requests))

    def complete_in_groups(self, requests: Iterable[Request]) -> Generator[list[Completion]]:
        """Answers requests; see :meth:`potstill.models.interface.Model.complete_in_groups`.

        Raises:
            MissingExtraError: vLLM is not installed.
            ModelError: The server does not start, or has ended; the message has its last words.
        """
        waiting = iter(requests)
        first = list(islice(waiting, 1))
        if not first:
            return
        try:
            served, names = self.served(), None
            if served is not None and first[0].top_logprobs and first[0].given is None:
                served, names = self._with_token_ids(served)
            if served is not None:
                model = OpenAIModel(served, self._runtime, names, self._load_tokens)
                yield from model.complete_in_groups(chain(first, waiting))
        except GeneratorExit:
            raise
        except ServerError as error:
            fault = self._server.fault()
            self._server.stop()
            if fault is None:
                raise
            raise ModelError(f"{fault}\n({error})") from error
        except BaseException:
            self._server.stop()
            raise

    def served(self) -> OpenAISettings | None:
        """Starts the server, unless it runs; returns how it is asked.

        Returns:
            None where the run was stopped before it was ready.

        Raises:
            MissingExtraError: vLLM is not installed.
            ModelError: The server does not start; the message has its last words.
        """
        return self._server.start(self._runtime.stop)

    def _with_token_ids(self, served: OpenAISettings) -> tuple[OpenAISettings, TokenNames | None]:
        """Has the server name tokens by their ids, which the tokenizer here turns into bytes.

        vLLM names a token by its text, and the pieces of a character that several tokens make by
        an empty one. Where the tokenizer cannot be read here, their texts have to do.
        """
        if self._token_names is None:
            try:
                self._token_names = self._read_token_names()
            except (ModelError, MissingExtraError) as error:
                self._runtime.events.record("tokens_named_by_text", message=str(error))
                return served, None
        body = {"return_tokens_as_token_ids": True, **served.body}
        return served.model_copy(update={"body": body}), self._token_names

    def _read_token_names(self) -> TokenNames:
        """Returns the bytes of the model's tokens, of which vLLM has read the same files."""
        with extra("local", needed_for="naming tokens by their ids"):
            from potstill.models.local.loading import load_tokenizer
            from potstill.models.local.token_bytes import token_bytes
        return token_bytes(load_tokenizer(self._settings.tokenizer, is_here=True))

    def close(self) -> None:
        """End the server."""
        self._server.stop()


def _tokens_here(where: str, events: EventLog) -> GivenTokens | None:
    """Returns a model's tokenizer; None where it cannot be read on this machine."""
    try:
        with extra("local", needed_for="scoring texts in a served model's tokens"):
            from potstill.models.local.served_tokens import served_tokens
        return served_tokens(where, is_here=True)
    except (ModelError, MissingExtraError) as error:
        events.record("tokens_named_by_text", message=str(error))
        return None


def stored_name(settings: VLLMSettings) -> str:
    """Returns the name that answers are stored under."""
    name, folder = settings.model, Path(settings.where)
    if folder.is_dir():
        with extra("local", needed_for="telling a folder's model from others"):
            from potstill.models.local.loading import folder_digest
        name = f"vllm:{folder.name}@{folder_digest(folder)}"
    if not settings.chat:
        name += "/completions"
    telling = {
        name: value for name, value in settings.options.items() if name not in NEUTRAL_OPTIONS
    }
    if telling or settings.body:
        name += f"#{settings_hash(telling, settings.body)}"
    return name
