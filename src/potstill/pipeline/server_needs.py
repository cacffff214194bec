"""What a recipe needs of the servers that it asks, held against what they were found to do."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from potstill.errors import BudgetError, ConfigError, ModelError
from potstill.models.openai.server_probes import NO_WAY
from potstill.models.settings import OpenAISettings
from potstill.pipeline.recipe import Recipe
from potstill.pipeline.server_checks import find_and_keep, known_capabilities
from potstill.records import Capability, CapabilityName
from potstill.runtime import Runtime
from potstill.store import Store


class ServerNeed(NamedTuple):
    """One setting that depends on what a teacher's server can do."""

    teacher: str
    """The teacher's name in the recipe."""

    capability: CapabilityName
    setting: str
    """The setting with its value, e.g. ``generate.top_logprobs: 20``."""

    amount: int
    """The number needed, where the ability is one; else 0."""

    is_probed: bool
    """Whether the server is asked for it where nothing is known; some abilities show by
    themselves, in the first answers that are bought."""


def server_needs(recipe: Recipe) -> Iterator[ServerNeed]:
    """Yields what a recipe needs of its teachers' servers."""
    generate, guide = recipe.generate, recipe.guide
    guiding = next(iter(recipe.named_teachers))
    for name, settings in recipe.named_teachers.items():
        if not isinstance(settings, OpenAISettings):
            continue
        if generate.top_logprobs:
            setting = f"generate.top_logprobs: {generate.top_logprobs}"
            yield ServerNeed(name, "logprobs", setting, generate.top_logprobs, True)
        if generate.samples > 1 and generate.temperature > 0:
            setting = f"generate.samples: {generate.samples}"
            yield ServerNeed(name, "temperature", setting, 0, False)
        setting = f"generate.max_tokens: {generate.max_tokens}"
        yield ServerNeed(name, "context", setting, generate.max_tokens, False)
        if name == guiding and guide is not None and guide.needing_continuation:
            policies = ", ".join(policy.label for policy in guide.needing_continuation)
            yield ServerNeed(name, "continuing", f"guide.policies: {policies}", 0, True)


def lack(need: ServerNeed, settings: OpenAISettings, value: str) -> str | None:
    """Returns what a server lacks and the way out, in one line; None where it lacks nothing.

    Args:
        need: What is needed.
        settings: The server's.
        value: What was found of this ability; an unknown one is no lack.
    """
    server = f"{need.setting} needs more than {settings.model} at {settings.base_url} was found to"
    if need.capability == "logprobs" and value.isdecimal() and int(value) < need.amount:
        if value == "0":
            return (
                f"{server} do: it gives no token probabilities. Set generate.top_logprobs to 0, "
                "or ask a server that has them, such as vLLM."
            )
        return (
            f"{server} do: it lists {value} likeliest tokens at most. Set generate.top_logprobs "
            f"to {value} or less."
        )
    if need.capability == "temperature" and value == "ignored":
        return (
            f"{server} do: it ignores the temperature, so that all samples of a question are one "
            "text. Set generate.samples to 1, or ask a server that draws."
        )
    if need.capability == "context" and value.isdecimal() and int(value) <= need.amount:
        return (
            f"{server} hold: prompt and answer together have {int(value):,} tokens at most. Set "
            "generate.max_tokens lower, by as much as the prompts take."
        )
    if need.capability == "continuing" and value == NO_WAY:
        return (
            f"{server} do: it does not go on from an answer that is begun, as the teacher has to "
            "under these policies. Set teacher.chat_template to the hub name or folder of its "
            "tokenizer, by which the completions route can do it; or take never, first, "
            "when_unsure or learned."
        )
    return None


def lacks(recipe: Recipe, found: Mapping[str, Mapping[str, Capability]]) -> list[str]:
    """Returns what the servers of a recipe lack, by what is known of them.

    Args:
        recipe: Names the teachers.
        found: What is known, by teacher and ability.
    """
    lines = []
    for need in server_needs(recipe):
        settings = recipe.named_teachers[need.teacher]
        known = found.get(need.teacher, {}).get(need.capability)
        if isinstance(settings, OpenAISettings) and known is not None:
            line = lack(need, settings, known.value)
            lines += [line] if line else []
    return lines


def refuse_lacking(recipe: Recipe, runtime: Runtime, store: Store) -> None:
    """Find out what the recipe needs and nothing is known of, before anything is paid for.

    A server that cannot be asked now is no fault of the recipe.

    Raises:
        ConfigError: A server lacks what a setting needs.
    """
    found: dict[str, dict[str, Capability]] = {}
    for need in server_needs(recipe):
        settings = recipe.named_teachers[need.teacher]
        assert isinstance(settings, OpenAISettings)
        known = found.setdefault(need.teacher, known_capabilities(store, settings))
        by_prefill = need.capability == "continuing" and settings.prefill is not None
        if need.is_probed and need.capability not in known and not by_prefill:
            try:
                known |= find_and_keep(settings, runtime, store, [need.capability])
            except (ModelError, BudgetError):
                return
    for line in lacks(recipe, found):
        raise ConfigError(line)
