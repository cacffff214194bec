"""The JSON schema of recipes takes what recipes may hold and refuses what they may not."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from potstill.cli import main
from potstill.pipeline.recipe import Recipe, load_recipe
from potstill.pipeline.recipe_schema import recipe_schema

ROOT = Path(__file__).parents[1]
RECIPES = [*sorted(ROOT.glob("recipes/**/*.yaml")), ROOT / "src" / "potstill" / "demo.yaml"]
FIRST = {"task": "gsm8k", "teacher": "openai:gpt-5-mini", "student": "hf:Qwen/Qwen3-0.6B"}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return recipe_schema()


def faults(schema: dict[str, Any], recipe: object) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema")
    checker = jsonschema.Draft202012Validator(schema)
    return [fault.message for fault in checker.iter_errors(recipe)]


def test_the_command_prints_it(schema: dict[str, Any]) -> None:
    result = CliRunner().invoke(main, ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads(json.dumps(schema))


def test_it_is_a_schema_of_all_settings_with_their_descriptions(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "potstill recipe"
    assert schema["properties"].keys() == Recipe.model_fields.keys()
    assert schema["properties"]["student"]["description"].startswith("The checkpoint to start from")
    assert schema["required"] == ["task", "teacher", "student"]
    for name, definition in schema["$defs"].items():
        if name != "ModelSettings":  # stands for kinds that others add
            assert definition["additionalProperties"] is False, name
        for setting, values in definition["properties"].items():
            assert values.get("description") or "$ref" in values, f"{name}.{setting}"


def test_it_points_nowhere_but_to_its_own_definitions(schema: dict[str, Any]) -> None:
    def references(part: Any) -> set[str]:
        if isinstance(part, list):
            return set().union(*map(references, part))
        if not isinstance(part, dict):
            return set()
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*map(references, part.values()))

    assert references(schema) <= {f"#/$defs/{name}" for name in schema["$defs"]}


def test_it_is_valid(schema: dict[str, Any]) -> None:
    pytest.importorskip("jsonschema").Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_it_takes_every_recipe_short_and_resolved(schema: dict[str, Any], path: Path) -> None:
    assert faults(schema, yaml.safe_load(path.read_text(encoding="utf-8"))) == []
    assert faults(schema, load_recipe(path).model_dump(mode="json")) == []


@pytest.mark.parametrize(
    "sections",
    [
        {"teacher": "recorded:bought.jsonl", "student": "bundled:student"},
        {"teacher": {"model": "vllm:Qwen/Qwen3-8B", "options": {"tensor-parallel-size": 2}}},
        {"teachers": {"other": "hf:big"}, "task": {"file": "q.csv"}},
        {"train": {"students": {"one": {"matching": "distribution"}}}},
        {"train": {"starts": {"small": "hf:small"}, "steps": 200}},
        {"evaluate": {"tasks": ["svamp", {"name": "gsm8k", "test": 100}]}},
        {"guide": {"policies": ["first", {"at": 2}, {"when_unsure": {"signal": "entropy"}}]}},
        {"guide": {"policies": ["my_policies:WHEN_LONG"]}},
        {"generate": {"prompt_style": {"template": "Q: {question}"}}},
        {"generate": {"prompt_style": "quest_cot"}},
        {"train": {"students": {"größer-1.5_x": {"data_format": "specialization"}}}},
        {"train": {"students": {"one": {"data_format": {"chat": 1, "chat_think": 0.5}}}}},
        {"train": {"students": {"one": {"loss": "my.losses:FOCAL"}}}},
        {"task": {"file": "q.csv", "answer_type": "roman:READER", "rule": "bbh"}},
        {"exemplars": [{"question": "1 + 1?", "rationale": "Count.", "answer": "2"}]},
        {"task": "GSM8K"},
        {"task": "Multi-Arith"},
        {"task": {"name": "gsm-8k", "test": 5}},
        {"evaluate": {"tasks": ["SVAMP"]}},
    ],
)
def test_it_takes_the_short_forms(schema: dict[str, Any], sections: dict[str, object]) -> None:
    assert faults(schema, {**FIRST, **sections}) == []


@pytest.mark.parametrize(
    "sections",
    [
        {"genrate": {}},
        {"generate": {"sampels": 4}},
        {"generate": {"samples": "four"}},
        {"generate": {"samples": 0}},
        {"task": "gsm8"},
        {"teacher": "gpt-5-mini"},
        {"teacher": {"model": "openai:gpt-5-mini", "device": "cuda"}},
        {"student": "openai:gpt-5-mini"},
        {"train": {"students": {"one": {"matching": "both"}}}},
        {"guide": {"policies": [{"at": 0}]}},
        {"guide": {"policies": ["seldom"]}},
        {"train": {"students": {"teacher": {}}}},
        {"train": {"students": {"../x": {}}}},
        {"train": {"students": {"a" * 65: {}}}},
        {"train": {"starts": {"start": "hf:small"}}},
        {"teachers": {"consensus": "hf:big"}},
        {"evaluate": {"socratic": {".x": {"questioner": "a", "solver": "b"}}}},
        {"evaluate": {"generic": {"tasks": ["gsm8k"], "rules": ["nope"]}}},
        {"train": {"students": {"one": {"data_format": "nope"}}}},
        {"train": {"students": {"one": {"data_format": {"nope": 1}}}}},
        {"train": {"students": {"one": {"loss": "nope"}}}},
        {"train": {"students": {"one": {"matching": {"alignment": "nope"}}}}},
        {"generate": {"prompt_style": "nope"}},
        {"task": "gms8k"},
        {"task": {"name": "gms8k"}},
        {"teachers": {"x": "opnai:foo"}},
        {"teachers": {"x": {"model": "opnai:foo"}}},
        {"teacher": "opnai:foo"},
        {"guide": {"policies": [{"when_unsure": {"sginal": "entropy"}}]}},
        {"guide": {"policies": [{"when_unsure": {"signal": "entrpy"}}]}},
        {"train": {"students": {"one": {"data_format": {}}}}},
        {"train": {"students": {"one": {"data_format": {"chat": -1}}}}},
        {"train": {"students": {"one": {"data_format": {"chat": 0}}}}},
        {"task": {"file": "q.csv", "answer_type": "nope"}},
    ],
)
def test_it_refuses_mistakes(schema: dict[str, Any], sections: dict[str, object]) -> None:
    assert faults(schema, {**FIRST, **sections}) != []
