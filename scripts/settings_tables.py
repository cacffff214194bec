"""The tables of settings in docs/guide.md, written from the settings classes.

Run: python scripts/settings_tables.py [--check]

Each table stands between two marker lines, ``<!-- settings: NAME -->`` and ``<!-- end -->``, where
NAME is a key of ``TABLES``. With ``--check`` nothing is written, and the exit code is 1 where a
table is out of date.
"""

import argparse
import json
import re
import sys
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from potstill.curate.settings import CurateSettings
from potstill.evaluate.settings import EvaluateSettings
from potstill.generate.settings import ExemplarSettings, GenerateSettings
from potstill.models.settings import LocalSettings, OpenAISettings, RecordedSettings
from potstill.recipe import Recipe
from potstill.settings import Settings
from potstill.tasks.settings import TaskSettings
from potstill.train.settings import LoraSettings, StudentSettings, TrainSettings

GUIDE = Path(__file__).parents[1] / "docs" / "guide.md"

TABLES: dict[str, type[Settings]] = {
    "recipe": Recipe,
    "task": TaskSettings,
    "local": LocalSettings,
    "openai": OpenAISettings,
    "recorded": RecordedSettings,
    "generate": GenerateSettings,
    "exemplars": ExemplarSettings,
    "curate": CurateSettings,
    "train": TrainSettings,
    "students": StudentSettings,
    "lora": LoraSettings,
    "evaluate": EvaluateSettings,
}
"""The settings classes by the name of their table in the guide."""

KINDS: dict[object, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    object: "any",
    types.NoneType: "null",
}
"""What the types are called in a recipe."""

MARKED = re.compile(r"(?<=<!-- settings: )(\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)


def kind(annotation: Any) -> str:
    """A field's type in the words of a recipe."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind(inner[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind(part) for part in inner))
    if origin is tuple:
        return f"list of {kind(inner[0])}"
    if origin is dict:
        return f"mapping of {kind(inner[1])} by name"
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return "settings"
    return KINDS[annotation]


def default(field: FieldInfo) -> str:
    """A field's default as a recipe would give it."""
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True, validated_data={})
    assert value is not PydanticUndefined
    if isinstance(value, Settings):
        return "its own defaults"
    if isinstance(value, dict):
        value = {
            name: part.model_dump(exclude_defaults=True) if isinstance(part, Settings) else part
            for name, part in value.items()
        }
    return f"`{json.dumps(value)}`"


def table(cls: type[Settings]) -> str:
    """The settings of a class, one a row."""
    lines = ["| setting | type | default | what it does |", "|---|---|---|---|"]
    for name, field in cls.model_fields.items():
        words = " ".join((field.description or "").replace("``", "`").split())
        cells = (f"`{name}`", kind(field.annotation), default(field), words)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def updated(text: str) -> str:
    """The guide's text with every table written anew."""
    return MARKED.sub(lambda found: f"{found[1]}{found[2]}\n{table(TABLES[found[1]])}\n\n", text)


def main() -> int:
    """Write the guide's tables, or say whether they are current."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if out of date")
    options = parser.parse_args()
    text = GUIDE.read_text(encoding="utf-8")
    if updated(text) == text:
        return 0
    if options.check:
        sys.stderr.write(f"{GUIDE.name} is out of date; run: python scripts/settings_tables.py\n")
        return 1
    GUIDE.write_text(updated(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
