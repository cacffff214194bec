"""The way of the teacher's probabilities: from its completion to a student's loss."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import context_of, sums
from tiny_models import build_tiny_causal, build_tiny_seq2seq

from potstill.curate import CurateSettings, curate
from potstill.models.local.loading import load_model_and_tokenizer
from potstill.models.settings import LocalSettings, OpenAISettings
from potstill.prompts.styles import style_named
from potstill.records import Checkpoint, Completion, Request, TokenLogprobs
from potstill.runtime.context import RunContext
from potstill.runtime.progress import Meter
from potstill.sampling.ask import PromptConfig, SamplingParams
from potstill.sampling.debate import AskedTeacher
from potstill.store import Store
from potstill.train import Models, TrainSettings, train

TASK = sums(train=6)
ASKING = PromptConfig(style=style_named("instruct_cot"), sampling=SamplingParams(top_logprobs=2))
SURE, TORN = (0.98, 0.01), (0.5, 0.48)


def pieces(text: str) -> list[bytes]:
    """A server's tokens: words with the space before them."""
    words = text.split(" ")
    return [(word if n == 0 else f" {word}").encode() for n, word in enumerate(words)]


def logprobs_of(text: str, shares: tuple[float, float]) -> TokenLogprobs:
    """Each token, itself again as the likeliest, and a word the student knows as the next."""
    rows = [(piece, piece, b" apples") for piece in pieces(text)]
    chosen, second = np.log(shares[0]), np.log(shares[1])
    return TokenLogprobs(
        logprobs=np.array([[chosen, chosen, second]] * len(rows), np.float32),
        token_bytes=b"".join(piece for row in rows for piece in row),
        lengths=np.array([[len(piece) for piece in row] for row in rows], np.uint16),
    )


def answered(store: Store, shares: tuple[float, float] | None) -> None:
    """A teacher on a server that has answered every training question."""
    for question in TASK.splits["train"]:
        request: Request = ASKING.request(question)
        half = int(question.answer) // 2
        text = f"Twice the apples: {half} + {half} = {2 * half}.\nThe answer is {2 * half}."
        completion = Completion(
            request=request,
            sample=0,
            text=text,
            finish_reason="stop",
            logprobs=None if shares is None else logprobs_of(text, shares),
        )
        store.add_completions("served", [completion], stage="generate")
    curate(TASK, [AskedTeacher("teacher", "served", ASKING)], context_of(store), CurateSettings())


def trained(
    folder: Path, start: Path, matching: object, shares: tuple[float, float] | None = TORN
) -> Checkpoint:
    settings = TrainSettings.model_validate(
        {
            "steps": 40,
            "batch_size": 6,
            "learning_rate": 1e-2,
            "checkpoints": 1,
            "students": {"rationales": {"data_format": "zero_shot_cot", "matching": matching}},
        }
    )
    models = Models(
        start=LocalSettings(model=f"hf:{start}", device="cpu"),
        teacher=OpenAISettings(model="openai:served"),
    )
    folder.mkdir(parents=True, exist_ok=True)
    with Store(folder / "run.sqlite") as store:
        answered(store, shares)
        context = RunContext(store=store, folder=folder, progress=Meter(None))
        return train(TASK, models, settings, context, seed=0)[-1]


def sureness(checkpoint: Checkpoint, folder: Path) -> float:
    """The student's mean probability of the word that its teacher wrote first."""
    source = folder / checkpoint.folder
    model, tokenizer, encoder_decoder = load_model_and_tokenizer(str(source), device="cpu")
    assert not encoder_decoder
    shares: list[float] = []
    for question in TASK.splits["train"]:
        ids = tokenizer(f"Q: {question.text}\nLet's think step by step\nTwice the apples:")
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids["input_ids"]])).logits[0]
        (space_number,) = tokenizer(f" {int(question.answer) // 2}")["input_ids"][:1]
        shares.append(logits[-1].softmax(0)[space_number].item())
    return sum(shares) / len(shares)


@pytest.mark.parametrize("build", [build_tiny_causal, build_tiny_seq2seq])
def test_the_share_of_reached_tokens_is_kept(tmp_path: Path, build: Callable[[Path], Path]) -> None:
    checkpoint = trained(tmp_path / "run", build(tmp_path / "start"), "distribution")
    assert checkpoint.soft_share is not None
    assert 0.2 < checkpoint.soft_share < 1.0
    assert checkpoint.parameters > 10_000


def test_a_student_becomes_as_unsure_as_its_teacher(tmp_path: Path) -> None:
    start = build_tiny_causal(tmp_path / "start", "qwen3")
    torn, sure, text = (tmp_path / name for name in ("torn", "sure", "text"))
    of_torn = sureness(trained(torn, start, "distribution", TORN), torn)
    of_sure = sureness(trained(sure, start, "distribution", SURE), sure)
    of_text = sureness(trained(text, start, "sample", TORN), text)
    assert of_torn < 0.65
    assert of_sure > 0.75
    assert of_text > 0.75


def test_a_teacher_without_probabilities_is_learned_by_its_text(tmp_path: Path) -> None:
    start = build_tiny_causal(tmp_path / "start")
    silent = trained(tmp_path / "silent", start, "distribution", None)
    assert silent.soft_share == 0.0
    sample = trained(tmp_path / "sample", start, "sample", None)
    assert sample.soft_share is None
    weights = [
        load_model_and_tokenizer(str(tmp_path / name / each.folder), device="cpu").model
        for name, each in (("silent", silent), ("sample", sample))
    ]
    for one, other in zip(*(model.parameters() for model in weights), strict=True):
        torch.testing.assert_close(one, other)


def test_other_probabilities_make_another_student(tmp_path: Path) -> None:
    start = build_tiny_causal(tmp_path / "start")
    first = trained(tmp_path / "torn", start, "distribution", TORN)
    second = trained(tmp_path / "sure", start, "distribution", SURE)
    assert first.folder != second.folder
