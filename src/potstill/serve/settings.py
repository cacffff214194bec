"""Settings of the guided server: the YAML file of ``potstill serve``."""

import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from potstill.guide.settings import GuidanceSettings
from potstill.guide.types import GuidanceConfig, PolicySettings, expand_policy
from potstill.models.settings import (
    LocalSettings,
    ModelSettings,
    OpenAISettings,
    RecordedSettings,
    VLLMSettings,
    model_settings,
)
from potstill.prompts.formats import AnyFormat, format_named
from potstill.prompts.styles import AnyStyle, shows_exemplars, style_named
from potstill.settings import Settings, VariableName
from potstill.text.steps import StepKind

AnyModel = LocalSettings | OpenAISettings | VLLMSettings | RecordedSettings

Route = Literal["chat", "completions", "responses"]

_ORIGIN = re.compile(
    r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?|https?://\[[0-9A-Fa-f:.]+\](?::\d{1,5})?"
)
"""A page's origin as browsers write it."""


def _student(raw: object) -> ModelSettings:
    return model_settings(raw, at="student")


def _teacher(raw: object) -> ModelSettings | None:
    return None if raw is None else model_settings(raw, at="teacher")


class RequestLimits(Settings):
    """The most that one client, or all of them together, may ask for."""

    body_bytes: int = Field(default=2**20, ge=1)
    """Largest request."""

    prompt_characters: int = Field(default=100_000, ge=1)
    """Longest prompt, or all turns of a chat together."""

    prompts: int = Field(default=128, ge=1)
    """Most prompts of one request on the text route."""

    samples: int = Field(default=8, ge=1)
    """Largest ``n``."""

    max_tokens: int = Field(default=4096, ge=1)
    """Longest answer, in the student's tokens."""

    steps: int = Field(default=8, ge=1)
    """Most steps that a request may have the teacher write by a policy of its own."""

    in_flight: int = Field(default=256, ge=1)
    """Most requests that are answered at once."""

    queue: int = Field(default=256, ge=0)
    """Requests that wait beside those; more are refused with 429."""

    seconds: float = Field(default=60.0, gt=0)
    """Longest time from a request to the end of its answer."""

    grace: float = Field(default=30.0, ge=0)
    """Seconds that a stopped server takes to finish what it has begun."""


class TeacherLimits(Settings):
    """The most that the teacher may take; past any of these the student answers alone."""

    seconds: float = Field(default=5.0, gt=0)
    """Longest wait for one step, and never more than half of the time that is left."""

    answer_seconds: float = Field(default=30.0, gt=0)
    """route: longest wait for a whole answer of the teacher's, and never more than half of the time
    that is left."""

    tokens_per_hour: int | None = Field(default=None, ge=0)
    """Prompt and completion tokens of any 60 minutes, from which on the teacher is not asked. What
    is on its way, or was given up, counts as guessed from its length. null: no limit."""

    failures: int = Field(default=8, ge=1)
    """Failures in a row after which the teacher is left alone for a while."""

    rest: float = Field(default=10.0, gt=0)
    """How long it is left alone, in seconds; then one request tries it again."""


class ServeSettings(GuidanceSettings):
    """Everything ``potstill serve`` needs."""

    student: Annotated[AnyModel, BeforeValidator(_student)]
    """The model that answers, as kind:where."""

    teacher: Annotated[AnyModel | None, BeforeValidator(_teacher)] = None
    """The model that steps in, as kind:where; null: none."""

    name: str = ""
    """The model's name for clients; by default the student's kind:where."""

    guidance: Annotated[PolicySettings | None, BeforeValidator(expand_policy)] = None
    """When the teacher steps in; null: at the first step, where there is a teacher."""

    overrides: bool = True
    """Whether a request may name a policy of its own, as ``guidance`` in its body."""

    judge: str | None = None
    """``guide.json`` of a run: the thresholds it chose, and what the policy ``learned`` learned."""

    steps: StepKind = "sentences"
    """How the student lays out its reasoning."""

    student_format: AnyFormat | None = None
    """The data format that the student was trained on: the last user message of a chat is worded by
    it. null: chats are passed on as they are."""

    teacher_style: AnyStyle | None = None
    """The prompt style in which the teacher is asked the last user message. null: it is asked what
    the student is asked."""

    temperature: float = Field(default=1.0, ge=0, le=2)
    """Softmax temperature where a request gives none."""

    max_tokens: int = Field(default=512, ge=1)
    """Longest answer where a request gives no limit, in the student's tokens."""

    thinking_tokens: int | None = Field(default=None, ge=1)
    """Most tokens that the student thinks for; then the closing mark is written for it, and it
    answers. A student's server has to go on from begun answers; null: no limit of its own."""

    host: str = "127.0.0.1"
    """The address to listen on; other than this machine's own only with ``token_env``."""

    port: int = Field(default=8321, ge=0, le=65535)
    """The port to listen on; 0 takes any free one."""

    token_env: VariableName | None = None
    """The environment variable that holds the clients' bearer tokens, with white space between."""

    cors_origins: tuple[str, ...] = ()
    """Origins whose pages browsers may let ask this server, e.g. ``https://chat.example.org``, or
    ``*`` for all, which needs ``token_env``."""

    telemetry: bool = False
    """Whether requests are traced by OpenTelemetry; the ``OTEL_`` variables say where to."""

    limits: RequestLimits = RequestLimits()
    teacher_limits: TeacherLimits = TeacherLimits()

    @model_validator(mode="after")
    def _policy_can_be_followed(self) -> Self:
        if self.teacher is None and self.policy.when != "never":
            raise ValueError(
                f"guidance is {self.policy.label}, and there is no teacher. Give teacher, or "
                "guidance: never"
            )
        return self

    @model_validator(mode="after")
    def _thinking_can_be_ended(self) -> Self:
        if self.thinking_tokens is None or isinstance(self.student, LocalSettings):
            return self
        student = self.student
        # Whether one that leaves prefill open goes on is tried before it is first asked.
        continues = isinstance(student, VLLMSettings) or (
            isinstance(student, OpenAISettings) and student.prefill != "none"
        )
        if not continues:
            raise ValueError(
                f"thinking_tokens is {self.thinking_tokens}, and {student.model} cannot go on from "
                "an answer that is begun, as it would have to behind the end of its thinking. "
                "Leave thinking_tokens out, or serve the student's folder here, as hf:FOLDER"
            )
        return self

    @model_validator(mode="after")
    def _prompts_can_be_worded(self) -> Self:
        if self.student_format and format_named(self.student_format).needs_exemplars:
            raise ValueError(
                f"student_format is {format_named(self.student_format).name}, which shows worked "
                "questions, and the server has none; let clients word the prompt by "
                "/v1/completions"
            )
        style = style_named(self.teacher_style) if self.teacher_style else None
        if style and shows_exemplars(style):
            raise ValueError(
                f"teacher_style is {style.name}, which shows worked questions, and the server has "
                "none; give one without, such as instruct_cot or zero_shot_cot"
            )
        return self

    @model_validator(mode="after")
    def _strangers_need_a_token(self) -> Self:
        if self.token_env is None and not is_loopback(self.host):
            raise ValueError(
                f"host is {self.host}, which other machines reach, and no token is asked for. Name "
                "the environment variable that holds one with token_env, or listen on 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _origins_are_origins(self) -> Self:
        for origin in self.cors_origins:
            if origin == "*" and self.token_env is None:
                raise ValueError(
                    "cors_origins holds *, by which any page that is open in a browser here could "
                    "ask this server, and no token is asked for. Name the pages' origins, or give "
                    "token_env"
                )
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"cors_origins holds {origin!r}, which is no origin. Give scheme, host and "
                    "port alone, such as http://localhost:3000"
                )
        return self

    @property
    def policy(self) -> PolicySettings:
        """When the teacher steps in where a request does not say."""
        if self.guidance is not None:
            return self.guidance
        return PolicySettings(when="first" if self.teacher else "never")

    @property
    def config(self) -> GuidanceConfig:
        """How answers are guided."""
        return self.guidance_config(self.steps)

    @property
    def served_name(self) -> str:
        """The model's name for clients."""
        return self.name or self.student.model


def is_loopback(host: str) -> bool:
    """Whether a host is this machine as it calls itself."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
