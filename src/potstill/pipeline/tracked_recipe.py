"""The recipe as experiment trackers take it: flat, of plain values, and without a secret."""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit, urlunsplit

from potstill.pipeline.recipe import Recipe

HIDDEN = "(hidden)"
_SECRET = re.compile(r"key|token|secret|password|passwd|auth|credential|cookie|header", re.I)
_COUNTED = re.compile(r"tokens|token_ids|tokenizer|_env$", re.I)
"""Names that hold one of the words above and no secret."""

ConfigValue = str | int | float | bool


def tracked_recipe(recipe: Recipe) -> dict[str, ConfigValue]:
    """Returns a recipe's settings by their names, such as ``train.steps``.

    Values under names that speak of secrets are hidden, as are passwords and queries of addresses:
    what a server is sent (``body``) may hold some.
    """
    values = recipe.model_dump(mode="json", exclude={"track"})
    return dict(_flat(values, "", is_open=False))


def _flat(value: object, name: str, *, is_open: bool) -> Iterator[tuple[str, ConfigValue]]:
    """Yields the plain values inside a value.

    Args:
        value: The value as JSON has it.
        name: The setting's name.
        is_open: Whether the names inside are anybody's, as in what servers are sent.
    """
    if isinstance(value, Mapping):
        for inner, one in value.items():
            is_body = is_open or inner in ("body", "options")
            yield from _flat(one, f"{name}.{inner}".lstrip("."), is_open=is_body)
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from _flat(one, f"{name}.{place}", is_open=is_open)
    elif is_open and _is_secret(name):
        yield name, HIDDEN
    elif isinstance(value, str):
        yield name, _without_credentials(value)
    elif isinstance(value, bool | int | float):
        yield name, value
    else:
        yield name, "null"


def _is_secret(name: str) -> bool:
    return any(_SECRET.search(part) and not _COUNTED.search(part) for part in name.split("."))


def _without_credentials(text: str) -> str:
    """Returns a text; of an address neither user, password nor query."""
    if "://" not in text:
        return text
    try:
        url = urlsplit(text)
        host = url.netloc.rpartition("@")[2]
    except ValueError:
        return HIDDEN  # an address that cannot be read may hold anything
    return urlunsplit((url.scheme, host, url.path, "", ""))
