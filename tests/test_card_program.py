"""The program on a student's card runs as it is pasted, and its front matter says what is known."""

import contextlib
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from deployed_run import deployed_run
from tiny_models import build_tiny_seq2seq

from potstill.evaluate import CardSettings, StudentOrigin, export_model
from potstill.evaluate.card_matter import hub_name
from potstill.evaluate.card_snippet import QUESTION, snippet
from potstill.models import open_model
from potstill.models.settings import LocalSettings
from potstill.pipeline.chosen_student import student_asking
from potstill.pipeline.run import stored_run
from potstill.prompts.formats import FormatSettings, format_named
from potstill.records import Question, Score, SystemEngine
from potstill.runtime.number_formats import FLOAT32_STATES
from potstill.runtime.progress import Meter
from potstill.sampling.ask import PromptConfig, SamplingParams

ASKED = Question(id="", text=QUESTION, answer="")


def run_program(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(folder)
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(compile(code, "card", "exec"), {})
    return shown.getvalue().removesuffix("\n")


def answered(folder: Path, asking: PromptConfig) -> str:
    """Returns the text that the student writes when potstill asks it."""
    model = open_model(LocalSettings(model=f"hf:{folder}", device="cpu"))
    (completion,) = model.complete([asking.request(ASKED)])
    return completion.text


@pytest.mark.parametrize("data_format", ["fine_tune_cot", "chat", "socratic_solver"])
def test_the_program_of_a_card_asks_as_it_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_format: str
) -> None:
    folder = deployed_run(tmp_path / "run", data_format=data_format, chat=True)
    with stored_run(folder, Meter(None)) as run:
        (checkpoint,) = run.store.checkpoints()
        asking, scores = student_asking(run, checkpoint), run.store.scores()
    scored = [replace(scores[0], correct=1, low=0.1, high=0.9)]
    origin = StudentOrigin(
        task="sums", start="hf:owner/small", formats=[data_format],
        card=CardSettings(licence="mit", datasets=("owner/sums",)), languages=("en",),
        questions={"train": 3, "test": 2},
    )  # fmt: skip
    wanted = answered(folder / checkpoint.folder, asking)
    model = export_model(checkpoint, scored, folder, origin, asking=asking)
    card = (model / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert run_program(code, model, monkeypatch).strip() == wanted.strip()
    matter = yaml.safe_load(card.split("---\n")[1])
    assert matter["license"] == "mit" and matter["base_model"] == "owner/small"
    assert matter["language"] == ["en"] and matter["datasets"] == ["owner/sums"]
    (result,) = matter["model-index"][0]["results"]
    assert result["metrics"] == [
        {"type": "accuracy", "value": 0.5,
         "name": "accuracy, 1 of 2 right, 95% interval 10.0% to 90.0%"}
    ]  # fmt: skip
    assert "Counts: 3 train, 2 test questions, 3 examples, 2 steps.\n" in card


def test_nothing_is_assumed(tmp_path: Path) -> None:
    folder = deployed_run(tmp_path / "run")
    with stored_run(folder, Meter(None)) as run:
        (checkpoint,) = run.store.checkpoints()
    origin = StudentOrigin(task="sums", start="hf:/srv/small", formats=["fine_tune_cot"])
    none: list[Score] = []
    card = (export_model(checkpoint, none, folder, origin) / "README.md").read_text()
    matter = yaml.safe_load(card.split("---\n")[1])
    assert not {"license", "language", "datasets", "base_model", "model-index"} & matter.keys()


@pytest.mark.parametrize("chat", [False, True])
def test_the_program_of_an_encoder_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chat: bool
) -> None:
    folder = build_tiny_seq2seq(tmp_path / "t5")
    if chat:
        template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
        (folder / "chat_template.jinja").write_text(template)
        own = FormatSettings(prompt="Solve: {question}", target="{answer}", chat=True)
        style = own.data_format.style(encoder_decoder=True)
    else:
        style = format_named("zero_shot_cot").style(encoder_decoder=True)
    asking = PromptConfig(style=style, sampling=SamplingParams(max_tokens=6))
    code = snippet(style, encoder_decoder=True, max_tokens=6)
    assert run_program(code, folder, monkeypatch).strip() == answered(folder, asking).strip()


def test_hub_names_are_told_from_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert hub_name("hf:owner/name") == "owner/name"
    assert hub_name("hf:models/small") == "models/small"
    (tmp_path / "models" / "small").mkdir(parents=True)
    assert hub_name("hf:models/small") is None
    assert [hub_name(name) for name in ("hf:/a/b", "hf:./a", "hf:a/b/c", "bundled:student")] == [
        None
    ] * 4


def test_the_card_says_by_what_the_student_was_measured(tmp_path: Path) -> None:
    """The program loads it in the format that comes nearest; the start is named by the recipe."""
    folder = deployed_run(tmp_path / "run")
    with stored_run(folder, Meter(None)) as run:
        (checkpoint,) = run.store.checkpoints()
        asking = student_asking(run, checkpoint)
    engine = SystemEngine(
        system=checkpoint.system, engine="transformers", number_format=FLOAT32_STATES
    )
    origin = StudentOrigin(
        task="sums", start="hf:/srv/small", formats=["fine_tune_cot"], engine=engine,
        card=CardSettings(base_model="owner/small"),
    )  # fmt: skip
    model = export_model(checkpoint, [], folder, origin, asking=asking)
    card = (model / "README.md").read_text()
    assert yaml.safe_load(card.split("---\n")[1])["base_model"] == "owner/small"
    assert "was measured by transformers in bfloat16 with float32 states.\n" in card
    assert "from_pretrained(name, dtype='float32')" in card
