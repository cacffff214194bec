"""A recipe's needs of the servers that it asks, compared with their known abilities."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from potstill.errors import BudgetError, ConfigError, MissingExtraError, ModelError
from potstill.models.openai.given_asker import PROBE_PROMPT, PROBE_TEXT, TooFewListed
from potstill.models.openai.model import OpenAIModel
from potstill.models.openai.server_probes import NO_WAY
from potstill.models.settings import OpenAISettings, ServerSettings
from potstill.pipeline.recipe import Recipe
from potstill.pipeline.server_checks import Served, find_and_keep, known_capabilities
from potstill.records import Capability, CapabilityName, GivenText, Request
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
    """The number needed: where the ability is one, or, for ``prompt_logprobs``, of likeliest
    tokens at each place; else 0."""

    is_probed: bool
    """Whether the server is asked for it where nothing is known; some abilities show by
    themselves, in the first answers that are bought."""


def server_needs(recipe: Recipe) -> Iterator[ServerNeed]:
    """Yields what a recipe needs of its teachers' servers."""
    for name, settings in recipe.named_teachers.items():
        if isinstance(settings, ServerSettings):
            yield from _needs_of(recipe, name, settings)


def _needs_of(recipe: Recipe, name: str, settings: ServerSettings) -> Iterator[ServerNeed]:
    """Yields what a recipe needs of one teacher's server."""
    generate, guide = recipe.generate, recipe.guide
    if generate.top_logprobs:
        setting = f"generate.top_logprobs: {generate.top_logprobs}"
        yield ServerNeed(name, "logprobs", setting, generate.top_logprobs, True)
    if generate.samples > 1 and generate.temperature > 0:
        setting = f"generate.samples: {generate.samples}"
        yield ServerNeed(name, "temperature", setting, 0, False)
    setting = f"generate.max_tokens: {generate.max_tokens}"
    # A server of its own is started for its first answer all the same, and this takes no tokens.
    own = settings.address is None
    yield ServerNeed(name, "context", setting, generate.max_tokens, own)
    guiding = name == next(iter(recipe.named_teachers))
    if guiding and guide is not None and guide.needing_continuation:
        policies = ", ".join(policy.label for policy in guide.needing_continuation)
        yield ServerNeed(name, "continuing", f"guide.policies: {policies}", 0, True)
    for student, learns in recipe.train.students.items():
        if learns.on_policy is not None and learns.on_policy.teacher == name:
            setting = f"train.students.{student}.on_policy"
            yield ServerNeed(name, "prompt_logprobs", setting, learns.on_policy.top, True)


def lack(need: ServerNeed, settings: ServerSettings, value: str) -> str | None:
    """Returns what a server lacks and the way out, in one line; None where it lacks nothing.

    Args:
        need: The ability that is needed.
        settings: The server's settings.
        value: The finding on this ability; an unknown one is no lack.
    """
    where = settings.model + (f" at {settings.address}" if settings.address else "")
    server = f"{need.setting} needs more than {where} was found to"
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
    if need.capability == "prompt_logprobs" and value == NO_WAY:
        return (
            f"{server} do: it gives no probabilities of a text that it did not write. Have a "
            "teacher score on this machine (hf:NAME) or by a server that has them, such as vLLM "
            "or SGLang, or leave on_policy out."
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
        template = (
            "Set teacher.chat_template to the hub name or folder of its tokenizer, by which the "
            "completions route can do it; or take"
        )
        return (
            f"{server} do: it does not go on from an answer that is begun, as the teacher has to "
            f"under these policies. {template if settings.address else 'Take'} never, first, "
            "when_unsure, learned or route."
        )
    return None


def lacks(recipe: Recipe, found: Mapping[str, Mapping[str, Capability]]) -> list[str]:
    """Returns what the servers of a recipe lack, by what is known of them.

    Args:
        recipe: Names the teachers.
        found: The known abilities, by teacher and ability.
    """
    lines = []
    for need in server_needs(recipe):
        settings = recipe.named_teachers[need.teacher]
        known = found.get(need.teacher, {}).get(need.capability)
        if isinstance(settings, ServerSettings) and known is not None:
            line = lack(need, settings, known.value)
            lines += [line] if line else []
    return lines


def refuse_lacking(
    recipe: Recipe,
    runtime: Runtime,
    store: Store,
    served: Served,
    is_asked: Callable[[str], bool],
) -> None:
    """Find out what the recipe needs and nothing is known of, before anything is paid for.

    A server that cannot be asked now is no fault of the recipe. One of its own is started only
    where something is to be asked of it.

    Args:
        recipe: Names the teachers.
        runtime: Its account counts what the probes cost.
        store: Knows what was found before, and takes what is found.
        served: Has a model's server run while it is asked.
        is_asked: Whether a teacher, by its name, has still something to write.

    Raises:
        ConfigError: A server lacks what a setting needs.
    """
    found: dict[str, dict[str, Capability]] = {}
    unlisted: list[str] = []
    for name, settings in recipe.named_teachers.items():
        if not isinstance(settings, ServerSettings):
            continue
        known = found[name] = known_capabilities(store, settings)
        needs = _probed_needs(recipe, name, settings)
        missing = [need.capability for need in needs if need.capability not in known]
        scoring = [need for need in needs if need.capability == "prompt_logprobs"]
        now = bool(missing) and settings.address is not None
        if not now and not ((missing or scoring) and is_asked(name)):
            continue
        with suppress(ModelError, BudgetError, MissingExtraError), served(settings) as asked:
            if asked is not None and missing:
                known |= find_and_keep(settings, asked, runtime, store, missing)
            if asked is not None and scoring and known["prompt_logprobs"].value != NO_WAY:
                most = max(scoring, key=lambda need: need.amount)
                unlisted += _unlisted(most, asked, runtime)
    for line in (*lacks(recipe, found), *unlisted):
        raise ConfigError(line)


def _unlisted(need: ServerNeed, asked: OpenAISettings, runtime: Runtime) -> list[str]:
    """Returns why a server that scores texts lists too few likeliest tokens; empty if it does not.

    It is asked for the scores of one short text, as training will ask for those of answers.
    """
    model = OpenAIModel(asked, runtime)
    given = GivenText(text=PROBE_TEXT, ends=False)
    request = Request(prompt=PROBE_PROMPT, given=given, top_logprobs=need.amount)
    try:
        if model.scores_texts:
            list(model.complete([request]))
    except TooFewListed as error:
        return [f"{need.setting}.top: {need.amount} needs more than was found. {error}"]
    return []


def _probed_needs(recipe: Recipe, name: str, settings: ServerSettings) -> list[ServerNeed]:
    """Returns what a teacher's server is asked for where nothing is known of it."""
    return [
        need
        for need in _needs_of(recipe, name, settings)
        if need.is_probed and not _is_by_prefill(need, settings)
    ]


def _is_by_prefill(need: ServerNeed, settings: ServerSettings) -> bool:
    """Whether a recipe itself says by which way a server goes on."""
    chosen = isinstance(settings, OpenAISettings) and settings.prefill is not None
    return chosen and need.capability == "continuing"
