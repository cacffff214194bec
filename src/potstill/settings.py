"""The base of all settings: frozen, typed, and a misspelt name is answered with the right one.

Every section of a recipe is a class of its own beside its stage::

    build(TrainSettings, {"step": 20}, at="recipe.yaml")
    ConfigError: recipe.yaml: unknown setting 'step'. Did you mean 'steps'?
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, NamedTuple, TypeVar, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from potstill.errors import ConfigError, shortened


class Settings(BaseModel):
    """The base of a stage's settings; the text under each field is its description."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


S = TypeVar("S", bound=Settings)

LONGEST_VARIABLE = 20
"""Characters from which on a name in which small letters and digits mix is taken for a key."""


def _checked_variable(name: str) -> str:
    """Returns the name of an environment variable, if it can be one.

    Raises:
        ConfigError: It cannot, and may be the key itself, which is not to be shown or kept.
    """
    is_name = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None
    mixed = re.search("[a-z]", name) and re.search("[0-9]", name)
    if is_name and not (mixed and len(name) >= LONGEST_VARIABLE):
        return name
    raise ConfigError(
        "api_key_env and token_env take the name of an environment variable. What stands there is "
        "none; should it be the key itself, take it out of the file, put it in a variable "
        "(export OPENAI_API_KEY=...), and write the variable's name."
    )


VariableName = Annotated[str, AfterValidator(_checked_variable)]
"""The name of an environment variable, which holds what must not stand in a file."""


class SettingFault(NamedTuple):
    """Something wrong with one setting."""

    place: tuple[str, ...]
    """The setting's names from the outermost section on; empty: the settings as a whole."""

    words: str
    """The words behind the setting's name, e.g. `` is 5: give a list.``"""

    is_misspelt: bool = False
    """Whether there is no such setting; the words are then the way out."""

    meant: str = ""
    """The setting of the same section that was most likely meant; empty where none is near."""


class InvalidSettings(ConfigError):
    """Settings that cannot be used, with each fault and its place.

    A validator may raise it for a section that it builds on its own: the settings around it tell
    the same faults at the section's place.

    Args:
        faults: The faults.
        at: The place of the settings, which begins every line.
    """

    def __init__(self, faults: Sequence[SettingFault], *, at: str) -> None:
        super().__init__("\n".join(_lines(faults, at)))
        self.faults = tuple(faults)


def build(cls: type[S], raw: Mapping[str, object], *, at: str) -> S:
    """Make settings from plain values.

    Args:
        cls: The settings class.
        raw: Values by setting name, as YAML gave them.
        at: The place of the settings, which begins every message, e.g. ``recipe.yaml``.

    Raises:
        InvalidSettings: A name is unknown, or a value has the wrong type or is out of bounds. All
            of a mapping's faults are named at once, one a line, misspelt names first.
    """
    try:
        return cls.model_validate(raw)
    except ValidationError as error:
        raise InvalidSettings(_faults(cls, list(map(dict, error.errors()))), at=at) from error


def unfit(value: object, message: str, *, at: str) -> InvalidSettings:
    """The error that a value cannot stand where it stands.

    Args:
        value: The value as it was given.
        message: The reason, or the way out.
        at: The value's place, for a caller that is not asked by settings around it.
    """
    return InvalidSettings([SettingFault((), _words(value, message))], at=at)


def _lines(faults: Sequence[SettingFault], at: str) -> Iterator[str]:
    """One line a fault; one that several settings share is told once, misspelt names first."""
    for fault in faults:
        if fault.is_misspelt:
            right = ".".join((*fault.place[:-1], fault.meant))
            hint = f"Did you mean {right!r}?" if fault.meant else fault.words
            yield f"{at}: unknown setting {shortened('.'.join(fault.place))}. {hint}"
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for fault in faults:
        if not fault.is_misspelt:
            name = ".".join(fault.place)
            places[fault.words, "" if fault.words.startswith(": ") else name].append(name)
    for (words, _), names in places.items():
        *others, last = dict.fromkeys(names)
        name = f"{', '.join(others)} and {last}" if others else last
        yield f"{at}: {name}{words}" if name else f"{at}{words}"


def _faults(cls: type[Settings], errors: list[dict[str, Any]]) -> list[SettingFault]:
    """The faults that pydantic has found, each told once."""
    # A setting that is missing since its name is misspelt is told by the misspelt name, and a list
    # that is too short since its items are wrong by the items.
    meant = {_meant(cls, error) for error in errors if _is_misspelt(error)}
    places = [error["loc"] for error in errors]
    return [
        fault
        for error in errors
        if not (error["type"] == "missing" and error["loc"] in meant)
        and not (error["type"] == "too_short" and _holds_another(error["loc"], places))
        for fault in _told(cls, error)
    ]


def _holds_another(place: tuple[str | int, ...], places: list[tuple[str | int, ...]]) -> bool:
    return any(len(other) > len(place) and other[: len(place)] == place for other in places)


def _is_misspelt(error: dict[str, Any]) -> bool:
    return bool(error["type"] == "extra_forbidden")


def _meant(cls: type[Settings], error: dict[str, Any]) -> tuple[str | int, ...]:
    """The place of the setting that a misspelt name was to be; its own where nothing is near."""
    *parents, name = error["loc"]
    near = nearest_name(str(name), _names_at(cls, list(map(str, parents))))
    return (*parents, near or name)


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name that a misspelt or shortened one most likely stands for; None if none.

    ``lr`` is ``learning_rate`` by its initials, ``temp`` is ``temperature`` by its beginning, and
    ``num_train_epochs`` is ``epochs`` by its end; else the name that is spelt most alike.
    """
    plain, names = name.casefold(), sorted(known)
    short = plain.replace("_", "")
    by_initials = [other for other in names if len(short) > 1 and _initials(other) == short]
    by_beginning = [other for other in names if len(plain) > 2 and other.startswith(plain)]
    for fitting in (by_initials, by_beginning):
        if len(fitting) == 1:
            return fitting[0]
    near = get_close_matches(plain, names, n=1)
    ends = [other for other in names if len(other) > 3 and plain.endswith(f"_{other}")]
    return next(iter([*near, *ends]), None)


def _initials(name: str) -> str:
    return "".join(word[0] for word in name.split("_") if word)


def _told(cls: type[Settings], error: dict[str, Any]) -> list[SettingFault]:
    """An error of pydantic's in our words: where, the value seen, the way out."""
    place = tuple(str(part) for part in error["loc"])
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, InvalidSettings):  # of a section that was built on its own
        return [fault._replace(place=place + fault.place) for fault in cause.faults]
    if isinstance(cause, ConfigError):  # it says where itself
        return [SettingFault((), f": {cause}")]
    if place[-1:] == ("[key]",):  # of a mapping, whose key stands before it
        *parents, key, _ = place
        if error["type"] == "string_type":
            words = f" holds the name {error['input']!r}, which YAML reads as no text."
            return [SettingFault(tuple(parents), f"{words} Put it in quotes.")]
        place = (*parents, key)
    if _is_misspelt(error):
        known = sorted(_names_at(cls, list(place[:-1])))
        near = nearest_name(place[-1], known)
        known_here = f"Known here: {', '.join(known)}."
        return [SettingFault(place, known_here, is_misspelt=True, meant=near or "")]
    if error["type"] == "missing":
        return [SettingFault(place, " is missing; it has no default.")]
    message = _plainly(error)
    return [SettingFault(place, _words(error["input"], message) if place else f": {message}")]


def _plainly(error: dict[str, Any]) -> str:
    """The message of an error, without Python's names for what YAML calls otherwise."""
    match error["type"]:
        case "tuple_type" | "list_type":
            return "give a list"
        case "dict_type" | "mapping_type" | "model_type" | "model_attributes_type":
            return "give a mapping"
        case "too_short":
            return f"give {error['ctx']['min_length']} or more"
        case _:
            return str(error["msg"]).removeprefix("Value error, ")


def _words(value: object, message: str) -> str:
    """The words behind a setting's name, with the value where the message does not tell it."""
    stop = "" if message.endswith((".", "?")) else "."
    if isinstance(value, str) and shortened(value) in message:
        return f": {message}{stop}"
    return f" is {shortened(value)}: {message[:1].lower()}{message[1:]}{stop}"


def _names_at(cls: type[Settings], path: list[str]) -> set[str]:
    """The setting names known inside a nested section."""
    parts = iter(path)
    for part in parts:
        annotation = cls.model_fields[part].annotation if part in cls.model_fields else None
        inner = _settings_class(annotation)
        if inner is None:
            continue  # the name of a kind, where there are several
        cls = inner
        if _has_keys(annotation):
            next(parts, None)  # a student's name, which may be that of a setting
    return set(cls.model_fields)


def _has_keys(annotation: Any) -> bool:
    """Whether the settings inside an annotation stand under keys of a mapping or list."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return False
    origin = get_origin(annotation)
    if isinstance(origin, type) and issubclass(origin, Mapping | Sequence):
        return _settings_class(annotation) is not None
    return any(map(_has_keys, getattr(annotation, "__args__", ())))


def _settings_class(annotation: Any) -> type[Settings] | None:
    """The settings class inside an annotation such as ``dict[str, StudentSettings] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    inner_classes = map(_settings_class, getattr(annotation, "__args__", ()))
    return next((cls for cls in inner_classes if cls is not None), None)
