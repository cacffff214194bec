"""Names: the labels of systems, and the names a recipe may give them."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from potstill.cli import main
from potstill.errors import ConfigError
from potstill.evaluate import EvaluateSettings
from potstill.models.settings import LocalSettings
from potstill.pipeline.names import all_systems, check_name, check_systems, named_starts
from potstill.pipeline.recipe import load_recipe
from potstill.records import System
from potstill.train.settings import TrainSettings

BIG = "bundled:teacher"


@pytest.mark.parametrize(
    ("system", "label"),
    [
        (System("teacher"), "teacher"),
        (System("start"), "start"),
        (System("start", variant="zero_shot"), "start_zero_shot"),
        (System("start", "small"), "start_small"),
        (System("start", "small", "few_shot"), "start_small_few_shot"),
        (System("rationales", step=400), "rationales"),
        (System("rationales", "small", step=400), "rationales_small"),
        (System("rationales", variant="vote", step=400), "rationales_vote"),
        (System("rationales", "small", "in_context_cot", 400), "rationales_small_in_context_cot"),
        (System("rationales", step=400, taken=False), "rationales@400"),
        (System("rationales", "small", step=400, taken=False), "rationales_small@400"),
        (System("pair", variant="teacher_questions", step=35), "pair_teacher_questions"),
    ],
)
def test_a_system_has_one_label(system: System, label: str) -> None:
    assert system.label == label
    assert system.as_shown.label == label


def test_the_checkpoint_taken_is_shown_without_its_step_and_others_with_it() -> None:
    taken, other = System("ours", "a", step=2), System("ours", "a", step=4, taken=False)
    assert taken.as_shown == System("ours", "a") and other.as_shown == other
    assert taken.bare == other.bare == System("ours", "a")


def refusal(folder: Path, **sections: Any) -> str:
    """Returns what ``potstill run`` says to a recipe before it has made anything."""
    values = {
        "run": str(folder / "run"),
        "task": {"name": "fact_chain", "train": 4, "dev": 2, "test": 2},
        "teacher": BIG,
        "student": "bundled:student",
        **sections,
    }
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(values))
    done = CliRunner().invoke(main, ["run", str(recipe)])
    assert done.exit_code == 2, done.output
    assert not (folder / "run").exists(), "something was made or asked"
    assert len(done.output.strip().splitlines()) == 1, done.output
    return done.output


def test_a_student_cannot_be_called_as_a_system_that_every_run_has(tmp_path: Path) -> None:
    said = refusal(tmp_path, train={"students": {"teacher": {}}})
    assert "train.students.teacher: teacher is taken: every run measures a system called" in said


@pytest.mark.parametrize(("name", "read"), [("12", "12"), ("null", "None"), ("2020-01-01", "date")])
def test_a_name_that_yaml_reads_as_no_text_is_told_so(name: str, read: str, tmp_path: Path) -> None:
    key = yaml.safe_load(name)
    said = refusal(tmp_path, train={"students": {key: {}}})
    assert "train.students holds the name " in said and read in said
    assert said.rstrip().endswith("which YAML reads as no text. Put it in quotes.")


def test_a_long_name_is_not_told_whole(tmp_path: Path) -> None:
    assert "a" * 50 not in refusal(tmp_path, train={"students": {"a" * 300: {}}})
    assert "a" * 50 not in refusal(tmp_path, train={"students": {"b": {"loss": "a" * 300}}})


def test_a_student_cannot_be_called_as_anothers_vote(tmp_path: Path) -> None:
    said = refusal(
        tmp_path,
        train={"students": {"rationales": {}, "rationales_vote": {}}},
        evaluate={"vote": {}},
    )
    assert "train.students.rationales by evaluate.vote" in said
    assert "train.students.rationales_vote" in said
    assert "would both be called rationales_vote" in said


def test_students_from_several_starts_cannot_come_out_alike(tmp_path: Path) -> None:
    said = refusal(
        tmp_path,
        train={
            "students": {"a": {}, "a_b": {}},
            "starts": {"b_c": "bundled:student", "c": BIG},
        },
    )
    assert "train.students.a from train.starts.b_c" in said
    assert "train.students.a_b from train.starts.c" in said
    assert "would both be called a_b_c" in said


@pytest.mark.parametrize(
    "sections",
    [
        {"train": {"students": {"../../../evil": {}}}},
        {"train": {"students": {"a..b": {}}}},
        {"train": {"students": {"a  b": {}}}},
        {"train": {"students": {"ours@400": {}}}},
        {"train": {"students": {"": {}}}},
        {"train": {"students": {"a" * 65: {}}}},
        {"train": {"students": {".hidden": {}}}},
        {"train": {"starts": {"x/y": "bundled:student"}}},
        {"evaluate": {"socratic": {"a/b": {"questioner": "x", "solver": "x"}}}},
        {"teachers": {"../x": "openai:other"}},
    ],
)
def test_a_name_that_could_leave_its_folder_or_table_is_refused(
    sections: dict[str, Any], tmp_path: Path
) -> None:
    assert "Take letters, digits, - and _, with single spaces or . + = ( ) , inside" in refusal(
        tmp_path, **sections
    )


def test_further_teachers_cannot_have_the_names_that_are_taken(tmp_path: Path) -> None:
    for name in ("teacher", "consensus"):
        assert f"teachers.{name}: {name} is taken" in refusal(
            tmp_path, teachers={name: "openai:other"}
        )


@pytest.mark.parametrize(
    "name", ["rationales", "a.b", "Qwen3-0.6B", "x_1", "7", "größer", "my student", "D=8 (long)"]
)
def test_ordinary_names_are_taken(name: str) -> None:
    check_name(name, at="train.students")


def test_one_student_in_its_own_format_has_no_second_name(tmp_path: Path) -> None:
    """``a_zero_shot_cot`` is no variant of a student that is asked so anyway."""
    recipe = tmp_path / "recipe.yaml"
    students = {"a": {"data_format": "zero_shot_cot"}, "a_zero_shot_cot": {}}
    recipe.write_text(
        yaml.safe_dump(
            {
                "task": "fact_chain",
                "teacher": BIG,
                "student": "bundled:student",
                "train": {"students": students},
                "evaluate": {"asked_in": ["zero_shot_cot"]},
            }
        )
    )
    assert load_recipe(recipe).train.students.keys() == students.keys()


# Few letters, so that many names run into each other.
NAMES = st.lists(
    st.text("ab_", min_size=1, max_size=4) | st.sampled_from(["vote", "a_vote", "b_zero_shot_cot"]),
    min_size=1,
    max_size=4,
    unique=True,
)


@given(students=NAMES, starts=st.just([]) | NAMES, pairs=st.just([]) | NAMES, vote=st.booleans())
def test_names_that_are_accepted_tell_all_systems_apart(
    students: list[str], starts: list[str], pairs: list[str], vote: bool
) -> None:
    train = TrainSettings.model_validate(
        {
            "students": {name: {} for name in students},
            "starts": {name: f"hf:{number}" for number, name in enumerate(starts)},
        }
    )
    evaluate = EvaluateSettings.model_validate(
        {
            "asked_in": ["zero_shot_cot"],
            "vote": {} if vote else None,
            "socratic": {name: {"questioner": "x", "solver": "x"} for name in pairs},
        }
    )
    begin = named_starts(train, LocalSettings(model="hf:0"))
    measured = [system for system, _ in all_systems(train, evaluate, begin, few_shot=True)]
    alike = [{one, other} for one, other in combinations(measured, 2) if one.label == other.label]
    try:
        check_systems(train, evaluate, begin, few_shot=True)
    except ConfigError as error:
        assert alike or "is taken" in str(error)
    else:
        assert not alike


@pytest.mark.parametrize("run", ["", ".", "..", "runs/..", "runs/a\nb", "runs/\x1b[31m"])
def test_a_run_without_a_folder_of_its_own_is_refused(run: str, tmp_path: Path) -> None:
    assert "Name a folder of the run's own" in refusal(tmp_path, run=run)


def test_a_recipe_is_not_written_over_by_its_run(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    text = f"# mine\nrun: {tmp_path}\ntask: fact_chain\nteacher: {BIG}\nstudent: {BIG}\n"
    recipe.write_text(text)
    shown = CliRunner().invoke(main, ["generate", str(recipe)])
    assert shown.exit_code == 2 and "would be written over this file" in shown.output
    assert recipe.read_text() == text
