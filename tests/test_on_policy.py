"""On-policy training: what is asked of student and teacher, and what is learned of it."""

import string
from pathlib import Path
from typing import Any

import pytest
import torch
from dense_scorer import DenseScorer
from fakes import sums
from tiny_models import Architecture, build_tiny_causal
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from potstill.errors import BudgetError
from potstill.models.local.loading import Loaded, load_model_and_tokenizer
from potstill.models.settings import LocalSettings
from potstill.prompts.styles import style_named
from potstill.records import Checkpoint, System, Task
from potstill.runtime.context import RunContext
from potstill.runtime.progress import Meter
from potstill.sampling.ask import PromptConfig, SamplingParams
from potstill.store import Store
from potstill.train import Models, TrainSettings, train
from potstill.train.encoding import Encoded, EncodedExamples
from potstill.train.on_policy.on_policy_trainer import OnPolicyTrainer, on_policy_run
from potstill.train.on_policy.work import OnPolicyWork, ScoringTeacher
from potstill.train.resolution import resolved_training
from potstill.train.student import load_start
from potstill.train.trainer_setup import build_trainer
from potstill.train.training_watch import Unwatched

ASKING = PromptConfig(style=style_named("zero_shot_cot"), sampling=SamplingParams())
OWN_FORMAT = {
    "prompt": "Q: {question}\nA: Let's think step by step.",
    "target": " {rationale}\nTherefore, the answer is {answer}",
}
"""The data format whose prompts and targets are the teacher's own prompts and answers."""


def settings(students: dict[str, Any], **fields: Any) -> TrainSettings:
    values = {
        "steps": 6, "batch_size": 4, "learning_rate": 1e-2, "checkpoints": 2,
        "precision": "float32", "students": students,
    }  # fmt: skip
    return TrainSettings.model_validate(values | fields)


def on_policy(**fields: Any) -> dict[str, Any]:
    given = {"steps_per_round": 3, "max_tokens": 12, "top": 5, "limits": None} | fields
    return {
        "data_format": OWN_FORMAT, "on_policy": given, "matching": {"divergence": "reverse_kl"},
    }  # fmt: skip


def trained(
    folder: Path,
    start: Path,
    scorer: DenseScorer,
    values: TrainSettings,
    task: Task | None = None,
    serve: str | None = None,
) -> list[Checkpoint]:
    student = LocalSettings(model=f"hf:{start}", device="cpu", serve=serve)
    teacher = ScoringTeacher(settings=scorer.settings, model=scorer, asking=ASKING)
    models = Models(start=student, teacher=student, scoring={"teacher": teacher})
    folder.mkdir(parents=True, exist_ok=True)
    with Store(folder / "run.sqlite") as store:
        context = RunContext(store=store, folder=folder, progress=Meter(None))
        return train(task or sums(train=6), models, values, context, seed=0)


def weights(folder: Path, checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    loaded = load_model_and_tokenizer(str(folder / checkpoint.folder), device="cpu")
    return dict(loaded.model.state_dict())


def test_a_student_writes_a_teacher_scores_and_the_student_learns(tmp_path: Path) -> None:
    start = letters_model(tmp_path / "start", seed=0)
    scorer = DenseScorer(letters_model(tmp_path / "teacher", seed=1))
    found = trained(tmp_path / "run", start, scorer, settings({"own": on_policy()}))
    assert [one.step for one in found] == [3, 6]
    assert len(scorer.asked) == 2 * 3 * 4


def rounds_of(folder: Path) -> list[list[tuple[str, int, str]]]:
    """Returns the student's texts of each round: question, sample, text."""
    with Store(folder / "run.sqlite", read_only=True) as store:
        written = [one for one in store.pool(("train",)) if one.model.startswith("on_policy:")]
    names = dict.fromkeys(one.model for one in written)
    return [
        sorted(
            (str(one.completion.request.prompt), one.completion.sample, one.completion.text)
            for one in written
            if one.model == name
        )
        for name in names
    ]


def test_the_student_writes_as_it_is_when_a_round_begins(tmp_path: Path) -> None:
    start = build_tiny_causal(tmp_path / "start", "qwen3")
    scorer = DenseScorer(build_tiny_causal(tmp_path / "teacher", "qwen3", seed=1))
    values = settings({"own": on_policy(samples=2)})
    first, _ = trained(tmp_path / "run", start, scorer, values)
    assert first.step == 3
    after = LocalSettings(model=f"hf:{tmp_path / 'run' / first.folder}", device="cpu").open()
    with Store(tmp_path / "run" / "run.sqlite", read_only=True) as store:
        written = [one.completion for one in store.pool(("train",)) if ":2" in one.model[-2:]]
    assert len(written) == 12
    for completion in written:
        (again,) = after.complete([completion.request])
        assert again.text == completion.text


@pytest.mark.parametrize("architecture", ["qwen3", "llama"])
def test_what_was_interrupted_goes_on_and_asks_nothing_twice(
    tmp_path: Path, architecture: Architecture
) -> None:
    start = build_tiny_causal(tmp_path / "start", architecture)
    teacher = build_tiny_causal(tmp_path / "teacher", "qwen3", seed=1)
    values = settings({"own": on_policy(samples=2)}, steps=9, checkpoints=3)
    whole = trained(tmp_path / "whole", start, DenseScorer(teacher), values)

    scorer = DenseScorer(teacher)
    scorer.left = 20  # requests, then the machine goes off in the middle of a round
    with pytest.raises(SystemExit):
        trained(tmp_path / "cut", start, scorer, values)
    scorer.left = None
    again = trained(tmp_path / "cut", start, scorer, values)

    assert [one.step for one in again] == [one.step for one in whole] == [3, 6, 9]
    assert rounds_of(tmp_path / "cut") == rounds_of(tmp_path / "whole")
    for one, other in zip(whole, again, strict=True):
        expected, found = weights(tmp_path / "whole", one), weights(tmp_path / "cut", other)
        assert all(torch.equal(expected[name], found[name]) for name in expected)
    asked = [(request.prompt, request.given) for request in scorer.asked]
    assert len(asked) == len(set(asked))
    assert all("\ufffd" not in given.text for _, given in asked if given)


def test_a_budget_that_is_spent_in_a_round_loses_no_step(tmp_path: Path) -> None:
    start = letters_model(tmp_path / "start", seed=0)
    teacher = letters_model(tmp_path / "teacher", seed=1)
    values = settings({"own": on_policy(steps_per_round=2)}, steps=8, checkpoints=1)
    whole = trained(tmp_path / "whole", start, DenseScorer(teacher), values)

    scorer = DenseScorer(teacher)
    scorer.left, scorer.fault = 27, BudgetError("the budget is spent")  # in the fourth round
    with pytest.raises(BudgetError):
        trained(tmp_path / "cut", start, scorer, values)
    folders = [*(tmp_path / "cut" / "checkpoints").glob("own-*/checkpoint-*")]
    assert [folder.name for folder in folders] == ["checkpoint-000006"]
    scorer.left = None
    again = trained(tmp_path / "cut", start, scorer, values)
    assert [one.step for one in again] == [8]
    assert not folders[0].exists()
    expected, found = weights(tmp_path / "whole", whole[0]), weights(tmp_path / "cut", again[0])
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    with Store(tmp_path / "cut" / "run.sqlite", read_only=True) as store:
        resumed = store.training()[-1]
    with Store(tmp_path / "whole" / "run.sqlite", read_only=True) as store:
        undisturbed = store.training()[-1]
    assert (resumed.step, resumed.tokens) == (undisturbed.step, undisturbed.tokens)


def test_a_finished_training_asks_nobody(tmp_path: Path) -> None:
    start = build_tiny_causal(tmp_path / "start", "qwen3")
    scorer = DenseScorer(start)
    first = trained(tmp_path / "run", start, scorer, settings({"own": on_policy()}))
    asked = len(scorer.asked)
    assert trained(tmp_path / "run", start, scorer, settings({"own": on_policy()})) == first
    assert len(scorer.asked) == asked


# one step against a dense reference --------------------------------------------------------------


def dense_loss(
    student: PreTrainedModel, teacher: PreTrainedModel, row: Encoded, divergence: str
) -> torch.Tensor:
    """The sum over an answer's tokens, from all logits of both models."""
    ids = torch.tensor([[*row.prompt, *row.target]])
    first = len(row.prompt) - 1
    own = student(input_ids=ids, use_cache=False).logits[0, first:-1].log_softmax(-1)
    with torch.no_grad():
        theirs = teacher(input_ids=ids, use_cache=False).logits[0, first:-1].log_softmax(-1)
    mixed = (0.5 * own.exp() + 0.5 * theirs.exp()).log()
    kls = theirs.exp() * (theirs - mixed), own.exp() * (own - mixed)
    loss: torch.Tensor = {
        "forward_kl": (theirs.exp() * (theirs - own)).sum(),
        "reverse_kl": (own.exp() * (own - theirs)).sum(),
        "jsd": 0.5 * kls[0].sum() + 0.5 * kls[1].sum(),
    }[divergence]
    return loss


@pytest.mark.parametrize("divergence", ["forward_kl", "reverse_kl", "jsd"])
@pytest.mark.parametrize("merges", [0, 30])
def test_gradients_of_a_step_are_those_of_a_dense_reference(
    tmp_path: Path, divergence: str, merges: int
) -> None:
    """With merges, the student writes tokens that its text encoded again would not have."""
    start = letters_model(tmp_path / "start", seed=0, merges=merges)
    scorer = DenseScorer(letters_model(tmp_path / "teacher", seed=1, merges=merges))
    vocabulary = len(scorer.tokenizer)
    student = {**on_policy(samples=2, top=vocabulary), "matching": {"divergence": divergence}}
    values = settings({"own": student}, steps=1)
    with Store(tmp_path / "run.sqlite") as store:
        trainer, loaded = step_trainer(tmp_path, start, scorer, values, store)
        copy = load_model_and_tokenizer(str(start), dtype="float32", device="cpu").model
        steps = trainer._run.steps
        rows = [row for part in steps.parts(0, trainer._writer) for row in part]
        assert len(rows) == 4
        assert all(row.places == tuple(range(len(row.target))) for row in rows)
        texts = [scorer.tokenizer.decode(row.target) for row in rows]  # the end among them
        again = [scorer.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        assert any(row.target != ids for row, ids in zip(rows, again, strict=True)) == bool(merges)
        grads: dict[str, torch.Tensor] = {}
        taken = trainer.training_step

        def training_step(*arguments: Any) -> torch.Tensor:
            loss = taken(*arguments)
            named = loaded.model.named_parameters()
            grads.update({name: one.grad.clone() for name, one in named if one.grad is not None})
            return loss

        trainer.training_step = training_step  # type: ignore[method-assign, assignment]
        trainer.train()
    total = sum(len(row.target) for row in rows)
    loss = torch.stack([dense_loss(copy, scorer.model, row, divergence) for row in rows]).sum()
    (loss / total).backward()
    expected = {name: one.grad for name, one in copy.named_parameters()}
    assert grads.keys() == expected.keys()
    for name, grad in grads.items():
        torch.testing.assert_close(grad, expected[name], atol=1e-5, rtol=0)
    assert max(float(grad.abs().max()) for grad in grads.values()) > 1e-2


def letters_model(folder: Path, *, seed: int, merges: int = 0) -> Path:
    """A model whose tokens are single characters, so that a text has one way to be written.

    With merges it knows a few letters, and so many pairs of them beside.
    """
    letters = "aeinost" if merges else string.printable
    pairs = [first + second for first in letters for second in letters] if merges else []
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1 + len(letters) + merges if merges else 1,
        special_tokens=["<eos>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([letters, *pairs], trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(wrapped), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, eos_token_id=wrapped.eos_token_id,
        bos_token_id=None, pad_token_id=None, max_position_embeddings=256,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight.mul_(8.0)
    model.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


def step_trainer(
    folder: Path, start: Path, scorer: DenseScorer, values: TrainSettings, store: Store
) -> tuple[OnPolicyTrainer, Loaded]:
    """A trainer as a student's training builds it."""
    (student,) = values.students.values()
    student = student.model_copy(update={"start": LocalSettings(model=f"hf:{start}", device="cpu")})
    assert student.on_policy is not None and student.start is not None
    teacher = ScoringTeacher(settings=student.start, model=scorer, asking=ASKING)
    work = OnPolicyWork(
        system=System("own"), settings=student.on_policy, data_format=student.asked_in,
        start=student.start,
        teacher=teacher, questions=sums(train=6).splits["train"], task="sums",
        context=RunContext(store=store, folder=folder, progress=Meter(None)), seed=0,
    )  # fmt: skip
    own = resolved_training(values, student, [])
    loaded = load_start(student)
    nothing = EncodedExamples([], 0)
    run = on_policy_run(work, loaded, nothing, own, student, identity="x", longest=200, seed=0)
    trainer, reporter = build_trainer(loaded, nothing, own, student, folder / "out", 0, run)
    reporter.attach(trainer, lambda _: None, Unwatched(), None)
    assert isinstance(trainer, OnPolicyTrainer)
    return trainer, loaded
