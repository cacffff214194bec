"""Students that are served, asked as any client asks them: by their chat route, with a question.

:class:`ServedByChat` asks an OpenAI-compatible server, :class:`ServedByOllama` Ollama by its own
route, :class:`ServedByFolder` a model's folder in this process. Each also tells what it can of how
it puts a question to the model, and of the model's weights.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, build_opener
from urllib.request import Request as HttpRequest

from potstill.errors import ConfigError, ModelError, ServerError
from potstill.models import Model
from potstill.models.openai.client import proxy_for
from potstill.models.openai.model import OpenAIModel
from potstill.models.settings import LocalSettings, OpenAISettings
from potstill.prompts.styles import question_text
from potstill.records import Completion, Message, Question, Request
from potstill.runtime import Runtime
from potstill.text.terminal_text import terminal_text
from potstill.text.thinking import answer_and_thinking

Json = dict[str, Any]

ASKED_AT_ONCE = 8
"""Requests in flight."""

ANSWER_SECONDS = 600.0
"""Longest wait for one answer."""

FACT_SECONDS = 10.0
"""Longest wait for what a server tells of itself."""

KEY = "OPENAI_API_KEY"
"""The environment variable with the key of a server that wants one."""

OLLAMA = "http://127.0.0.1:11434"
"""The address of Ollama, unless ``OLLAMA_HOST`` names another."""


class ServedAnswer(NamedTuple):
    """The answer of a served student."""

    text: str
    finish_reason: str
    prompt_tokens: int
    """The prompt's tokens as the server counts them; 0 where it does not say."""

    thinking: str | None = None
    error: str | None = None


class Rendering(NamedTuple):
    """The prompt that a server gives its model for a question; None where it does not say."""

    text: str | None = None
    ids: tuple[int, ...] | None = None


class ServedStudent(Protocol):
    """A student that is served somewhere."""

    where: str
    """The place of the server in words, for messages."""

    def answers(self, questions: Sequence[Question]) -> list[ServedAnswer]:
        """Returns the answer to each question.

        Raises:
            ModelError: It cannot be asked at all.
        """
        ...

    def rendering(self, question: Question) -> Rendering:
        """Returns how it puts a question to its model."""
        ...

    def weights(self) -> str | None:
        """Returns the number format of its weights, e.g. ``Q4_1``; None where it does not say."""
        ...


def asked_alone(question: Question) -> str:
    """Returns what a client says to a student: the question, with the options of a choice."""
    return question_text(question)


class _ByMessages:
    """A student that is asked in messages through a model of potstill's."""

    where: str

    def __init__(self, model: Model, *, stop: Sequence[str], max_tokens: int) -> None:
        self._model, self._stop, self._max_tokens = model, tuple(stop), max_tokens

    def answers(self, questions: Sequence[Question]) -> list[ServedAnswer]:
        """Returns the answer to each question."""
        requests = [
            Request(
                prompt=(Message(role="user", content=asked_alone(question)),),
                max_tokens=self._max_tokens,
                stop=self._stop,
                question_id=str(place),
            )
            for place, question in enumerate(questions)
        ]
        found: dict[str, Completion] = {}
        for completion in self._model.complete(requests):
            found[str(completion.request.question_id)] = completion
        return [_served(found.get(str(place))) for place in range(len(questions))]


def _served(completion: Completion | None) -> ServedAnswer:
    if completion is None:
        return ServedAnswer("", "error", 0, error="there is no answer")
    return ServedAnswer(
        completion.text,
        completion.finish_reason,
        completion.prompt_tokens,
        completion.thinking,
        completion.error,
    )


class ServedByChat(_ByMessages):
    """An OpenAI-compatible server, such as that of vLLM or of llama.cpp.

    Args:
        url: The address that its routes begin with, e.g. ``http://127.0.0.1:8000/v1``.
        name: The student's name there; None takes the only one that it lists.
        stop: Strings that end an answer.
        max_tokens: The longest answer.

    Raises:
        PotstillError: The server is not reached, or offers several models.
    """

    def __init__(self, url: str, name: str | None, *, stop: Sequence[str], max_tokens: int) -> None:
        self._url = url.rstrip("/")
        self._root = self._url.removesuffix("/v1")
        self._key = os.environ.get(KEY, "").strip()
        self._listed = _json_of(f"{self._url}/models", key=self._key, seconds=FACT_SECONDS)
        self._name = name or _only_name(self._listed, self._url)
        self.where = f"{self._name} at {self._url}"
        settings = OpenAISettings(
            model=f"openai:{self._name}",
            base_url=self._url,
            api_key_env=KEY if self._key else None,
            concurrency=ASKED_AT_ONCE,
            timeout=ANSWER_SECONDS,
            retries=2,
        )
        super().__init__(OpenAIModel(settings, Runtime()), stop=stop, max_tokens=max_tokens)

    def rendering(self, question: Question) -> Rendering:
        """Returns what vLLM's and llama.cpp's servers tell of it."""
        messages = [{"role": "user", "content": asked_alone(question)}]
        text = self._ask("apply-template", {"messages": messages}).get("prompt")
        if isinstance(text, str):  # llama.cpp
            body = {"content": text, "add_special": True, "parse_special": True}
            return Rendering(text, _ids(self._ask("tokenize", body)))
        body = {"model": self._name, "messages": messages, "add_generation_prompt": True}
        return Rendering(None, _ids(self._ask("tokenize", body)))

    def _ask(self, route: str, body: Json | None = None) -> Json:
        return _told(f"{self._root}/{route}", body, key=self._key)

    def weights(self) -> str | None:
        """Returns what llama.cpp's server tells, or the folder that vLLM says it serves."""
        told = self._ask("props").get("model_ftype")
        if isinstance(told, str):
            return told
        for model in _models(self._listed):
            root = model.get("root")
            if isinstance(root, str) and (Path(root) / "config.json").is_file():
                return _folder_dtype(Path(root))
        return None


class ServedByOllama:
    """A model of Ollama's, asked by its own route with its Modelfile's parameters alone.

    Args:
        name: The model's name.
        host: The address of Ollama; None takes ``OLLAMA_HOST`` or its usual address.
    """

    def __init__(self, name: str, host: str | None = None) -> None:
        self._name = name
        self._root = _ollama_address(host)
        self.where = f"{name} of Ollama at {self._root}"

    def answers(self, questions: Sequence[Question]) -> list[ServedAnswer]:
        """Returns the answer to each question."""
        return [self._answer(question) for question in questions]

    def _answer(self, question: Question) -> ServedAnswer:
        messages = [{"role": "user", "content": asked_alone(question)}]
        body = {"model": self._name, "messages": messages, "stream": False}
        told = _json_of(f"{self._root}/api/chat", body, seconds=ANSWER_SECONDS)
        message = told.get("message")
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise ServerError(f"{self.where}: its answer is not that of Ollama's /api/chat.")
        apart = message.get("thinking")
        thinking = apart if isinstance(apart, str) and apart else None
        text, thinking = answer_and_thinking(message["content"], prompt="", apart=thinking)
        count = told.get("prompt_eval_count")
        return ServedAnswer(
            text,
            str(told.get("done_reason") or "stop"),
            count if isinstance(count, int) else 0,
            thinking,
        )

    def rendering(self, question: Question) -> Rendering:
        """Returns nothing: Ollama does not tell."""
        return Rendering()

    def weights(self) -> str | None:
        """Returns the quantisation that Ollama tells."""
        details = _told(f"{self._root}/api/show", {"model": self._name}).get("details")
        told = details.get("quantization_level") if isinstance(details, dict) else None
        return told if isinstance(told, str) else None


class ServedByFolder(_ByMessages):
    """A model's folder, loaded in this process and asked by its own chat template.

    Args:
        folder: The folder.
        settings: Device and number format, as the student was measured with.
        stop: Strings that end an answer.
        max_tokens: The longest answer.

    Raises:
        PotstillError: It cannot be loaded, or has no chat template.
    """

    def __init__(
        self, folder: Path, settings: LocalSettings, *, stop: Sequence[str], max_tokens: int
    ) -> None:
        place = {"model": f"hf:{folder}", "revision": None, "serve": None}
        self._settings = settings.model_copy(update=place)
        self._folder, self.where = folder, str(folder)
        model = self._settings.open()
        if not model.chat:
            raise ConfigError(
                f"{folder} has no chat template, so no server could put a question to it. Write "
                "it again with: potstill export-model"
            )
        super().__init__(model, stop=stop, max_tokens=max_tokens)

    def rendering(self, question: Question) -> Rendering:
        """Returns what the folder's tokenizer makes of a question."""
        from potstill.models.local.loading import load_tokenizer

        tokenizer = load_tokenizer(self._settings)
        messages = [{"role": "user", "content": asked_alone(question)}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert isinstance(text, str)
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return Rendering(text, tuple(ids))

    def weights(self) -> str | None:
        """Returns the number format of the folder's weights."""
        return _folder_dtype(self._folder)


def _folder_dtype(folder: Path) -> str | None:
    with suppress(OSError, ValueError):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        told = config.get("dtype") or config.get("torch_dtype")
        return str(told) if told else None
    return None


def _ollama_address(host: str | None) -> str:
    place = host or os.environ.get("OLLAMA_HOST", "").strip() or OLLAMA
    address = place if "://" in place else f"http://{place}"
    url = urlsplit(address)
    if not url.hostname:
        raise ConfigError(f"OLLAMA_HOST is {place!r}, which is no address.")
    return address.rstrip("/") if url.port else f"{url.scheme}://{url.netloc.rstrip(':')}:11434"


def _models(listed: Json) -> list[Json]:
    data = listed.get("data")
    return [model for model in data if isinstance(model, dict)] if isinstance(data, list) else []


def _only_name(listed: Json, url: str) -> str:
    names = [str(model["id"]) for model in _models(listed) if model.get("id")]
    if len(names) != 1:
        offered = ", ".join(names) or "none"
        raise ConfigError(f"{url} offers {len(names)} models ({offered}). Name one with --model.")
    return names[0]


def _ids(told: Json) -> tuple[int, ...] | None:
    tokens = told.get("tokens")
    if isinstance(tokens, list) and all(type(token) is int for token in tokens):
        return tuple(tokens)
    return None


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirect: the key would go along, whoever the other address belongs to."""

    def redirect_request(self, *_: Any) -> None:
        """Returns no request; the redirect is an error of the server's."""


def _opener(url: str) -> OpenerDirector:
    """Returns what opens an address by the proxy that the model's own requests take, if any."""
    proxy = proxy_for(url)
    return build_opener(_NoRedirects, ProxyHandler({urlsplit(url).scheme: proxy} if proxy else {}))


def _told(url: str, body: Json | None = None, *, key: str = "") -> Json:
    """Returns what a server tells of itself; nothing where it does not know the route."""
    with suppress(ModelError):
        return _json_of(url, body, key=key, seconds=FACT_SECONDS)
    return {}


def _json_of(url: str, body: Json | None = None, *, key: str = "", seconds: float) -> Json:
    """Returns a JSON object from a server; with a body it is posted.

    Raises:
        ConfigError: The address is none.
        ServerError: There is no such server, or it answered otherwise.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(f"{url} is no address; give e.g. http://127.0.0.1:8000/v1.")
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    try:
        with _opener(url).open(HttpRequest(url, content, headers), timeout=seconds) as response:
            told: object = json.loads(response.read())
    except HTTPError as error:
        # A server's words on a request may repeat the key.
        with error:
            said = "" if key else error.read().decode(errors="replace")[:300]
        reason = terminal_text(" ".join(said.split()))
        raise ServerError(f"{url} answered {error.code}: {reason or error.reason}") from error
    except (HTTPException, OSError) as error:
        reason = vars(error).get("reason", error)
        raise ServerError(f"{url} was not reached: {reason}. Is the server started?") from error
    except ValueError as error:
        raise ServerError(f"{url} answered no JSON; is this the address of its routes?") from error
    if not isinstance(told, Mapping):
        raise ServerError(f"{url} answered something other than a JSON object.")
    return dict(told)
