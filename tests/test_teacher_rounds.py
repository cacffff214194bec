"""Several teachers and their debate over the runs of an experiment."""

import json
from pathlib import Path

import pytest

from potstill.experiment.experiment_page import experiment_figures, experiment_page
from potstill.experiment.seeded_runs import seeded_runs
from potstill.records import TeacherScore
from potstill.store import Store


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "short.yaml"
    path.write_text(
        f"run: {tmp_path / 'runs' / 'short'}\ntask: two_step_arithmetic\n"
        "teacher: bundled:teacher\nstudent: bundled:student\n"
    )
    return path


def scored(folder: Path, **accuracies: tuple[float, ...]) -> None:
    """A run whose teachers were right so often, round by round."""
    scores = [
        TeacherScore(
            teacher=teacher, round=debated, accuracy=accuracy, low=0.0, high=1.0, total=4,
            samples=4, kept=0, chosen=0, mean_logprob=None, difference=None, difference_low=None,
            difference_high=None,
        )
        for teacher, by_round in accuracies.items()
        for debated, accuracy in enumerate(by_round)
    ]  # fmt: skip
    with Store(folder / "run.sqlite") as store:
        store.replace_rationales([], scores, grader="2", settings_hash="")


def test_teachers_and_their_debate_are_put_together_over_runs(recipe: Path) -> None:
    runs = seeded_runs([recipe], [0, 1])
    for run, (before, after) in zip(runs, ((0.5, 0.25), (1.0, 0.25)), strict=True):
        scored(run.folder, teacher=(before, after), consensus=(1.0, 1.0))
    figures = json.loads(json.dumps(experiment_figures(runs, [])))["teachers"][""]
    first, debated, _, agreed = figures
    assert (first["teacher"], first["round"], first["mean"]) == ("teacher", 0, 0.75)
    assert first["by_seed"] == {"0": 0.5, "1": 1.0} and first["to_round_0"] is None
    # changes of -0.25 and -0.75: mean -0.5, standard error 0.25, t of one degree of freedom 2
    assert debated["to_round_0"]["difference"] == -0.5
    assert debated["to_round_0"]["p_value"] == pytest.approx(0.2952, abs=1e-4)
    assert agreed["to_round_0"] == {"runs": 2, "difference": 0.0, "interval": None, "p_value": None}
    text = experiment_page(recipe, runs, [])
    assert "### teachers on training questions\n\n| teacher | round |" in text
    assert "| teacher | 1 | 25.0% | - | \N{MINUS SIGN}50.0 |" in text


def test_a_single_teacher_has_no_table(recipe: Path) -> None:
    runs = seeded_runs([recipe], [0])
    scored(runs[0].folder, teacher=(0.5,))
    assert experiment_figures(runs, [])["teachers"] == {"": []}
    assert "### teachers" not in experiment_page(recipe, runs, [])
