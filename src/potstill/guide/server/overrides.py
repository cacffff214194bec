"""The policies that requests name."""

from collections.abc import Mapping

from potstill.errors import ConfigError
from potstill.guide.policies import Policy, policy_settings
from potstill.guide.server.settings import ServeSettings
from potstill.settings import build


def request_policy(raw: object, settings: ServeSettings) -> Policy:
    """The policy that a request names, in short or at length as in a recipe.

    Raises:
        ConfigError: There is no such policy, or this server does not follow it.
    """
    if not settings.overrides:
        raise ConfigError("guidance is fixed by this server; leave it out of the request.")
    values = policy_settings(raw)
    if not isinstance(values, Mapping):
        raise ConfigError("guidance is no policy; give e.g. first, never or {first_n: 2}.")
    policy = build(Policy, values, at="guidance")
    if policy.when != "never" and settings.teacher is None:
        raise ConfigError(f"guidance is {policy.name}, and this server has no teacher; give never.")
    if policy.steps > settings.limits.steps:
        raise ConfigError(
            f"guidance asks for {policy.steps} steps; this server gives {settings.limits.steps}."
        )
    return policy
