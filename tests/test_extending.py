"""docs/extending.md runs as it stands: its files, its recipe, its entry points."""

import importlib
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from potstill.errors import ConfigError, DataError
from potstill.grading.answers import READERS
from potstill.guide.types import PolicySettings, own_gate
from potstill.guide.uncertainty import Signals
from potstill.models import open_model
from potstill.models.settings import KINDS, model_settings
from potstill.module_folders import FOLDERS
from potstill.pipeline.recipe import Recipe, load_recipe, write_resolved
from potstill.pipeline.run import Run, stored_run
from potstill.plugins import load_object
from potstill.prompts.formats import FormatSettings, format_named
from potstill.prompts.styles import StyleSettings, style_named
from potstill.records import Question, Request
from potstill.runtime.progress import Meter
from potstill.setting_names import resolve_names
from potstill.settings import build
from potstill.tasks import grade, load_task, task_named, task_names, task_settings
from potstill.train.alignment.align import _checked
from potstill.train.losses import Targets, loss_of
from potstill.train.settings import ALIGNMENTS, StudentSettings

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
FILES = {
    text.partition("\n")[0].removeprefix("# "): text for kind, text in BLOCKS if kind == "python"
}
PACKAGED = ("numeral_tasks.py", "function_models.py")
"""The files that the page has installed as a package; the others stand beside the recipe."""

NUMERALS = ("I", "II", "III", "V", "VI", "X", "XI", "XX", "XXV", "L", "LX", "C")


def merged(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """Two recipes as one."""
    both = dict(one)
    for name, value in two.items():
        inner = both.get(name)
        both[name] = merged(inner, value) if isinstance(inner, dict) else value
    return both


def recipe_values() -> dict[str, Any]:
    """The recipe that the page's parts make."""
    values: dict[str, Any] = {}
    for kind, text in BLOCKS:
        if kind == "yaml":
            values = merged(values, yaml.safe_load(text))
    return values


def install(
    site: Path, name: str, groups: dict[str, dict[str, str]], files: dict[str, str]
) -> None:
    """Lay a distribution out as pip does."""
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, points in groups.items()
        for line in (f"[{group}]", *(f"{key} = {value}" for key, value in points.items()), "")
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    for file, text in files.items():
        (site / file).write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the page's files beside a recipe, and its package installed."""
    (project,) = (tomllib.loads(text) for kind, text in BLOCKS if kind == "toml")
    site = tmp_path / "site"
    groups = project["project"]["entry-points"]
    install(site, project["project"]["name"], groups, {name: FILES[name] for name in PACKAGED})
    beside = tmp_path / "work"
    beside.mkdir()
    for name, text in FILES.items():
        if name not in PACKAGED:
            (beside / name).write_text(text, encoding="utf-8")
    rows = (
        {
            "question": f"What do {one} and {two} make?",
            "answer": "".join(sorted(one + two, key="CLXVI".index)),
        }
        for place, one in enumerate(NUMERALS)
        for two in NUMERALS[place:]
    )
    (beside / "numerals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    forget_folders(monkeypatch)
    monkeypatch.chdir(beside)
    yield beside
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


def forget_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process know no folders of modules."""
    for name, empty in (("_recipes", []), ("_earlier", []), ("_files", {}), ("_imported", {})):
        monkeypatch.setattr(FOLDERS, name, empty)


def page_recipe(folder: Path, **changes: Any) -> Recipe:
    """The page's recipe as a small run on the bundled student."""
    small = {
        "run": str(folder / "run"),
        "task": {"train": 12, "dev": 2, "test": 3},
        "generate": {"samples": 1},
        "train": {"steps": 2, "batch_size": 4, "checkpoints": 1},
        "evaluate": {"max_tokens": 12, "bootstrap": 100},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(merged(merged(recipe_values(), small), changes)))
    return load_recipe(path)


def test_the_page_has_a_file_and_a_recipe_for_each_door(folder: Path) -> None:
    assert set(FILES) == {
        "roman.py", "smoothing.py", "doubt.py", "numeral_tasks.py", "function_models.py",
        "solver.py",
    }  # fmt: skip
    recipe = page_recipe(folder)
    style, answers = recipe.generate.prompt_style, recipe.task.answer_type
    assert isinstance(style, StyleSettings) and answers == "roman:READER"
    assert recipe.teacher.model == "function:solver:solve"
    assert recipe.guide is not None
    policies = [policy.when for policy in recipe.guide.policies]
    assert policies == ["never", "first", "doubt:long_and_unsure"]


def test_the_pages_recipe_runs(folder: Path) -> None:
    recipe = page_recipe(folder)
    with Run(recipe, Meter(None)) as run:
        run.generate()
        run.curate()
        run.train()
        run.evaluate()
        request = run.asking.request(run.task.splits["train"][0])
        rationales = list(run.store.rationales())
        scores = list(run.store.scores())
    assert str(request.prompt).startswith("Problem: What do ")
    assert {rationale.verdict for rationale in rationales} == {"kept"}
    assert all(" is " in rationale.text for rationale in rationales)
    measured = {(score.task, score.system.label) for score in scores if score.split == "test"}
    assert {("numerals", "numerals"), ("baskets", "numerals")} <= measured
    again = load_recipe(folder / "run" / "recipe.yaml")
    assert again == recipe


def test_the_reader_of_the_page_grades(folder: Path) -> None:
    assert grade("roman:READER", "So the answer is XIV.", "XIV").correct
    assert grade("roman:READER", "X and IIII make XIIII", "XIV").correct
    assert not grade("roman:READER", "The answer is XVI.", "XIV").correct
    reader: Any = READERS["roman:READER"]
    assert reader.__wrapped__ is importlib.import_module("roman").READER


def test_the_policy_of_the_page_decides(folder: Path) -> None:
    decide = own_gate(PolicySettings(when="doubt:long_and_unsure").when)
    sure = Signals(0.1, 0.2, 0.1, 0.0, 30.0)
    assert not decide(sure)
    assert decide(sure._replace(min_logprob=2.0))
    assert not decide(sure._replace(min_logprob=2.0, prompt_tokens=5.0))


def test_entry_points_add_tasks_and_kinds_of_models(folder: Path) -> None:
    assert "baskets" in task_names()
    assert task_named("Baskets").answer_type == "number"
    task = load_task(task_settings({"name": "baskets", "train": 5, "dev": 2, "test": 3}, at="t"))
    assert [len(task.splits[name]) for name in ("train", "dev", "test")] == [5, 2, 3]
    assert "function" in list(KINDS)
    assert "function_models" not in sys.modules or KINDS["function"] is not None


def test_a_broken_plugin_is_told_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = {"potstill.tasks": {"broken": "broken_plugin:TASK", "wrong": "wrong_plugin:TASK"}}
    files = {"broken_plugin.py": "1 / 0\n", "wrong_plugin.py": "TASK = 3\n"}
    install(tmp_path / "site", "broken-plugin", groups, files)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    assert "broken" in task_names()
    assert task_named("gsm8k").name == "gsm8k"
    with pytest.raises(ConfigError, match=r"distribution broken-plugin declares.*ZeroDivision"):
        task_named("broken")
    with pytest.raises(ConfigError, match="of the distribution broken-plugin is a int and no task"):
        task_named("wrong")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nowhere_at_all:THING", "no module 'nowhere_at_all' among the installed packages or in "),
        ("roman:READR", "roman has no 'READR'. Did you mean 'READER'?"),
        ("roman:value", "roman:value is a function and no answer type"),
        ("roman:RomanReader", "roman:RomanReader is a type and no answer type"),
        ("broken:THING", "cannot be imported: NameError: name 'nothing' is not defined"),
        ("needing:THING", "cannot be imported: ModuleNotFoundError: No module named 'absent'"),
    ],
)
def test_what_cannot_be_imported_is_refused_in_one_line(
    folder: Path, reference: str, message: str
) -> None:
    (folder / "broken.py").write_text("nothing\n")
    (folder / "needing.py").write_text("import absent\n")
    with pytest.raises(ConfigError) as caught:
        Run(page_recipe(folder, task={"answer_type": reference}), Meter(None))
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (folder / "run").exists()
    sys.modules.pop("broken", None)


def test_modules_beside_the_recipe_are_found_and_hide_nothing_installed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # so that only the recipe's own folder has them
    (folder / "json.py").write_text("READER = None\n")
    assert "roman:READER" in resolve_names(page_recipe(folder))
    with pytest.raises(ConfigError, match="json has no 'READER'"):
        resolve_names(page_recipe(folder, task={"answer_type": "json:READER"}))


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ({"template": "Q: {qestion}"}, "unknown placeholder {qestion}; known are {question}, {ex"),
        ({"template": "Q:"}, "template lacks {question}"),
        ({"template": "{question}", "exemplar": "{question} {reason}"}, "{reason}"),
        ({"template": "{question}", "stops": ["x"]}, "Did you mean 'generate.prompt_style.stop'?"),
        ({"template": "{question}", "name": "../x"}, "pattern"),
    ],
)
def test_a_style_that_cannot_be_filled_is_refused(style: dict[str, Any], message: str) -> None:
    raw = {"run": "r", "task": "gsm8k", "teacher": "bundled:teacher", "student": "bundled:student"}
    with pytest.raises(ConfigError) as caught:
        build(Recipe, {**raw, "generate": {"prompt_style": style}}, at="recipe")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_braces_that_are_no_placeholders_are_kept() -> None:
    text = r'{question} Give \boxed{answer} or {"answer": 1}.'
    style = StyleSettings(template=text)
    assert style_named(style).template == text


def test_the_same_texts_have_the_same_name() -> None:
    one, two = (FormatSettings(prompt="{question}", target="{answer}") for _ in range(2))
    assert one.key == two.key and format_named(one.key) == one.data_format
    other = FormatSettings(prompt="{question}", target="{answer}.")
    assert other.key != one.key
    named = FormatSettings(prompt="{question}", target="{answer}", name="bare")
    assert named.key == one.key.replace("own", "bare")


def test_own_texts_stand_in_the_resolved_recipe(tmp_path: Path) -> None:
    raw = {
        "run": str(tmp_path / "run"), "task": "gsm8k", "teacher": "bundled:teacher",
        "student": "bundled:student", "generate": {"prompt_style": {"template": "{question}!"}},
    }  # fmt: skip
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(raw))
    recipe = load_recipe(tmp_path / "r.yaml")
    write_resolved(recipe)
    assert load_recipe(tmp_path / "run" / "recipe.yaml") == recipe
    assert "StyleSettings" in Recipe.model_json_schema()["$defs"]


LOSSES = """
import torch

def two_needed(logits):
    return logits.mean(1)

def mean(logits, targets):
    return logits.float().log_softmax(1).mean()

def per_logit(logits, targets):
    return logits.float()

def counts(logits, targets):
    return targets.labels_N

def detached(logits, targets):
    return logits.float().mean(1).detach()

def nothing(logits, targets):
    return logits.float().mean(1) * float("nan")

def fits(logits, targets):
    return -logits.float().log_softmax(1).mean(1)

def policy_of_two(signals, more):
    return True

def undecided(signals):
    pass
"""


@pytest.fixture
def own_losses(folder: Path) -> Iterator[None]:
    """A module of losses beside the page's, most of which do not fit."""
    (folder / "own_losses.py").write_text(LOSSES)
    yield
    sys.modules.pop("own_losses", None)


@pytest.mark.usefixtures("own_losses")
@pytest.mark.parametrize("rows", [slice(0, 6), slice(2, 4)], ids=["whole", "chunk"])
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("mean", r"values of the shape \(\) in place of "),
        ("per_logit", r"values of the shape \(\d, 11\) in place of "),
        ("counts", "values of the type torch.int64"),
        ("detached", "values that have no gradient"),
        ("nothing", "NaN for every token"),
    ],
)
def test_a_loss_that_returns_something_else_is_told(
    folder: Path, name: str, fault: str, rows: slice
) -> None:
    FOLDERS.add(folder)
    loss = loss_of(StudentSettings(loss=f"own_losses:{name}"))
    targets = Targets(torch.arange(6)).at(rows)
    logits = torch.randn(len(targets.labels_N), 11, requires_grad=True)
    with pytest.raises(ConfigError, match=f"the loss own_losses:{name} returned {fault}"):
        loss(logits, targets)


@pytest.mark.usefixtures("own_losses")
def test_a_loss_that_fits_is_not_changed(folder: Path) -> None:
    FOLDERS.add(folder)
    loss = loss_of(StudentSettings(loss="own_losses:fits"))
    logits = torch.randn(4, 11, requires_grad=True)
    nats = loss(logits, Targets(torch.arange(4)))
    assert torch.equal(nats, -logits.log_softmax(1).mean(1)) and nats.requires_grad


@pytest.mark.usefixtures("own_losses")
def test_a_loss_is_looked_at_in_training(folder: Path) -> None:
    recipe = page_recipe(folder, train={"students": {"numerals": {"loss": "own_losses:mean"}}})
    with Run(recipe, Meter(None)) as run:
        run.generate()
        run.curate()
        with pytest.raises(ConfigError, match=r"the loss own_losses:mean returned values of the "):
            run.train()


@pytest.mark.usefixtures("own_losses")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train": {"students": {"numerals": {"loss": "own_losses:two_needed"}}}},
            "own_losses:two_needed takes (logits), and this loss is called with (logits_NV, t",
        ),
        (
            {"guide": {"policies": ["own_losses:policy_of_two"]}},
            "own_losses:policy_of_two takes (signals, more), and this policy is called with (sign",
        ),
        (
            {"task": {"rule": "own_losses:mean"}},
            "own_losses:mean takes (logits, targets), and this rule is called with (task, text, q",
        ),
        (
            {"train": {"students": {"numerals": {"matching": {"alignment": "doubt:Signals"}}}}},
            "and this alignment is called with (ids, teacher_tokens, vocabulary)",
        ),
        ({"task": {"answer_type": "readers:SHORT"}}, "readers:SHORT.same takes (answer), and the "),
    ],
)
def test_what_cannot_be_called_is_refused_before_anything_is_made(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    (folder / "readers.py").write_text(
        "from roman import RomanReader\n\n\nclass Short(RomanReader):\n"
        "    def same(self, answer):\n        return True\n\n\nSHORT = Short()\n"
    )
    with pytest.raises(ConfigError) as caught:
        Run(page_recipe(folder, generate={"top_logprobs": 5}, **changes), Meter(None))
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (folder / "run").exists()
    sys.modules.pop("readers", None)


@pytest.mark.usefixtures("own_losses")
def test_a_policy_that_decides_nothing_is_told(folder: Path) -> None:
    FOLDERS.add(folder)
    with pytest.raises(ConfigError, match=r"policy own_losses:undecided returned None\. It has to"):
        own_gate("own_losses:undecided")(Signals(0.1, 0.2, 0.1, 0.0, 30.0))


@pytest.mark.parametrize(
    ("method", "returned", "message"),
    [
        ("marked", "'XIV'", "returned 'XIV' from marked. It has to return an AnswerCandidate"),
        ("gold", "14", "returned 14 from gold. It has to return the gold answer as text"),
        ("same", "'yes'", "returned 'yes' from same. It has to return True, False"),
    ],
)
def test_a_reader_that_returns_something_else_is_told(
    folder: Path, method: str, returned: str, message: str
) -> None:
    (folder / f"reads_{method}.py").write_text(
        "from roman import RomanReader\n\n\nclass Other(RomanReader):\n"
        f"    def {method}(self, *given):\n        return {returned}\n\n\nREADER = Other()\n"
    )
    FOLDERS.add(folder)
    with pytest.raises(ConfigError, match=re.escape(message)):
        grade(f"reads_{method}:READER", "So the answer is XIV.", "XIV")


def test_a_rule_that_returns_something_else_is_told(folder: Path) -> None:
    (folder / "rules_of_mine.py").write_text("def rule(task, text, question):\n    return True\n")
    FOLDERS.add(folder)
    task = task_named("number", rule="rules_of_mine:rule")
    with pytest.raises(ConfigError, match=r"rule rules_of_mine:rule returned True\. It has to"):
        grade(task, "The answer is 4.", Question(id="1", text="2 + 2?", answer="4"))


@pytest.mark.parametrize(
    "rows", [None, [(0, {1: 0.5}), (9, {1: 0.5})], [(0, [0.5])], [(0, {1: -1})]]
)
def test_an_alignment_that_returns_something_else_is_told(rows: object) -> None:
    with pytest.raises(ConfigError, match="It has to return a list of pairs: a position below 3"):
        _checked(rows, 3)


@pytest.fixture
def stored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of a recipe in a folder below, whose modules stand beside it, after generate."""
    below = folder / "sub"
    below.mkdir()
    for name in set(FILES).difference(PACKAGED):
        (folder / name).rename(below / name)
    page_recipe(folder)
    (folder / "recipe.yaml").rename(below / "m.yaml")
    with Run(load_recipe(below / "m.yaml", ["run=runs/m"]), Meter(None)) as run:
        run.generate()
    forget_modules(monkeypatch)
    return folder / "runs" / "m"


def forget_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process know no more of modules than a new one."""
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)
    places = [place for place in sys.path if Path(place).name not in ("sub", "work")]
    monkeypatch.setattr(sys, "path", places)
    forget_folders(monkeypatch)
    importlib.invalidate_caches()


def test_a_run_finds_the_modules_of_the_recipe_that_made_it(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = ["../../sub", str(stored.parents[1] / "sub")]
    assert json.loads((stored / "module_folders.json").read_text()) == places
    assert str(tmp_path) not in (stored / "recipe.yaml").read_text()
    with Run(load_recipe(stored / "recipe.yaml"), Meter(None)) as run:
        run.check()
    places = ["../../sub", str(stored.parents[1] / "sub")]
    assert json.loads((stored / "module_folders.json").read_text()) == places


def test_a_run_is_opened_without_the_modules_that_it_was_trained_with(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stored.parents[1] / "sub" / "smoothing.py").unlink()
    with stored_run(stored, Meter(None)) as run:
        run.curate()
        run.regrade()
        run.report()
        with pytest.raises(ConfigError, match="there is no module 'smoothing'"):
            run.check()
        with pytest.raises(ConfigError, match="there is no module 'smoothing'"):
            run.generate()


OWN_TASK = "run: runs/{name}\ntask: {{file: {folder}/q.jsonl, answer_type: 'mine:READER'}}\n"
OWN_TASK += "teacher: bundled:teacher\nstudent: bundled:student\n"


def own_recipe(folder: Path, name: str, reader: str, **files: str) -> Path:
    """A recipe in a folder of its own, with a reader that subclasses the page's."""
    own = folder / name
    own.mkdir()
    (own / "mine.py").write_text(
        f"from roman import RomanReader\n{reader}\n\n\nclass Mine(RomanReader):\n"
        f"    folder = {name!r}\n\n\nREADER = Mine()\n"
    )
    for file, text in files.items():
        (own / f"{file}.py").write_text(text)
    path = own / "recipe.yaml"
    path.write_text(OWN_TASK.format(name=name, folder=own))
    return path


@pytest.fixture
def forgotten() -> Iterator[None]:
    yield
    for name in ("mine", "besides"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("forgotten")
def test_two_recipes_cannot_mean_different_files_by_one_name(folder: Path) -> None:
    one = own_recipe(folder, "p1", "")
    two = own_recipe(folder, "p2", "# another\n")
    resolve_names(load_recipe(one))
    with pytest.raises(ConfigError, match="the module mine is ") as caught:
        load_recipe(two)
    told = str(caught.value)
    assert str(one.parent / "mine.py") in told and str(two.parent / "mine.py") in told
    assert "\n" not in told and told.endswith("Rename one of them, or make the two the same.")
    assert resolve_names(load_recipe(one)) == ["mine:READER"]  # the first is as it was


@pytest.mark.usefixtures("forgotten")
def test_two_recipes_can_mean_two_copies_of_a_file(folder: Path) -> None:
    texts = [own_recipe(folder, name, "") for name in ("p1", "p2")]
    (folder / "p2" / "mine.py").write_text((folder / "p1" / "mine.py").read_text())
    for path in texts:
        assert resolve_names(load_recipe(path)) == ["mine:READER"]


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("name", ["mine", "other"])
def test_a_module_beside_another_recipes_is_not_taken_for_its_own(folder: Path, name: str) -> None:
    one = own_recipe(folder, "p1", "import besides", besides="SIDE = 1\n")
    two = own_recipe(folder, "p2", "import besides", besides="SIDE = 2\n")
    text = one.with_name("mine.py").read_text()
    two.with_name(f"{name}.py").write_text(text)  # the same text, beside another module
    two.write_text(two.read_text().replace("mine:", f"{name}:"))
    resolve_names(load_recipe(one))
    with pytest.raises(ConfigError, match=r"the module besides is .*p1.* and .*p2"):
        resolve_names(load_recipe(two))
    sys.modules.pop("other", None)


@pytest.mark.usefixtures("forgotten")
def test_a_module_that_no_setting_names_is_not_taken_from_another_recipe(folder: Path) -> None:
    for number, name in enumerate(("p1", "p2")):
        own_recipe(folder, name, "", besides=f"SIDE = {number}\n")
        FOLDERS.add(folder / name)
    with pytest.raises(ConfigError, match=r"the module besides is .*p1.* and .*p2"):
        load_object("besides:SIDE", expected="function")


@pytest.mark.usefixtures("forgotten")
def test_a_recipe_finds_its_own_modules_whatever_was_loaded_before(folder: Path) -> None:
    (folder / "first").mkdir()
    (folder / "first" / "besides.py").write_text("SIDE = 1\n")
    FOLDERS.add(folder / "first")
    two = own_recipe(folder, "p2", "import besides\nassert besides.SIDE == 2", besides="SIDE = 2\n")
    assert resolve_names(load_recipe(two)) == ["mine:READER"]


def test_a_run_that_was_moved_away_finds_its_modules(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "elsewhere" / "deep" / "moved"
    moved.parent.mkdir(parents=True)
    stored.rename(moved)
    with stored_run(moved, Meter(None)) as run:
        run.check()
        run.curate()
        run.report()
    forget_modules(monkeypatch)  # and where both are moved together, from the run's folder
    both = tmp_path / "both"
    both.mkdir()
    (stored.parents[1] / "sub").rename(both / "sub")
    (both / "runs").mkdir()
    moved.rename(both / "runs" / "m")
    monkeypatch.chdir(tmp_path)
    (stored.parents[1] / "numerals.jsonl").rename(tmp_path / "numerals.jsonl")
    with stored_run(both / "runs" / "m", Meter(None)) as run:
        run.check()


def test_where_a_reader_was_looked_for_is_told_in_one_line(stored: Path) -> None:
    (stored.parents[1] / "sub" / "roman.py").unlink()
    with stored_run(stored, Meter(None)) as run, pytest.raises(ConfigError) as caught:
        run.report()
    told = str(caught.value)
    assert "no module 'roman'" in told and str(stored.parents[1] / "sub") in told
    assert "\n" not in told


FAILING = """
import failing_deep
from roman import RomanReader

def loss(logits, targets):
    return targets.nothing_of_the_kind

def policy(signals):
    return 1 / 0

def rule(task, text, question):
    raise ValueError

def alignment(ids, teacher_tokens, vocabulary):
    return {}["a"]

def signal(task, text, question):
    from potstill.errors import DataError
    raise DataError("of potstill's own")

class Reader(RomanReader):
    def marked(self, text, start, end, question):
        return failing_deep.fail()

    def same(self, answer, gold):
        raise KeyError("x")

READER = Reader()
"""


@pytest.fixture
def failing(folder: Path) -> Iterator[str]:
    """A module whose things all fail; its path."""
    (folder / "failing.py").write_text(FAILING)
    (folder / "failing_deep.py").write_text("def fail():\n    return [].pop()\n")
    FOLDERS.add(folder)
    yield str(folder / "failing.py")
    for name in ("failing", "failing_deep"):
        sys.modules.pop(name, None)


def line_of(words: str) -> int:
    return FAILING.splitlines().index(words) + 1


def test_a_failure_in_code_of_ones_own_is_one_line(folder: Path, failing: str) -> None:
    sure, question = Signals(0.1, 0.2, 0.1, 0.0, 30.0), Question(id="1", text="?", answer="IV")
    ruled = task_named("number", rule="failing:rule")
    loss = loss_of(StudentSettings(loss="failing:loss"))
    logits = torch.zeros(2, 3, requires_grad=True)
    calls: list[tuple[Callable[[], object], str, str, int]] = [
        (lambda: own_gate("failing:policy")(sure), "the policy failing:policy failed: "
         "ZeroDivisionError: division by zero", failing, line_of("    return 1 / 0")),
        (lambda: grade(ruled, "4", question), "the rule failing:rule failed: ValueError ",
         failing, line_of("    raise ValueError")),
        (lambda: loss(logits, Targets(torch.arange(2))), "the loss failing:loss failed: "
         "AttributeError: ", failing, line_of("    return targets.nothing_of_the_kind")),
        (lambda: ALIGNMENTS["failing:alignment"]([], None, None), "the alignment failing:alignment "
         "failed: KeyError: 'a'", failing, line_of('    return {}["a"]')),
        (lambda: grade("failing:READER", "The answer is IV.", "IV"), "marked of the answer type "
         "failing:READER failed: IndexError: ", str(folder / "failing_deep.py"), 2),
        (lambda: READERS["failing:READER"].same("a", "b"), "same of the answer type failing:READER "
         "failed: KeyError: 'x'", failing, line_of('        raise KeyError("x")')),
    ]  # fmt: skip
    for call, words, file, line in calls:
        with pytest.raises(ConfigError) as caught:
            call()
        told = str(caught.value)
        assert told.startswith(words) and told.endswith(f"({file}:{line}). Mend it."), told
        assert "\n" not in told
        assert caught.value.__cause__ is not None
        assert not isinstance(caught.value.__cause__, ConfigError)


@pytest.mark.usefixtures("failing")
def test_an_error_of_potstills_kind_that_own_code_raises_is_told_as_it_is() -> None:
    ruled = task_named("number", rule="failing:signal")
    with pytest.raises(DataError, match=r"^of potstill's own$"):
        grade(ruled, "4", Question(id="1", text="?", answer="4"))


def test_a_failure_of_a_task_of_a_package_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = FILES["numeral_tasks.py"].replace("    return Draft(", "    1 / 0\n    return Draft(")
    groups = {"potstill.tasks": {"failing_baskets": "failing_tasks:BASKETS"}}
    install(tmp_path / "site", "failing-tasks", groups, {"failing_tasks.py": text})
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    told = r"^draw of the task failing_tasks:BASKETS failed: ZeroDivisionError: .*_tasks.py:\d+\)"
    with pytest.raises(ConfigError, match=told):
        load_task(task_settings("failing_baskets", at="task"))


@pytest.mark.parametrize("where", ["open", "complete", "later"])
def test_a_failure_of_a_kind_of_model_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    fault = "raise LookupError('gone')"
    before, after = {
        "open": ("return FunctionModel(self)", fault),
        "complete": ("for request in requests:", f"{fault}\n        for request in requests:"),
        "later": ("yield Completion(", f"{fault}\n                yield Completion("),
    }[where]
    text = FILES["function_models.py"].replace(before, after)
    groups = {"potstill.models": {"failing": "failing_models:FunctionSettings"}}
    install(tmp_path / "site", "failing-models", groups, {"failing_models.py": text})
    (tmp_path / "site" / "solver_of_site.py").write_text("def solve(prompt, sample):\n    pass\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    settings = model_settings("failing:solver_of_site:solve", at="teacher")
    request = Request(prompt="a", samples=(0,))
    with pytest.raises(
        ConfigError,
        match=r"kind of model failing_models:FunctionSettings failed: "
        r"LookupError: gone \(.*failing_models.py:\d+\)",
    ):
        list(open_model(settings).complete([request]))
    for name in ("failing_models", "solver_of_site"):
        sys.modules.pop(name, None)
