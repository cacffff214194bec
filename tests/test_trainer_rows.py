"""Rows for trainers of preferences and of soft targets: what stands in them, and who reads it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from exchange_runs import TEACHER, curated_run, open_run, write_recipe
from tiny_models import build_tiny_seq2seq

from potstill.cli import main
from potstill.errors import ConfigError, DataError
from potstill.exchange import export_run
from potstill.generate import teacher_asking
from potstill.keys import settings_hash
from potstill.models.local.loading import load_tokenizer
from potstill.models.settings import LocalSettings
from potstill.pipeline.run import Run
from potstill.records import Completion, TokenLogprobs
from potstill.train.alignment import Vocabulary

CHOSEN, SECOND = 0.7, 0.2
"""The teacher's probabilities of the token that it wrote, and of another."""


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def exported(run: Run, kind: Any, **options: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The rows of a run, and how many questions or rationales gave none."""
    file = run.folder / f"{kind}.jsonl"
    done = export_run(run, file, kind, overwrite=True, **options)
    rows = lines(file)
    assert done.rows == len(rows)
    return rows, dict(done.left_out)


# preference --------------------------------------------------------------------------------------


def test_a_pair_holds_a_right_and_a_wrong_rationale_of_one_question(tmp_path: Path) -> None:
    with curated_run(write_recipe(tmp_path)) as run:
        rows, left_out = exported(run, "preference")
        turns, _ = exported(run, "preference", data_format="chat")
    assert rows[0] == {
        "prompt": "What is 2 + 2? ###",
        "chosen": " We double it. --> 4",
        "rejected": " We guess. --> 1",
    }
    assert len(rows) == 3 and not left_out
    assert turns[0] == {
        "prompt": [{"role": "user", "content": "What is 2 + 2?"}],
        "chosen": [{"role": "assistant", "content": "We double it.\nThe answer is 4."}],
        "rejected": [{"role": "assistant", "content": "We guess.\nThe answer is 1."}],
    }


def test_what_finds_no_partner_is_counted_and_said(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, generate={"samples": 3, "max_tokens": 50})
    right, wrong, none = "Way {n}.\nThe answer is {a}.", "Slip {n}.\nThe answer is 1.", "I cannot."
    told = {
        "q2": [right, wrong, wrong],  # one pair, one wrong rationale over
        "q3": [right, right, none],  # nothing wrong
        "q4": [wrong, none, none],  # nothing right
    }
    with open_run(recipe) as run:
        stored(run, told)
        rows, left_out = exported(run, "preference")
    assert [row["chosen"] for row in rows] == [" Way 0. --> 4"]
    assert left_out == {
        "wrong rationales beyond the pairs of their question": 1,
        "questions without a wrong answer": 1,
        "questions without a right answer": 1,
    }
    out = str(tmp_path / "pairs.parquet")
    said = CliRunner().invoke(main, ["export", str(recipe), out, "--what", "preference"]).output
    assert "export: 1 preference rows" in said
    assert "left out: questions without a wrong answer: 1" in " ".join(said.split())


def stored(run: Run, told: dict[str, list[str]]) -> None:
    """Stores the texts as the samples of each question, and curates them."""
    asking = teacher_asking(TEACHER, run.recipe.generate, seed=run.recipe.seed)
    for question in run.task.splits["train"]:
        request = asking.request(question, task=run.task.name)
        texts = [text.format(n=n, a=question.answer) for n, text in enumerate(told[question.id])]
        completions = [
            Completion(request=request, sample=n, text=text, finish_reason="stop")
            for n, text in enumerate(texts)
        ]
        run.store.add_completions(TEACHER.name, completions, stage="generate")
    made = settings_hash(run.recipe.teacher.model_dump(mode="json"))
    run.store.remember_teacher(TEACHER, settings_hash=made)
    run.curate()


def test_a_changed_question_is_refused_as_for_other_trainers(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    with curated_run(recipe):
        pass
    questions = tmp_path / "sums.jsonl"
    questions.write_text(questions.read_text().replace("What is 3", "How much is 3"))
    with open_run(recipe) as run, pytest.raises(DataError, match="Run potstill curate again"):
        export_run(run, tmp_path / "pairs.jsonl", "preference")


# soft targets ------------------------------------------------------------------------------------


def probabilities(text: str, pieces: Sequence[bytes]) -> TokenLogprobs:
    """Returns a server's record of a text's tokens, each with another one beside it."""
    other = b"?"
    return TokenLogprobs(
        logprobs=np.log(np.array([[CHOSEN, CHOSEN, SECOND]] * len(pieces), np.float32)),
        token_bytes=b"".join(piece + piece + other for piece in pieces),
        lengths=np.array([[len(piece), len(piece), 1] for piece in pieces], np.uint16),
    )


def soft_run(folder: Path, **sections: object) -> Run:
    """A run whose teacher cuts its texts into the very tokens of the bundled student."""
    run = open_run(write_recipe(folder, "run", **sections))
    tokenizer = load_tokenizer(LocalSettings(model="bundled:student"))
    vocabulary = Vocabulary(tokenizer)
    asking = teacher_asking(TEACHER, run.recipe.generate, seed=run.recipe.seed)
    for question in run.task.splits["train"]:
        text = f"We double it.\nThe answer is {question.answer}."
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        pieces = [vocabulary.bytes_of(token) or b"" for token in ids]
        assert b"".join(pieces).decode() == text
        request = asking.request(question, task=run.task.name)
        given = Completion(
            request=request, sample=0, text=text, finish_reason="stop",
            logprobs=probabilities(text, pieces),
        )  # fmt: skip
        run.store.add_completions(TEACHER.name, [given], stage="generate")
    made = settings_hash(run.recipe.teacher.model_dump(mode="json"))
    run.store.remember_teacher(TEACHER, settings_hash=made)
    run.curate()
    return run


def test_row_t_holds_the_teachers_probabilities_of_token_t_plus_1(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(LocalSettings(model="bundled:student"))
    with soft_run(tmp_path) as run:
        rows, left_out = exported(run, "soft_targets")
    assert len(rows) == 3 and not left_out
    row = rows[0]
    ids, labels = row["input_ids"], row["labels"]
    prompt = labels.count(-100)
    assert labels[prompt:] == ids[prompt:]
    assert tokenizer.decode(ids[:prompt]) == "What is 2 + 2? ###"
    assert tokenizer.decode(ids[prompt:], skip_special_tokens=True) == " We double it. --> 4"
    lengths = {len(row[name]) for name in row if name != "question_id"}
    assert lengths == {len(ids)}
    other = Vocabulary(tokenizer).token_of(b"?")
    soft = 0
    for place, (candidates, logprobs, mask) in enumerate(
        zip(row["target_token_ids"], row["target_logprobs"], row["target_mask"], strict=True)
    ):
        if not prompt - 1 <= place < len(ids) - 1:
            assert not any(mask)  # the prompt has no loss, and nothing follows the last token
            continue
        shares = {
            token: float(np.exp(logprob))
            for token, logprob, known in zip(candidates, logprobs, mask, strict=True)
            if known
        }
        following = ids[place + 1]
        if len(shares) == 1:
            assert shares == {following: 1.0}  # what the teacher's text does not reach
        else:
            assert shares == pytest.approx({following: CHOSEN, other: SECOND}, rel=1e-5)
            soft += 1
    assert soft >= 4


def test_losses_of_other_trainers_learn_what_potstill_learns(tmp_path: Path) -> None:
    """The gradient of a sum over candidates, row by row, as axolotl and verl compute it."""
    from potstill.train import Models
    from potstill.train.encoding import Encoder
    from potstill.train.losses import Targets, matching_loss
    from potstill.train.settings import MatchingSettings
    from potstill.train.stage import student_examples, teacher_texts

    with soft_run(tmp_path) as run:
        (row, *_), _ = exported(run, "soft_targets")
        recipe = run.recipe
        rationales = run.store.training_rationales(run.task)
        models = Models(recipe.student, recipe.teacher)
        student = next(
            one for key, one in run.students.settled.items() if key.model == "rationales"
        ).model_copy(update={"matching": MatchingSettings(tail="drop")})
        texts = teacher_texts(run.store, models, rationales)
        example = student_examples("s", student, run.task, rationales, texts, recipe.seed)[0]
    tokenizer = load_tokenizer(LocalSettings(model="bundled:student"))
    encoder = Encoder(tokenizer, encoder_decoder=False, matching=student.matching)
    (encoded,) = encoder.encode([example], max_length=999).examples
    soft, begin = encoded.soft, len(encoded.prompt) - 1
    assert soft is not None
    torch.manual_seed(0)
    logits = torch.randn(len(row["input_ids"]), len(tokenizer), requires_grad=True)
    targets = Targets(
        torch.tensor(encoded.target), torch.tensor(soft.ids).long(),
        torch.tensor(soft.probabilities), torch.tensor(soft.tail), torch.tensor(soft.soft),
    )  # fmt: skip
    ours = matching_loss(logits[begin:-1], targets, student.matching).sum()
    (our_gradient,) = torch.autograd.grad(ours, logits)
    log_q = logits.log_softmax(-1).gather(1, torch.tensor(row["target_token_ids"]))
    known, log_p = torch.tensor(row["target_mask"]).bool(), torch.tensor(row["target_logprobs"])
    theirs = (log_p[known].exp() * (log_p[known] - log_q[known])).sum()
    (their_gradient,) = torch.autograd.grad(theirs, logits)
    torch.testing.assert_close(their_gradient, our_gradient, rtol=1e-4, atol=1e-6)


def test_what_has_no_probabilities_is_counted_or_refused(tmp_path: Path) -> None:
    silent = curated_run(write_recipe(tmp_path / "none"))
    with silent as run, pytest.raises(DataError, match=r"generate\.top_logprobs"):
        export_run(run, tmp_path / "no.jsonl", "soft_targets")
    students = {"both": {"data_format": {"fine_tune_cot": 1, "fine_tune_answer": 1}}}
    train = {"students": students, "steps": 1}
    with soft_run(tmp_path / "mixed", train=train) as run:
        rows, left_out = exported(run, "soft_targets", student="both")
    assert len(rows) == 3
    assert left_out == {"examples without probabilities of the teacher": 3}
    short = {"students": {"rationales": {}}, "steps": 1, "max_length": 5}
    with soft_run(tmp_path / "short", train=short) as run:
        assert exported(run, "soft_targets") == (
            [], {"examples of more than 5 tokens (train.max_length)": 3},
        )  # fmt: skip


def test_the_student_is_one_that_can_be_trained_so(tmp_path: Path) -> None:
    students = {
        "plain": {"matching": "sample"},
        "bare": {"data_format": "fine_tune_answer"},
    }
    with soft_run(tmp_path / "a", train={"students": students, "steps": 1}) as run:
        assert len(exported(run, "soft_targets")[0]) == 3  # of plain, as if it matched them
        for name, words in (("bare", "learns the teacher's rationales"), ("none", "no student")):
            with pytest.raises(ConfigError, match=words):
                export_run(run, tmp_path / "no.jsonl", "soft_targets", student=name)
        with pytest.raises(ConfigError, match="a data format words chat, prompt_completion"):
            export_run(run, tmp_path / "no.jsonl", "soft_targets", data_format="chat")
    start = build_tiny_seq2seq(tmp_path / "start")
    reading = curated_run(write_recipe(tmp_path / "b", student=f"hf:{start}"))
    with reading as run, pytest.raises(ConfigError, match="encoder-decoder"):
        export_run(run, tmp_path / "no.jsonl", "soft_targets")


@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
@pytest.mark.parametrize("kind", ["preference", "soft_targets"])
def test_datasets_reads_them(
    tmp_path: Path, kind: Any, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    file = tmp_path / f"rows{ending}"
    make = curated_run(write_recipe(tmp_path)) if kind == "preference" else soft_run(tmp_path)
    with make as run:
        export_run(run, file, kind)
    reader = "parquet" if ending == ".parquet" else "json"
    rows = datasets.load_dataset(
        reader, data_files=str(file), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert rows.num_rows == 3
    if kind == "soft_targets":  # what axolotl knows tokenised rows by, and what its trainer takes
        tokenised = {"input_ids", "attention_mask", "labels"}
        assert tokenised | {"target_token_ids", "target_logprobs", "target_mask"} <= {
            *rows.column_names
        }
        assert max(max(row) for row in rows[0]["target_logprobs"]) <= 0
