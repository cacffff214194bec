"""Two processes train what one trains; they end together, and others go on from what is there."""

import json
import os
import tempfile
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from click.testing import CliRunner
from shared_trainings import GOING_ON, go_on, left_losses, losses_of_all, stop_early
from test_train import start
from two_processes import by_torchrun

import potstill.train.reporter
from potstill.cli import main
from potstill.cli.terminal import echo
from potstill.errors import ConfigError
from potstill.launched import (
    COUNTS,
    NUMBERS,
    is_main_process,
    one_in_place_of_several,
    process_count,
    process_number,
    tells_ending,
)
from potstill.models.local.loading import load_model_and_tokenizer
from potstill.store import Store
from potstill.store.machine_copy import copy_store
from potstill.train.launch_checks import check_launch
from potstill.train.settings import TrainSettings
from potstill.train.sharding import filled, without_weights
from potstill.train.training_arguments import draw_apart

__all__ = ["start"]  # the fixture

TOGETHER = """
import sys
from pathlib import Path
from shared_trainings import train_all
train_all(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one_at_every_step(start: Path, tmp_path: Path) -> None:
    """With accumulation, prefix sharing, distribution matching and low-rank additions.

    By DDP, and by FSDP2, from whose checkpoints one process goes on, and the other way round.
    """
    alone = losses_of_all(start, tmp_path / "alone")
    for name in GOING_ON:
        stop_early(name, start, tmp_path / "by_one")
    done = by_torchrun(TOGETHER, tmp_path, start, tmp_path)
    assert done.returncode == 0, done.stderr
    by_way = left_losses(tmp_path)
    parts = [*tmp_path.glob("by_two/*/checkpoint-000003/resume/optimizer/shard-*.safetensors")]
    assert len(parts) == 2 * len(GOING_ON), "each process has written its own part"
    by_way["one process after FSDP2"] = {
        name: go_on(name, start, tmp_path / "by_two") for name in GOING_ON
    }
    assert {way: [*losses] for way, losses in by_way.items()} == {
        "DDP": [*alone],
        "FSDP2": [*alone],
        "FSDP2 after one process": [*GOING_ON],
        "one process after FSDP2": [*GOING_ON],
    }
    for way, together in by_way.items():
        for name, losses in together.items():
            assert losses == pytest.approx(alone[name], abs=1e-4), (way, name)


COMMAND = """
import os, signal, sys
import potstill.train.reporter
from potstill.cli import main
from potstill.train.trainer import StudentTrainer

potstill.train.reporter.LOG_STEPS = 1
step = StudentTrainer.training_step

def killed(self, *of, **named):
    if os.environ["RANK"] == "1" and self.state.global_step == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *of, **named)

StudentTrainer.training_step = killed
main(["train", sys.argv[1]], prog_name="potstill")
"""


def recipe_in(folder: Path, start: Path) -> Path:
    """Returns the recipe of a student that learns gold answers alone, of which nothing is asked."""
    values = {
        "run": str(folder / "run"),
        "task": {"name": "coin_toss", "train": 24, "dev": 2, "test": 2},
        "teacher": "bundled:teacher",
        "student": {"model": f"hf:{start}", "device": "cpu"},
        "train": {
            **{"steps": 8, "batch_size": 8, "learning_rate": 1e-2, "checkpoints": 4},
            "students": {"answers": {"data_format": "zero_shot_answer"}},
        },
    }
    folder.mkdir(exist_ok=True)
    recipe = folder / "recipe.yaml"
    recipe.write_text(json.dumps(values), encoding="utf-8")
    return recipe


def trained_by_command(recipe: Path) -> list[float]:
    """Returns the losses of a recipe's student after ``potstill train`` in this process."""
    done = CliRunner().invoke(main, ["train", str(recipe)])
    assert done.exit_code == 0, done.output
    with Store(recipe.parent / "run" / "run.sqlite", read_only=True) as store:
        return [step.loss for step in store.training()]


@pytest.mark.slow
def test_a_killed_process_ends_all_with_one_line_and_one_process_goes_on(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(potstill.train.reporter, "LOG_STEPS", 1)
    recipe = recipe_in(tmp_path / "killed", start)
    done = by_torchrun(COMMAND, tmp_path, recipe)
    assert done.returncode != 0
    # It is the second line where the launcher's signal comes before the loss is noticed.
    said = ("Error: another process of the 2", "Stopped. What has arrived is kept")
    lines = [line for line in done.stderr.splitlines() if line.startswith(said)]
    assert len(lines) == 1, done.stderr
    assert done.stderr.count("Traceback") == 1, "that of torchrun itself"
    (folder,) = (tmp_path / "killed" / "run" / "checkpoints").iterdir()
    kept = {place.name for place in folder.glob("checkpoint-*")}
    assert kept == {"checkpoint-000002", "checkpoint-000004"}
    resumed = trained_by_command(recipe)
    whole = trained_by_command(recipe_in(tmp_path / "whole", start))
    assert len(whole) == 8
    assert resumed == pytest.approx(whole, abs=1e-4)


def test_a_store_is_copied_for_another_machine_with_what_stands_beside_it(tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    with Store(tmp_path / "run.sqlite") as store:
        store.add_stage_time("train", 2.0)
        assert (tmp_path / "run.sqlite-wal").stat().st_size
        with Store(copy_store(tmp_path / "run.sqlite", copies), read_only=True) as copy:
            assert [stage.seconds for stage in copy.stages()] == [2.0]


def test_other_commands_are_refused_in_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = CliRunner().invoke(main, ["generate", "no_such_recipe.yaml"])
    assert done.exit_code == 2
    assert "potstill generate works in one process, and a launcher has started 2" in done.output


def test_a_process_beside_the_main_one_shows_nothing(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But an error, and of those of a launcher the first alone."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    first, second = (CliRunner().invoke(main, ["train", "no_such.yaml"]) for _ in range(2))
    assert first.exit_code == second.exit_code == 2
    assert "no_such.yaml" in first.output and second.output == ""
    echo("a line")
    assert not is_main_process() and process_number() == 1


@pytest.mark.parametrize(
    ("environment", "number", "count"),
    [
        ({}, 0, 1),
        ({"RANK": "3", "WORLD_SIZE": "4"}, 3, 4),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, 1, 2),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, 1, 2),
        ({"RANK": "3", "WORLD_SIZE": "1"}, 0, 1),
        ({"RANK": "none", "WORLD_SIZE": ""}, 0, 1),
    ],
)
def test_launchers_say_by_their_own_names_which_process_this_is(
    environment: dict[str, str], number: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*NUMBERS, *COUNTS):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (process_number(), process_count()) == (number, count)


def test_one_process_in_place_of_several_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables are those that ``accelerate launch --cpu --num_processes 2`` sets."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    assert one_in_place_of_several() is None, "one was asked for"
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    assert "starts a single process" in str(one_in_place_of_several())
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert one_in_place_of_several() is None


def test_old_leftovers_of_a_launcher_do_not_silence_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert [tells_ending(), tells_ending()] == [True, False]
    (left,) = tmp_path.iterdir()
    os.utime(left, (0, 0))
    assert tells_ending()


def test_each_process_draws_its_own_random_numbers() -> None:
    drawn = []
    for number, step in [(0, 0), (1, 0), (0, 5), (1, 5)]:
        torch.manual_seed(0)
        draw_apart(0, number, step)
        drawn.append(torch.rand(()).item())
    torch.manual_seed(0)
    assert drawn[0] == torch.rand(()).item(), "the main one of a beginning as one process does"
    assert len({*drawn}) == 4


@pytest.mark.parametrize(
    ("environment", "values", "words"),
    [
        ({"WORLD_SIZE": "8"}, {"batch_size": 4}, "batch_size is 4, and 8 processes"),
        ({"FSDP_VERSION": "1"}, {}, "fsdp_version: 2"),
        ({"FSDP_VERSION": "2"}, {"prefix": {"tokens": 4}}, "train.prefix"),
        ({"FSDP_VERSION": "2"}, {"lora": {"quantize": "4bit"}}, "train.lora.quantize"),
    ],
)
def test_what_processes_cannot_train_is_refused_before_anything_is_loaded(
    environment: dict[str, str],
    values: dict[str, object],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "FSDP_VERSION" in environment:
        monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=words):
        check_launch(TrainSettings.model_validate(values), {})


def test_a_model_is_filled_anew_with_the_weights_that_are_given(start: Path) -> None:
    model = load_model_and_tokenizer(str(start), dtype="float32", device="cpu").model
    skeleton = without_weights(model)
    assert {weight.device.type for weight in skeleton.parameters()} == {"meta"}
    doubled = {name: 2 * weight.detach() for name, weight in model.named_parameters()}
    twice = filled(skeleton, doubled)
    for name, weight in twice.named_parameters():
        assert torch.equal(weight, doubled[name])
    assert all(weight.is_meta for weight in skeleton.parameters()), "it can be filled again"
