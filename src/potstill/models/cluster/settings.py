"""The settings of ``run_on``: the cluster on which a run's models are asked."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from potstill.errors import shortened
from potstill.settings import Settings

_ADDRESS = re.compile(r"auto|local|(ray://)?[^\s/:]+:\d+|ray://\[[0-9a-fA-F:]+\]:\d+")


class RunOnSettings(Settings):
    """A cluster whose workers ask the run's models; this process stores what they answer."""

    engine: Literal["ray"] = "ray"
    """The program that runs the workers."""

    address: str = "auto"
    """The cluster: ``auto`` (the one of this machine, or that ``RAY_ADDRESS`` names), ``local``
    (one of this process's own), ``HOST:PORT`` or ``ray://HOST:PORT``."""

    workers: int | None = Field(default=None, ge=1)
    """Most workers of one model at once. null: one a node for a model behind a server; else one a
    GPU, or one for every two cores where there is none."""

    cpus: float | None = Field(default=None, ge=0)
    """Cores that a worker claims; null: a tenth where it only waits for a server, else one."""

    gpus: float | None = Field(default=None, ge=0)
    """GPUs that a worker claims; null: none where it only waits for a server, else one, where the
    cluster has any; for vLLM as many as its ``tensor-parallel-size``."""

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, address: str) -> str:
        if not _ADDRESS.fullmatch(address):
            raise ValueError(
                f"address is {shortened(address)}. Give auto, local, HOST:PORT or ray://HOST:PORT"
            )
        return address


def named_engine(raw: object) -> object:
    """Returns ``run_on`` as a mapping, where it is an engine's name alone."""
    return {"engine": raw} if isinstance(raw, str) else raw


AnyRunOn = Annotated[RunOnSettings | None, BeforeValidator(named_engine)]
"""``run_on`` as a recipe has it."""
