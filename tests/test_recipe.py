from pathlib import Path

import pytest
import yaml

from potstill.errors import ConfigError
from potstill.pipeline.recipe import load_recipe, write_resolved

SHORT = "task: two_step_arithmetic\nteacher: bundled:teacher\nstudent: bundled:student\n"


def recipe_file(folder: Path, text: str = SHORT) -> Path:
    path = folder / "first.yaml"
    path.write_text(text)
    return path


def test_a_short_recipe_has_every_default(tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(tmp_path))
    assert recipe.run == "runs/first"
    assert recipe.generate.samples == 4
    assert list(recipe.train.students) == ["answers_only", "rationales"]


def test_the_resolved_recipe_is_written_and_is_itself_a_recipe(tmp_path: Path) -> None:
    text = SHORT + f"run: {tmp_path / 'run'}\ngenerate: {{samples: 2}}\n"
    recipe = load_recipe(recipe_file(tmp_path, text))
    write_resolved(recipe)
    written = tmp_path / "run" / "recipe.yaml"
    assert yaml.safe_load(written.read_text())["generate"]["temperature"] == 0.7
    assert load_recipe(written) == recipe


def test_settings_can_be_changed_from_the_command_line(tmp_path: Path) -> None:
    changes = ["generate.samples=2", "task.train=7", "teacher.batch_tokens=99", "seed=3"]
    recipe = load_recipe(recipe_file(tmp_path), changes)
    assert recipe.generate.samples == 2
    assert recipe.task.train == 7
    assert recipe.teacher.model_dump()["batch_tokens"] == 99
    assert recipe.seed == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("generate: {temprature: 1}", r"Did you mean 'generate.temperature'"),
        ("genrate: {}", r"unknown setting 'genrate'. Did you mean 'generate'"),
        ("generate: {samples: 0}", r"generate.samples is 0: input should be greater"),
        ("generate: {samples: many}", r"generate.samples is 'many': input should be"),
        ("teacher: gpt", r"teacher is 'gpt': give kind:where"),
        ("teacher: {model: 'openai:x', base_ulr: y}", r"Did you mean 'teacher.base_url'"),
        ("student: openai:x", r"student"),
        ("generate: {prompt_style: zero_shot_cott}", r"there is no prompt style 'zero_shot_cott'"),
        ("train: {students: {d8: {samples: 8}}}", r"d8.samples is 8, and .* draws only 4"),
        ("train: {students: {d8: {sample: 8}}}", r"Did you mean 'train.students.d8.samples'"),
        ("train: {students: {on_policy: {zzzz: 8}}}", r"Known here: .*data_format, .*on_policy, "),
        ("generate: {prompt_style: 'nosuch:style'}",
         r"generate.prompt_style: there is no .* or a mapping with template for one of your own"),
        ("generate: {prompt_style: {templat: '{question}'}}",
         r"Did you mean 'generate.prompt_style.template'"),
        ("generate: {prompt_style: {template: 'Q'}}", r"generate.prompt_style is .* lacks {quest"),
        ("train: {students: {n: {data_format: {prompt: '{question}', targt: x}}}}",
         r"Did you mean 'train.students.n.data_format.target'"),
        ("train: {students: {n: {data_format: nosuch}}}",
         r"train.students.n.data_format: there is no data format 'nosuch'"),
        ("train: {students: {n: {data_format: {nosuch: 1}}}}",
         r"train.students.n.data_format.* there is no data format 'nosuch'"),
        ("train: {students: {n: {loss: nosuch}}}",
         r"n.loss: there is no loss 'nosuch'; give module:name for one of your own\."),
        ("evaluate: {tasks: [gsm8kk]}", r"evaluate.tasks.0: there is no task 'gsm8kk'. Did you"),
        ("evaluate: {out_of_distribution: [{name: gsm8k, tst: 1}]}",
         r"Did you mean 'evaluate.out_of_distribution.0.test'"),
        ("evaluate: {generic: {tasks: [{name: gsm8k, test: -1}]}}",
         r"evaluate.generic.tasks.0.test is -1: input"),
        ("evaluate: {generic: {tasks: []}}", r"evaluate.generic.tasks is \[\]: give 1 or more"),
        ("evaluate: {tasks: gsm8k}", r"evaluate.tasks is 'gsm8k': give a list\."),
        ("train: {students: {a: {replay: {tasks: [gsm8kk]}}}}",
         r"train.students.a.replay.tasks.0: there is no task 'gsm8kk'"),
        ("train: {students: {a: {replay: {tasks: [gsm8k], data_format: zero_shot_anser}}}}",
         r"a.replay.data_format: there is no .*; did you mean 'zero_shot_answer'"),
        ("train: {students: {a: {start: {model: 'hf:x', devise: y}}}}",
         r"Did you mean 'train.students.a.start.device'"),
        ("train: {starts: {x: 'hff:y'}}", r"train.starts.x is 'hff:y': give kind:where"),
        ("train: {starts: {x: {model: 'hf:y', dtyp: z}}}",
         r"unknown setting 'train.starts.x.dtyp'. Did you mean 'train.starts.x.dtype'"),
        ("teachers: {x: {model: 'openai:y', chatt: 1}}",
         r"unknown setting 'teachers.x.chatt'. Did you mean 'teachers.x.chat'"),
        ("task: {name: gsm8k, rule: bbhh}",
         r"task.rule: there is no rule 'bbhh'; did you mean 'bbh'"),
        ("train: {students: {a: {data_format: null}}}",
         r"a.data_format is None: give a name, or a mapping with prompt and target, or weights by"),
        ("train: {students: {a: {data_format: [predict]}}}",
         r"a.data_format is \['predict'\]: give a name, or a mapping with prompt and target"),
        ("train: {students: {a: {data_format: {predict_explain: 1}}}}",
         r"a.data_format.predict_explain: 'predict_explain' is a mixture of data formats, and mix"),
        ("train: {students: {a: {data_format: {chat: -1}}}}",
         r"a.data_format.chat is -1: give a number above 0"),
        ("evaluate: {asked_in: [true]}", r"evaluate.asked_in.0 is True: give a name, or a mapping"),
        ("generate: {prompt_style: 5}",
         r"generate.prompt_style is 5: give a name, or a mapping with template"),
        ("generate: {prompt_style: [a]}",
         r"generate.prompt_style is \['a'\]: give a name, or a mapping"),
        ("train: {students: {a: {matching: distribtion}}}",
         r"a.matching: there is no matching 'distribtion'; did you mean 'distribution'"),
        ("guide: {policies: [5]}",
         r"guide.policies.0 is 5: give a policy's name, or a mapping such"),
        ("exemplars: 5",
         r"exemplars is 5: give a list of worked questions, or a mapping with worked"),
        ("guide: {policies: [nosuch]}", r"there is no policy 'nosuch'; known: never, first, .*, or "
         "module:name"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_in_words(tmp_path: Path, line: str, message: str) -> None:
    values = {**yaml.safe_load(SHORT), **yaml.safe_load(line)}
    path = recipe_file(tmp_path, yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_what_is_not_a_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_recipe(recipe_file(tmp_path, "a: [1"))
    with pytest.raises(ConfigError, match="holds no settings"):
        load_recipe(recipe_file(tmp_path, "just words"))
    with pytest.raises(ConfigError, match="give NAME=VALUE"):
        load_recipe(recipe_file(tmp_path), ["seed"])
    with pytest.raises(ConfigError, match="has no settings inside"):
        load_recipe(recipe_file(tmp_path, SHORT + "seed: 1\n"), ["seed.x=1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "task: gsm8k\ntrain:\n  steps: 3\nstudent: x\ntrain:\n  learning_rate: 1\n",
            "recipe.yaml, line 5: 'train' stands on line 2 already",
        ),
        (
            "task: {name: gsm8k, train: 3,\n  train: 4}\n",
            "line 2: 'train' stands on line 1 already",
        ),
        ("a: [{b: 1}, {c: 1, c: 2}]", "line 1: 'c' stands on line 1 already"),
        (
            "task: gsm8k\nteacher: openai:x: y\n",
            "recipe.yaml is not YAML: line 2, column 18: mapping values are not allowed here "
            "('teacher: openai:x: y')",
        ),
    ],
)
def test_yaml_that_loses_a_setting_or_is_none_is_told_with_its_lines(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_recipe(tmp_path / "recipe.yaml")
    assert message in str(caught.value) and "\n" not in str(caught.value)
