"""``potstill schema``: the JSON schema of recipes, by which an editor completes and checks them.

An editor whose YAML support is a language server takes it from a line at the top of a recipe::

    # yaml-language-server: $schema=recipe.schema.json

after ``potstill schema > recipe.schema.json``. It is pydantic's schema of :class:`Recipe`, with the
short forms that a recipe may take in place of a section: a model as ``kind:where``, a task as its
name, a policy as ``first`` or ``{at: 2}``. What no schema can say, such as that a student's samples
must be drawn, is checked when the recipe is loaded.
"""

from collections import defaultdict
from typing import Any

from potstill.guide.types import LOOKING, PolicySettings
from potstill.models.settings import KINDS, ModelSettings
from potstill.pipeline.names import NAME_PATTERN, RESERVED
from potstill.pipeline.recipe import TAKEN, Recipe
from potstill.tasks.settings import TASKS

JsonSchema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_DEFINITION = "#/$defs/"


def recipe_schema() -> JsonSchema:
    """The schema of a recipe as it may be written, installed plug-ins included."""
    schema = Recipe.model_json_schema()
    definitions: dict[str, JsonSchema] = schema["$defs"]
    kinds = _kinds_by_class()
    for name, own_kinds in kinds.items():
        definitions[name]["properties"]["model"]["pattern"] = _kind_pattern(own_kinds)
    # Settings of a kind that a plug-in adds are checked by the plug-in's class, which has no
    # definition of its own here.
    definitions["ModelSettings"]["additionalProperties"] = True
    definitions["ModelSettings"]["properties"]["model"]["pattern"] = _foreign_kind_pattern()
    definitions["TaskSettings"]["properties"]["name"]["anyOf"] = [*_task_names(), {"type": "null"}]
    for section, setting, taken in (
        (schema, "teachers", TAKEN),
        (definitions["TrainSettings"], "students", RESERVED),
        (definitions["TrainSettings"], "starts", RESERVED),
        (definitions["EvaluateSettings"], "socratic", RESERVED),
    ):
        section["properties"][setting]["propertyNames"] = {
            "pattern": NAME_PATTERN,
            "not": {"enum": list(taken)},
        }
    short_forms = _short_forms(kinds)
    properties = _with_short_forms(schema["properties"], short_forms)
    return {
        "$schema": DIALECT,
        "title": "potstill recipe",
        "description": schema["description"],
        "type": "object",
        "properties": properties,
        "required": [name for name in schema["required"] if name != "run"],  # has a default
        "additionalProperties": False,
        "$defs": _with_short_forms(definitions, short_forms),
    }


def _kinds_by_class() -> dict[str, list[str]]:
    """The kinds of models by the name of the settings class that the recipe has for them."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for kind, settings in KINDS.items():
        if _is_ours(settings):
            kinds[settings.__name__].append(kind)
    return dict(kinds)


def _kind_pattern(kinds: list[str]) -> str:
    return f"^({'|'.join(kinds)}):."


def _foreign_kind_pattern() -> str:
    """``kind:where`` of the kinds that plug-ins add; where there are none, it fits nothing."""
    foreign = [kind for kind, settings in KINDS.items() if not _is_ours(settings)]
    return _kind_pattern(foreign) if foreign else "(?!)"


def _is_ours(settings: type[ModelSettings]) -> bool:
    return settings.__module__.startswith("potstill.")


def _task_names() -> list[JsonSchema]:
    """The tasks' names, for an editor to complete; case and punctuation do not count in them."""
    spellings = (
        "[\\W_]*".join(f"[{sign}{sign.upper()}]" for sign in name if sign.isalnum())
        for name in TASKS
    )
    spelt = f"^[\\W_]*({'|'.join(spellings)})[\\W_]*$"
    return [{"enum": list(TASKS)}, {"type": "string", "pattern": spelt}]


def _short_forms(kinds: dict[str, list[str]]) -> dict[str, list[JsonSchema]]:
    """Returns the values that a recipe may hold in place of a settings class, by its name."""
    count = {"type": "integer", "minimum": 1}
    policy = PolicySettings.model_json_schema()
    models: dict[str, list[JsonSchema]] = {
        name: [{"type": "string", "pattern": _kind_pattern(own)}] for name, own in kinds.items()
    }
    return {
        **models,
        "ModelSettings": [{"type": "string", "pattern": _foreign_kind_pattern()}],
        "TaskSettings": _task_names(),
        "MatchingSettings": [{"enum": ["sample", "distribution"]}],
        "FewShotSettings": [{"type": "array", "items": {"$ref": f"{_DEFINITION}ExemplarSettings"}}],
        "PolicySettings": [
            policy["properties"]["when"],
            _mapping_of("at", count),
            _mapping_of("first_n", count),
            *(_mapping_of(name, _without_when(policy)) for name in LOOKING),
        ],
    }


def _without_when(policy: JsonSchema) -> JsonSchema:
    """A policy's settings but the name, which stands before them."""
    properties = {name: value for name, value in policy["properties"].items() if name != "when"}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _mapping_of(name: str, value: JsonSchema) -> JsonSchema:
    """A mapping with one key, such as ``{at: 2}``."""
    return {
        "type": "object",
        "properties": {name: value},
        "required": [name],
        "additionalProperties": False,
    }


def _with_short_forms(schema: Any, short_forms: dict[str, list[JsonSchema]]) -> Any:
    """The same schema, in which every reference to a settings class allows its short forms too."""
    if isinstance(schema, list):
        return [_with_short_forms(item, short_forms) for item in schema]
    if not isinstance(schema, dict):
        return schema
    expanded = {name: _with_short_forms(value, short_forms) for name, value in schema.items()}
    reference = expanded.get("$ref")
    if not isinstance(reference, str):
        return expanded
    short = short_forms.get(reference.removeprefix(_DEFINITION))
    if short is None:
        return expanded
    del expanded["$ref"]
    return {**expanded, "anyOf": [*short, {"$ref": reference}]}
