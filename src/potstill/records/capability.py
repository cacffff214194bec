"""The abilities that a server was found to have, each by a probe of its own."""

from dataclasses import dataclass
from typing import Literal

CapabilityName = Literal[
    "continuing",
    "samples_at_once",
    "temperature",
    "logprobs",
    "prompt_logprobs",
    "token_ids",
    "context",
]

UNKNOWN = "unknown"
"""The value of an ability that a probe could not tell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Capability:
    """One ability of one model behind one server."""

    address: str
    """The address at which the server's routes begin."""

    model: str
    """The model's name at the server, with a digest of ``body`` where the recipe adds fields."""

    route: Literal["chat", "completions"]
    """The route by which it is asked."""

    name: CapabilityName

    value: str
    """A word or a whole number, as the probe of this name says; :data:`UNKNOWN` where it could not
    tell."""

    found_at: float
    """Seconds since 1970."""
