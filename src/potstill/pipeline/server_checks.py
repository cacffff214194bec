"""The abilities of a run's servers: found once, kept in its store, checked against the recipe.

A server is asked by the probes of models/openai/server_probes.py when a setting first depends on
it. What was found is read from the store from then on; ``potstill check`` asks anew.
"""

import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple, get_args

from potstill.errors import ConfigError
from potstill.keys import settings_hash
from potstill.models.openai.model import server_key
from potstill.models.openai.server_probes import NO_WAY, find_capabilities
from potstill.models.settings import ModelSettings, OpenAISettings, ServerSettings, VLLMSettings
from potstill.records import Capability, CapabilityName
from potstill.runtime import Runtime
from potstill.store import Store

OWN_SERVER = "a server of its own"
"""The words in place of an address, where the server runs for the run alone."""

Served = Callable[[ServerSettings], AbstractContextManager[OpenAISettings | None]]
"""Has a model's server run for a block, and yields how it is asked; None where it was stopped."""


class ServedModel(NamedTuple):
    """The columns by which the store knows a model behind a server."""

    address: str
    model: str
    route: Literal["chat", "completions"]


def served_model(settings: ServerSettings) -> ServedModel:
    """Returns the columns by which the store knows a model behind a server.

    A server of its own has another port each time; its options say what it can do.
    """
    options = settings.options if isinstance(settings, VLLMSettings) else {}
    model = settings.where
    further: list[object] = [options] if options else []
    if isinstance(settings, OpenAISettings) and settings.chat_template is not None:
        further.append({"chat_template": settings.chat_template})
    if settings.body or further:
        model += f"#{settings_hash(settings.body, *further)}"
    route: Literal["chat", "completions"] = "chat" if settings.chat else "completions"
    return ServedModel((settings.address or OWN_SERVER).rstrip("/"), model, route)


def known_capabilities(store: Store, settings: ServerSettings) -> dict[str, Capability]:
    """Returns what the store knows of a server, by the ability's name."""
    return store.capabilities(**served_model(settings)._asdict())


def find_and_keep(
    settings: ServerSettings,
    asked: OpenAISettings,
    runtime: Runtime,
    store: Store | None,
    names: Collection[CapabilityName],
) -> dict[str, Capability]:
    """Asks a server by the probes of these names, and keeps what was found.

    Args:
        settings: The model's.
        asked: How its server is asked: the same, where it has none of its own.
        runtime: Its account counts what the probes cost.
        store: Takes what was found; None: nobody keeps it.
        names: The abilities that are wanted.

    Raises:
        ModelError: The server cannot be asked.
        BudgetError: The budget does not allow it.
    """
    values = find_capabilities(asked, server_key(asked), runtime, names)
    server, now = served_model(settings)._asdict(), time.time()
    found = [
        Capability(**server, name=name, value=value, found_at=now) for name, value in values.items()
    ]
    if store is not None and not store.read_only:
        # A missing way that the recipe itself chose says nothing of the others.
        chosen = isinstance(settings, OpenAISettings) and settings.prefill is not None
        kept = [one for one in found if not chosen or one.value != NO_WAY]
        store.keep_capabilities(kept)
    return {capability.name: capability for capability in found}


def continuing(
    settings: ModelSettings, runtime: Runtime, store: Store, served: Served
) -> tuple[ModelSettings, bool]:
    """Returns a teacher's settings with its way of going on from a begun answer filled in.

    Args:
        settings: The teacher's.
        runtime: Its account counts what a probe costs.
        store: Knows what was found before, and takes what is found.
        served: Has its server run while it is asked.

    Returns:
        The settings, and whether there is such a way.

    Raises:
        ConfigError: ``prefill`` names a way that the server does not have.
        ModelError: The server cannot be asked.
        MissingExtraError: It cannot be started.
        BudgetError: The budget does not allow it.
    """
    if not isinstance(settings, ServerSettings):
        return settings, settings.can_continue
    if not isinstance(settings, OpenAISettings):
        known = known_capabilities(store, settings)
        if "continuing" not in known and settings.chat:
            with served(settings) as asked:
                if asked is not None:
                    known = find_and_keep(settings, asked, runtime, store, ["continuing"])
        return settings, "continuing" not in known or known["continuing"].value != NO_WAY
    if not settings.chat or settings.prefill == NO_WAY:
        return settings, not settings.chat
    known = known_capabilities(store, settings)
    if "continuing" in known and settings.prefill in (None, known["continuing"].value):
        way = known["continuing"].value
    else:
        found = find_and_keep(settings, settings, runtime, store, ["continuing"])
        way = found["continuing"].value
    if settings.prefill is not None and way == NO_WAY:
        raise ConfigError(
            f"prefill of {settings.model} is {settings.prefill}, and the server at "
            f"{settings.base_url} was tried and does not go on from a begun answer by it. Leave "
            "prefill out to have a way found, or set none."
        )
    return settings.model_copy(update={"prefill": way}), way != NO_WAY


def check_server(
    settings: ModelSettings, runtime: Runtime, store: Store | None
) -> dict[str, Capability]:
    """Asks a model's server by every probe, whatever is known of it.

    Args:
        settings: The model's; one with a server of its own has it started, and stopped again.
        runtime: Its account counts what the probes cost.
        store: Takes what was found; None: nobody keeps it.

    Raises:
        ConfigError: The model runs in this process, or is a file.
        ModelError: The server cannot be asked.
        BudgetError: The budget does not allow it.
    """
    endpoint = settings.endpoint()
    if endpoint is None:
        raise ConfigError(
            f"{settings.model} is asked in this process; there is no server to check."
        )
    assert isinstance(settings, ServerSettings), "no other has an endpoint"
    try:
        names = get_args(CapabilityName)
        return find_and_keep(settings, endpoint.settings, runtime, store, names)
    finally:
        endpoint.stop()
