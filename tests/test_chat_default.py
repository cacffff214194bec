"""A start whose tokenizer has a chat template is trained and asked in it, unless it was not."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_models import build_tiny_causal

from potstill.exchange import export_run
from potstill.models.settings import LocalSettings
from potstill.pipeline.chosen_student import ask_student
from potstill.pipeline.recipe import Recipe, load_recipe
from potstill.pipeline.run import Run
from potstill.pipeline.stage_inputs import train_inputs
from potstill.pipeline.stale import stale_stages
from potstill.records import Checkpoint, System
from potstill.runtime.progress import Meter
from potstill.settings import build
from potstill.store import Store
from potstill.train.settings import StudentSettings, TrainSettings
from potstill.train.settled_formats import FormatSettler, kept_defaults

SPLITS = ("train", "train", "train", "dev", "test")
DEFAULTS = {"answers_only": "chat_answer", "rationales": "chat"}
WITHOUT = {"answers_only": "fine_tune_answer", "rationales": "fine_tune_cot"}


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> LocalSettings:
    folder = build_tiny_causal(tmp_path_factory.mktemp("models") / "chat", chat=True)
    return LocalSettings(model=f"hf:{folder}", device="cpu")


def recipe_of(tmp_path: Path, start: LocalSettings, **changes: Any) -> Recipe:
    """Writes a recipe of recorded rationales, which trains for two steps."""
    rows = [
        {"question": f"What is {n} + {n}?", "answer": str(2 * n), "split": split}
        for n, split in enumerate(SPLITS, start=2)
    ]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = [
        {"question": row["question"], "rationale": f"Added.\nThe answer is {row['answer']}."}
        for row in rows
    ]
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said))
    values = {
        "run": str(tmp_path / "run"),
        "task": {"file": str(tmp_path / "sums.jsonl")},
        "teacher": f"recorded:{tmp_path}/said.jsonl",
        "student": {"model": start.model, "device": "cpu"},
        "generate": {"samples": 1},
        "train": {"steps": 2, "checkpoints": 1, "precision": "float32", **changes},
        "evaluate": {"max_tokens": 4},
    }
    path = tmp_path / "sums.yaml"
    path.write_text(yaml.safe_dump(values))
    return load_recipe(path)


def stopped(*_: object) -> None:
    """Stands for a training that is stopped before its first step."""
    raise InterruptedError


def formats(students: dict[System, StudentSettings]) -> dict[str, str]:
    return {system.label: student.asked_in for system, student in students.items()}


def test_the_starts_tokenizer_settles_the_format(tmp_path: Path, chat: LocalSettings) -> None:
    plain = LocalSettings(model="bundled:student")
    with Store(tmp_path / "run.sqlite") as store:
        assert formats(FormatSettler(chat, store).settle_all(TrainSettings())) == DEFAULTS
        assert formats(FormatSettler(plain, store).settle_all(TrainSettings())) == WITHOUT
        named = {
            "students": {
                "own": {"data_format": "fine_tune_cot"},
                "other": {"data_format": "auto", "start": "bundled:student"},
            }
        }
        settings = build(TrainSettings, named, at="train")
        assert formats(FormatSettler(chat, store).settle_all(settings)) == {
            "own": "fine_tune_cot",
            "other": "fine_tune_cot",
        }
        from_both = {"starts": {"one": chat.model, "two": "bundled:student"}}
        settled = FormatSettler(chat, store).settle_all(build(TrainSettings, from_both, at="train"))
        assert formats(settled)["rationales_one"] == "chat"
        assert formats(settled)["rationales_two"] == "fine_tune_cot"


def test_a_chat_student_is_trained_measured_and_asked_in_chat(
    tmp_path: Path, chat: LocalSettings
) -> None:
    with Run(recipe_of(tmp_path, chat), Meter(None)) as run:
        run.generate()
        run.curate()
        run.check_students()
        trained = {checkpoint.student: checkpoint.data_format for checkpoint in run.train()}
        assert trained == DEFAULTS
        run.evaluate()
        asked = json.dumps([p.text for p in run.store.predictions()])
        assert asked
        assert (tmp_path / "run/model/README.md").read_text().count("data format `chat") == 1
        assert not stale_stages(run)
        export_run(run, tmp_path / "pairs.jsonl", "prompt_completion")
        (first, *_) = (tmp_path / "pairs.jsonl").read_text().splitlines()
        assert json.loads(first)["prompt"] == [{"role": "user", "content": "What is 2 + 2?"}]
        prompt = ask_student(run, "What is 9 + 9?").request.prompt
        assert not isinstance(prompt, str) and prompt[0].content == "What is 9 + 9?"


def test_what_was_trained_without_the_template_stays_so(
    tmp_path: Path,
    chat: LocalSettings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run of an older version, whose default was another, keeps its students and says so."""
    with Run(recipe_of(tmp_path, chat), Meter(None)) as run:
        run.generate()
        run.curate()
        then = dict(train_inputs(run).values)
        model = {"start": chat.model, "revision": None}
        then["train.students.answers_only"] = {"data_format": "fine_tune_answer", **model}
        then["train.students.rationales"] = model  # as it was kept while this was the default
        run.store.keep_provenance(
            "train", then, settings_hash="old", recipe_hash=run.identity.recipe_hash
        )
        old = [
            Checkpoint(
                student=student, step=2, folder=f"checkpoints/{student}", data_format=data_format,
                encoder_decoder=False, examples=1, too_long=0,
            )
            for student, data_format in WITHOUT.items()
        ]  # fmt: skip
        run.store.replace_training([], old, settings_hash="old")
    with (
        caplog.at_level(logging.WARNING),
        Run(recipe_of(tmp_path, chat), Meter(None)) as run,
    ):
        assert formats(run.students.settled) == WITHOUT
        assert not stale_stages(run)
        monkeypatch.setattr("potstill.train.stage._train_in_folder", stopped)
        with pytest.raises(InterruptedError):
            run.train()
        assert "rationales was trained in fine_tune_cot, which it keeps" in caplog.text
        assert "set train.students.rationales.data_format to chat" in caplog.text
    named = {"students": {"rationales": {"data_format": "chat"}}}
    with Run(recipe_of(tmp_path, chat, **named), Meter(None)) as run:
        assert formats(run.students.settled) == {"rationales": "chat"}
        (stale,) = stale_stages(run)
        assert "train.students.rationales.data_format was null, is chat" in str(stale)


def test_a_run_from_before_inputs_were_kept_stays_in_its_format(
    tmp_path: Path, chat: LocalSettings
) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        old = Checkpoint(
            student="rationales", step=2, folder="checkpoints/r", data_format="fine_tune_cot",
            encoder_decoder=False, examples=1, too_long=0,
        )  # fmt: skip
        store.replace_training([], [old], settings_hash="old")
        settled = FormatSettler(chat, store).settle_all(TrainSettings())
        assert formats(settled) == {"answers_only": "chat_answer", "rationales": "fine_tune_cot"}
        assert len([*kept_defaults(TrainSettings(), settled)]) == 1


def test_another_start_is_settled_anew(tmp_path: Path, chat: LocalSettings) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        inputs = {"train.students.rationales": {"start": "bundled:student", "revision": None}}
        store.keep_provenance("train", inputs, settings_hash="old", recipe_hash="r")
        settled = FormatSettler(chat, store).settle_all(TrainSettings())
        assert formats(settled)["rationales"] == "chat"
