"""The base of all settings: frozen, typed, and a misspelt name is answered with the right one.

Every section of a recipe is a class of its own beside its stage::

    build(TrainSettings, {"step": 20}, at="recipe.yaml")
    ConfigError: recipe.yaml: unknown setting 'step'. Did you mean 'steps'?
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from potstill.errors import ConfigError, shortened


class Settings(BaseModel):
    """The base of a stage's settings; the text under each field is its description."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


S = TypeVar("S", bound=Settings)


def build(cls: type[S], raw: Mapping[str, object], *, at: str) -> S:
    """Make settings from plain values.

    Args:
        cls: The settings class.
        raw: Values by setting name, as YAML gave them.
        at: Where they stand, to begin every message with, e.g. ``recipe.yaml``.

    Raises:
        ConfigError: A name is unknown, or a value has the wrong type or is out of bounds. All
            of a mapping's faults are named at once, one a line, misspelt names first.
    """
    try:
        return cls.model_validate(raw)
    except ValidationError as error:
        faults = sorted(map(dict, error.errors()), key=lambda fault: not _is_misspelt(fault))
        # A setting that is missing since its name is misspelt is told once, by the misspelt name.
        meant = {_meant(cls, fault) for fault in faults if _is_misspelt(fault)}
        lines = [
            f"{at}: {_explain(cls, fault)}"
            for fault in faults
            if fault["type"] != "missing" or fault["loc"] not in meant
        ]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from error


def _is_misspelt(fault: dict[str, Any]) -> bool:
    return bool(fault["type"] == "extra_forbidden")


def _meant(cls: type[Settings], fault: dict[str, Any]) -> tuple[str | int, ...]:
    """The place of the setting that a misspelt name was to be; its own where nothing is near."""
    *parents, name = fault["loc"]
    near = get_close_matches(str(name), _names_at(cls, list(map(str, parents))), n=1)
    return (*parents, near[0] if near else name)


def _explain(cls: type[Settings], fault: dict[str, Any]) -> str:
    """One fault as a sentence: the setting's full name, the value seen, the way out."""
    cause = fault.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):  # of a section that was built on its own: it says it all
        return str(cause)
    *parents, name = [str(part) for part in fault["loc"]] or [""]
    if name == "[key]":  # of a mapping, whose key stands before it
        name = parents.pop()
        if fault["type"] == "string_type":
            at, key = ".".join(parents), fault["input"]
            return f"{at} holds the name {key!r}, which YAML reads as no text. Put it in quotes."
    full_name = ".".join([*parents, name])
    if _is_misspelt(fault):
        known = sorted(_names_at(cls, parents))
        near = get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known)}."
        return f"unknown setting {shortened(full_name)}. {hint}"
    if fault["type"] == "missing":
        return f"{full_name} is missing; it has no default."
    message = str(fault["msg"]).removeprefix("Value error, ")
    if not full_name:
        return message
    value = shortened(fault["input"])
    if isinstance(fault["input"], str) and value in message:  # it tells the value itself
        return f"{full_name}: {message}."
    return f"{full_name} is {value}: {message[:1].lower()}{message[1:]}."


def _names_at(cls: type[Settings], path: list[str]) -> set[str]:
    """The setting names known inside a nested section."""
    names = set(cls.model_fields)
    for part in path:
        inner = _settings_class(cls.model_fields[part].annotation) if part in names else None
        if inner is None:
            continue  # a mapping's own key, such as a student's name
        cls, names = inner, set(inner.model_fields)
    return names


def _settings_class(annotation: Any) -> type[Settings] | None:
    """The settings class inside an annotation such as ``dict[str, StudentSettings] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    inner_classes = map(_settings_class, getattr(annotation, "__args__", ()))
    return next((cls for cls in inner_classes if cls is not None), None)
