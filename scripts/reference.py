"""Writes docs/reference.md from the code: commands, settings, styles, formats, verdicts.

Run: python scripts/reference.py [--check]

With ``--check`` nothing is written, and the exit code is 1 where the page is out of date.
"""

import argparse
import json
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from potstill.cli import main as potstill_command
from potstill.curate.marks import MarkSettings
from potstill.curate.settings import CurateSettings
from potstill.curate.stage import VERDICTS
from potstill.evaluate.settings import (
    CardSettings,
    EvaluateSettings,
    GenericSettings,
    PairSettings,
    VoteSettings,
)
from potstill.generate.settings import DebateSettings, GenerateSettings
from potstill.guide.settings import GuideSettings
from potstill.guide.types import PolicySettings
from potstill.merge.settings import MergeSettings
from potstill.models.cluster.settings import RunOnSettings
from potstill.models.folder_server import FolderServer
from potstill.models.settings import (
    LocalSettings,
    OpenAISettings,
    RecordedSettings,
    VLLMSettings,
)
from potstill.pipeline.recipe import Recipe
from potstill.pipeline.track_settings import TrackSettings
from potstill.prompts.exemplars import ExemplarSettings, FewShotSettings
from potstill.prompts.formats import FORMATS, MIXTURES, FormatSettings, shares
from potstill.prompts.styles import STYLES, StyleSettings
from potstill.runtime.budget import BudgetSettings
from potstill.serve.settings import RequestLimits, ServeSettings, TeacherLimits
from potstill.settings import Settings
from potstill.store.settings import StoreSettings
from potstill.tasks.overlap import OverlapSettings
from potstill.tasks.settings import TaskSettings
from potstill.train.on_policy.limit_settings import LimitSettings
from potstill.train.on_policy.settings import OnPolicySettings, ScoreSettings
from potstill.train.settings import (
    LoraSettings,
    MatchingSettings,
    PrefixSettings,
    ReplaySettings,
    StopSettings,
    StudentSettings,
    ThinkingMix,
    TrainSettings,
)
from potstill.train.wrong_chains import UnlikelihoodSettings
from potstill.view.settings import ViewSettings

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"


class Section(NamedTuple):
    """One settings class on the page."""

    place: str
    """The part of a recipe, or the other file, that its settings stand in."""

    cls: type[Settings]


SECTIONS: dict[str, Section] = {
    "recipe": Section("A recipe", Recipe),
    "task": Section("`task`, and every task under `evaluate`", TaskSettings),
    "local": Section("A model named `hf:` or `bundled:`", LocalSettings),
    "openai": Section("A model named `openai:`", OpenAISettings),
    "folder_server": Section("A program that serves a local model", FolderServer),
    "vllm": Section("A model named `vllm:`", VLLMSettings),
    "recorded": Section("A model named `recorded:`", RecordedSettings),
    "budget": Section("`budget`", BudgetSettings),
    "store": Section("`store`", StoreSettings),
    "run_on": Section("`run_on`; a name alone stands for `engine`", RunOnSettings),
    "exemplars": Section("`exemplars`; a plain list stands for `worked`", FewShotSettings),
    "worked": Section("One exemplar of `exemplars.worked`", ExemplarSettings),
    "prompt_style": Section("`generate.prompt_style` as a mapping", StyleSettings),
    "data_format": Section("`data_format` as a mapping", FormatSettings),
    "overlap": Section("`overlap`", OverlapSettings),
    "generate": Section("`generate`", GenerateSettings),
    "debate": Section("`generate.debate`", DebateSettings),
    "curate": Section("`curate`", CurateSettings),
    "marks": Section("`curate.marks`", MarkSettings),
    "train": Section("`train`", TrainSettings),
    "students": Section("One student, `train.students.NAME`", StudentSettings),
    "thinking": Section("`train.students.NAME.thinking` as a mapping", ThinkingMix),
    "matching": Section("`train.students.NAME.matching`", MatchingSettings),
    "unlikelihood": Section("`train.students.NAME.unlikelihood`", UnlikelihoodSettings),
    "on_policy": Section("`train.students.NAME.on_policy`", OnPolicySettings),
    "score": Section("`train.students.NAME.on_policy.score`", ScoreSettings),
    "collapse_limits": Section("`train.students.NAME.on_policy.limits`", LimitSettings),
    "replay": Section("`train.students.NAME.replay`", ReplaySettings),
    "stop": Section("`train.stop`", StopSettings),
    "lora": Section("`train.lora`", LoraSettings),
    "prefix": Section("`train.prefix`", PrefixSettings),
    "track": Section("`track`", TrackSettings),
    "evaluate": Section("`evaluate`", EvaluateSettings),
    "card": Section("`card`", CardSettings),
    "generic": Section("`evaluate.generic`", GenericSettings),
    "vote": Section("`evaluate.vote`", VoteSettings),
    "socratic": Section("One pair, `evaluate.socratic.NAME`", PairSettings),
    "guide": Section("`guide`", GuideSettings),
    "policy": Section("One policy of `guide.policies`, or the server's `guidance`", PolicySettings),
    "serve": Section("The file of `potstill serve`", ServeSettings),
    "limits": Section("`limits` of that file", RequestLimits),
    "teacher_limits": Section("`teacher_limits` of that file", TeacherLimits),
    "merge": Section("`--set` of `potstill merge`", MergeSettings),
    "view": Section("`--set` of `potstill view`", ViewSettings),
}
"""The settings classes by their heading."""

KINDS: dict[object, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    object: "any value",
    types.NoneType: "null",
}
"""The names of the types in a recipe."""

OTHERWISE: dict[tuple[type[Settings], str], str] = {(Recipe, "run"): "`runs/` and the file's name"}
"""Defaults that the loading fills in, not the class."""


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
    if isinstance(part, PolicySettings):
        return part.label
    return part.model_dump(exclude_defaults=True)


def words(cls: type[Settings] | None, description: str | None) -> str:
    """Returns what a setting does; a section whose field says nothing is told by its class."""
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


def commands_section() -> str:
    """Every command with its arguments, options and help text."""
    group = potstill_command
    assert isinstance(group, click.Group)
    context = click.Context(group, info_name="potstill")
    blocks = []
    for name in group.list_commands(context):
        command = group.commands[name]
        if command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context)
        usage = " ".join(["potstill", name, *command.collect_usage_pieces(inner)])
        help_text = " ".join((command.help or "").split())
        options = [
            record
            for parameter in command.get_params(inner)
            if isinstance(parameter, click.Option)
            if (record := parameter.get_help_record(inner)) and "--help" not in record[0]
        ]
        rows = ((code(option), " ".join(text.split())) for option, text in options)
        listed = f"\n\n{table(('option', 'what it does'), rows)}" if options else ""
        blocks.append(f"### potstill {name}\n\n`{usage}`\n\n{help_text}{listed}")
    return "\n\n".join(blocks)


def page() -> str:
    """The whole page."""
    parts = ["# Reference", INTRODUCTION, "## Commands", commands_section(), "## Settings"]
    for name, (place, cls) in SECTIONS.items():
        summary = words(cls, None).rstrip(".")
        parts += [f"### {name.replace('_', ' ')}", f"{place}. {summary}.", settings_table(cls)]
    parts += ["## Prompt styles", STYLES_NOTE, styles_table()]
    parts += ["## Data formats", FORMATS_NOTE, formats_table()]
    parts += ["## Mixtures", "Known mixtures of data formats.", mixtures_table()]
    parts += ["## Verdicts", "Tried in this order; the first that fits counts.", verdicts_table()]
    return "\n\n".join(parts) + "\n"


INTRODUCTION = (
    "Every command, setting and literal text, written from the code by `scripts/reference.py`. "
    "`potstill schema` prints the recipe's part of it as JSON schema, for editors."
)
STYLES_NOTE = "How a model is asked; `\\n` is a line break."
FORMATS_NOTE = "How a question and a rationale become a training example; `\\n` is a line break."


def main() -> int:
    """Write the page, or say that it is out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if out of date")
    text = page()
    if parser.parse_args().check:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
            return 0
        sys.stderr.write("docs/reference.md is out of date; run: python scripts/reference.py\n")
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
