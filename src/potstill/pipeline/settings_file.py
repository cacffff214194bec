"""Settings as a user writes them: in a YAML file, and on the command line by ``--set``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from potstill.errors import ConfigError, unread_file
from potstill.yaml_text import RepeatedName, parse_yaml


def read_settings(path: Path, changes: Sequence[str]) -> dict[str, object]:
    """Returns the settings in a YAML file, with changes.

    Raises:
        ConfigError: The file is missing or is not YAML, or a change cannot be made.
    """
    try:
        raw = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(unread_file(path, error)) from error
    except RepeatedName as error:
        raise ConfigError(f"{path}, {error}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} holds no settings; see README.md for a first recipe.")
    for change in changes:
        change_setting(raw, change)
    return raw


def merged_runs(raw: Mapping[str, object]) -> list[str]:
    """Returns the folders of the runs in what ``potstill merge`` writes of itself as recipe.yaml.

    Any other settings name none. ``fuse`` is what the command was called before.
    """
    members = raw.get("members")
    if not isinstance(members, Mapping) or not raw.keys() & {"merge", "fuse"}:
        return []
    return [str(folder) for folder in members.values()]


def change_setting(raw: dict[str, object], change: str) -> None:
    """Apply one ``section.name=value``; the value is read as YAML."""
    name, equals, value = change.partition("=")
    if not equals:
        raise ConfigError(f"--set {change!r}: give NAME=VALUE, e.g. train.steps=200.")
    try:
        setting = parse_yaml(value)
    except ValueError as error:
        raise ConfigError(f"--set {change!r}: the value is not YAML: {error}") from error
    *sections, last = name.strip().split(".")
    place, within = raw, ""
    for section in sections:
        inner = place.setdefault(section, {})
        if not isinstance(inner, dict):
            inner = place[section] = _long_form(section, inner, within)
        place, within = inner, section
    place[last] = setting


def _long_form(section: str, short: object, within: str) -> dict[str, object]:
    """A section given in short, such as ``task: gsm8k``, as a mapping that can be added to."""
    if short is None:  # ``marks: null``, as a run's own recipe says that there are none
        return {}
    known = {"task": "name", "teacher": "model", "student": "model", "run_on": "engine"}
    key = "model" if within == "teachers" else known.get(section)
    if key is None:
        raise ConfigError(f"--set: {section} is {short!r}, which has no settings inside.")
    return {key: short}
