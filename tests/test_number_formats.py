"""Number formats that models are computed and written in; transformers 4 and 5 read the files."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from test_train import hf, learner, losses, settings, sums
from tiny_models import build_tiny_causal
from transformers import AutoModelForCausalLM, AutoTokenizer

import potstill.models.local.model
import potstill.models.local.saving
import potstill.train.student
import potstill.train.trainer_setup
from potstill.models import open_model
from potstill.models.local import format_trials
from potstill.models.local.loading import load_model_and_tokenizer
from potstill.models.local.saving import save_model
from potstill.runtime import Runtime
from potstill.runtime.events import EventLog
from potstill.runtime.number_formats import NumberFormats, Trial
from potstill.train.encoding import Encoded
from potstill.train.precision import try_training
from potstill.train.reporter import TrainProgress
from potstill.train.student import TrainedStudent, train_student
from potstill.train.training_arguments import training_arguments
from potstill.whole_files import whole_folder


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every model counts as a large one."""
    for module in (format_trials, potstill.models.local.saving):
        monkeypatch.setattr(module, "SMALL_MODEL", 0)
    yield


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A llama on the disk in bfloat16."""
    folder = build_tiny_causal(tmp_path / "start", "llama", chat=True)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    save_model(model, AutoTokenizer.from_pretrained(folder), folder, dtype=torch.bfloat16)
    return folder


def run_of(folder: Path) -> Runtime:
    events = EventLog(folder / "log.jsonl")
    return Runtime(events=events, number_formats=NumberFormats(folder / "number_formats.json"))


def events_of(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "log.jsonl").read_text().splitlines() if folder.exists() else []
    return [json.loads(line) for line in lines if '"number_format"' in line]


# The choice


@pytest.mark.parametrize(
    ("float32", "bfloat16", "chosen"),
    [(2.0, 1.0, "bfloat16"), (1.1, 1.0, "bfloat16"), (1.05, 1.0, "float32"), (1.0, 9.0, "float32")],
)
def test_the_faster_format_is_taken_where_it_gains_enough(
    float32: float, bfloat16: float, chosen: str
) -> None:
    assert Trial(float32, bfloat16).chosen == chosen


def test_a_choice_outlives_the_process_and_an_old_run_stays_as_it_began(tmp_path: Path) -> None:
    path = tmp_path / "number_formats.json"
    first = NumberFormats(path)
    assert first.known("training: llama") is None
    first.keep("training: llama", Trial(2.0, 1.0))
    again = NumberFormats(path, former=True)  # by now a model has answered
    assert again.known("training: llama") == "bfloat16"
    assert again.known("generation: llama") is None
    assert NumberFormats(tmp_path / "none.json", former=True).known("anything") == "float32"


def test_generation_takes_what_its_trial_speaks_for(
    large: None, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials: list[torch.nn.Module] = []
    views: list[dict[str, str]] = []
    runs: list[Runtime] = []

    def trial(model: torch.nn.Module) -> Trial:
        trials.append(model)
        views.append(dict(runs[-1].events.notes))
        return Trial(float32=4.0, bfloat16=1.5)

    monkeypatch.setattr(format_trials, "_try_generation", trial)
    lines: list[str] = []
    for _ in range(2):
        runtime = run_of(tmp_path / "run")
        runs.append(runtime)
        runtime.events.show = lines.append
        model = open_model(hf(start), runtime)
        assert model.model.dtype == torch.bfloat16  # type: ignore[attr-defined]
        runtime.close()
    assert len(trials) == 1
    assert format_trials.TRYING in views[0].values(), "the view says it"
    (event,) = events_of(tmp_path / "run")
    assert (event["work"], event["chosen"]) == ("generation", "bfloat16")
    assert (event["float32"], event["bfloat16"]) == (4.0, 1.5)
    assert runs[-1].events.notes == {}
    (line,) = lines
    assert "generation computes in bfloat16" in line
    assert "4.00 s in float32 and 1.50 s in bfloat16" in line


def test_a_real_trial_measures_both(
    large: None, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(format_trials, "HOPELESS", float("inf"))
    open_model(hf(start), run_of(tmp_path / "run"))
    (event,) = events_of(tmp_path / "run")
    assert min(float(str(event[name])) for name in ("float32", "bfloat16")) > 0
    loaded = load_model_and_tokenizer(str(start), dtype="float32", device="cpu")
    before = {name: weight.clone() for name, weight in loaded.model.named_parameters()}
    rows: list[list[int]] = []
    loaded.model.register_forward_pre_hook(
        lambda *given: rows.extend(given[-1]["input_ids"].tolist()), with_kwargs=True
    )
    examples = [Encoded([5, 6, 7], [8, 9]), Encoded([5], [8]), Encoded([6], [7])]
    trial = try_training(loaded, examples, 2)
    assert min(trial) > 0
    assert [len(row) for row in rows] == [7] * 4, "two examples in one row, as a step has them"
    for name, weight in loaded.model.named_parameters():
        assert weight.equal(before[name])
        assert weight.grad is None


@pytest.mark.parametrize(("share", "tried"), [(0.2, True), (5.0, False)])
def test_nothing_long_is_tried_where_a_single_product_is_slower_by_far(
    share: float, tried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def multiply(number_format: str) -> None:
        now[0] += share if number_format == "bfloat16" else 1.0

    worked = []

    def work(number_format: str) -> None:
        worked.append(number_format)
        now[0] += 100.0

    monkeypatch.setattr(format_trials, "_multiply", multiply)
    trial = format_trials.timed(work)
    assert bool(worked) == tried
    assert trial == (Trial(100.0, 100.0) if tried else Trial(1.0, share))
    assert trial.chosen == "float32"


def test_small_models_stay_in_float32_without_a_trial(start: Path, tmp_path: Path) -> None:
    runtime = run_of(tmp_path / "run")
    assert open_model(hf(start), runtime).model.dtype == torch.float32  # type: ignore[attr-defined]
    wanted = settings(precision="auto")
    trained = train_student(learner(start), sums(), wanted, tmp_path / "r", runtime=runtime)
    assert not (tmp_path / "run").exists()
    assert stored(trained) == {torch.float32}


def stored(trained: TrainedStudent) -> set[torch.dtype]:
    return {AutoModelForCausalLM.from_pretrained(at).dtype for _, at in trained.checkpoints}


def test_training_takes_what_its_trial_speaks_for_and_keeps_it(
    large: None, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, trials = [], []

    def spied(settings: object, *rest: object, **named: object) -> object:
        taken.append(settings.precision)  # type: ignore[attr-defined]
        return training_arguments(settings, *rest, **named)  # type: ignore[arg-type]

    def trial(*_: object) -> Trial:
        trials.append(1)
        assert format_trials.TRYING in runtime.events.notes.values(), "the view says it"
        return Trial(3.0, 1.0)

    monkeypatch.setattr(potstill.train.trainer_setup, "training_arguments", spied)
    monkeypatch.setattr(potstill.train.student, "try_training", trial)
    for name in ("a-1", "b-1"):
        runtime = run_of(tmp_path / "run")
        train_student(
            learner(start), sums(8), settings(precision="auto"), tmp_path / name, runtime=runtime
        )
    assert taken == ["bfloat16", "bfloat16"]
    assert len(trials) == 1


# On the disk


@pytest.mark.parametrize("low_rank", [False, True])
def test_checkpoints_are_in_the_starts_format_and_training_goes_on_from_float32(
    large: None, start: Path, tmp_path: Path, low_rank: bool
) -> None:
    lora = {"rank": 4} if low_rank else None
    wanted = settings(steps=12, checkpoints=4, lora=lora)

    def stop(progress: TrainProgress) -> None:
        if progress.step == 9:
            raise KeyboardInterrupt

    whole = train_student(learner(start), sums(), wanted, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_student(learner(start), sums(), wanted, tmp_path / "cut", on_step=stop)
    again = train_student(learner(start), sums(), wanted, tmp_path / "cut")
    assert losses(again) == losses(whole)
    assert stored(whole) == {torch.bfloat16}
    for (_, one), (_, other) in zip(again.checkpoints, whole.checkpoints, strict=True):
        assert (one / "model.safetensors").read_bytes() == (
            other / "model.safetensors"
        ).read_bytes()


def test_transformers_4_finds_what_it_looks_for(start: Path, tmp_path: Path) -> None:
    loaded = load_model_and_tokenizer(str(start), dtype="float32", device="cpu")
    loaded.model.config.rope_parameters["rope_theta"] = 77_000.0
    loaded.tokenizer.add_special_tokens({"additional_special_tokens": ["<s>"]})
    folder = tmp_path / "saved"
    save_model(loaded.model, loaded.tokenizer, folder, dtype=torch.bfloat16)
    config = json.loads((folder / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 77_000.0
    assert config["dtype"] == "bfloat16"
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert not isinstance(tokenizer.get("extra_special_tokens"), list)
    assert tokenizer["additional_special_tokens"] == ["<s>"]
    again = load_model_and_tokenizer(str(folder), dtype="float32", device="cpu")
    assert again.tokenizer.get_vocab() == loaded.tokenizer.get_vocab()
    assert again.tokenizer.chat_template == loaded.tokenizer.chat_template
    assert again.model.config.rope_parameters["rope_theta"] == 77_000.0
    assert loaded.model.config.dtype == torch.float32  # as it was


def test_scaled_positions_stand_where_transformers_4_looks(start: Path, tmp_path: Path) -> None:
    loaded = load_model_and_tokenizer(str(start), dtype="float32", device="cpu")
    scaled = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0}
    loaded.model.config.rope_parameters = scaled
    save_model(loaded.model, loaded.tokenizer, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["rope_scaling"] == {"rope_type": "linear", "factor": 4.0}
    again = load_model_and_tokenizer(str(tmp_path), device="cpu").model.config.rope_parameters
    assert {name: again[name] for name in scaled} == scaled


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_have_the_mode_that_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with whole_folder(tmp_path / "model") as unfinished:
            (unfinished / "resume").mkdir()
            for place in (unfinished / "a", unfinished / "resume" / "b"):
                place.write_text("x")
                place.chmod(0o600)
    finally:
        os.umask(before)
    modes = {
        stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "model").rglob("*")
        if path.is_file()
    }
    assert modes == {0o666 & ~umask}
