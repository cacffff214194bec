"""Training values that a recipe leaves open are filled in from the start and the examples."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_models import build_tiny_causal

from potstill.models.settings import LocalSettings
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.records import Example
from potstill.runtime.progress import Meter
from potstill.train import defaults, resolution
from potstill.train.defaults import (
    FORMER,
    ResolvedTraining,
    StartFacts,
    Work,
    described,
    longest_example,
    resolve,
)
from potstill.train.examples import REPLAY
from potstill.train.resolution import (
    KeptValues,
    pass_size,
    plain_values,
    start_facts,
    training_steps,
)
from potstill.train.settings import LoraSettings, StudentSettings, TrainSettings
from potstill.train.student import training_identity

OPEN, LORA = TrainSettings(), TrainSettings(lora=LoraSettings())
SUMS = [Example(prompt=f"{n} + 1 =", target=f" {n + 1}", question_id=str(n)) for n in range(3)]


def facts(parameters: float, **changes: Any) -> StartFacts:
    """Facts of a decoder on a large GPU."""
    known: dict[str, Any] = {
        "encoder_decoder": False, "chat": False, "positions": 40_960, "layers": 30, "width": 576,
        "on_processor": False, "memory": 80 << 30, **changes,
    }  # fmt: skip
    return StartFacts(parameters=int(parameters), **known)


@pytest.mark.parametrize(
    ("settings", "start", "learning_rate", "batch_size", "weight_decay"),
    [
        (OPEN, facts(135e6), 3e-4, 8, 0.01),
        (OPEN, facts(600e6), 5e-5, 16, 0.01),
        (OPEN, facts(600e6, chat=True), 2.5e-5, 16, 0.01),
        (OPEN, facts(135e6, chat=True), 3e-4, 8, 0.01),
        (OPEN, facts(8e9), 2e-5, 16, 0.01),
        (OPEN, facts(250e6, encoder_decoder=True), 3e-4, 8, 0.01),
        (LORA, facts(135e6), 1e-3, 8, 0.0),
        (LORA, facts(600e6, chat=True), 5e-4, 16, 0.0),
        (LORA, facts(8e9), 2e-4, 16, 0.0),
        (TrainSettings(lora=LoraSettings(kind="ia3")), facts(8e9), 3e-3, 16, 0.0),
    ],
)
def test_values_go_by_size_and_what_is_trained(
    settings: TrainSettings,
    start: StartFacts,
    learning_rate: float,
    batch_size: int,
    weight_decay: float,
) -> None:
    found = resolve(settings, start, Work(examples=1000, tokens=100))
    assert (found.learning_rate, found.batch_size) == (learning_rate, batch_size)
    assert (found.weight_decay, found.warmup) == (weight_decay, 0.1)


def test_a_pass_is_one_of_the_students_own_examples() -> None:
    own = ["fine_tune_cot"] * 10
    assert pass_size([*own, *[REPLAY] * 100], {"fine_tune_cot": 0.9, REPLAY: 0.1}) == 10 / 0.9
    mixed = StudentSettings(data_format={"fine_tune_cot": 0.5, "fine_tune_answer": 0.5})
    examples = [Example(prompt="1", target="2", data_format=name) for name in own]
    examples += [Example(prompt="1", target="2", data_format="fine_tune_answer")] * 4
    passes = resolve(TrainSettings(epochs=2), facts(1e6), Work(20, 9))
    assert training_steps(passes, mixed, examples) == 2 * 20 / 8  # as shown: 10 of each format
    assert training_steps(passes.model_copy(update={"steps": 7}), mixed, examples) == 7


@pytest.mark.parametrize("epochs", ["inf", float("nan")])
def test_passes_are_a_number(epochs: object) -> None:
    with pytest.raises(ValueError, match="epochs"):
        TrainSettings.model_validate({"epochs": epochs})
    with pytest.raises(ValueError, match="epochs"):
        StudentSettings.model_validate({"epochs": epochs})


def test_on_policy_training_takes_a_third_of_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    writes = Work(0.0, 0.0, on_policy=True)
    steps = TrainSettings(steps=40)
    assert resolve(steps, facts(135e6), writes).learning_rate == 1e-4
    assert resolve(steps, facts(600e6, chat=True), writes).learning_rate == 8.3e-6
    given = TrainSettings(steps=40, learning_rate=3e-4)
    assert resolve(given, facts(135e6), writes).learning_rate == 3e-4
    monkeypatch.setattr(resolution, "start_facts", lambda _: facts(135e6))
    student = StudentSettings.model_validate(
        {
            "start": {"model": "bundled:student"},
            "data_format": "chat",
            "matching": {"divergence": "reverse_kl"},
            "on_policy": {},
        }
    )
    assert resolution.resolved_training(steps, student, []).learning_rate == 1e-4


def test_what_is_given_stays() -> None:
    given = TrainSettings(learning_rate=1e-5, warmup=0, weight_decay=0.3, max_length=77, steps=9)
    found = resolve(given, facts(135e6), Work(1000, 100))
    kept = {name: getattr(given, name) for name in ("learning_rate", "warmup", "weight_decay")}
    assert plain_values(found) == {
        "steps": 9, "epochs": None, "batch_size": 8, "max_length": 77, **kept,
    }  # fmt: skip


def test_passes_fall_with_the_number_of_examples() -> None:
    def passes(examples: int) -> float | None:
        return resolve(OPEN, facts(600e6), Work(examples, 100)).epochs

    assert [passes(count) for count in (200, 1000, 2500, 5000, 40_000)] == [10, 10, 4, 3, 3]


def test_on_a_processor_the_length_is_bounded_in_steps_and_tokens() -> None:
    here = facts(135e6, on_processor=True)

    def length(examples: int, tokens: float) -> tuple[int | None, float | None]:
        found = resolve(OPEN, here, Work(examples, tokens))
        return found.steps, found.epochs

    assert length(150, 50) == (None, 10)  # 188 steps of 400 tokens: nothing bounds them
    assert length(1186, 110) == (250, None)  # 8 x 110 x 250 = 220,000 tokens
    assert length(1186, 500) == (75, None)  # 8 x 500 x 75 = 300,000
    assert length(5, 100_000) == (1, None)
    given = resolve(TrainSettings(epochs=4), here, Work(5000, 500))
    assert (given.steps, given.epochs) == (None, 4)


def test_the_longest_example_goes_by_positions_and_memory() -> None:
    # 30 layers x 576 x 68 bytes: 1.18 MB a token.
    roomy, small_gpu = facts(135e6), facts(135e6, memory=16 << 30)
    assert longest_example(OPEN, roomy) == 32_768
    assert longest_example(OPEN, roomy._replace(positions=8192)) == 8192
    assert longest_example(OPEN, small_gpu) == 8192
    assert longest_example(OPEN, small_gpu._replace(memory=8 << 30)) == 4096
    assert longest_example(OPEN, facts(1e6)) == 1024
    assert longest_example(TrainSettings(max_length=300), roomy) == 300


def test_small_starts_have_the_former_values() -> None:
    found = resolve(OPEN, facts(19e6), Work(1000, 100))
    assert plain_values(found) == {"steps": None, "epochs": None, **FORMER}
    assert found.steps_for(1000) == 20 * 1000 / 8
    assert "learning rate 0.0003, linear after a warm-up of 3% of the steps, 20 passes" in (
        described(found)
    )


@pytest.mark.parametrize(
    ("settings", "identity"),
    [
        (OPEN, "bcb922a59522"),
        (TrainSettings(steps=400, learning_rate=1e-3), "b18b298495d6"),
        (TrainSettings(epochs=20), "611aa2910a36"),
        (LORA, "56c906e1913e"),
    ],
)
def test_trainings_of_the_bundled_pair_are_those_of_before(
    settings: TrainSettings, identity: str
) -> None:
    # The hashes were made before any value could be left open.
    start = LocalSettings(model="bundled:student", device="cpu")
    student = StudentSettings(start=start, data_format="fine_tune_cot")
    assert training_identity(student, SUMS, settings) == identity


def test_facts_are_read_from_config_and_tokenizer(tmp_path: Path) -> None:
    folder = build_tiny_causal(tmp_path, "qwen3", chat=True)
    next(folder.glob("*.safetensors")).write_bytes(b"")  # not read
    found = start_facts(LocalSettings(model=f"hf:{folder}", device="cpu"))
    assert found.parameters < 100_000 and found.chat and found.on_processor
    assert 1 << 28 < found.memory < 1 << 50


def test_a_run_keeps_what_was_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = LocalSettings(model="bundled:student", device="cpu")
    student = StudentSettings(start=start, data_format="fine_tune_cot")

    def found(**size: Any) -> ResolvedTraining:
        monkeypatch.setattr(resolution, "start_facts", lambda _: facts(135e6, **size))
        kept = KeptValues(tmp_path)
        resolved = kept.resolved("r", OPEN, student, SUMS * 1000)
        kept.write()
        return resolved

    first = found()
    assert first.epochs == 10_000 / 3000
    assert found(on_processor=True) == first  # of another machine: as it was
    thinks = student.model_copy(update={"thinking": "keep"})  # as many examples, and longer ones
    assert KeptValues(tmp_path).resolved("r", OPEN, thinks, SUMS * 1000).steps == 250
    (tmp_path / defaults.KEPT_VALUES).unlink()
    assert found(on_processor=True).steps == 250


def small_recipe(folder: Path, **train: object) -> dict[str, Any]:
    rows = [
        {"question": f"What is {n} + {n}?", "answer": str(2 * n), "split": split}
        for n, split in enumerate(("train", "train", "dev", "test"), start=2)
    ]
    lines = [
        {
            "question": row["question"],
            "rationale": f"Two equal numbers are added here. The answer is {row['answer']}.",
        }
        for row in rows
    ]
    for name, listed in (("sums", rows), ("one", lines)):
        text = "".join(json.dumps(line) + "\n" for line in listed)
        (folder / f"{name}.jsonl").write_text(text)
    return {
        "run": str(folder / "run"),
        "task": {"file": str(folder / "sums.jsonl")},
        "teacher": f"recorded:{folder}/one.jsonl",
        "student": {"model": "bundled:student", "device": "cpu"},
        "generate": {"samples": 1},
        "train": {"checkpoints": 1, "students": {"r": {}}, **train},
    }


def test_a_student_may_have_a_rate_of_its_own(tmp_path: Path) -> None:
    students = {"r": {}, "slow": {"learning_rate": 1e-5}}
    values = small_recipe(tmp_path, steps=3, warmup=0.0, schedule="constant", students=students)
    with Run(load_recipe(values), Meter(None)) as run:
        run.generate()
        run.curate()
        run.train()
        steps = run.store.training()
        assert {(one.system.label, one.learning_rate) for one in steps} == {
            ("r", 3e-4), ("slow", 1e-5),
        }  # fmt: skip
    students["slow"]["learning_rate"] = 2e-5
    with Run(load_recipe(values), Meter(None)) as run:
        (note,) = run.stale_notes()
        assert "train.students.slow.learning_rate was 0.00001, is 0.00002" in note


def test_a_student_is_read_as_its_own_start_is(tmp_path: Path) -> None:
    own = {"model": "bundled:student", "device": "cpu", "dtype": "float64", "control_tokens": True}
    students = {"r": {}, "own": {"start": own}}
    with Run(load_recipe(small_recipe(tmp_path, steps=1, students=students)), Meter(None)) as run:
        run.generate()
        run.curate()
        found = {
            one.student: run.students.settings_of(one, tmp_path / "model") for one in run.train()
        }
    assert (found["own"].dtype, found["own"].control_tokens) == ("float64", True)
    assert (found["r"].dtype, found["r"].control_tokens) == ("auto", False)
    assert {one.model for one in found.values()} == {f"hf:{tmp_path / 'model'}"}


def trained(recipe: dict[str, Any]) -> str:
    """Trains by a recipe; returns how the student was trained, in words."""
    with Run(load_recipe(recipe), Meter(None)) as run:
        run.generate()
        run.curate()
        (checkpoint,) = run.train()
        assert run.store.checkpoints() == [checkpoint]
        return checkpoint.training


def test_a_run_shows_what_was_filled_in(tmp_path: Path) -> None:
    words = trained(small_recipe(tmp_path, steps=1))
    assert words.startswith("learning rate 0.0003, linear") and ", 1 step in batches of 8" in words
    events = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    (event,) = [event for event in events if event["event"] == "training_values"]
    assert (event["student"], event["steps"], event["learning_rate"]) == ("r", 1, 3e-4)
    kept = json.loads((tmp_path / "run/training_values.json").read_text())
    assert kept["r"]["values"]["max_length"] == 1024


def test_a_run_of_before_keeps_its_values(tmp_path: Path) -> None:
    former = {name: FORMER[name] for name in FORMER}
    first = trained(small_recipe(tmp_path, steps=1, **former))  # its inputs hold numbers
    recipe = load_recipe(small_recipe(tmp_path, steps=1))
    assert recipe.train.learning_rate is None
    with Run(recipe, Meter(None)) as run:
        assert isinstance(run.recipe.train, ResolvedTraining)
        assert run.recipe.train.learning_rate == 3e-4
        assert run.stale_notes() == []
        (checkpoint,) = run.train()
    assert checkpoint.training == first
    # The passes of a large start are 20 there, too.
    assert resolve(run.recipe.train, facts(8e9), Work(99, 9)).learning_rate == 3e-4
