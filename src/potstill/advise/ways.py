"""The ways in which a recipe's teachers can be asked: each as it is, and with thinking switched.

A server is told by a field of ``body`` whether a model is to think. Where a recipe gives one, the
teacher is tried both ways; where it gives none, nobody knows by which field its server would be
told, and the teacher is tried as it is.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

from potstill.models.settings import ModelSettings, ServerSettings

SWITCHES: tuple[tuple[str, ...], ...] = (
    ("chat_template_kwargs", "enable_thinking"),  # vLLM, SGLang and llama.cpp with Qwen3
    ("chat_template_kwargs", "thinking"),  # the same with DeepSeek V3.1 and Granite
    ("enable_thinking",),  # DashScope, SiliconFlow
    ("think",),  # Ollama
    ("thinking", "type"),  # Anthropic, GLM, Kimi: enabled or disabled
    ("reasoning", "enabled"),  # OpenRouter
)
"""Fields of a request's body that turn thinking on and off, by their places."""

_WORDS = {"enabled": True, "disabled": False}


class WayOfAsking(NamedTuple):
    """A teacher with its thinking on, off, or as it is."""

    teacher: str
    """The teacher's name in the recipe."""

    settings: ModelSettings
    thinking: bool | None
    """Whether it is told to think; None: it is told neither."""

    is_recipes: bool
    """Whether the recipe asks it so; else its thinking is switched for the trial."""

    @property
    def label(self) -> str:
        """The name under which this way is shown beside others."""
        return self.teacher if self.is_recipes else self.thinking_label

    @property
    def thinking_label(self) -> str:
        """The name of this way beside the same teacher with its thinking switched."""
        return f"{self.teacher}, thinking {'on' if self.thinking else 'off'}"


@dataclass(frozen=True, slots=True)
class ThinkingPair:
    """One model asked with and without thinking."""

    on: WayOfAsking
    off: WayOfAsking


def ways_of_asking(teachers: Mapping[str, ModelSettings]) -> list[WayOfAsking]:
    """Returns every teacher as the recipe asks it, and switched where it has a switch.

    A switched teacher that the recipe names by itself stands once.
    """
    ways = [
        WayOfAsking(name, settings, thinking_of(settings), True)
        for name, settings in teachers.items()
    ]
    switched = [
        WayOfAsking(way.teacher, with_thinking(way.settings, on=not way.thinking),
                    not way.thinking, False)
        for way in ways
        if way.thinking is not None
    ]  # fmt: skip
    return [*ways, *(way for way in switched if way.settings not in teachers.values())]


def thinking_pairs(ways: list[WayOfAsking]) -> list[ThinkingPair]:
    """Returns the ways that differ in nothing but thinking, in pairs."""
    pairs = []
    for on in ways:
        if on.thinking:
            off = with_thinking(on.settings, on=False)
            pairs += [ThinkingPair(on, way) for way in ways if way.settings == off]
    return pairs


def thinking_of(settings: ModelSettings) -> bool | None:
    """Whether a model is told to think; None where it is told neither, or both."""
    if not isinstance(settings, ServerSettings):
        return None
    states = {_state(settings.body, place) for place in SWITCHES} - {None}
    return states.pop() if len(states) == 1 else None


def with_thinking(settings: ModelSettings, *, on: bool) -> ModelSettings:
    """Returns a model's settings with every switch that they have turned on, or off.

    What stands beside ``type`` in ``thinking``, such as its budget, is for thinking alone.
    """
    assert isinstance(settings, ServerSettings), "no other has a switch"
    body = deepcopy(settings.body)
    for place in SWITCHES:
        if _state(body, place) is None:
            continue
        *sections, last = place
        section = body
        for name in sections:
            inner = section[name]
            assert isinstance(inner, dict), "it holds a switch"
            section = inner
        in_words = isinstance(section[last], str)
        if in_words and not on:
            section.clear()
        section[last] = ("enabled" if on else "disabled") if in_words else on
    return settings.model_copy(update={"body": body})


def _state(body: object, place: tuple[str, ...]) -> bool | None:
    """The state of the switch at a place; None where there is none."""
    for name in place:
        body = body.get(name) if isinstance(body, Mapping) else None
    if isinstance(body, str):
        return _WORDS.get(body)
    return body if isinstance(body, bool) else None
