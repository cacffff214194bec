"""The tables in docs/ that say what the code says: settings, styles, formats, verdicts.

Run: python scripts/settings_tables.py [--check]

Each table stands on one page between two marker lines, ``<!-- table: NAME -->`` and
``<!-- end -->``, where NAME is a key of ``TABLES``. With ``--check`` nothing is written, and the
exit code is 1 where a table is out of date.
"""

import argparse
import json
import re
import sys
import types
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from potstill.curate.settings import CurateSettings
from potstill.curate.stage import VERDICTS
from potstill.evaluate.settings import (
    EvaluateSettings,
    GenericSettings,
    PairSettings,
    VoteSettings,
)
from potstill.generate.settings import DebateSettings, GenerateSettings
from potstill.guide.settings import GuideSettings
from potstill.guide.types import Policy
from potstill.merge.settings import MergeSettings
from potstill.models.settings import (
    LocalSettings,
    OpenAISettings,
    RecordedSettings,
    VLLMSettings,
)
from potstill.pipeline.recipe import Recipe
from potstill.prompts.exemplars import ExemplarSettings, FewShotSettings
from potstill.prompts.formats import FORMATS, MIXTURES, shares
from potstill.prompts.styles import STYLES
from potstill.runtime.budget import BudgetSettings
from potstill.serve.settings import RequestLimits, ServeSettings, TeacherLimits
from potstill.settings import Settings
from potstill.tasks.overlap import OverlapSettings
from potstill.tasks.settings import TaskSettings
from potstill.train.settings import (
    LoraSettings,
    MatchingSettings,
    ReplaySettings,
    StopSettings,
    StudentSettings,
    TrainSettings,
)

DOCS = Path(__file__).parents[1] / "docs"

SETTINGS: dict[str, type[Settings]] = {
    "recipe": Recipe,
    "task": TaskSettings,
    "local": LocalSettings,
    "openai": OpenAISettings,
    "vllm": VLLMSettings,
    "recorded": RecordedSettings,
    "budget": BudgetSettings,
    "generate": GenerateSettings,
    "debate": DebateSettings,
    "exemplars": FewShotSettings,
    "worked": ExemplarSettings,
    "overlap": OverlapSettings,
    "curate": CurateSettings,
    "train": TrainSettings,
    "students": StudentSettings,
    "matching": MatchingSettings,
    "replay": ReplaySettings,
    "stop": StopSettings,
    "lora": LoraSettings,
    "evaluate": EvaluateSettings,
    "vote": VoteSettings,
    "socratic": PairSettings,
    "generic": GenericSettings,
    "guide": GuideSettings,
    "policy": Policy,
    "serve": ServeSettings,
    "limits": RequestLimits,
    "teacher_limits": TeacherLimits,
    "fuse": MergeSettings,
}
"""The settings classes by the name of their table."""

KINDS: dict[object, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    object: "any value",
    types.NoneType: "null",
}
"""What the types are called in a recipe."""

OTHERWISE: dict[tuple[type[Settings], str], str] = {(Recipe, "run"): "`runs/` and the file's name"}
"""Defaults that the loading fills in, not the class."""

MARKED = re.compile(r"(?<=<!-- table: )(\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)


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
    return f"`{json.dumps(value, default=short)}`"


def short(part: Settings) -> object:
    """A section inside a default, as a recipe gives it in short."""
    return part.name if isinstance(part, Policy) else part.model_dump(exclude_defaults=True)


def words(cls: type[Settings] | None, description: str | None) -> str:
    """What a setting does; a section whose field says nothing is told by its class."""
    told = description or (cls.__doc__ if cls else None) or ""
    return " ".join(told.replace("``", "`").split())


def code(text: str) -> str:
    """A literal text, its line breaks written as such."""
    escaped = text.replace("\n", "\\n")
    return f"`{escaped}`" if text else ""


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [" | ".join(heads), "|".join("---" for _ in heads)]
    lines += [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    head, rule, *body = lines
    return "\n".join([f"| {head} |", f"|{rule}|", *(f"| {line} |" for line in body)])


def settings_table(cls: type[Settings]) -> str:
    """The settings of a class, one a row."""
    return table(
        ("setting", "type", "default", "what it does"),
        (
            (
                f"`{name}`",
                kind(field.annotation),
                OTHERWISE.get((cls, name)) or default(field),
                words(section(field.annotation), field.description),
            )
            for name, field in cls.model_fields.items()
        ),
    )


def section(annotation: Any) -> type[Settings] | None:
    """The class of a field that is a section of settings."""
    one = isinstance(annotation, type) and issubclass(annotation, Settings)
    return annotation if one else None


def styles_table() -> str:
    """The prompt styles with their literal texts."""
    rows = (
        (
            code(style.name),
            code(style.template),
            code(style.answer_cue),
            ", ".join(code(stop) for stop in style.stop),
        )
        for style in STYLES.values()
    )
    return table(("prompt style", "prompt", "answer cue of the second step", "stops at"), rows)


def formats_table() -> str:
    """The data formats with their literal texts."""
    rows = (
        (code(each.name), student, code(prompt), code(target), code(each.exemplar))
        for each in FORMATS.values()
        for student, prompt, target in (
            ("decoder-only", each.template + each.mark, each.separator + each.reply),
            ("encoder-decoder", each.template, each.reply),
        )
    )
    return table(("data format", "student", "prompt", "target", "a worked question"), rows)


def mixtures_table() -> str:
    """The published mixtures with their shares."""
    rows = (
        (code(name), ", ".join(f"{code(each)} {share:.1%}" for each, share in shares(name).items()))
        for name in MIXTURES
    )
    return table(("mixture", "shares of the examples"), rows)


def verdicts_table() -> str:
    """The verdicts of curation."""
    return table(("verdict", "meaning"), ((code(name), told) for name, told in VERDICTS.items()))


TABLES: dict[str, Callable[[], str]] = {
    **{name: partial(settings_table, cls) for name, cls in SETTINGS.items()},
    "styles": styles_table,
    "formats": formats_table,
    "mixtures": mixtures_table,
    "verdicts": verdicts_table,
}
"""What makes each table."""


def updated(text: str) -> str:
    """A page's text with every table written anew."""
    return MARKED.sub(lambda found: f"{found[1]}{found[2]}\n{TABLES[found[1]]()}\n\n", text)


def main() -> int:
    """Write the tables of all pages, or say which pages are out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if out of date")
    options = parser.parse_args()
    texts = {page: page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md"))}
    stale = [page for page, text in texts.items() if updated(text) != text]
    if options.check and stale:
        names = ", ".join(page.name for page in stale)
        sys.stderr.write(f"out of date: {names}; run: python scripts/settings_tables.py\n")
        return 1
    for page in stale:
        page.write_text(updated(texts[page]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
