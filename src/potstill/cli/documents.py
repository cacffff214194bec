"""The JSON documents of commands: one on standard output, and all words on standard error.

A command says what came of it by :func:`add_to_document`, once or piece by piece. Under ``--json``
that is written when it ends, with whatever exit code. One that fails writes none: its error is the
line on standard error that it always is, and the exit code.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from potstill.launched import is_main_process

_DOCUMENT = "potstill.document"
"""The name under which the context keeps the document of ``--json``, if the option is given."""


def json_option() -> click.Option:
    """Returns the option ``--json``, which every command has."""
    return click.Option(
        ["--json"],
        is_flag=True,
        expose_value=False,
        callback=_begin,
        help="Print one JSON document on standard output; all else goes to standard error.",
    )


def _begin(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        context.find_root().meta.setdefault(_DOCUMENT, {})


def wants_json() -> bool:
    """Whether the command at work was given ``--json``."""
    context = click.get_current_context(silent=True)
    return context is not None and _DOCUMENT in context.find_root().meta


def add_to_document(**values: object) -> None:
    """Add what a command has found to its document, by name.

    Args:
        values: Records, paths and collections of them; see :func:`plain`.
    """
    if wants_json():
        click.get_current_context().find_root().meta[_DOCUMENT].update(plain(values))


def write_document(context: click.Context) -> None:
    """Write what a command has found, if ``--json`` asks for it and it is not written yet."""
    values = context.find_root().meta.get(_DOCUMENT)
    if values and is_main_process():
        # Only ASCII: what a model wrote could else steer the terminal.
        click.echo(json.dumps(values, indent=2, allow_nan=False))
        values.clear()


def write_now(**values: object) -> None:
    """Write a document at once, of a command that does not end by itself.

    Args:
        values: See :func:`add_to_document`.
    """
    add_to_document(**values)
    write_document(click.get_current_context())


def plain(value: Any) -> Any:
    """Returns a value as JSON has it.

    A record becomes an object of its fields, a system its label, a path its text, and a number
    that is none, or without end, null.
    """
    from potstill.records import System  # loads numpy, which help does without

    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, System):
        return value.label
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {_name(name): plain(one) for name, one in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        return {name: plain(getattr(value, name)) for name in names}
    as_dict: Callable[[], Mapping[str, object]] | None = getattr(value, "_asdict", None)
    if as_dict is not None:
        return plain(as_dict())
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value))
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    number = float(value)  # numpy's too
    return number if math.isfinite(number) else None


def _name(name: object) -> str:
    return str(plain(name))
