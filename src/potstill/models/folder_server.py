"""The settings of a program that loads a model's folder and answers for it."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from potstill.settings import Settings

RESERVED_OPTIONS = {
    "api-key",
    "config",
    "headless",
    "host",
    "model",
    "port",
    "served-model-name",
    "uds",
}
"""Options of vLLM's server by which it would be reached otherwise than we do."""


VLLM = "vllm"
"""The name of vLLM where a program is named."""


def free_options(options: dict[str, object]) -> dict[str, object]:
    """Returns options of vLLM's server by their names without dashes before them.

    Raises:
        ValueError: One of them is not for users to set.
    """
    options = {name.lstrip("-").replace("_", "-"): value for name, value in options.items()}
    if taken := sorted(RESERVED_OPTIONS.intersection(options)):
        raise ValueError(
            f"{taken[0]} is not for you to set: the server is reached by this run alone"
        )
    return options


class FolderServer(Settings):
    """A program that loads the model's folder and answers for it, in a process of its own."""

    program: str = "vllm"
    """``vllm``, or a command line with ``{folder}`` and ``{port}`` in it, of an OpenAI-compatible
    server."""

    options: dict[str, object] = Field(default_factory=dict)
    """Options of ``vllm serve`` without their dashes, as for ``vllm:`` models."""

    prompts: Literal["ids", "text"] = "ids"
    """The form of prompts sent to its completions route: token ids, or texts that its tokenizer
    turns into the same ids; a prompt for which it would not is refused."""

    health: str = "/health"
    """The route that answers with 200 once the server is ready."""

    concurrency: int = Field(default=64, ge=1)
    """Most requests in flight at once."""

    startup_seconds: float = Field(default=1800.0, gt=0)
    """Longest wait until the server is ready, in seconds."""

    timeout: float = Field(default=600.0, gt=0)
    """Longest wait for one answer, in seconds."""

    def __hash__(self) -> int:
        return hash(self.model_dump_json())

    @field_validator("options")
    @classmethod
    def _options_are_free(cls, options: dict[str, object]) -> dict[str, object]:
        return free_options(options)

    @model_validator(mode="after")
    def _command_has_its_places(self) -> Self:
        if self.program == VLLM:
            return self
        for place in ("{folder}", "{port}"):
            if place not in self.program:
                raise ValueError(
                    f"program is {self.program!r}, which has no {place}. Give vllm, or a command "
                    "line such as: transformers serve {folder} --port {port}"
                )
        if self.options:
            raise ValueError("options are those of vllm serve; write those of another program "
                             "into its command line")  # fmt: skip
        return self


def _serve(raw: object) -> object:
    """A known name as it is, a command line and a mapping as settings: each has its own faults."""
    if raw in (None, "auto", VLLM) or isinstance(raw, FolderServer):
        return raw
    if isinstance(raw, str):
        return FolderServer.model_validate({"program": raw})
    if isinstance(raw, Mapping):
        return FolderServer.model_validate(raw)
    raise ValueError("give vllm, auto, a command line, or a mapping with its settings")


ServedBy = Annotated[str | FolderServer | None, BeforeValidator(_serve)]
"""The program that computes a local model's answers: vLLM, another, or null: this process."""
