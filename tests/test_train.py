"""A student's examples and its training, which can be stopped at any instant."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from commands import Commands, until
from tiny_models import Architecture, build_tiny_causal, build_tiny_seq2seq
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from two_processes import by_torchrun

from potstill.errors import ConfigError, DataError
from potstill.models import open_model
from potstill.models.local.loading import load_model_and_tokenizer
from potstill.models.local.prompt_encoding import PromptEncoder
from potstill.models.settings import LocalSettings
from potstill.records import Example, Message, Request
from potstill.train import checkpoints
from potstill.train.batches import Order, encoder_decoder, flat, padded, parts_of, plan_steps
from potstill.train.encoding import Encoded, EncodedExamples, Encoder
from potstill.train.reporter import TrainProgress
from potstill.train.settings import LoraSettings, StudentSettings, TrainSettings
from potstill.train.student import TrainedStudent, train_student
from potstill.train.training_watch import LogLine
from potstill.whole_files import unfinished_folder

PROMPT = "Q: Anna has {} apples and buys {} more. ###"


def sums(count: int = 24) -> list[Example]:
    """Examples of unequal lengths."""
    return [
        Example(
            prompt=PROMPT.format(number, number * 7),
            target=f" She has{' and has' * (number % 5)} {number * 8}. --> {number * 8}",
        )
        for number in range(count)
    ]


def settings(**changes: object) -> TrainSettings:
    values = {"steps": 6, "batch_size": 8, "learning_rate": 1e-2, "checkpoints": 2, **changes}
    return TrainSettings.model_validate({"precision": "float32", **values})


def hf(folder: Path) -> LocalSettings:
    return LocalSettings(model=f"hf:{folder}", device="cpu")


def learner(folder: Path) -> StudentSettings:
    return StudentSettings(start=hf(folder))


def losses(student: TrainedStudent) -> list[float]:
    return [line.loss for line in student.log]


def weights(student: TrainedStudent) -> dict[str, torch.Tensor]:
    loaded = load_model_and_tokenizer(
        str(student.checkpoints[-1][1]), dtype="float32", device="cpu"
    )
    return dict(loaded.model.state_dict())


def encode(
    examples: list[Example], tokenizer: PreTrainedTokenizerBase, *, encoder_decoder: bool = False
) -> EncodedExamples:
    encoder = Encoder(tokenizer, encoder_decoder=encoder_decoder)
    return encoder.encode(examples, max_length=200)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_causal(tmp_path_factory.mktemp("start"), "qwen3")


# Settings


def test_steps_and_epochs_together_are_refused() -> None:
    with pytest.raises(ValueError, match="both given"):
        TrainSettings(steps=3, epochs=2)
    with pytest.raises(ValueError, match="both given"):
        StudentSettings(steps=3, epochs=2)


def test_a_student_can_have_a_length_of_training_of_its_own() -> None:
    by_steps, by_epochs = TrainSettings(steps=7), TrainSettings(epochs=3)
    longer, passes = StudentSettings(steps=9), StudentSettings(epochs=2)
    assert by_steps.for_student(StudentSettings()) == by_steps
    assert (by_epochs.for_student(longer).steps, by_epochs.for_student(longer).epochs) == (9, None)
    assert (by_steps.for_student(passes).steps, by_steps.for_student(passes).epochs) == (None, 2)
    assert by_steps.for_student(passes) == by_steps.model_copy(update={"steps": None, "epochs": 2})


# Tokens


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
@pytest.mark.parametrize("target", [" 3 + 14 = 17. So she has 17.", "17", "  doubly  spaced"])
def test_targets_read_as_they_were_written(
    tmp_path: Path, architecture: Architecture, target: str
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(build_tiny_causal(tmp_path, architecture))
    example = Example(prompt="Anna has 3 apples.", target=target)
    encoded = encode([example], tokenizer)
    wording = PromptEncoder(tokenizer, "test")
    (one,) = encoded.examples
    assert one.prompt == wording.prompt_ids(Request(prompt=example.prompt))
    assert one.target[-1] == tokenizer.eos_token_id
    assert wording.text(one.target[:-1], wording.anchor(one.prompt)) == target


def test_a_seq2seq_target_reads_as_it_was_written(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(build_tiny_seq2seq(tmp_path))
    example = Example(prompt="Anna has 3 apples.", target="So 3 + 14 = 17 apples.")
    encoded = encode([example], tokenizer, encoder_decoder=True)
    (one,) = encoded.examples
    assert one.prompt[-1] == one.target[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(one.target, skip_special_tokens=True) == example.target


TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}user: {{ m['content'] }}\n"
    "{% else %}assistant: {{ m['content'].split('</think>')[-1] }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}assistant: OPENING{% endif %}"
)
"""A chat template that drops the thinking of earlier turns, as R1's does."""


@pytest.mark.parametrize("opening", ["", "<think>\n"])
def test_a_chat_target_follows_the_template_and_thinking_is_opened_once(
    tmp_path: Path, opening: str
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(build_tiny_causal(tmp_path, "qwen3"))
    tokenizer.chat_template = TEMPLATE.replace("OPENING", opening)
    (one,) = encode(
        [
            Example(
                prompt=(Message(role="user", content="3 + 4?"),),
                target="<think>\n3 and 4 is 7\n</think>\n\nThe answer is 7.",
            )
        ],
        tokenizer,
    ).examples
    assert tokenizer.decode(one.prompt) == f"user: 3 + 4?\nassistant: {opening}"
    assert tokenizer.decode([*one.prompt, *one.target[:-1]]) == (
        "user: 3 + 4?\nassistant: <think>\n3 and 4 is 7\n</think>\n\nThe answer is 7."
    )


def test_the_loss_counts_on_targets_only() -> None:
    examples = [Encoded([5, 6, 7], [8, 9], 1.0), Encoded([5], [6, 9], 0.5)]
    batch = padded(pad=0)(examples)
    assert batch["inputs"]["input_ids"].tolist() == [[5, 6, 7, 8], [5, 6, 0, 0]]
    assert batch["inputs"]["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch["positions"].tolist() == [2, 3, 4, 5]
    assert batch["targets"]["labels_N"].tolist() == [8, 9, 6, 9]
    assert batch["weights"].tolist() == [1.0, 1.0, 0.5, 0.5]


def test_a_decoder_is_fed_its_target_one_token_late() -> None:
    examples = [Encoded([5, 1], [8, 9, 1]), Encoded([4, 1], [8, 1]), Encoded([5, 1], [7, 1])]
    batch = encoder_decoder(pad=0, start=2)(examples)
    inputs = batch["inputs"]
    assert inputs["decoder_input_ids"].tolist() == [[2, 8, 9], [2, 8, 0], [2, 7, 0]]
    assert batch["positions"].tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert batch["targets"]["labels_N"].tolist() == [8, 9, 1, 8, 1, 7, 1]
    assert (batch["first_rows"].tolist(), batch["copies"].tolist()) == ([0, 1], [0, 1, 0])


def test_what_siblings_share_stands_in_the_row_once() -> None:
    prompt = list(range(20, 40))
    examples = [
        Encoded(prompt, [5, 6, 1], 1.0),
        Encoded([3, 4], [5, 1], 1.0),
        Encoded(prompt, [5, 7, 1], 0.5),
    ]
    batch = flat(examples)
    assert len(batch["inputs"]["input_ids"][0]) == 20 + 1 + 2 + 3
    learned: dict[tuple[int, int, int], float] = {}
    ids, depths = (batch["inputs"][name][0].tolist() for name in ("input_ids", "position_ids"))
    for place, label, weight in zip(
        batch["positions"].tolist(),
        batch["targets"]["labels_N"].tolist(),
        batch["weights"].tolist(),
        strict=True,
    ):
        key = (ids[place], depths[place], label)
        learned[key] = learned.get(key, 0.0) + weight
    assert learned == {
        (39, 19, 5): 1.5,  # both siblings write 5 after the prompt
        (5, 20, 6): 1.0,
        (6, 21, 1): 1.0,
        (5, 20, 7): 0.5,
        (7, 21, 1): 0.5,
        (4, 1, 5): 1.0,
        (5, 2, 1): 1.0,
    }


def encoded(questions: int, siblings: int, data_format: str = "") -> list[Encoded]:
    draw = random.Random(0)
    return [
        Encoded(
            [question] * draw.randint(10, 100),
            [number] * draw.randint(10, 100),
            question_id=f"{data_format}{question}",
            data_format=data_format,
        )
        for question in range(questions)
        for number in range(siblings)
    ]


@pytest.mark.parametrize("by_length", [False, True])
@pytest.mark.parametrize("siblings", [1, 3, 4])
def test_every_pass_takes_each_example_once(by_length: bool, siblings: int) -> None:
    examples = encoded(80, 4)
    order = Order(8, siblings, by_length=by_length, seed=1)
    plan = plan_steps(examples, order, 40)
    assert [len(step) for step in plan] == [8] * 40
    assert sorted(index for step in plan for index in step) == list(range(320))
    assert plan == plan_steps(examples, order, 40)
    assert plan != plan_steps(examples, order._replace(seed=2), 40)


def test_steps_have_like_lengths_where_rows_are_padded() -> None:
    examples = encoded(320, 1)
    plan = plan_steps(examples, Order(8, by_length=True), 40)
    padded_up = sum(max(examples[index].length for index in step) * 8 for step in plan)
    assert padded_up < 1.1 * sum(one.length for one in examples)


def test_siblings_come_together_and_no_question_fills_a_step() -> None:
    examples = encoded(40, 8)
    for step in plan_steps(examples, Order(16, siblings=4), 20):
        questions = [examples[index].question_id for index in step]
        assert [len(set(questions[first : first + 4])) for first in range(0, 16, 4)] == [1] * 4


def test_a_mixture_keeps_its_shares() -> None:
    examples = [*encoded(50, 4, "a"), *encoded(30, 1, "b"), *encoded(5, 1, "c")]
    shares = {"a": 0.7, "b": 0.29, "c": 0.01}
    plan = plan_steps(examples, Order(10, siblings=4, shares=shares), 100)
    counts = Counter(examples[index].data_format for step in plan for index in step)
    assert {name: counts[name] for name in shares} == {
        "a": pytest.approx(700, abs=4),
        "b": pytest.approx(290, abs=4),
        "c": pytest.approx(10, abs=2),
    }


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("batch_tokens", [1, 150, 500, 100_000])
def test_a_step_is_cut_into_parts_that_fit(processes: int, batch_tokens: int) -> None:
    examples = encoded(20, 4)
    step = list(range(10, 34))
    parts = parts_of(step, examples, batch_tokens=batch_tokens, processes=processes)
    assert [index for part in parts for index in part] == step
    assert len(parts) % processes == 0
    for part in parts:
        prompts = {tuple(examples[i].prompt) for i in part}
        tokens = sum(map(len, prompts)) + sum(len(examples[i].target) for i in part)
        assert tokens <= batch_tokens or len(part) == 1
    if batch_tokens == 100_000:
        assert len(parts) == processes


def test_a_family_is_parted_where_a_process_would_wait_for_another() -> None:
    """By hand: 170 tokens of one question and 30 of another; parted they are 90 and 120."""
    family = [Encoded([0] * 10, [1] * 20) for _ in range(8)]
    examples = [*family, Encoded([2] * 10, [1] * 20)]
    step = list(range(9))
    assert parts_of(step, examples, batch_tokens=1000) == [step], "one process parts none"
    first, second = parts_of(step, examples, batch_tokens=1000, processes=2)
    assert (first, second) == ([0, 1, 2, 3], [4, 5, 6, 7, 8])
    even = [*family[:4], *(Encoded([2] * 10, [1] * 20) for _ in range(4))]
    halves = parts_of(list(range(8)), even, batch_tokens=1000, processes=2)
    assert halves == [[0, 1, 2, 3], [4, 5, 6, 7]], "families that share evenly stay whole"


# Training


def test_the_first_loss_is_the_models_own(start: Path, tmp_path: Path) -> None:
    examples = sums(4)
    trained = train_student(learner(start), examples, settings(steps=1, batch_size=4), tmp_path)
    model, tokenizer, _ = load_model_and_tokenizer(str(start), dtype="float32", device="cpu")
    encoded = encode(examples, tokenizer).examples
    nats = 0.0
    for one in encoded:
        ids = torch.tensor([[*one.prompt, *one.target]])
        labels = torch.tensor([[-100] * len(one.prompt) + one.target])
        nats += model(input_ids=ids, labels=labels).loss.item() * len(one.target)
    tokens = sum(len(one.target) for one in encoded)
    assert trained.tokens == tokens
    assert losses(trained) == [pytest.approx(nats / tokens, rel=1e-5)]


def test_parts_do_not_change_what_is_learnt(start: Path, tmp_path: Path) -> None:
    weighted = [
        Example(prompt=one.prompt, target=one.target, weight=1.0 + number % 2)
        for number, one in enumerate(sums())
    ]
    first, *others = (
        train_student(
            learner(start),
            weighted,
            settings(batch_tokens=most, checkpoints=6),
            tmp_path / str(most),
        )
        for most in (16_384, 100, 1)
    )
    expected = weights(first)
    for other in others:
        assert losses(other) == pytest.approx(losses(first), rel=1e-4)
        for name, weight in weights(other).items():
            torch.testing.assert_close(weight, expected[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("architecture", ["gpt2", "qwen2"])
def test_a_student_learns_its_examples_by_heart(tmp_path: Path, architecture: Architecture) -> None:
    start = build_tiny_causal(tmp_path / "start", architecture)
    wanted = settings(steps=150, checkpoints=1)
    trained = train_student(learner(start), sums(8), wanted, tmp_path / "out")
    assert losses(trained)[-1] < 0.05
    model = open_model(hf(trained.checkpoints[-1][1]))
    requests = [Request(prompt=one.prompt, max_tokens=100) for one in sums(8)]
    written = {done.request.prompt: done.text for done in model.complete(requests)}
    assert written == {one.prompt: one.target for one in sums(8)}


def test_an_encoder_decoder_learns(tmp_path: Path) -> None:
    start = build_tiny_seq2seq(tmp_path / "start")
    trained = train_student(learner(start), sums(8), settings(steps=60), tmp_path / "out")
    assert trained.encoder_decoder
    assert losses(trained)[-1] < 0.6 * losses(trained)[0]
    load_model_and_tokenizer(str(trained.checkpoints[0][1]), device="cpu")


def test_low_rank_checkpoints_hold_the_merged_weights(start: Path, tmp_path: Path) -> None:
    lora = LoraSettings(rank=4, dropout=0.1)
    trained = train_student(learner(start), sums(8), settings(steps=30, lora=lora), tmp_path)
    assert losses(trained)[-1] < losses(trained)[0]
    folder = trained.checkpoints[-1][1]
    merged = AutoModelForCausalLM.from_pretrained(folder)
    before = AutoModelForCausalLM.from_pretrained(start).state_dict()
    assert merged.state_dict().keys() == before.keys()
    changed = [name for name, value in merged.state_dict().items() if not value.equal(before[name])]
    assert changed
    assert all("_proj" in name for name in changed)


def test_bfloat16_trains(start: Path, tmp_path: Path) -> None:
    wanted = settings(steps=20, precision="bfloat16", gradient_checkpointing=True)
    trained = train_student(learner(start), sums(), wanted, tmp_path)
    assert losses(trained)[-1] < losses(trained)[0]


@pytest.mark.parametrize("thinking", [None, "Hm. " * 200])
def test_too_long_examples_are_counted_not_cut(
    start: Path, tmp_path: Path, thinking: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    long = Example(prompt="short ###", target=" 7" * 200, thinking=thinking)
    trained = train_student(
        learner(start), [long, *sums(4)], settings(max_length=100, steps=1), tmp_path / "a"
    )
    assert trained.too_long == 1
    told = "1 of 5 examples have more than 100 tokens and are left out whole"
    told += ", 1 of them with the teacher's thinking; the longest" if thinking else "; the longest"
    assert told in caplog.text
    assert ("set the student's thinking to drop" in caplog.text) == (thinking is not None)
    with pytest.raises(DataError, match=r"1 of 1 examples have more than 100 tokens.*max_length"):
        train_student(learner(start), [long], settings(max_length=100), tmp_path / "b")


# Stopping and repeating


def test_repeating_a_training_does_nothing(start: Path, tmp_path: Path) -> None:
    first = train_student(learner(start), sums(), settings(), tmp_path)
    seen: list[TrainProgress] = []
    assert train_student(learner(start), sums(), settings(), tmp_path, on_step=seen.append) == first
    assert not seen
    assert not list(tmp_path.rglob("resume"))
    with pytest.raises(ConfigError, match="other examples or settings"):
        train_student(learner(start), sums(), settings(steps=7), tmp_path)


@pytest.mark.parametrize("low_rank", [False, True])
def test_an_interrupted_training_ends_as_an_undisturbed_one(
    start: Path, tmp_path: Path, low_rank: bool
) -> None:
    lora = LoraSettings(rank=4, dropout=0.1) if low_rank else None
    wanted = settings(steps=12, checkpoints=4, lora=lora)

    def stop(progress: TrainProgress) -> None:
        if progress.step == 9:
            raise KeyboardInterrupt

    whole = train_student(learner(start), sums(), wanted, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_student(learner(start), sums(), wanted, tmp_path / "cut", on_step=stop)
    half_written = unfinished_folder(tmp_path / "cut" / "checkpoint-000009")
    half_written.mkdir()
    (half_written / "model.safetensors").write_bytes(b"half")
    resumed: list[int] = []
    again = train_student(
        learner(start), sums(), wanted, tmp_path / "cut", on_step=lambda at: resumed.append(at.step)
    )
    assert resumed == [9, 10, 12]
    assert not half_written.exists()
    assert losses(again) == losses(whole)
    expected = weights(whole)
    for name, weight in weights(again).items():
        assert weight.equal(expected[name]), name


def test_a_training_killed_before_its_last_mark_is_not_repeated(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "drop_resume_states", lambda *_, **__: None)
        whole = train_student(learner(start), sums(), settings(), tmp_path)
    (tmp_path / checkpoints.FINISHED).unlink()
    seen: list[TrainProgress] = []
    again = train_student(learner(start), sums(), settings(), tmp_path, on_step=seen.append)
    assert again == whole
    assert not seen


KILLED = """
import sys
from pathlib import Path
from test_train import learner, settings, sums
from potstill.train.student import train_student
wanted = settings(steps=30, checkpoints=30)
train_student(learner(Path(sys.argv[1])), sums(), wanted, Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_killed_at_any_instant_it_resumes_to_the_same_weights(
    commands: Commands, start: Path, tmp_path: Path
) -> None:
    wanted = settings(steps=30, checkpoints=30)  # most of the time goes into writing checkpoints
    whole = train_student(learner(start), sums(), wanted, tmp_path / "whole")
    cut = tmp_path / "cut"
    draw = random.Random(0)
    for _ in range(3):
        before = checkpoints.newest_resumable(cut)
        with commands.start(str(start), str(cut), code=KILLED) as command:
            until(lambda: command.ended or checkpoints.newest_resumable(cut) != before)  # noqa: B023
            time.sleep(draw.uniform(0, 0.3))
    again = train_student(learner(start), sums(), wanted, cut)
    assert losses(again) == pytest.approx(losses(whole), rel=1e-4)
    expected = weights(whole)
    for name, weight in weights(again).items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-3, atol=1e-4)


class Recorded:
    """Keeps what a watch is told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, ...]] = []

    def begins(self, *, steps: int, step: int, tokens: int, log: Sequence[LogLine]) -> None:
        self.told.append((steps, step, tokens))

    def advances(self, steps: int, tokens: int) -> None:
        self.told.append((steps, tokens))


def test_a_watch_is_told_of_the_beginning_of_every_part_and_every_step(
    start: Path, tmp_path: Path
) -> None:
    watch = Recorded()
    wanted = settings(steps=6, batch_tokens=60)
    trained = train_student(learner(start), sums(), wanted, tmp_path, watch=watch)
    (steps, step, tokens), *advances = watch.told
    assert (steps, step, tokens) == (6, 0, trained.tokens)
    assert sum(more for more, _ in advances) == 6
    assert sum(more for _, more in advances) == trained.tokens
    assert advances[0][0] == 0  # before the first step is done
    assert len(advances) > 2 * 6


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")
def test_an_adapter_stands_beside_the_merged_weights(start: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    wanted = settings(steps=10, lora=LoraSettings(rank=4))
    trained = train_student(learner(start), sums(8), wanted, tmp_path)
    # Each of 2 layers has 7 linear ones; rank * (inputs + outputs) weights for each.
    assert 0 < trained.trained_parameters < trained.parameters / 2
    folder = trained.checkpoints[-1][1]
    ids = torch.arange(20)[None] + 30
    with torch.inference_mode():
        merged = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
        base = AutoModelForCausalLM.from_pretrained(start)
        apart = PeftModel.from_pretrained(base, str(folder / "adapter"))(ids).logits
    torch.testing.assert_close(merged, apart, rtol=1e-4, atol=1e-4)
    both = train_student(learner(start), sums(8), settings(), tmp_path / "all")
    assert both.trained_parameters == both.parameters


SHARED = """
import sys
from pathlib import Path
from test_train import learner, settings, sums
from potstill.train.processes import training_processes
from potstill.train.student import train_student
with training_processes():
    train_student(learner(Path(sys.argv[1])), sums(), settings(), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_two_processes_train_the_weights_of_one(start: Path, tmp_path: Path) -> None:
    """By torchrun, on processors (gloo)."""
    alone = train_student(learner(start), sums(), settings(), tmp_path / "alone")
    launched = by_torchrun(SHARED, tmp_path, start, tmp_path / "shared")
    assert launched.returncode == 0, launched.stderr
    shared = train_student(learner(start), sums(), settings(), tmp_path / "shared")
    assert losses(shared) == pytest.approx(losses(alone), rel=1e-5)
    expected = weights(alone)
    for name, weight in weights(shared).items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-4, atol=1e-5)
