"""The report's section on on-policy training: rounds, stopped students, and what accuracy costs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from report_run import HOSTILE, Reader, task

from potstill.records import (
    Checkpoint,
    Collapse,
    Completion,
    GuidedScore,
    Policy,
    Rationale,
    Request,
    Score,
    System,
    Task,
    TrainingRound,
    TrainingStep,
)
from potstill.report import write_report
from potstill.report.accuracy import read_results
from potstill.report.round_charts import FIGURES, round_section, taught_systems
from potstill.report.system_colours import START_LOOK, look_of
from potstill.store import Store

TASK = task("two_step_arithmetic", 20, 40)
RECIPE = """\
teacher: {model: 'bundled:teacher'}
student: {model: 'bundled:student'}
train:
  students:
    own: {on_policy: {start_from: half}}
    prefix: {on_policy: {mix: 0.2, score: {first_tokens: 32}}}
guide: {student: rationales}
"""
RIGHT = {
    "start": 2, "answers_only": 8, "half": 16, "rationales": 22, "matching": 24, "own": 30,
    "prefix": 28,
}  # fmt: skip


def checkpoint(student: str, step: int = 100, **fields: object) -> Checkpoint:
    values = {
        "student": student, "step": step, "data_format": "fine_tune_cot", "encoder_decoder": False,
        "folder": f"checkpoints/{student}-{student[:2] * 4}/checkpoint-{step:06}", "examples": 4,
        "too_long": 0,
    }  # fmt: skip
    return Checkpoint(**values | fields)  # type: ignore[arg-type]


def round_of(student: str, number: int, tokens: int, **fields: object) -> TrainingRound:
    values = {
        "student": student, "number": number, "rounds": 10, "step": 10 * number, "oldest": 9,
        "answers": 20, "ended": 19 - number, "right": 5 + number, "student_tokens": 800,
        "teacher_tokens": tokens, "usd": 0.0, "encoded_again": 1, "unlearned": 2, "places": 800,
        "learned": 790, "entropy": 0.8, "repeated": 0.05, "mass": 0.97, "teacher_logprob": -0.7,
        "teacher_entropy": 0.6, "end_probability": 0.91,
    }  # fmt: skip
    return TrainingRound(**values | fields)  # type: ignore[arg-type]


COLLAPSE = Collapse(
    student="own", sign="mass_loss", value=0.4, bound=0.8, setting=0.15, number=2, reached=20,
    step=10, message=f"in round 3 of 10, 40.0% {HOSTILE}", advice="Lower learning_rate",
)  # fmt: skip


def fill(store: Store) -> None:
    question = TASK.splits["train"][0]
    request = Request(prompt=question.text, samples=(0, 1, 2, 3, 4))
    store.add_completions(
        "bundled:teacher",
        [
            Completion(
                request=request, sample=sample, text="So 8.", finish_reason="stop",
                prompt_tokens=40, completion_tokens=60,
            )
            for sample in request.samples
        ],
        stage="generate",
    )  # fmt: skip
    store.replace_rationales(
        [
            Rationale(
                question_id=question.id, completion_id=one.id, sample=one.completion.sample,
                text="So.", answer="8", verdict="kept" if one.completion.sample else "duplicate",
            )
            for one in store.completions("bundled:teacher", request)
        ],
        grader="1", settings_hash="a",
    )  # fmt: skip
    for own in (round_of("own", 0, 1000), round_of("own", 1, 900, mass=None, right=None)):
        store.keep_round(own, training="owowowow1234")
    store.keep_round(round_of("prefix", 0, 300), training="prprprpr1234")
    store.keep_round(round_of("gone", 0, 300), training="no longer there")
    checkpoints = [
        checkpoint("answers_only", data_format="fine_tune_answer"), checkpoint("half", examples=2),
        checkpoint("rationales"), checkpoint("matching", soft_share=0.9),
        checkpoint("own", 10), checkpoint("prefix"),
    ]  # fmt: skip
    steps = [
        TrainingStep(student=one.student, step=10, loss=1.0, tokens=100, seconds=1.0)
        for one in checkpoints
        if one.student != "own"
    ]
    store.replace_training(steps, checkpoints, [COLLAPSE], settings_hash="b")
    scores = [
        Score(
            system=System(name, step=None if name == "start" else 100), task=TASK.name,
            split="test", correct=right, total=40, low=max(right / 40 - 0.1, 0.0),
            high=right / 40 + 0.1, no_answer=0, truncated=0,
        )
        for name, right in RIGHT.items()
    ]  # fmt: skip
    store.replace_evaluation(scores, [], [], grader="1", settings_hash="c")
    guided = [
        GuidedScore(
            policy=policy, task=TASK.name, split="test", accuracy=accuracy, low=accuracy - 0.1,
            high=accuracy + 0.1, total=40, guided=40, teacher_tokens=tokens, student_tokens=30.0,
            cost=0.0, leaked=0, unleaked_accuracy=None, difference=None, difference_low=None,
            difference_high=None, p_value=None,
        )
        for policy, accuracy, tokens in (
            (Policy(kind="alone", name="never"), 0.55, 0.0),
            (Policy(kind="policy", name="first"), 0.65, 15.0),
        )
    ]  # fmt: skip
    store.replace_guidance(guided, [], grader="1", settings_hash="d")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    with Store(tmp_path / "run.sqlite") as store:
        fill(store)
    yield tmp_path


def written(folder: Path, tasks: list[Task] | None = None) -> Reader:
    with Store(folder / "run.sqlite", read_only=True) as store:
        write_report(store, tasks or [TASK], folder)
    return Reader((folder / "report.html").read_text("utf-8"))


def test_every_way_has_its_teacher_tokens(folder: Path) -> None:
    with Store(folder / "run.sqlite", read_only=True) as store:
        results = read_results(store, [TASK], folder)
    found = {one.label: (one.way, one.teacher_tokens) for one in taught_systems(results)}
    assert found == {  # five rationales of 100 tokens each, of which four are kept
        "start": ("no teacher", 0),
        "answers_only": ("no teacher", 0),
        "half": ("rationales", 250),
        "rationales": ("rationales", 500),
        "matching": ("distribution matching", 500),
        "own": ("on-policy", 1900 + 250),
        "prefix": ("prefix form", 300 + 500),
        "rationales, first": ("guidance at inference", 500 + 40 * 15),
    }


def test_systems_have_their_own_colours_beside_teacher_tokens_as_well(folder: Path) -> None:
    with Store(folder / "run.sqlite", read_only=True) as store:
        results = read_results(store, [TASK], folder)
    looks = {one.label: one.look for one in taught_systems(results)}
    assert looks["start"] == START_LOOK
    assert all(looks[one.label] == look_of(results, one) for one in results.students
               if one.label in looks)  # fmt: skip
    assert looks["rationales, first"] == looks["rationales"]
    assert len(set(looks.values())) == len(looks) - 1


def test_the_page_shows_rounds_stopped_students_and_prices(folder: Path) -> None:
    page = written(folder)
    assert "was stopped: in round 3 of 10, 40.0% </script>" in page.words
    assert "as it was after step 10, before the decline. Lower learning_rate." in page.words
    assert "<script>alert(1)" not in (folder / "report.html").read_text("utf-8").replace(
        page.contents["script"][0], ""
    )
    assert "Accuracy against teacher tokens" in page.words
    cells = [cell for cell in re.split(r"\s*\n\s*", page.shown) if cell]
    assert any(re.search(r"distribution matching\s*500", cell) for cell in cells)
    assert any(re.search(r"guidance at inference\s*1,100", cell) for cell in cells)
    charts = [
        str(attributes["aria-label"])
        for tag, attributes in page.tags
        if tag == "svg" and str(attributes.get("aria-label")).startswith((*FIGURES,))
    ]
    assert len(charts) == len(FIGURES) == 8
    ended = "Ended by themselves against training steps. “own”: 95% at 0, 90% at 10 training steps"
    assert any(one.startswith(ended) for one in charts)
    rings = [attributes for _, attributes in page.tags if attributes.get("class") == "ring"]
    assert rings  # the round whose student was kept


def test_the_summary_has_the_same_for_programs(folder: Path) -> None:
    written(folder)
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    assert [(one["student"], one["number"], one["mass"]) for one in summary["rounds"]] == [
        ("own", 0, 0.97), ("own", 1, None), ("prefix", 0, 0.97),
    ]  # fmt: skip
    assert [(one["student"], one["step"]) for one in summary["collapses"]] == [("own", 10)]
    assert {
        "label": "own", "way": "on-policy", "teacher_tokens": 2150, "accuracy": 0.75,
        "low": 0.65, "high": 0.85,
    } in summary["teacher_tokens"]  # fmt: skip


def test_a_run_without_rounds_has_no_section(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        results = read_results(store, [TASK], tmp_path)
        assert round_section(results) is None
        write_report(store, [TASK], tmp_path)
    assert "On-policy training" not in Reader((tmp_path / "report.html").read_text("utf-8")).words
