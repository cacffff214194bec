"""The adapters of published completions, and the page that the agreement benchmark writes."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def grading(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The benchmark's module; its neighbours are importable while the test runs."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module("grading")
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


def completion(grading: ModuleType, number: int, text: str, theirs: bool | None) -> object:
    """A completion whose gold answer is 18."""
    return grading.Published(
        id=f"folder/file#{number}",
        answer_type="number",
        question="How many?",
        text=text,
        gold="18",
        theirs=theirs,
    )


def test_agreement_differences_and_readings_are_counted(grading: ModuleType) -> None:
    rows, notes = grading.measure(
        [
            completion(grading, 0, "The answer is 18.", True),
            completion(grading, 1, "The answer is 17.", False),
            completion(grading, 2, "The answer is eighteen.", False),
            completion(grading, 3, "I do not know.", None),
        ]
    )
    row = rows["number"]
    assert (row.count, row.compared, row.agreed, row.none) == (4, 3, 2, 1)
    assert row.differing == ["folder/file#2"] == [each["id"] for each in notes["differences"]]
    assert row.failed == ["folder/file#3"] == [each["id"] for each in notes["unread"]]
    read = {
        "folder/file#2": {"right": "ours", "reason": "in words"},
        "gone#1": {"right": "theirs", "reason": "no longer a difference"},
    }
    page = grading.page({"folder": rows}, read)
    assert "| folder | 3 | 66.67% | 1 | 1 | 1 | 0 | 100.00% | 66.67% |" in page
    assert "| folder | 1 | 1 | 0 | 0 |" in page
    assert "- ours, 1: in words" in page
    assert "no longer" not in page


def test_the_share_right_is_carried_over_to_what_was_not_read(grading: ModuleType) -> None:
    judged = grading.ReadSample(differing=100, read=50, ours=40, theirs=10)
    assert judged.right(900, 1000, judged.ours).startswith("98.00% (96.70% to 98.88")
    assert grading.ReadSample(3, 0, 0, 0).right(997, 1000, 0) == "not read"


def test_every_folder_is_read_and_every_id_is_its_own(
    grading: ModuleType, shared_data: Path
) -> None:
    outputs = shared_data / "teacher_outputs"
    present = {path.name for path in outputs.iterdir()}
    assert present - set(grading.LEFT_OUT) == set(grading.FOLDERS)
    for name in ("abel", "natural_program", "re2", "thinking_traces", "xot", "zero_shot_cot_logs"):
        read = list(grading.FOLDERS[name](outputs / name))
        assert len({one.id for one in read}) == len(read) > 0
        assert all(len(one.choices) >= 3 for one in read if one.answer_type == "choice")


def test_published_totals_are_those_of_the_files(grading: ModuleType, shared_data: Path) -> None:
    outputs = shared_data / "teacher_outputs"
    found = list(grading.FOLDERS["zero_shot_cot_logs"](outputs / "zero_shot_cot_logs"))
    aqua = [one.theirs for one in found if "aqua_zero_shot_cot#" in one.id]
    assert 100 * sum(aqua) / len(aqua) == pytest.approx(33.46456692913386)
    found = list(grading.FOLDERS["bbh_code_davinci_002"](outputs / "bbh_code_davinci_002"))
    navigate = [one.theirs for one in found if "/cot/navigate#" in one.id]
    assert sum(navigate) / len(navigate) == pytest.approx(0.964)


def test_readings_of_unseen_completions_are_counted_by_draw(grading: ModuleType) -> None:
    unseen = importlib.import_module("grading_unseen")

    def read(
        draw: int, name: str, drawn: str, right: str, reason: str = "why"
    ) -> dict[str, object]:
        return {
            "draw": draw, "id": name, "stratum": "folder, number", "drawn": drawn, "right": right,
            "reason": reason,
        }  # fmt: skip

    readings = [
        read(1, "a", "by stratum", "no"),
        read(2, "b", "at random", "yes", "equal, but not in the form that is asked for"),
        read(2, "c", "at random", "yes"),
        read(2, "d", "agreed", "yes"),
        read(3, "e", "at random", "unclear"),
    ]
    page = unseen.page(readings)
    assert "| draw 1, by stratum, before the mends | 1 | 0 | 0.0%" in page
    assert "| draws 2 and 3, at random | 3 | 2 | 66.7%" in page
    assert "1 of 3 are right: 33.3%" in page
    assert "| folder, number | 3 | 2 | 66.7%" in page
    assert "- draw 3, folder, number, 1 unclear: why" in page


def test_a_plain_second_rule_takes_the_last_candidate(grading: ModuleType) -> None:
    unseen = importlib.import_module("grading_unseen")
    assert unseen.plain_verdict(completion(grading, 0, "It is 18, not 17.", None)) is False
    assert unseen.plain_verdict(completion(grading, 0, "Not 17 but 18.", None)) is True
    assert unseen.draw(["a", "b", "c"], "seed", 2) == unseen.draw(["c", "b", "a"], "seed", 2)
    assert unseen.last_box(r"\boxed{1} and \boxed{2") == ""
