"""The memory of a training: foretold by a formula, tried, and refused where it is short."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_training_values import small_recipe
from tiny_models import byte_level_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from potstill.cli import main
from potstill.errors import ConfigError
from potstill.models.settings import LocalSettings
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.plan import plan_run
from potstill.plan.start_trials import TrainedPart, has_weights
from potstill.records import Example
from potstill.runtime.progress import Meter
from potstill.train import resolution, step_trial
from potstill.train.batches import Steps
from potstill.train.defaults import StartFacts
from potstill.train.memory import PROGRAM_BYTES, TrainedWeights, refuse_too_large, step_bytes
from potstill.train.resolution import resolved_training, start_facts
from potstill.train.settings import StudentSettings, TrainSettings
from potstill.train.step_trial import TriedSteps

GB = 10**9
LARGE = StartFacts(
    parameters=8 * GB, encoder_decoder=False, chat=False, positions=4096, layers=32, width=4096,
    on_processor=True, memory=24 * GB,
)  # fmt: skip


def test_weights_gradients_and_moments_are_counted_to_the_byte() -> None:
    assert TrainedWeights(1000, 1000).fixed_bytes() == 16 * 1000 + PROGRAM_BYTES
    # Added weights take the model, 12 bytes for each of them, and the merged copy.
    assert TrainedWeights(1000, 10).fixed_bytes() == 4000 + 120 + 4000 + PROGRAM_BYTES
    # Weights in 4 bits are merged beside the GPU.
    in_4_bits = TrainedWeights(1000, 10, 900).fixed_bytes() - PROGRAM_BYTES
    assert in_4_bits == pytest.approx(4 * 100 + 0.53 * 900 + 120)
    # 34 bytes in 16 bits a token, layer and unit of width (arXiv 2205.05198), twice in float32.
    assert step_bytes(LARGE, 100, recomputed=False) == 100 * 32 * 4096 * 68
    assert step_bytes(LARGE, 100, recomputed=True) < 0.2 * step_bytes(LARGE, 100, recomputed=False)


def test_what_cannot_fit_is_refused_with_what_would(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, added = TrainedWeights(8 * GB, 8 * GB), TrainedWeights(8 * GB, GB // 100)
    with pytest.raises(ConfigError, match=r"student r takes about 128.6 GB.*has 24.0 GB") as error:
        refuse_too_large("r", whole, LARGE)
    assert "smaller start" in str(error.value) and "train.lora" not in str(error.value)
    roomy = LARGE._replace(memory=80 * GB)
    with pytest.raises(ConfigError, match=r"train.lora: \{\}, about 65.6 GB"):
        refuse_too_large("r", whole, roomy)
    on_gpu = roomy._replace(on_processor=False, memory=24 * GB)
    with pytest.raises(ConfigError, match=r"the GPU has 24.0 GB.*quantize: 4bit\}, about 5.8 GB"):
        refuse_too_large("r", whole, on_gpu)
    refuse_too_large("r", added, roomy)
    monkeypatch.setenv("WORLD_SIZE", "8")  # weights may be divided among processes
    refuse_too_large("r", whole, LARGE)


def test_a_run_is_refused_before_the_teacher_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("potstill.train.start_checks.start_facts", lambda _: LARGE)
    recipe = load_recipe(small_recipe(tmp_path, steps=1))
    with Run(recipe, Meter(None)) as run:
        with pytest.raises(ConfigError, match=r"takes about 128\.6 GB"):
            run.check()
        run.generate()
        run.curate()
        with pytest.raises(ConfigError, match=r"takes about 128\.6 GB"):
            run.train()
    assert not (tmp_path / "run" / "checkpoints").exists()


def middling_start(folder: Path) -> Path:
    """Writes a Llama of 5.6 million random weights: large beside what varies in a process."""
    tokenizer = byte_level_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=384, intermediate_size=1024, num_hidden_layers=4,
        num_attention_heads=6, max_position_embeddings=512, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def examples(count: int = 24) -> list[Example]:
    return [
        Example(prompt=f"Say {n}:", target=" and so it is" * (4 + n), question_id=str(n))
        for n in range(count)
    ]


TRAINING = """
import sys
from pathlib import Path
from test_training_memory import examples, in_training
from potstill.train.student import train_student
student, settings = in_training(Path(sys.argv[1]))
train_student(student, examples(), settings, Path(sys.argv[2]))
status = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


def in_training(folder: Path) -> tuple[StudentSettings, TrainSettings]:
    start = LocalSettings(model=f"hf:{folder}", device="cpu")
    settings = TrainSettings(steps=4, batch_size=4, checkpoints=1, precision="float32")
    return StudentSettings(start=start, data_format="fine_tune_cot"), settings


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak is told by Linux")
def test_a_trial_foretells_the_memory_of_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the processes that are started
    start = middling_start(tmp_path / "start")
    student, settings = in_training(start)
    resolved = resolved_training(settings, student, examples())
    tried = step_trial.try_steps(student, examples(), resolved, most_tokens=10**6)
    arguments = [sys.executable, "-c", TRAINING, str(start), str(tmp_path / "out")]
    done = subprocess.run(
        arguments, capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    taken = int(done.stdout) << 10
    assert 0.9 * taken < tried.peak < 1.2 * taken
    facts = start_facts(student.start)
    weights = TrainedWeights(facts.parameters, facts.parameters)
    by_formula = weights.fixed_bytes() + step_bytes(facts, tried.together, recomputed=False)
    assert 0.7 * taken < by_formula < 1.5 * taken
    assert tried.seconds > 0 and tried.precision == "float32"


def test_the_longest_examples_are_tried(tmp_path: Path) -> None:
    student, settings = in_training(middling_start(tmp_path))
    resolved = resolved_training(settings, student, examples())
    seen: list[list[int]] = []

    class Noted(Steps):
        def __init__(self, encoded: Any, plan: Any, **others: Any) -> None:
            seen.extend([encoded[index].length for index in step] for step in plan)
            super().__init__(encoded, plan, **others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_trial, "Steps", Noted)
        patch.setattr(step_trial, "_peak", lambda *, on_gpu: 1)
        tried = step_trial._two_steps(student, examples(), resolved, 10**6)
        step_trial._two_steps(student, examples(), resolved, 1)
    ordinary, longest, one, most = seen
    assert len(ordinary) == len(longest) == 4 and sum(longest) == tried.tokens
    assert sorted(longest) == longest[::-1] and longest[-1] > max(ordinary)
    assert (len(one), most) == (1, longest[:1])  # of however few tokens, one example


# plan


@pytest.fixture
def large_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the bundled student pass for one of 100 million weights."""
    facts = LARGE._replace(parameters=10**8, memory=8 * GB, layers=4, width=256)
    monkeypatch.setattr(resolution, "start_facts", lambda _: facts)


def tried_as(peak: float) -> Any:
    def try_steps(student: object, examples: object, settings: Any, **_: object) -> TriedSteps:
        assert settings.learning_rate == 3e-4
        return TriedSteps(2.0, 400, 10**6, int(peak), "float32")

    return try_steps


@pytest.mark.usefixtures("large_start")
def test_plan_tells_the_outcome_of_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("potstill.plan.start_trials.TRIAL_SECONDS", 1e-9)
    monkeypatch.setattr(step_trial, "try_steps", tried_as(5 * GB))
    plan = plan_run(load_recipe(small_recipe(tmp_path, steps=100)))
    (student,) = plan.students.students
    assert student.memory == 6.25 * GB  # a quarter of it may be kept between steps
    assert not plan.students.fault
    assert student.how.startswith("at 200 tokens a second by a trial of two steps just now")
    assert student.seconds == pytest.approx(100 * student.step_tokens / 200)
    assert "longest examples among them" in student.memory_how


@pytest.mark.usefixtures("large_start")
def test_plan_refuses_what_a_trial_shows_not_to_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_trial, "try_steps", tried_as(9 * GB))
    recipe = small_recipe(tmp_path, steps=100)
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(recipe))
    result = CliRunner().invoke(main, ["plan", str(file)])
    assert result.exit_code == 2
    assert "takes about 9.0 GB of memory" in result.stderr
    assert "train.batch_tokens" in result.stderr


@pytest.mark.usefixtures("large_start")
def test_plan_says_where_there_are_no_weights_to_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("potstill.plan.start_trials.has_weights", lambda _: False)
    (student,) = plan_run(load_recipe(small_recipe(tmp_path, steps=100))).students.students
    assert "its weights are not on this machine" in student.memory_how
    hub = LocalSettings(model="hf:some/model-that-is-nowhere")
    monkeypatch.undo()
    assert not has_weights(hub) and has_weights(LocalSettings(model="bundled:student"))


def test_the_most_tokens_at_once_are_a_part_of_the_longest() -> None:
    settings = resolved_training(
        TrainSettings(steps=1, batch_size=8, batch_tokens=1000, learning_rate=1, warmup=0,
                      weight_decay=0, max_length=5000), StudentSettings(), [],
    )  # fmt: skip
    part = TrainedPart(StudentSettings(), settings, [], 50.0, 100)
    assert part.together == 800
    assert part._replace(longest=300).together == 1000
    assert part._replace(longest=3000).together == 3000
