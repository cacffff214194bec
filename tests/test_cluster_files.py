"""The files for KubeRay and SkyPilot: what they start are commands of today, and hold no key."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from potstill.cli import main
from potstill.pipeline.recipe import load_recipe

EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = [EXAMPLES / "kuberay" / "run.yaml", EXAMPLES / "skypilot" / "generate.yaml"]
WHOLE = {"run": "runs/x", "task": "gsm8k", "teacher": "bundled:teacher",
         "student": "bundled:student"}  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return values


def command_lines(path: Path) -> list[str]:
    values = read(path)
    script = values["spec"]["entrypoint"] if "spec" in values else values["run"]
    return [line for line in str(script).splitlines() if line.strip().startswith("potstill ")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_the_command_that_a_file_starts_is_one_that_asks_on_the_cluster(path: Path) -> None:
    (line,) = command_lines(path)
    line = re.sub(r"\$(head|RECIPE)", "place", line).replace("$SKYPILOT_NUM_NODES", "2")
    _, name, *words = shlex.split(line)
    assert isinstance(main, click.Group)
    context = main.commands[name].make_context(name, words)
    assert context.params["on"] == "ray"
    recipe = load_recipe(WHOLE, [*context.params["changes"], "run_on.engine=ray"])
    assert recipe.run_on is not None and recipe.run_on.workers in (2, 4)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_a_file_holds_no_key(path: Path) -> None:
    values = read(path)
    assert all(value is None for value in values.get("secrets", {}).values())
    assert not re.search(r"\b(sk|hf)[-_]\w{8,}", path.read_text(encoding="utf-8"))


def test_all_pods_have_one_image_the_runs_and_the_keys() -> None:
    cluster = read(FILES[0])["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    containers = [group["template"]["spec"]["containers"][0] for group in groups]
    assert len({one["image"] for one in containers}) == 1
    for one in containers:
        assert one["volumeMounts"] == [{"name": "runs", "mountPath": "/runs"}]
        assert one["envFrom"] == [{"secretRef": {"name": "potstill-keys"}}]
        assert one["resources"]["requests"] == one["resources"]["limits"]


@pytest.mark.parametrize("part", ["setup", "run"])
def test_the_scripts_of_a_machine_are_of_the_shell(part: str) -> None:
    subprocess.run(["bash", "-n"], input=read(FILES[1])[part], text=True, check=True)


def test_every_machine_of_skypilot_has_its_part() -> None:
    script = read(FILES[1])["run"]
    others, first = script.split("fi\n", 1)
    assert "ray start --address" in others and "potstill" not in others
    assert "ray start --head" in first and first.index("ray start") < first.index("potstill")
    assert first.index("trap") < first.index("potstill"), "the run is copied however it ends"
