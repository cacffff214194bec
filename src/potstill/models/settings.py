"""How each kind of model is reached. A model is named ``kind:where``; the kind picks the class."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from potstill.errors import ConfigError
from potstill.settings import Settings, build

BUNDLED = ("teacher", "student", "guide")
"""The models in the package: the bundled pair, and the teacher trained on to look far back."""

SERVED = {"api-key", "config", "headless", "host", "model", "port", "served-model-name", "uds"}
"""Options of vLLM's server by which it would be reached otherwise than we do."""


class ModelSettings(Settings):
    """What every kind of model shares."""

    model: str
    """``kind:where``, e.g. ``bundled:teacher`` or ``openai:gpt-5-mini``."""

    @property
    def where(self) -> str:
        """The part of the name after the kind."""
        return self.model.partition(":")[2]


class LocalSettings(ModelSettings):
    """``hf:`` (a hub name or a folder) and ``bundled:`` (``teacher``, ``student`` or ``guide``)."""

    device: str | None = None
    """A torch device such as ``cuda:1``; by default CUDA where there is one, else the CPU."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights; ``auto`` is bfloat16 on CUDA and float32 elsewhere."""

    batch_tokens: int = Field(default=32_768, ge=1)
    """Most tokens (prompts and longest completions) that are computed in one batch."""

    revision: str | None = None
    """Branch, tag or commit of a hub model."""

    trust_remote_code: bool = False
    """Run code that comes with a hub model; only for authors you trust."""

    @model_validator(mode="after")
    def _is_bundled(self) -> Self:
        if self.model.startswith("bundled:") and self.where not in BUNDLED:
            known = ", ".join(f"bundled:{name}" for name in BUNDLED)
            raise ValueError(f"there is no {self.model}; known: {known}")
        return self


class OpenAISettings(ModelSettings):
    """``openai:NAME``: any OpenAI-compatible server."""

    base_url: str = "https://api.openai.com/v1"
    """Where the server's routes begin."""

    api_key_env: str | None = "OPENAI_API_KEY"
    """The environment variable that holds the key; null for a server without keys."""

    chat: bool = True
    """Use the chat route; false asks the plain completions route."""

    mode: Literal["live", "batch"] = "live"
    """``batch`` asks through the provider's batch endpoint: cheaper, and done within a day."""

    poll_seconds: float = Field(default=30.0, gt=0)
    """How often a batch is asked whether it is done, in seconds."""

    concurrency: int = Field(default=256, ge=1)
    """Most requests in flight at once, answers that are not stored yet included; fewer while the
    server pushes back."""

    requests_per_minute: float | None = Field(default=None, gt=0)
    """Most requests sent in a minute; null sets no limit."""

    tokens_per_minute: float | None = Field(default=None, gt=0)
    """Most tokens, prompts included, asked for in a minute; null sets no limit."""

    timeout: float = Field(default=600.0, gt=0)
    """Longest wait for one answer, in seconds."""

    deadline: float = Field(default=3600.0, gt=0)
    """Longest time for one request with all its tries and waits, in seconds."""

    retries: int = Field(default=8, ge=0)
    """How often a request is repeated after a fault that may pass."""

    prompt_price: float | None = Field(default=None, ge=0)
    """US dollars a million prompt tokens; null takes it from the price table."""

    cached_price: float | None = Field(default=None, ge=0)
    """US dollars a million prompt tokens that the server had in its cache; null as above."""

    completion_price: float | None = Field(default=None, ge=0)
    """US dollars a million completion tokens; null as above."""

    body: dict[str, object] = Field(default_factory=dict)
    """Further fields for every request's body, merged last; null takes a field out."""


class VLLMSettings(ModelSettings):
    """``vllm:NAME`` (a hub name or a folder): served by vLLM on this machine, for the run alone."""

    options: dict[str, object] = Field(default_factory=dict)
    """Options of ``vllm serve`` without their dashes, e.g. ``{tensor-parallel-size: 2}``; null
    leaves one out, and a mapping is given as JSON."""

    chat: bool = True
    """Use the chat route, for models with a chat template; false asks with plain text."""

    startup_seconds: float = Field(default=1800.0, gt=0)
    """Longest wait until the server is ready, its download of the model included, in seconds."""

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

    @field_validator("options")
    @classmethod
    def _options_are_free(cls, options: dict[str, object]) -> dict[str, object]:
        options = {name.lstrip("-").replace("_", "-"): each for name, each in options.items()}
        if taken := sorted(SERVED.intersection(options)):
            raise ValueError(
                f"{taken[0]} is not for you to set: the server is reached by this run alone"
            )
        return options


class RecordedSettings(ModelSettings):
    """``recorded:FILE``: rationales published or bought before, as JSONL, JSON or Parquet."""

    question_field: str = "question"
    """The column that holds the question."""

    rationale_field: str = "rationale"
    """The column that holds the completion, or a list of them."""


KINDS: dict[str, type[ModelSettings]] = {
    "bundled": LocalSettings,
    "hf": LocalSettings,
    "openai": OpenAISettings,
    "vllm": VLLMSettings,
    "recorded": RecordedSettings,
}


def student_settings(raw: object, *, at: str) -> LocalSettings:
    """Make the settings of a model that can be trained; arguments as for :func:`model_settings`.

    Raises:
        ConfigError: Also where the model is asked through a server or a file.
    """
    settings = model_settings(raw, at=at)
    if not isinstance(settings, LocalSettings):
        raise ConfigError(
            f"{at} is {settings.model!r}: give a model that can be trained here, as hf:NAME, "
            "hf:FOLDER, bundled:teacher or bundled:student."
        )
    return settings


def model_settings(raw: object, *, at: str) -> ModelSettings:
    """Make a model's settings from ``kind:where``, or from a mapping with ``model: kind:where``.

    Raises:
        ConfigError: The kind is unknown, or a setting is not one of that kind's.
    """
    if isinstance(raw, ModelSettings):
        return raw
    values = {"model": raw} if isinstance(raw, str) else raw
    if not isinstance(values, Mapping) or not isinstance(values.get("model"), str):
        raise ConfigError(f"{at} is {raw!r}: give kind:where, e.g. bundled:teacher.")
    kind, _, where = str(values["model"]).partition(":")
    if kind not in KINDS or not where:
        raise ConfigError(
            f"{at} is {values['model']!r}: give kind:where, the kind one of {', '.join(KINDS)}."
        )
    return build(KINDS[kind], values, at=at)
