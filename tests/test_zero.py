"""Training in parts by DeepSpeed ZeRO: what is asked of it, and that students are the same."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from shared_trainings import GOING_ON, go_on, left_losses, losses_of_all, stop_early
from test_train import start
from torch import nn
from two_processes import by_torchrun

import potstill.train.zero_settings
from potstill.errors import ConfigError, MissingExtraError
from potstill.train.launch_checks import check_launch
from potstill.train.settings import TrainSettings
from potstill.train.sharding import states_of
from potstill.train.zero import names_in_order
from potstill.train.zero_settings import check_zero, parts_weights, zero_settings

__all__ = ["start"]  # the fixture

TOGETHER = """
import sys
from pathlib import Path
from shared_trainings import train_all_by_zero
train_all_by_zero({stage}, Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_two_processes_in_parts_have_the_losses_of_one_at_every_step(
    stage: int, start: Path, tmp_path: Path
) -> None:
    """And go on from what one process, or two by FSDP2, have left; and one from what is theirs."""
    pytest.importorskip("deepspeed")
    alone = losses_of_all(start, tmp_path / "alone")
    for name in GOING_ON:
        stop_early(name, start, tmp_path / "by_one")
    program = TOGETHER.format(stage=stage)
    done = by_torchrun(program, tmp_path, start, tmp_path, most_seconds=900)
    assert done.returncode == 0, done.stderr
    by_way = left_losses(tmp_path)
    parts = [*tmp_path.glob("by_two/*/checkpoint-000003/resume/optimizer/part-*.safetensors")]
    assert len(parts) == 2 * len(GOING_ON), "each process has written some of the state"
    pickled = {place.name for place in tmp_path.glob("by_two/**/*.pt")}
    assert pickled == {"scheduler.pt"}, "numbers alone, which are read as such"
    by_way["one process after ZeRO"] = {
        name: go_on(name, start, tmp_path / "by_two") for name in GOING_ON
    }
    assert {way: [*losses] for way, losses in by_way.items()} == {
        "ZeRO": [*alone],
        "ZeRO after one process": [*GOING_ON],
        "ZeRO after FSDP2": [*GOING_ON],
        "one process after ZeRO": [*GOING_ON],
    }
    for way, together in by_way.items():
        for name, losses in together.items():
            assert losses == pytest.approx(alone[name], abs=1e-4), (way, name)


def zero_json(folder: Path, values: object) -> str:
    """Returns the place of a file of DeepSpeed's own."""
    path = folder / "zero.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values), encoding="utf-8")
    return str(path)


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """DeepSpeed is asked for; and is there, as far as is looked for it before a start is loaded."""
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setattr(potstill.train.zero_settings, "find_spec", lambda _: object())
    return monkeypatch


def test_without_deepspeed_one_line_says_what_installs_it(
    asked_for: pytest.MonkeyPatch,
) -> None:
    asked_for.setattr(potstill.train.zero_settings, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'potstill\[deepspeed\]'"):
        check_launch(TrainSettings(), {})
    asked_for.delenv("ACCELERATE_USE_DEEPSPEED")
    check_launch(TrainSettings(), {})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"prefix": {"tokens": 4}}, "train.prefix"),
        ({"lora": {"quantize": "4bit"}}, "train.lora.quantize"),
    ],
)
def test_what_cannot_be_held_in_parts_is_refused(
    values: dict[str, object], words: str, asked_for: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=words):
        check_launch(TrainSettings.model_validate(values), {})


def test_the_example_asks_for_stage_3(asked_for: pytest.MonkeyPatch) -> None:
    """The settings come in the environment variables by which accelerate hands them on."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_deepspeed_cmd_env

    example = Path(__file__).parents[1] / "examples" / "accelerate" / "deepspeed.yaml"
    given = ["--config_file", str(example), "--main_process_port", "0", "-m", "potstill"]
    arguments, *_ = _validate_launch_command(launch_command_parser().parse_args(given))
    arguments.deepspeed_fields_from_accelerate_config = "zero_stage"
    _, environment = prepare_deepspeed_cmd_env(arguments)
    for name, value in environment.items():
        if name.startswith("ACCELERATE_"):
            asked_for.setenv(name, value)
    assert zero_settings() == {"zero_optimization": {"stage": 3}}
    assert parts_weights()


def test_accelerate_alone_can_ask_for_stages_and_offloading(asked_for: pytest.MonkeyPatch) -> None:
    assert zero_settings() == {"zero_optimization": {"stage": 2}}, "accelerate's own default"
    assert not parts_weights()
    asked_for.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    asked_for.setenv("ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE", "cpu")
    asked_for.setenv("ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE", "cpu")
    asked_for.setenv("ACCELERATE_GRADIENT_CLIPPING", "1.0")
    asked_for.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    offloaded = {"offload_optimizer": {"device": "cpu"}, "offload_param": {"device": "cpu"}}
    assert zero_settings() == {"zero_optimization": {"stage": 3, **offloaded}}


def test_a_file_of_deepspeed_keeps_what_parts_and_leaves_the_rest_to_the_recipe(
    asked_for: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    zero = {
        **{"stage": 2, "overlap_comm": True, "reduce_bucket_size": "auto"},
        "offload_optimizer": {"device": "cpu", "pin_memory": True},
    }
    recipes = {
        **{"train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto"},
        **{"gradient_accumulation_steps": 1, "gradient_clipping": 1.0},
        **{"bf16": {"enabled": "auto"}, "fp16": {"enabled": False}},
    }
    path = zero_json(tmp_path, {**recipes, "zero_optimization": zero, "steps_per_print": 10})
    asked_for.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", path)
    assert zero_settings() == {"zero_optimization": zero, "steps_per_print": 10}


ZERO_2: dict[str, object] = {"zero_optimization": {"stage": 2}}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({**ZERO_2, "gradient_clipping": 0.5}, "gradient_clipping is 0.5, and a step's gradients"),
        ({**ZERO_2, "gradient_accumulation_steps": 4}, "is 4, and train.batch_tokens says it"),
        ({**ZERO_2, "train_batch_size": 64}, "is 64, and train.batch_size says it"),
        ({**ZERO_2, "optimizer": {"type": "AdamW"}}, "train.learning_rate"),
        ({**ZERO_2, "scheduler": {"type": "WarmupLR"}}, "train.schedule"),
        ({**ZERO_2, "bf16": {"enabled": True}}, "train.precision says it"),
        ({**ZERO_2, "compression_training": {}}, "compression_training may change"),
        ({}, "without a ZeRO stage of 1, 2 or 3"),
        ({"zero_optimization": {"stage": 0}}, "without a ZeRO stage of 1, 2 or 3"),
        ({"zero_optimization": {"stage": 3, "zero_quantized_weights": True}}, "zero_quantized_we"),
        ({"zero_optimization": {"stage": 3, "sub_group_size": "auto"}}, "cannot be auto"),
        ({"zero_optimization": {"stage": 3, "offload_param": {"device": "nvme"}}}, "device: cpu"),
        ({"zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}}}, "stage 3 alone"),
        ("{", "is no JSON"),
        ([], "holds no settings"),
    ],
)
def test_what_the_recipe_says_is_refused_in_a_file_of_deepspeed(
    values: object, words: str, asked_for: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked_for.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", zero_json(tmp_path, values))
    with pytest.raises(ConfigError, match=words):
        check_zero()


def test_a_file_that_is_not_there_and_settings_beside_one_are_refused(
    asked_for: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked_for.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(tmp_path / "none.json"))
    with pytest.raises(ConfigError, match=r"none.json cannot be read"):
        check_zero()
    asked_for.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", zero_json(tmp_path, ZERO_2))
    asked_for.setenv("ACCELERATE_CONFIG_DS_FIELDS", "deepspeed_config_file,zero_stage")
    with pytest.raises(ConfigError, match="sets zero_stage beside it"):
        check_zero()


def test_one_process_states_are_told_apart_by_name(tmp_path: Path) -> None:
    """Torch's optimiser numbers those that decay first, whatever their place in the model."""
    model = nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 3), nn.LayerNorm(3))
    weights = dict(model.named_parameters())
    weights["2.weight"].requires_grad_(False)
    rest = ["0.weight", "0.bias", "1.bias", "2.bias"]
    groups = [{"params": [weights["1.weight"]]}, {"params": [weights[name] for name in rest]}]
    optimizer = torch.optim.AdamW(groups)
    model(torch.ones(4, 2)).square().sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    names = names_in_order(model, ["1.weight"])
    assert names == ["1.weight", *rest]
    for name, state in states_of(tmp_path / "optimizer.pt", names):
        assert torch.equal(state["exp_avg"], optimizer.state[weights[name]]["exp_avg"])
