"""The settings of each kind of model, and all that differs between kinds.

A model is named ``kind:where``, such as ``hf:Qwen/Qwen3-0.6B``. :data:`KINDS` says which settings
class stands for a kind, and that class answers whatever the rest of potstill asks about it: how
the model is opened, by what name its answers are stored, what it costs. A new kind is one class in
one file, named in KINDS or declared as an entry point in the group ``potstill.models``. What takes
long to import is imported only when a model is opened.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Self
from weakref import WeakSet

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from potstill.errors import extra
from potstill.models.folder_server import ServedBy, free_options
from potstill.plugins import Registry, guarded, guarded_iterator
from potstill.records import Teacher
from potstill.runtime import Runtime
from potstill.runtime.events import EventLog
from potstill.settings import Settings, VariableName, build, unfit

if TYPE_CHECKING:
    from potstill.models.interface import Model
    from potstill.models.openai.cost import Prices

BUNDLED = ("teacher", "student", "guide")
"""The models in the package: the bundled pair, and the teacher trained on to look far back."""

BUNDLED_FOLDER = Path(__file__).parent / "bundled"
"""A folder for each bundled model."""

Prefill = Literal["continue_final_message", "prefix", "trailing", "template", "none"]
"""Ways of having a chat model go on from an answer that is begun; see ``prefill``."""


class Endpoint(NamedTuple):
    """A server that answers for a model over HTTP."""

    settings: "OpenAISettings"
    """How the server is asked."""

    stop: Callable[[], None]
    """Ends the server, if it runs for this process alone."""


class ModelSettings(Settings):
    """The settings that every kind of model has, and what a kind may define for itself."""

    model: str
    """``kind:where``, e.g. ``bundled:teacher`` or ``openai:gpt-5-mini``."""

    can_continue: ClassVar[bool] = True
    """Whether it answers any prompt, and goes on from the beginning of an answer."""

    is_paid: ClassVar[bool] = False
    """Whether its tokens may cost money."""

    @property
    def where(self) -> str:
        """The part of the name after the kind."""
        return self.model.partition(":")[2]

    def open(self, runtime: Runtime | None = None) -> "Model":
        """Opens the model, ready to be asked.

        Args:
            runtime: The run's budget, log and stop signal; without it the model has its own.

        Raises:
            ModelError: The model's folder, file or server cannot be used.
            MissingExtraError: The kind needs packages that are not installed.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how its models are opened")

    def identity(self, *, content: bool = True) -> Teacher:
        """Returns the name that answers are stored under, and whether it is asked in messages.

        No weights are read, and no server is asked or started.

        Args:
            content: Whether the name holds the digest of a folder's content, as that of the opened
                model does. Reading a large folder takes long, and serves only to find answers.
        """
        model = self.open()
        return Teacher(name=model.name, chat=model.chat)

    def check_key(self) -> None:
        """Check that the key is there that its server is asked with; most kinds need none.

        Raises:
            AuthError: It is not, or is no key.
        """

    def prices(self) -> "Prices":
        """Returns the prices of its tokens."""
        from potstill.models.openai.cost import FREE

        return FREE

    def endpoint(self) -> Endpoint | None:
        """Returns a server that answers for the model; None where it is asked in this process.

        A server of its own is started, and runs until it is stopped.
        """
        return None

    def least_seconds(self, *, requests: float, tokens: float) -> float:
        """Returns how long its own limits a minute make so many requests and tokens take."""
        return 0.0

    @property
    def requests_at_once(self) -> int | None:
        """The most requests in flight at once; None where the model decides."""
        return None

    @property
    def in_batches(self) -> bool:
        """Whether requests go to a provider's batch endpoint, and are done within a day."""
        return False

    @property
    def address(self) -> str | None:
        """The address of the server that is asked; None where there is none."""
        return None

    @property
    def tokenizer(self) -> "LocalSettings | None":
        """The local model whose tokenizer counts its tokens; None where none is known."""
        return None


class LocalSettings(ModelSettings):
    """``hf:`` (a hub name or a folder) and ``bundled:`` (``teacher``, ``student`` or ``guide``)."""

    device: str | None = None
    """A torch device such as ``cuda:1``; by default CUDA where there is one, else the CPU."""

    dtype: Literal["auto", "float32", "bfloat16", "float16", "float64"] = "auto"
    """Number format of the weights; float64 is slow and exact. ``auto`` is bfloat16 on CUDA, else
    float32 for small models, and for others the faster of float32 and bfloat16 by a trial."""

    batch_tokens: int = Field(default=32_768, ge=1)
    """Most tokens (prompts and longest completions) that are computed in one batch."""

    revision: str | None = None
    """Branch, tag or commit of a hub model."""

    trust_remote_code: bool = False
    """Run code that comes with a hub model; only for authors you trust."""

    control_tokens: bool = False
    """Read control tokens such as ``<|im_end|>`` that prompts and examples spell as such. Without
    it they are text, so that nobody's text can end a turn or begin one."""

    serve: ServedBy = None
    """The program that computes the model's answers: ``vllm``, a command line or settings of
    another program, ``auto`` (vLLM where it is installed), or null: this process."""

    @model_serializer(mode="wrap")
    def _without_former_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leaves out what settings of before had not: hashes of settings stay what they were."""
        values: dict[str, object] = dump(self)
        if not self.control_tokens:
            values.pop("control_tokens", None)
        if self.serve is None:
            values.pop("serve", None)
        return values

    @model_validator(mode="after")
    def _is_bundled(self) -> Self:
        if self.model.startswith("bundled:") and self.where not in BUNDLED:
            known = ", ".join(f"bundled:{name}" for name in BUNDLED)
            raise ValueError(f"there is no {self.model}; known: {known}")
        return self

    @property
    def source(self) -> str:
        """The hub name or the folder that the model is loaded from."""
        bundled = self.model.startswith("bundled:")
        return str(BUNDLED_FOLDER / self.where) if bundled else self.where

    @property
    def tokenizer(self) -> "LocalSettings":
        """The model itself."""
        return self

    def open(self, runtime: Runtime | None = None) -> "Model":
        """Loads the model onto its device; a served one is started when it is first asked."""
        if self.serve is not None:
            from potstill.models.served.serving import open_served

            if (served := open_served(self, runtime)) is not None:
                return served
        from potstill.models.local.model import HFModel

        return HFModel(self, source=self.source, runtime=runtime)

    def identity(self, *, content: bool = True) -> Teacher:
        """Returns the name and whether its tokenizer has a chat template."""
        with extra("local", needed_for="reading the teacher's tokenizer"):
            from potstill.models.local.loading import load_config, load_tokenizer, model_name
        # Before the tokenizer, which looks for it as well: a hub out of reach is waited for once.
        config = load_config(self)
        name = model_name(self, self.source, config) if content else self.model
        if content and self.serve is not None:
            from potstill.models.served.serving import served_name

            name = served_name(self, name)
        return Teacher(name=name, chat=load_tokenizer(self).chat_template is not None)


class ServerSettings(ModelSettings):
    """The settings of models that are asked over HTTP."""

    chat: bool = True
    """Use the chat route; false asks the plain completions route."""

    concurrency: int = Field(default=256, ge=1)
    """Most requests in flight at once, answers that are not stored yet included; fewer while the
    server pushes back."""

    timeout: float = Field(default=600.0, gt=0)
    """Longest wait for one answer, in seconds."""

    deadline: float = Field(default=3600.0, gt=0)
    """Longest time for one request with all its tries and waits, in seconds."""

    retries: int = Field(default=8, ge=0)
    """How often a request is repeated after a fault that may pass."""

    body: dict[str, object] = Field(default_factory=dict)
    """Further fields for every request's body, merged last; null takes a field out."""

    @property
    def requests_at_once(self) -> int:
        """The most requests in flight at once."""
        return self.concurrency


def _is_none(value: object) -> bool:
    """Whether a setting is not given; it is then left out of hashes that older versions made."""
    return value is None


def _is_off(value: object) -> bool:
    """Whether a switch that older versions had not is off; the same holds for it."""
    return value is False


class OpenAISettings(ServerSettings):
    """``openai:NAME``: any OpenAI-compatible server."""

    is_paid: ClassVar[bool] = True

    base_url: str = "https://api.openai.com/v1"
    """The address that the server's routes begin with."""

    api_key_env: VariableName | None = "OPENAI_API_KEY"
    """The environment variable that holds the key; null for a server without keys."""

    mode: Literal["live", "batch"] = "live"
    """``batch`` asks through the provider's batch endpoint: cheaper, and done within a day."""

    poll_seconds: float = Field(default=30.0, gt=0)
    """How often a batch is asked whether it is done, in seconds."""

    requests_per_minute: float | None = Field(default=None, gt=0)
    """Most requests sent in a minute; null sets no limit."""

    tokens_per_minute: float | None = Field(default=None, gt=0)
    """Most tokens, prompts included, asked for in a minute; null sets no limit."""

    prompt_price: float | None = Field(default=None, ge=0)
    """US dollars a million prompt tokens; null takes it from the price table."""

    cached_price: float | None = Field(default=None, ge=0)
    """US dollars a million prompt tokens that the server had in its cache; null as above."""

    completion_price: float | None = Field(default=None, ge=0)
    """US dollars a million completion tokens; null as above."""

    prefill: Prefill | None = Field(default=None, exclude_if=_is_none)
    """The way in which the server is made to go on from a begun answer, as guidance needs it:
    continue_final_message (vLLM, SGLang, llama.cpp), prefix (``prefix: true`` on the last message:
    DeepSeek, Mistral), trailing (the last message is the assistant's), template (by the completions
    route and ``chat_template``), none (it cannot); null: found out by a short probe."""

    chat_template: str | None = Field(default=None, exclude_if=_is_none)
    """The hub name or folder of the server's tokenizer. prefill template: its chat template words
    a chat for the completions route. chat false: a prompt that spells one of its control tokens is
    sent in token ids, in which the spelling is text. Scores: tokens are sent and named by it."""

    @model_validator(mode="after")
    def _template_is_named(self) -> Self:
        if self.prefill == "template" and self.chat_template is None:
            raise ValueError(
                "prefill is template, and no template is named. Set chat_template to the hub name "
                "or folder of the model's tokenizer"
            )
        if self.prefill == "template" and self.mode == "batch":
            raise ValueError("prefill is template, which batches do not take; set mode: live")
        return self

    def open(self, runtime: Runtime | None = None) -> "Model":
        """Returns the model; the server is not asked yet."""
        from potstill.models.openai.model import OpenAIModel

        return OpenAIModel(self, runtime)

    def identity(self, *, content: bool = True) -> Teacher:
        """Returns the name, which takes no key to tell."""
        from potstill.models.openai.model import server_name

        return Teacher(name=server_name(self), chat=self.chat)

    def check_key(self) -> None:
        """Check that the key is in the environment; a server on this machine may do without."""
        from potstill.models.openai.model import server_key

        server_key(self)

    def prices(self) -> "Prices":
        """Returns the recipe's own prices, else the price table's."""
        from potstill.models.openai.cost import prices_of

        return prices_of(self)

    def endpoint(self) -> Endpoint:
        """Returns the server."""
        return Endpoint(self, stop=lambda: None)

    def least_seconds(self, *, requests: float, tokens: float) -> float:
        """Returns how long ``requests_per_minute`` and ``tokens_per_minute`` make it take."""
        limits = (requests, self.requests_per_minute), (tokens, self.tokens_per_minute)
        return max(amount * 60 / limit if limit else 0.0 for amount, limit in limits)

    @property
    def in_batches(self) -> bool:
        """Whether ``mode`` is batch."""
        return self.mode == "batch"

    @property
    def address(self) -> str:
        """The address that the server's routes begin with."""
        return self.base_url


class VLLMSettings(ServerSettings):
    """``vllm:NAME`` (a hub name or a folder): served by vLLM on this machine, for the run alone.

    ``chat`` is for models with a chat template; false asks with plain text.
    """

    options: dict[str, object] = Field(default_factory=dict)
    """Options of ``vllm serve`` without their dashes, e.g. ``{tensor-parallel-size: 2}``; null
    leaves one out, and a mapping is given as JSON."""

    control_tokens: bool = Field(default=False, exclude_if=_is_off)
    """``chat: false``: read control tokens that prompts spell as such. Without it they are text."""

    startup_seconds: float = Field(default=1800.0, gt=0)
    """Longest wait until the server is ready, its download of the model included, in seconds."""

    @field_validator("options")
    @classmethod
    def _options_are_free(cls, options: dict[str, object]) -> dict[str, object]:
        return free_options(options)

    @property
    def tokenizer(self) -> LocalSettings:
        """The same hub model or folder, loaded here."""
        return LocalSettings(model=f"hf:{self.where}")

    def open(self, runtime: Runtime | None = None) -> "Model":
        """Returns the model; its server is started when it is first asked."""
        from potstill.models.vllm.model import VLLMModel

        return VLLMModel(self, runtime)

    def identity(self, *, content: bool = True) -> Teacher:
        """Returns the name, for which a folder is read unless ``content`` is false."""
        if not content:
            return Teacher(name=self.model, chat=self.chat)
        return super().identity()

    def endpoint(self) -> Endpoint:
        """Starts the server, and returns it once it is ready."""
        from potstill.models.vllm.launcher import LaunchedServer, vllm_program

        server = LaunchedServer(vllm_program(self), EventLog())
        served = server.start()
        assert served is not None, "nobody stops it while it starts"
        return Endpoint(served, stop=server.stop)


class RecordedSettings(ModelSettings):
    """``recorded:FILE``: rationales published or bought before, as JSONL, JSON or Parquet."""

    can_continue: ClassVar[bool] = False

    question_field: str = "question"
    """The column that holds the question."""

    rationale_field: str = "rationale"
    """The column that holds the completion, or a list of them."""

    def open(self, runtime: Runtime | None = None) -> "Model":
        """Reads the file."""
        from potstill.models.recorded import RecordedModel

        return RecordedModel(self)


def _guard_kind(kind: type[ModelSettings], label: str) -> type[ModelSettings]:
    """A class of a user's own, in whose methods and models a failure is one line from now on."""
    for name in ("open", "identity", "prices", "endpoint", "least_seconds"):
        if name in vars(kind):
            setattr(kind, name, guarded(vars(kind)[name], f"{name} of {label}"))
    open_model = kind.open

    @wraps(open_model)
    def open_guarded(settings: ModelSettings, runtime: Runtime | None = None) -> "Model":
        model = open_model(settings, runtime)
        own = next((cls for cls in type(model).__mro__ if "complete" in vars(cls)), None)
        if own is not None and own not in _GUARDED and not own.__module__.startswith("potstill."):
            complete = guarded_iterator(vars(own)["complete"], f"complete of {label}")
            own.complete = complete  # type: ignore[attr-defined]
            _GUARDED.add(own)
        return model

    kind.open = open_guarded  # type: ignore[method-assign, assignment]
    return kind


_GUARDED = WeakSet[type]()
"""Classes of users' own models whose failures are one line already."""

KINDS: Mapping[str, type[ModelSettings]] = Registry(
    "kind of model",
    {
        "bundled": LocalSettings,
        "hf": LocalSettings,
        "openai": OpenAISettings,
        "vllm": VLLMSettings,
        "recorded": RecordedSettings,
    },
    group="potstill.models",
    fits=lambda thing: isinstance(thing, type) and issubclass(thing, ModelSettings),
    guard=_guard_kind,
)
"""The settings class of each kind, potstill's own and those that entry points add."""


def student_settings(raw: object, *, at: str) -> LocalSettings:
    """Makes the settings of a model that can be trained; arguments as for :func:`model_settings`.

    Raises:
        ConfigError: Also where the model is asked through a server or a file.
    """
    settings = model_settings(raw, at=at)
    if not isinstance(settings, LocalSettings):
        raise unfit(
            settings.model,
            "give a model that can be trained here, as hf:NAME, hf:FOLDER, bundled:teacher or "
            "bundled:student",
            at=at,
        )
    return settings


def model_settings(raw: object, *, at: str) -> ModelSettings:
    """Makes a model's settings from ``kind:where``, or from a mapping with ``model: kind:where``.

    Args:
        raw: The value from YAML; settings that are made already are returned.
        at: The value's place in the recipe, which begins every message, e.g. ``teacher``.

    Raises:
        ConfigError: The kind is unknown, or a setting is not one of that kind's.
    """
    if isinstance(raw, ModelSettings):
        return raw
    values = {"model": raw} if isinstance(raw, str) else raw
    if not isinstance(values, Mapping) or not isinstance(values.get("model"), str):
        raise unfit(raw, "give kind:where, e.g. bundled:teacher", at=at)
    kind, _, where = str(values["model"]).partition(":")
    if kind not in KINDS or not where:
        kinds = ", ".join(KINDS)
        raise unfit(values["model"], f"give kind:where, the kind one of {kinds}", at=at)
    return build(KINDS[kind], values, at=at)
