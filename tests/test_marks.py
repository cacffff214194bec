"""People's verdicts on rationales: read from files, kept, counted, exported and learned from."""

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from potstill.cli import main
from potstill.curate.marks import Marks, MarkSettings
from potstill.curate.settings import CurateSettings
from potstill.curate.stage import VERDICTS
from potstill.curate.verdicts import GradedSample, own_verdict
from potstill.errors import ConfigError, DataError
from potstill.pipeline.recipe import load_recipe
from potstill.pipeline.run import Run
from potstill.pipeline.stale import stale_stages
from potstill.records import Grade, Rationale
from potstill.runtime.progress import Meter
from potstill.store import Store
from potstill.train.examples import make_examples
from potstill.train.settings import StudentSettings

QUESTIONS = [f"Ann has {n} pens and buys 4 more. How many has she?" for n in (3, 5, 6, 7)]
TEXTS = [
    "3 + 4 = 7. The answer is 7.",  # sound
    "5 + 4 = 8, and one more is 9. The answer is 9.",  # right, and flawed
    "6 + 4 = 11. The answer is 11.",  # wrong
    "7 + 4 = 11. The answer is 11.",  # right, and marked by nobody
]
MARKS: list[object] = [True, False, True, None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Questions, recorded rationales of the four to be learned, and their marks in one file."""
    monkeypatch.chdir(tmp_path)
    answers = [7, 9, 10, 11]
    task = [
        {"question": question, "answer": answer, "split": "train"}
        for question, answer in zip(QUESTIONS, answers, strict=True)
    ]
    task += [
        {"question": f"What is {n} + 1?", "answer": n + 1, "split": split}
        for n, split in enumerate(("dev", "dev", "test", "test"))
    ]
    Path("task.jsonl").write_text("\n".join(map(json.dumps, task)))
    marked = zip(QUESTIONS, TEXTS, MARKS, strict=True)
    rows = [{"question": q, "rationale": text, "flag": mark} for q, text, mark in marked]
    Path("marked.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def recipe(**curate: object) -> dict[str, object]:
    return {
        "run": "run",
        "task": {"file": "task.jsonl"},
        "teacher": "recorded:marked.jsonl",
        "student": "bundled:student",
        "generate": {"samples": 1},
        "curate": curate,
    }


def marks(**changes: object) -> dict[str, object]:
    return {"file": "marked.jsonl", "verdict": "flag", **changes}


def curated(**curate: object) -> dict[str, str]:
    """The verdict on each rationale, by the beginning of its text."""
    with Run(load_recipe(recipe(**curate)), Meter(None)) as run:
        run.generate()
        run.curate()
        return {one.text[:5]: one.verdict for one in run.store.rationales()}


def test_what_is_kept_has_the_right_answer_and_was_found_sound(folder: Path) -> None:
    assert curated(marks=marks()) == {
        "3 + 4": "kept",
        "5 + 4": "rejected",
        "6 + 4": "wrong_answer",
        "7 + 4": "unmarked",
    }
    assert curated(marks=marks(keep_unmarked=True))["7 + 4"] == "kept"
    assert curated()["5 + 4"] == "kept"


def test_people_are_asked_last(folder: Path) -> None:
    """A text that they reject would be kept without them, so that a student may learn it."""
    told = curated(marks=marks(), max_words=5)
    assert (told["5 + 4"], told["7 + 4"]) == ("too_long", "unmarked")


def test_lengths_that_nothing_has_are_refused() -> None:
    with pytest.raises(ValueError, match="max_words is 5 and min_words 50"):
        CurateSettings(min_words=50, max_words=5)


def test_what_could_not_be_compared_in_time_is_not_called_wrong() -> None:
    late = Grade(answer="2^{100!}", correct=False, rule="timeout")
    sample = GradedSample("teacher", 1, 0, "stop", late, "A power.")
    assert own_verdict(sample, CurateSettings()) == "not_compared"
    assert own_verdict(sample, CurateSettings(right_answer=False)) == "kept"
    assert "not_compared" in VERDICTS


@pytest.mark.parametrize(
    ("student", "condition"),
    [
        ({"ignore_marks": True}, {"max_per_question": 2}),
        ({"wrong_answers": True}, {"max_per_question": 2}),
        ({"wrong_answers": True}, {"max_words": 9}),
        ({"wrong_answers": True}, {"min_words": 2}),
        ({"ignore_marks": True}, {"choose": "agreement"}),
    ],
)
def test_a_student_of_dropped_rationales_goes_with_no_condition_on_kept_ones(
    student: dict[str, object], condition: dict[str, object]
) -> None:
    values = {
        **recipe(marks=marks(), **condition),
        "train": {"students": {"all": student, "answers": {"data_format": "fine_tune_answer"}}},
    }
    with pytest.raises(ConfigError, match=f"all learns also .*curate.{next(iter(condition))} was"):
        load_recipe(values)


def test_people_alone_may_decide(folder: Path) -> None:
    assert curated(marks=marks(), right_answer=False) == {
        "3 + 4": "kept",
        "5 + 4": "rejected",
        "6 + 4": "kept",
        "7 + 4": "unmarked",
    }


def test_marks_and_answers_are_stored_counted_and_exported(folder: Path) -> None:
    curated(marks=marks())
    with Store(Path("run/run.sqlite")) as store:
        found = [(one.mark, one.right) for one in store.rationales()]
    assert found == [(True, True), (False, True), (True, False), (None, True)]
    told = command("curate")
    assert (
        "curate: people marked 3 of 4 rationales. They rejected 1 of 2 with the right answer, and "
        "accepted 1 of 1 without it.\n" in told.output
    )
    assert command("report").exit_code == 0
    assert "They rejected 1 of 2 with the right answer" in Path("run/report.html").read_text()
    assert invoke("export", "run", "out.jsonl").exit_code == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [row["mark"] for row in rows] == [True, False, True, None]
    assert command("check").exit_code == 0


def command(name: str) -> Result:
    return invoke(name, "run/recipe.yaml")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments])


def test_an_exported_table_comes_back_with_its_marks_filled_in(folder: Path) -> None:
    curated()
    assert invoke("export", "run", "out.jsonl").exit_code == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    for row in rows:
        row["mark"] = "no" if row["rationale"].startswith("5") else "yes"
    Path("out.jsonl").write_text("\n".join(map(json.dumps, rows)))
    verdicts = curated(marks={"file": "out.jsonl"})
    assert verdicts == {
        "3 + 4": "kept",
        "5 + 4": "rejected",
        "6 + 4": "wrong_answer",
        "7 + 4": "kept",
    }


def test_edited_marks_make_the_rationales_stale(folder: Path) -> None:
    curated(marks=marks())
    read = load_recipe("run/recipe.yaml")
    with Run(read, Meter(None)) as run:
        assert not stale_stages(run)
        rows = Path("marked.jsonl").read_text()
        Path("other.jsonl").write_text(rows)
        Path("marked.jsonl").write_text(rows.replace("false", "true"))
        (stale,) = stale_stages(run)
        assert "the marks" in stale.inputs


# the file ----------------------------------------------------------------------------------------


def read(path: Path, rows: list[dict[str, object]], **columns: str) -> Marks:
    path.write_text("\n".join(map(json.dumps, rows)))
    return Marks(MarkSettings.model_validate({"file": path, **columns}))


def test_most_people_decide_and_a_tie_rejects(tmp_path: Path) -> None:
    row = {"question": "Q?", "rationale": "R."}

    def of(*given: object) -> bool | None:
        rows = [{**row, "mark": mark} for mark in given]
        return read(tmp_path / "m.jsonl", rows).of("Q?", ["R."])

    assert of(1, 1, 0) is True
    assert of("yes", "wrong") is False
    assert of(0, 0, 1) is False
    assert of(None, "", 1) is True


def test_marks_on_both_forms_of_a_rationale_count_together(tmp_path: Path) -> None:
    forms = ["R.", "R. The answer is 2."]
    rows = [
        {"question": "Q?", "rationale": text, "mark": mark}
        for text, mark in zip([forms[0], forms[1], forms[1]], [1, 0, 0], strict=True)
    ]
    marks = read(tmp_path / "m.jsonl", rows)
    assert marks.of("Q?", forms) is False
    marks.require_used()


def test_lists_white_space_and_a_question_s_label_are_read(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"question": "Q:  What\nis it?", "rationale": ["One  two.", "Three."], "mark": [1, 0]}
    ]
    found = read(tmp_path / "m.jsonl", rows)
    assert found.of("What is it?", ["something else", "One two."]) is True
    assert found.of("What is it?", ["Three."]) is False
    assert found.of("What is it?", ["Four."]) is None
    assert found.of("Who is it?", ["Three."]) is None
    table = tmp_path / "m.csv"
    table.write_text("question,rationale,mark\nWhat is it?,One.,1.0\nWhat is it?,Two.,\n")
    marked = Marks(MarkSettings(file=table))
    assert marked.of("What is it?", ["One."]) is True
    assert marked.of("What is it?", ["Two."]) is None


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"question": "Q?", "rationale": "R.", "verdict": 1}, "no column 'mark'"),
        ({"question": "Q?", "rationale": "R.", "mark": "maybe"}, "'maybe', which is no verdict"),
        ({"question": "Q?", "rationale": ["R."], "mark": [1, 0]}, "2 verdicts on 1"),
        ({"question": 3, "rationale": "R.", "mark": 1}, "must hold text"),
        ({"question": "Q?", "rationale": "R.", "mark": None}, "no rationale in it is marked"),
    ],
)
def test_a_file_that_says_something_unknown_is_refused(
    tmp_path: Path, row: dict[str, object], told: str
) -> None:
    with pytest.raises(DataError, match=told):
        read(tmp_path / "m.jsonl", [row])


def test_marks_on_other_rationales_alone_are_refused(folder: Path) -> None:
    other = {"question": "Q?", "rationale": "R.", "mark": True}
    Path("other.jsonl").write_text(json.dumps(other))
    with pytest.raises(DataError, match="none of 1 marked rationales is one of this run's"):
        curated(marks={"file": "other.jsonl"})
    with pytest.raises(DataError, match="cannot read"):
        curated(marks={"file": "missing.jsonl"})


# students ----------------------------------------------------------------------------------------


def test_a_student_may_learn_what_people_rejected(folder: Path) -> None:
    curated(marks=marks())
    with Store(Path("run/run.sqlite")) as store:
        rationales = store.rationales()

    def learned(**settings: object) -> list[str]:
        student = StudentSettings.model_validate({"data_format": "fine_tune_cot", **settings})
        questions = tuple(load_questions(rationale) for rationale in rationales)
        made = make_examples(rationales, questions, student, encoder_decoder=False, seed=0)
        return [one.target[1:6] for one in made]

    assert learned() == ["3 + 4"]
    assert learned(ignore_marks=True) == ["3 + 4", "5 + 4", "7 + 4"]
    assert learned(ignore_marks=True, wrong_answers=True) == [text[:5] for text in TEXTS]


def load_questions(rationale: Rationale):  # type: ignore[no-untyped-def]
    from potstill.records import Question

    return Question(id=rationale.question_id, text="", answer=rationale.gold or "")


def test_ignoring_marks_that_are_not_there_is_refused() -> None:
    values = {**recipe(), "train": {"students": {"all": {"ignore_marks": True}}}}
    with pytest.raises(ConfigError, match="marks names no file"):
        load_recipe(values)


def test_marks_can_be_named_where_the_recipe_says_that_there_are_none(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps({**recipe(), "curate": {"marks": None}}))
    changed = load_recipe(path, ["curate.marks.file=marked.csv"])
    assert changed.curate.marks == MarkSettings(file=Path("marked.csv"))


# published marks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "answer_type", "right", "flawed", "accepted"),
    [
        ("addsub_100", "number", 54, 4, 0),
        ("date_100", "text", 64, 15, 1),
        ("last_letters_100", "text", 50, 0, 0),
        ("aqua_rat_100", "choice", 80, 30, 0),
    ],
)
def test_published_marks_beside_the_filter_by_answers(
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    answer_type: str,
    right: int,
    flawed: int,
    accepted: int,
) -> None:
    """Natural Program's marks (CC-BY-4.0): right answers that people found flawed, and the rest."""
    path = shared_data / f"teacher_outputs/natural_program/human_annotation/{name}.json"
    monkeypatch.chdir(tmp_path)
    published = json.loads(path.read_text())
    rows = {
        row["question"]: {
            "question": row["question"],
            "answer": row["final_answer"],
            "split": "train",
            **({"choices": row["choices"]} if "choices" in row else {}),
        }
        for row in published
    }
    any_row = next(iter(rows.values()))
    held = [{**any_row, "question": f"{split}?", "split": split} for split in ("dev", "test")]
    Path("task.jsonl").write_text("\n".join(map(json.dumps, [*rows.values(), *held])))
    values = {
        "run": "run",
        "task": {"file": "task.jsonl", "answer_type": answer_type},
        "teacher": {"model": f"recorded:{path}", "rationale_field": "answer"},
        "student": "bundled:student",
        "generate": {"samples": 10},
        "curate": {
            "duplicates": True,
            "marks": {"file": str(path), "rationale": "answer", "verdict": "flag"},
        },
    }
    with Run(load_recipe(values), Meter(None)) as run:
        run.generate()
        run.curate()
        told = run.store.rationales()
    assert len(told) == 100
    assert all(one.mark is not None for one in told)
    marked_right = [one for one in told if one.right]
    assert len(marked_right) == right
    assert sum(one.mark is False for one in marked_right) == flawed
    assert sum(one.mark is True and not one.right for one in told) == accepted
    assert Counter(one.verdict for one in told)["kept"] == right - flawed
