"""Errors in a task of one's own: each message names a remedy that does not lead back to it."""

import json
import logging
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from loopback import Body, Loopback

from potstill.cli import main
from potstill.settings import nearest_name

ROWS = [
    {"question": f"What is {n} + {n}?", "answer": str(2 * n), "split": split}
    for n, split in enumerate(["train", "train", "train", "train", "dev", "test"], start=1)
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def potstill(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def recipe(teacher: object, **sections: object) -> str:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    Path("sums.jsonl").write_text(lines, encoding="utf-8")
    values = {"task": {"file": "sums.jsonl"}, "teacher": teacher, "student": "bundled:student"}
    Path("sums.yaml").write_text(json.dumps(values | sections), encoding="utf-8")
    return "sums.yaml"


def told(result: Result) -> list[str]:
    assert result.exit_code == 2, result.output
    lines = result.stderr.splitlines()
    return [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]


@pytest.mark.parametrize("command", ["run", "curate"])
def test_a_teacher_that_is_never_right_is_shown_in_three_samples(command: str) -> None:
    def wrong(body: Body) -> list[str]:
        return ["It is a guess.\x1b[2J\nThe answer is 7."] * body.get("n", 1)

    with Loopback(wrong) as server:
        path = recipe({"model": "openai:mine", "base_url": server.url}, generate={"samples": 1})
        if command == "curate":
            assert potstill("generate", path).exit_code == 0
        lines = told(potstill(command, path))
    assert lines[0] == (
        "none of 4 rationales was kept: 4 are wrong_answer (the answer is not the gold answer)."
    )
    assert len(lines) == 5 and not any("\x1b" in line for line in lines)
    assert lines[1].startswith("sample: asked \"What is 1 + 1?\", gold answer '2', read '7' in ")
    assert "task.answer_type" in lines[4] and "potstill" not in lines[4]


def test_a_teacher_that_is_hardly_ever_right_is_shown_too_and_the_run_goes_on() -> None:
    def seldom(body: Body) -> list[str]:
        knows = "1 + 1?" in body["messages"][-1]["content"]
        gold = ["One and one. The answer is 2."] * knows
        return (gold + [f"Guess {n}. The answer is 7." for n in range(body.get("n", 1))])[
            : body.get("n", 1)
        ]

    with Loopback(seldom) as server:
        path = recipe({"model": "openai:mine", "base_url": server.url}, generate={"samples": 6})
        assert potstill("generate", path).exit_code == 0
        result = potstill("curate", path)
    assert result.exit_code == 0
    notes = [line for line in result.stderr.splitlines() if line.startswith("note: ")]
    assert notes[0].startswith("note: only 1 of 24 rationales were kept: 23 are wrong_answer (")
    assert notes[1].startswith('note: sample: asked "What is ') and "read '7' in" in notes[1]
    assert len(notes) == 5 and "task.answer_type" in notes[4]


def test_a_teacher_that_repeats_itself_is_no_teacher_that_fails() -> None:
    def always(body: Body) -> list[str]:
        asked = re.search(r"(\d) \+ (\d)", body["messages"][-1]["content"])
        assert asked is not None
        return [f"The two make it. The answer is {int(asked[1]) + int(asked[2])}."] * body.get(
            "n", 1
        )

    with Loopback(always) as server:
        path = recipe({"model": "openai:mine", "base_url": server.url}, generate={"samples": 20})
        assert potstill("generate", path).exit_code == 0
        result = potstill("curate", path)
    assert "4 of 80 rationales kept; dropped: 76 duplicate" in result.stdout
    assert "note: " not in result.stderr


def test_a_teacher_cut_off_every_time_is_answered_with_the_limit_to_raise() -> None:
    def cut(body: Body) -> list[object]:
        choice = {"message": {"role": "assistant", "content": "Let us"}, "finish_reason": "length"}
        return [choice] * body.get("n", 1)

    with Loopback(cut) as server:
        path = recipe({"model": "openai:mine", "base_url": server.url}, generate={"samples": 1})
        lines = told(potstill("run", path))
    assert "4 are unfinished" in lines[0]
    assert lines[-1].startswith("Where they were cut off, raise generate.max_tokens, which is 512;")


def test_a_recording_that_matches_no_question_shows_those_of_both() -> None:
    rows = [{"question": f"{n} times {n}?", "rationale": "It is so."} for n in range(5)]
    Path("bought.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (line,) = told(potstill("run", recipe("recorded:bought.jsonl")))
    assert "has no rationale for any of the 4 training questions" in line
    assert "The file asks: '0 times 0?', '1 times 1?', '2 times 2?'." in line
    assert "The task asks: 'What is 1 + 1?'" in line and "potstill generate" not in line


def test_a_split_that_the_recipe_empties_is_not_answered_with_the_setting_that_did_it() -> None:
    path = recipe("bundled:teacher")
    (line,) = told(potstill("generate", path, "--set", "task.dev=0"))
    assert "Leave task.dev: 0 out of the recipe" in line
    Path("five.csv").write_text("question,answer\n" + "".join(f"{n}?,{n}\n" for n in range(5)))
    (line,) = told(potstill("generate", path, "--set", "task={file: five.csv}"))
    assert "of its 5 questions 4 train, 0 dev, 1 test" in line
    assert "task.split_seed: 2" in line and "task.dev" not in line
    shown = potstill("generate", path, "--set", "task={file: five.csv, split_seed: 2}",
                     "--set", "generate.samples=1", "--set", "generate.max_tokens=1")  # fmt: skip
    assert "points wide" in shown.output and "development question" in shown.output


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("lr", "learning_rate"), ("bs", "batch_size"), ("wd", "weight_decay"),
        ("num_train_epochs", "epochs"), ("max_len", "max_length"), ("lorra", "lora"),
        ("xyz", None),
    ],
)  # fmt: skip
def test_short_names_of_settings_are_answered_with_the_whole(
    written: str, meant: str | None
) -> None:
    from potstill.train.settings import TrainSettings

    assert nearest_name(written, TrainSettings.model_fields) == meant


def test_every_line_of_an_error_says_that_it_is_one() -> None:
    path = recipe("bundled:teacher", train={"lr": 1, "stepz": 2})
    result = potstill("plan", path)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "Error: sums.yaml: unknown setting 'train.lr'. Did you mean 'train.learning_rate'?",
        "Error: sums.yaml: unknown setting 'train.stepz'. Did you mean 'train.steps'?",
    ]


def test_a_hub_that_is_not_reached_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The failing call logs each of its retries first, as huggingface_hub does."""
    transformers = pytest.importorskip("transformers")

    def fails(*_: object, **__: object) -> None:
        for number in range(1, 6):
            logging.getLogger("huggingface_hub.utils._http").warning("Retrying in %ds", number)
        raise OSError("We couldn't connect to the hub")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", fails)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (line,) = told(potstill("run", recipe("bundled:teacher", student="hf:NOBODY/nothing")))
    assert "NOBODY/nothing" in line and "Retrying" not in capfd.readouterr().err
