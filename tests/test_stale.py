"""Stages know whether what they build on was made by today's recipe, and say what to repeat."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from potstill.cli import main
from potstill.errors import OutdatedError
from potstill.evaluate import Evaluation
from potstill.keys import settings_hash
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.pipeline.stage_inputs import guide_inputs
from potstill.pipeline.stale import StaleStage, stale_stages, unknown_stages
from potstill.records import Checkpoint, GuidedScore, Score, System
from potstill.records.policy import ALONE
from potstill.runtime.context import RunContext
from potstill.runtime.progress import Meter
from potstill.train.settings import TrainSettings

SOURCE = Path(__file__).parents[1] / "src"
SPLITS = ("train", "train", "train", "dev", "test")


class SmallRun:
    """A run whose teachers are recordings and whose students are checkpoints without weights."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.recipe = folder, folder / "sums.yaml"
        self.questions = folder / "sums.jsonl"
        self.rows = [
            {"id": f"q{n}", "question": f"What is {n} + {n}?", "answer": str(2 * n), "split": split}
            for n, split in enumerate(SPLITS, start=2)
        ]
        for name in ("one", "two"):
            with (folder / f"{name}.jsonl").open("w") as file:
                for row in self.rows:
                    texts = [f"Said {name}, {k}.\nThe answer is {row['answer']}." for k in range(4)]
                    line = {"question": row["question"], "rationale": texts}
                    file.write(json.dumps(line) + "\n")
        self.settings: dict[str, Any] = {
            "run": str(folder / "run"),
            "task": {"file": str(self.questions), "id": "id"},
            "teacher": f"recorded:{folder}/one.jsonl",
            "student": "bundled:student",
            "generate": {"samples": 2},
            "train": {"steps": 2},
        }
        self.write()

    def write(self, changes: dict[str, Any] | None = None) -> None:
        """Write the questions and the recipe, with changed settings by their full names."""
        for name, value in (changes or {}).items():
            place = self.settings
            *sections, last = name.split(".")
            for section in sections:
                place = place.setdefault(section, {})
            place[last] = value
        self.questions.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        self.recipe.write_text(yaml.safe_dump(self.settings))

    def do(self, *stages: str) -> None:
        """Do these stages by the recipe."""
        with Run(load_recipe(self.recipe), Meter(None)) as run:
            for stage in stages:
                getattr(run, stage)()

    def stale(self) -> list[StaleStage]:
        with Run(load_recipe(self.recipe), Meter(None), read_only=True) as run:
            return stale_stages(run)

    def command(self, stage: str, *options: str) -> Result:
        return CliRunner().invoke(main, [stage, str(self.recipe), *options])


def write_checkpoints(
    task: object, models: object, settings: TrainSettings, context: RunContext, **others: Any
) -> list[Checkpoint]:
    """Stands for training: a checkpoint a student, named by what it learns."""
    learned = [(one.text, one.verdict) for one in context.store.rationales()]
    checkpoints = [
        Checkpoint(
            student=system.model, step=2,
            folder=f"checkpoints/{system.label}-{settings_hash(learned, settings.learning_rate)}",
            data_format=student.asked_in, encoder_decoder=False, examples=1, too_long=0,
        )
        for system, student in settings.sweep().items()
    ]  # fmt: skip
    context.store.replace_training([], checkpoints, settings_hash=others["made_by"])
    return checkpoints


def write_scores(
    entries: Sequence[Any], models: object, settings: object, context: RunContext, **others: Any
) -> Evaluation:
    """Stands for measuring: one score."""
    score = Score(
        system=System("rationales", step=2), task=entries[0].name, split="test", correct=1, total=1,
        low=0, high=1, no_answer=0, truncated=0,
    )  # fmt: skip
    made_by = others["made_by"]
    context.store.replace_evaluation([score], [], [], grader="1", settings_hash=made_by)
    return Evaluation([score], [], [], None, [])


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallRun:
    monkeypatch.setattr("potstill.pipeline.run.train", write_checkpoints)
    monkeypatch.setattr("potstill.pipeline.run.evaluate", write_scores)
    monkeypatch.setattr("potstill.pipeline.run.refuse_damaged", lambda *_: None)
    return SmallRun(tmp_path)


EDITS = {
    "teacher": ({"teacher": "recorded:{folder}/two.jsonl"}, "teacher was recorded:one.jsonl@"),
    "curate": ({"curate.right_answer": False}, "curate.right_answer was true, is false"),
    "temperature": ({"generate.temperature": 1.1}, "generate.temperature was 0.7, is 1.1"),
    "samples": ({"generate.samples": 4}, "generate.samples was 2, is 4"),
    "fewer samples": ({"generate.samples": 1}, "generate.samples was 2, is 1"),
    "seed": ({"seed": 7}, "seed was 0, is 7"),
    "style": ({"generate.prompt_style": "zero_shot_cot"}, "the prompt style was instruct_cot, is "),
    "length": ({"generate.max_tokens": 600}, "generate.max_tokens was 512, is 600"),
    "top_p": ({"generate.top_p": 0.9}, "generate.top_p was 1.0, is 0.9"),
    "further teacher": (
        {"teachers": {"other": "recorded:{folder}/two.jsonl"}}, "teachers.other is new",
    ),
    "rule": ({"task.rule": "zero_shot_cot"}, "task.rule was potstill, is zero_shot_cot (stored "),
    "answer type": ({"task.answer_type": "text"}, "task.answer_type was number, is text (stored "),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_no_stage_builds_on_rationales_of_another_recipe(
    small: SmallRun, edit: str, stage: str
) -> None:
    small.do("generate", "curate", "train")
    changes, reason = EDITS[edit]
    text = json.dumps(changes).replace("{folder}", str(small.folder))
    small.write({**json.loads(text), "reuse": True})
    done = small.command(stage)
    assert done.exit_code == 2
    assert len(done.output.splitlines()) == 1
    assert done.output.startswith("Error: the rationales are not of this recipe: ")
    assert reason in done.output
    commands = [f"potstill curate {small.recipe}"]
    if edit not in ("curate", "rule", "answer type"):
        commands.insert(0, f"potstill generate {small.recipe}")
    if stage == "evaluate":
        commands.append(f"potstill train {small.recipe}")
    assert done.output.rstrip().endswith("Run: " + ", then ".join(commands))
    small.do("generate", "curate", "train", "evaluate")  # which mends it
    assert small.stale() == []


def kept_inputs(small: SmallRun, stage: str, inputs: dict[str, object]) -> None:
    """Have a stage's results say that these inputs determined them."""
    with closing(sqlite3.connect(small.folder / "run" / "run.sqlite")) as db, db:
        db.execute("UPDATE provenance SET inputs = ? WHERE stage = ?", (json.dumps(inputs), stage))


def inputs_of(small: SmallRun, stage: str) -> dict[str, object]:
    with closing(sqlite3.connect(small.folder / "run" / "run.sqlite")) as db:
        (inputs,) = db.execute("SELECT inputs FROM provenance WHERE stage = ?", (stage,)).fetchone()
    values: dict[str, object] = json.loads(inputs)
    return values


def test_a_refused_stage_leaves_the_recipe_of_the_run_as_it_was(small: SmallRun) -> None:
    small.do("generate", "curate")
    before = (small.folder / "run" / "recipe.yaml").read_text()
    assert small.command("train", "--set", "task.answer_type=text").exit_code == 2
    assert (small.folder / "run" / "recipe.yaml").read_text() == before


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"task.answer_type": "text"}, "task.answer_type was number, is text"),
        ({"task.rule": "zero_shot_cot"}, "task.rule was potstill, is zero_shot_cot"),
    ],
)
def test_scores_of_answers_that_were_read_otherwise_are_stale(
    small: SmallRun, changes: dict[str, Any], reason: str
) -> None:
    small.write({"train.students": {"answers": {"data_format": "fine_tune_answer"}}})
    small.do("generate", "curate", "train", "evaluate")
    small.write(changes)
    stale = {one.stage: one for one in small.stale()}
    assert [*stale] == ["curate", "evaluate"]
    for one in stale.values():
        assert one.reasons == (f"{reason} (stored answers are graded again, not asked again)",)
        assert one.repeat == (one.stage,)
    assert reason in small.command("report").output
    small.do("evaluate")  # which reads what is stored by the changed recipe
    assert [one.stage for one in small.stale()] == ["curate"]


@pytest.mark.parametrize("stage", ["curate", "evaluate"])
def test_results_that_do_not_name_the_answer_type_have_that_of_their_recipe(
    small: SmallRun, stage: str
) -> None:
    """So did every version that kept inputs, and did not count the answer type among them."""
    small.write({"train.students": {"answers": {"data_format": "fine_tune_answer"}}})
    small.do("generate", "curate", "train", "evaluate")
    for one in ("curate", "evaluate"):
        inputs = inputs_of(small, one)
        del inputs["task.answer_type"]
        kept_inputs(small, one, inputs)
    assert small.stale() == []
    small.write({"task.answer_type": "text"})
    reasons = {one.stage: one.reasons for one in small.stale()}
    assert reasons[stage][0].startswith("task.answer_type was number, is text")  # type: ignore[index]


@pytest.mark.parametrize("recipe", ["", "task: {name: gone_since}", "task: [1", "- 1"])
def test_an_answer_type_that_is_not_known_is_not_compared(small: SmallRun, recipe: str) -> None:
    small.do("generate", "curate")
    inputs = inputs_of(small, "curate")
    del inputs["task.answer_type"]
    kept_inputs(small, "curate", inputs)
    with closing(sqlite3.connect(small.folder / "run" / "run.sqlite")) as db, db:
        db.execute("UPDATE recipes SET text = ?", (recipe,))
    assert small.stale() == []
    small.write({"task.rule": "zero_shot_cot"})
    (stale,) = small.stale()
    assert stale.inputs == ("task.rule",)


def test_regrading_by_another_answer_type_is_said_and_can_be_taken_back(small: SmallRun) -> None:
    for row in small.rows:
        row["answer"] += ".0"  # of one number with what the teacher says, and another text
    small.write()
    small.do("generate", "curate")
    kept = "6 of 6 rationales are kept now"
    assert kept in CliRunner().invoke(main, ["regrade", str(small.recipe)]).output
    small.write({"task.answer_type": "text"})
    done = CliRunner().invoke(main, ["regrade", str(small.recipe)])
    assert done.exit_code == 0, done.output
    assert "otherwise than before: task.answer_type was number, is text. No answer" in done.output
    assert "0 of 6 rationales are kept now" in done.output
    small.write({"task.answer_type": "number"})
    done = CliRunner().invoke(main, ["regrade", str(small.recipe)])
    assert "task.answer_type was text, is number" in done.output
    assert kept in done.output


def test_a_regrading_that_is_refused_leaves_the_recipe_of_the_run_as_it_was(
    small: SmallRun,
) -> None:
    small.do("generate", "curate")
    before = (small.folder / "run" / "recipe.yaml").read_text()
    small.write({"task.answer_type": "yes_no"})  # as which the gold answers cannot be read
    assert CliRunner().invoke(main, ["regrade", str(small.recipe)]).exit_code == 2
    assert (small.folder / "run" / "recipe.yaml").read_text() == before


def test_a_judge_at_another_server_is_another(small: SmallRun) -> None:
    places = [f"http://127.0.0.1:{port}/v1" for port in (1, 2)]
    judges = [{"model": "openai:m", "base_url": place} for place in places]
    small.write({"task.rule": "judge", "judge": judges[0]})
    small.do("generate", "curate")
    assert small.stale() == []
    small.write({"judge": judges[1]})
    (stale,) = small.stale()
    assert stale.reasons == ("judge was openai:m@127.0.0.1:1/v1, is openai:m@127.0.0.1:2/v1",)
    inputs = {**inputs_of(small, "curate"), "judge": "openai:m"}  # no more was kept once
    kept_inputs(small, "curate", inputs)
    assert small.stale() == []


SAME = {
    "how many requests are in flight": {"teacher": {"model": "recorded:{folder}/one.jsonl"}},
    "memory": {"train.batch_tokens": 4096, "train.gradient_checkpointing": True},
    "a further task": {"evaluate.tasks": [{"name": "coin_toss", "train": 0, "dev": 0, "test": 3}]},
    "a budget": {"budget": {"tokens": 5}},
    "guidance": {"guide": {}},
    "a further student": {"train.students": {
        "rationales": {}, "answers_only": {"data_format": "fine_tune_answer"},
        "new": {"samples": 1},
    }},
}  # fmt: skip


@pytest.mark.parametrize("edit", SAME)
def test_what_changes_nothing_is_no_reason(small: SmallRun, edit: str) -> None:
    small.do("generate", "curate", "train")
    small.write(json.loads(json.dumps(SAME[edit]).replace("{folder}", str(small.folder))))
    done = small.command("evaluate")
    assert done.exit_code == 0, done.output
    assert ("evaluate: new is not trained yet" in done.output) == (edit == "a further student")
    small.do("train")


def test_a_report_names_the_commands_with_their_recipe(small: SmallRun) -> None:
    small.do("generate", "curate")
    done = small.command("report", "--set", "generate.temperature=0.3")
    assert done.exit_code == 0
    words = f"{small.recipe} --set generate.temperature=0.3"
    assert f"Run: potstill generate {words}, then potstill curate {words}\n" in done.output


def test_answers_that_another_recipe_asked_for_are_not_said_to_be_none(small: SmallRun) -> None:
    small.do("generate")
    done = small.command("curate", "--set", "generate.temperature=0.3")
    assert done.exit_code == 2
    assert "no training question of " in done.output and "as this recipe asks them" in done.output


def test_topping_up_goes_on(small: SmallRun) -> None:
    small.do("generate", "curate", "train", "evaluate")
    small.write({"generate.samples": 4})
    assert [stale.stage for stale in small.stale()] == ["curate", "train", "evaluate"]
    small.do("generate", "curate")
    (students, scores) = small.stale()
    assert students.reasons == ("the rationales were 6, are 12",)
    assert (students.repeat, scores.repeat) == (("train",), ("evaluate",))
    small.do("train", "evaluate")
    assert small.stale() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"train.learning_rate": 0.1}, "train.learning_rate was null, is 0.1"),
        ({"student": "bundled:guide"}, "train.students.answers_only.start was bundled"),
        ({"student": {"model": "bundled:student", "control_tokens": True}},
         "train.students.answers_only.control_tokens was null, is true"),
        ({"train.lora": {"rank": 4}}, 'train.lora was null, is {"rank":4}'),
        ({"train.students": {"new": {}}}, "train.students.answers_only is not in it any more"),
    ],
)  # fmt: skip
def test_students_of_other_settings_are_not_measured(
    small: SmallRun, changes: dict[str, Any], reason: str
) -> None:
    small.do("generate", "curate", "train")
    small.write(changes)
    done = small.command("evaluate", "--set", "train.checkpoints=4")
    assert done.exit_code == 2
    assert f"Error: the students are not of this recipe: {reason}" in done.output
    assert f"Run: potstill train {small.recipe} --set train.checkpoints=4" in done.output


def test_students_who_learn_no_rationales_do_not_depend_on_them(small: SmallRun) -> None:
    small.write({"train.students": {"answers": {"data_format": "fine_tune_answer"}}})
    small.do("generate", "curate", "train", "evaluate")
    small.write({"generate.temperature": 1.2})
    assert [stale.stage for stale in small.stale()] == ["curate"]
    small.do("train", "evaluate")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": "q9", "question": "What is 9 + 9?", "answer": "18", "split": "train"},
         "the training questions were 3, are 4"),
        ({"id": "q2", "question": "What is 2 + 2?", "answer": "5", "split": "train"},
         "the gold answers are others than then; 2 of 6 rationales were curated for other"),
        ({"id": "q2", "question": "What is 1 + 3?", "answer": "4", "split": "train"},
         "the training questions are others than then"),
    ],
)  # fmt: skip
def test_edited_questions_are_told(small: SmallRun, row: dict[str, str], reason: str) -> None:
    small.do("generate", "curate", "train")
    small.rows = [own for own in small.rows if own["id"] != row["id"]]
    small.rows.insert(0, row)
    small.write()
    assert reason in "; ".join(small.stale()[0].reasons)
    with pytest.raises(OutdatedError, match="of this recipe"):
        small.do("train")


def test_nothing_is_stale_before_anything_was_made(small: SmallRun) -> None:
    with Run(load_recipe(small.recipe), Meter(None)) as run:
        assert stale_stages(run) == []
        assert unknown_stages(run.store) == []


def test_an_older_run_tells_who_wrote_its_rationales(small: SmallRun) -> None:
    small.do("generate", "curate", "train")
    with closing(sqlite3.connect(small.folder / "run" / "run.sqlite")) as db:
        db.execute("DELETE FROM provenance")
        db.commit()
    assert small.stale() == []
    with Run(load_recipe(small.recipe), Meter(None)) as run:
        assert unknown_stages(run.store) == ["curate", "train"]
    small.do("train", "evaluate")  # it stays usable
    small.write({"generate.temperature": 1.2})
    done = small.command("train")
    assert done.exit_code == 2
    assert "generate.temperature was 0.7, is 1.2" in done.output


def test_the_recipe_of_each_result_is_kept(small: SmallRun) -> None:
    small.do("generate", "curate")
    small.write({"train.learning_rate": 0.1})
    small.do("train")
    with Run(load_recipe(small.recipe), Meter(None), read_only=True) as run:
        made = {stage: run.store.provenance(stage) for stage in ("curate", "train")}
        assert made["curate"] is not None and made["train"] is not None
        assert yaml.safe_load(made["curate"].recipe)["train"]["learning_rate"] is None
        assert yaml.safe_load(made["train"].recipe)["train"]["learning_rate"] == 0.1
        assert run.store.last_recipe() == made["train"].recipe


def test_a_report_says_what_is_stale_and_shows_the_recipe_of_its_results(small: SmallRun) -> None:
    small.do("generate", "curate", "train", "evaluate")
    small.write({"train.learning_rate": 0.25, "task.rule": "zero_shot_cot"})
    done = small.command("report")
    assert done.exit_code == 0, done.output
    words = "The students are not of this recipe: train.learning_rate was null, is 0.25"
    assert words in done.output
    assert any(words in note for note in summary_notes(small))
    page = (small.folder / "run" / "report.html").read_text()
    assert words in page
    assert "learning_rate: null" in page
    assert "learning_rate: 0.25" not in page


@pytest.mark.parametrize("at", ["recipe", "folder"])
def test_a_report_is_written_where_a_gold_answer_was_edited(small: SmallRun, at: str) -> None:
    small.do("generate", "curate", "train", "evaluate")
    small.rows[0]["answer"] = "5"
    small.write()
    where = str(small.recipe if at == "recipe" else small.folder / "run")
    (small.folder / "run" / "report.html").unlink(missing_ok=True)
    done = CliRunner().invoke(main, ["report", where])
    assert done.exit_code == 0, done.output
    assert "2 of 6 rationales were curated for other training questions" in done.output
    assert f"Run: potstill curate {where}" in done.output
    assert (small.folder / "run" / "report.html").is_file()
    planned = CliRunner().invoke(main, ["plan", where])  # of a run that would curate again
    assert planned.exit_code == 0, planned.output
    assert "would stop" not in planned.output


def summary_notes(small: SmallRun) -> list[str]:
    notes: list[str] = json.loads((small.folder / "run" / "summary.json").read_text())["notes"]
    return notes


INPUTS = """
import sys
from potstill.pipeline import stage_inputs, stale
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.runtime.progress import Meter
with Run(load_recipe(sys.argv[1]), Meter(None), read_only=True) as run:
    stages = stage_inputs.curate_inputs, stage_inputs.train_inputs, stage_inputs.evaluate_inputs
    for inputs in stages:
        print(inputs(run).digest)
    print(stage_inputs.guide_inputs(run).digest, stale.stale_stages(run))
"""


def test_another_process_finds_the_same_inputs(small: SmallRun) -> None:
    small.write({"exemplars": [{"question": "1 + 1?", "rationale": "One.", "answer": "2"}],
                 "generate.prompt_style": "few_shot_cot"})  # fmt: skip
    small.do("generate", "curate", "train", "evaluate")
    told = [
        subprocess.run(
            [sys.executable, "-c", INPUTS, str(small.recipe)], capture_output=True, text=True,
            check=True, env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(SOURCE)},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert told[0] == told[1]
    assert told[0].rstrip().endswith(" []")


def test_guidance_depends_on_the_choice_alone(small: SmallRun) -> None:
    small.do("generate", "curate", "train", "evaluate")
    score = GuidedScore(
        policy=ALONE, task="sums", split="test", accuracy=1, low=0, high=1, total=1, guided=0,
        teacher_tokens=0, student_tokens=1, cost=0, leaked=0, unleaked_accuracy=None,
        difference=None, difference_low=None, difference_high=None, p_value=None,
    )  # fmt: skip
    with Run(load_recipe(small.recipe), Meter(None)) as run:
        inputs = guide_inputs(run)
        run.store.keep_provenance(
            "guide", inputs.values, settings_hash=inputs.digest, recipe_hash="r"
        )
        run.store.replace_guidance([score], [], grader="1", settings_hash=inputs.digest)
    assert small.stale() == []
    coins = {"name": "coin_toss", "train": 0, "dev": 0, "test": 3}
    small.write({"evaluate.tasks": [coins]})
    assert [stale.stage for stale in small.stale()] == ["evaluate"]
    small.write({"evaluate.max_tokens": 99})
    assert [stale.stage for stale in small.stale()] == ["evaluate", "guide"]
