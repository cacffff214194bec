"""The parts that pages share: templates that escape, style sheets and scripts with their hashes."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import NamedTuple

import orjson
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

REPORT = "potstill.report"


class Asset(NamedTuple):
    """A script or style sheet of the page, and the hash by which the page allows it."""

    text: Markup
    source: str
    """``sha256-...``, as a Content-Security-Policy names it."""


def page_environment(
    filters: Mapping[str, Callable[..., object]], package: str = REPORT
) -> Environment:
    """Returns an environment that escapes whatever a template shows, and knows no missing value.

    Args:
        filters: How templates write numbers, by name.
        package: The package in which the templates stand.
    """
    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(lambda name: part(name, package)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment


def asset(*names: str) -> Asset:
    """Returns files of the report, one behind the other, as a page holds them."""
    text = "\n".join(map(part, names))
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Asset(Markup(text), f"sha256-{digest}")


def part(name: str, package: str = REPORT) -> str:
    """Returns the text of a file in a package."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def embedded(data: object) -> Markup:
    """JSON for a script element, in which no text of a model can end the element."""
    text = orjson.dumps(data).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
