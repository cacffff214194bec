"""A local model that another program answers for, from its folder.

Its prompts are made here, as for the same model in this process, and sent as token ids (or as texts
of which the server makes these ids), so that both read the same; the server writes and stops by the
same tokens and strings. Answers are stored under a name of their own.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace

from potstill.errors import ModelError, ServerError, extra
from potstill.models.background import one_by_one
from potstill.models.folder_server import VLLM, FolderServer
from potstill.models.interface import Model, cannot_score
from potstill.models.openai.model import OpenAIModel
from potstill.models.served.held_thinking import FollowedRequests, SentRequest, ThinkingHolder
from potstill.models.served.server_pool import ServerPool
from potstill.models.served.serving import (
    folder_program,
    program_name,
    served_name,
    told_format,
)
from potstill.models.settings import LocalSettings, OpenAISettings
from potstill.records import Completion, Request
from potstill.runtime import Runtime
from potstill.runtime.budget import Budget

with extra("local", needed_for="a served student"):
    from transformers import GenerationConfig, PretrainedConfig

    from potstill.models.local.loading import (
        load_config,
        load_tokenizer,
        model_name,
        reading,
    )
    from potstill.models.local.prompt_encoding import PromptEncoder
    from potstill.models.local.served_tokens import ServedTokens
    from potstill.models.local.token_bytes import token_bytes


class FolderServerModel(Model):
    """A model of transformers that a server on this machine answers for.

    The server is started by the first request, and ends with the run's other models; see
    :class:`~potstill.models.served.server_pool.ServerPool`.

    Args:
        settings: The model.
        server: The program that answers for it.
        runtime: The run's.
    """

    def __init__(self, settings: LocalSettings, server: FolderServer, runtime: Runtime) -> None:
        source = settings.source
        with runtime.events.noted(source, f"reading {settings.model}"):
            tokenizer, config = load_tokenizer(settings), load_config(settings)
            own_name = model_name(settings, source, config)
        self.chat = tokenizer.chat_template is not None
        self.name = served_name(settings, own_name)
        self.engine, self.number_format = program_name(server), told_format(settings, server)
        self._server, self._runtime = server, runtime
        self._prompts = PromptEncoder(tokenizer, source, control_tokens=settings.control_tokens)
        own = _end_ids(settings, config, tokenizer.eos_token_id)
        self._end_ids = sorted(own | self._prompts.turn_ends)
        self._positions = _positions(config, server)
        self.scores_texts = server.prompts == "ids"
        self._tokens = ServedTokens(self._prompts, self._end_ids)
        by_ids = server.program == VLLM
        self._token_names = token_bytes(tokenizer) if by_ids else None
        self._holder = ThinkingHolder(self._prompts, by_ids=server.prompts == "ids")
        self._pool = ServerPool.of(runtime)
        self._pool.join(self, self.name, folder_program(settings, server))

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answers requests; see :meth:`complete_in_groups`."""
        return one_by_one(self.complete_in_groups(requests))

    def complete_in_groups(self, requests: Iterable[Request]) -> Generator[list[Completion]]:
        """Answers requests; see :meth:`potstill.models.interface.Model.complete_in_groups`.

        Raises:
            MissingExtraError: The program is not installed.
            ModelError: The server does not start, or has ended; the message has its last words.
        """
        served = self._pool.start(self.name)
        if served is None:
            return
        refused: list[Completion] = []
        # A student's answers are free, and are no part of the account.
        runtime = replace(self._runtime, budget=Budget())
        tokens = self._tokens
        asked = OpenAIModel(self._asked(served), runtime, self._token_names, lambda: tokens)
        sent = FollowedRequests(self._sent(requests, refused))
        try:
            for group in asked.complete_in_groups(sent):
                whole = [self._holder.second(completion) for completion in group]
                answers = [one for one in whole if isinstance(one, Completion)]
                sent.add(one for one in whole if isinstance(one, SentRequest))
                if done := [*_taken(refused), *answers]:
                    yield done
        except ServerError as error:
            fault = self._pool.fault(self.name)
            if fault is None:
                raise
            raise ModelError(f"{fault}\n({error})") from error
        if refused:
            yield _taken(refused)

    def _asked(self, served: OpenAISettings) -> OpenAISettings:
        if self._server.program != VLLM:
            return served
        # By itself vLLM knows one token that ends a text; a chat model may have several.
        body: dict[str, object] = {
            "stop_token_ids": self._end_ids,
            "return_tokens_as_token_ids": True,
        }
        if self._prompts.shows_marks:
            body |= {"skip_special_tokens": False, "spaces_between_special_tokens": False}
        return served.model_copy(update={"body": body})

    def _sent(self, requests: Iterable[Request], refused: list[Completion]) -> Iterator[Request]:
        """Yields the requests as the server gets them; what cannot be asked goes to ``refused``.

        Texts that are to be scored are put into tokens where they are asked.
        """
        for request in requests:
            if request.given is not None and not self.scores_texts:
                raise ModelError(cannot_score(self.name))
            if request.given is not None:
                yield request
                continue
            sent = self._prepared(request)
            if isinstance(sent, SentRequest):
                yield self._holder.first(sent)
            else:
                refused += sent

    def _prepared(self, request: Request) -> SentRequest | list[Completion]:
        if request.thinking_tokens is not None and (fault := self._unheld(request)):
            return _refusals(request, f"{fault}, so thinking_tokens cannot be kept")
        try:
            ids = self._prompts.prompt_ids(request)
        except ModelError as error:
            if not self.chat:
                raise  # no message can be asked, this one or another
            return _refusals(request, str(error))  # its template refuses this order of turns
        room = request.max_tokens
        if self._positions is not None:
            room = min(room, self._positions - len(ids))
        if not ids:
            return _refusals(request, "the prompt has no tokens")
        if room < 1:
            fault = f"the prompt has {len(ids)} tokens; the model has {self._positions} positions"
            return _refusals(request, fault)
        prompt: str | None = self._prompts.ending(ids)
        if self._server.prompts == "text":
            prompt, ids = self._text_of(request, ids), []
        if prompt is None:
            return _refusals(request, "no text makes the tokens of this prompt at the server")
        return SentRequest(
            prompt=prompt,
            prompt_ids=tuple(ids),
            answer_prefix=request.answer_prefix if ids else "",
            samples=request.samples,
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=room,
            stop=request.stop,
            top_logprobs=request.top_logprobs,
            seed=request.seed,
            origin=request,
        )

    def _unheld(self, request: Request) -> str | None:
        """Returns why the thinking of an answer could not be ended; None where it can be."""
        if self._token_names is None and self._prompts.shows_marks:
            return f"{self.engine} may leave the marks of thinking out of its texts"
        if request.top_logprobs:
            return f"{self.engine} lists no probabilities of a mark that is put into an answer"
        return None

    def _text_of(self, request: Request, ids: list[int]) -> str | None:
        """Returns a text of which the server's tokenizer makes these ids; None if there is none.

        It puts the tokens around a text that stand around every text, be it a chat's.
        """
        tokenizer, text = self._prompts.tokenizer, self._prompts.prompt_text(request)
        first = str(tokenizer.bos_token or "")
        for candidate in (text, text.removeprefix(first)):
            made = list(tokenizer(candidate, verbose=False)["input_ids"])
            while made and made[-1] == tokenizer.eos_token_id:
                made.pop()
            if made == ids:
                return candidate
        return None


def _end_ids(settings: LocalSettings, config: PretrainedConfig, own: object) -> set[int]:
    """Returns the tokens that end a text, as the model in this process knows them.

    Args:
        settings: The model.
        config: Its config, which counts where it has no generation config.
        own: The tokenizer's end token.
    """
    source = settings.source
    with reading(source):
        try:
            named = GenerationConfig.from_pretrained(
                source, revision=settings.revision or "main"
            ).eos_token_id
        except OSError:
            named = getattr(config, "eos_token_id", None)
    several = named if isinstance(named, list) else [named]
    return {token for token in [*several, own] if isinstance(token, int)}


def _positions(config: PretrainedConfig, server: FolderServer) -> int | None:
    """Returns the longest text of a model at its server, in tokens; None where none is known."""
    text_config = config.get_text_config(decoder=True)
    own: int | None = getattr(text_config, "max_position_embeddings", None)
    told = server.options.get("max-model-len")
    return told if isinstance(told, int) and not isinstance(told, bool) else own


def _refusals(request: Request, fault: str) -> list[Completion]:
    return [
        Completion(request=request, sample=sample, text="", finish_reason="error", error=fault)
        for sample in request.samples
    ]


def _taken(completions: list[Completion]) -> list[Completion]:
    taken = list(completions)
    completions.clear()
    return taken
