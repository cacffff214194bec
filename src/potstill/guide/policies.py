"""When the teacher steps in: the policies, as a recipe or a request names them."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from potstill.guide.signals import SignalName
from potstill.settings import Settings

When = Literal["never", "first", "at", "first_n", "when_unsure", "learned"]


class Policy(Settings):
    """When the teacher writes a step.

    In short ``never``, ``first``, ``learned`` or ``when_unsure``, or a mapping of one item such as
    ``at: 2`` (the second step alone) and ``first_n: 3`` (the first three steps).
    """

    when: When
    """Which policy it is."""

    steps: int = Field(default=1, ge=1)
    """at: which step the teacher writes, counted from 1; first_n: how many."""

    signal: SignalName = "min_logprob"
    """when_unsure: what of the student's own first step is looked at."""

    threshold: float | None = None
    """when_unsure, learned: guided from here on; null: chosen on development questions."""

    @property
    def conditional(self) -> bool:
        """Whether the student's own first step decides."""
        return self.when in ("when_unsure", "learned")

    @property
    def places(self) -> range:
        """The steps that the teacher writes, counted from 0, where it steps in at all."""
        if self.when == "never":
            return range(0)
        if self.when == "at":
            return range(self.steps - 1, self.steps)
        return range(self.steps if self.when == "first_n" else 1)

    @property
    def name(self) -> str:
        """Unique among the policies of a run that differ."""
        if self.when in ("at", "first_n"):
            return f"{self.when}_{self.steps}"
        return f"when_unsure_{self.signal}" if self.when == "when_unsure" else self.when


def policy_settings(raw: object) -> object:
    """The long form of a policy that was given in short."""
    if isinstance(raw, str):
        return {"when": raw}
    if isinstance(raw, Mapping) and len(raw) == 1:
        ((name, value),) = raw.items()
        if name in ("at", "first_n"):
            return {"when": name, "steps": value}
        if name == "when_unsure" and isinstance(value, Mapping):
            return {"when": name, **value}
    return raw


AnyPolicy = Annotated[Policy, BeforeValidator(policy_settings)]
