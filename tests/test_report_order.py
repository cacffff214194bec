"""The page's parts behind its head: their order, the price of a gain, the data, and provenance."""

import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from report_run import RECIPE, ROLES, FilledRun, Reader, SweptRun, compared, swept_tasks, task

from potstill.pipeline.recipe import Recipe
from potstill.pipeline.report_facts import changed_settings
from potstill.records import StageMachine, System
from potstill.report import RunFacts, write_report
from potstill.report.accuracy import Results, read_results
from potstill.report.chart_marks import Look
from potstill.report.charts import Line, Point, line_chart, log_ticks
from potstill.report.comparison_matrix import comparison_matrix
from potstill.report.data_funnel import funnel
from potstill.report.figures import (
    accuracy_chart,
    learning_rate,
    loss_chart,
    rate_chart,
    scaling_chart,
    tradeoff_charts,
)
from potstill.report.price_chart import pareto_front, price_figure
from potstill.report.run_facts import ChangedSetting
from potstill.report.stage_machines import stage_machines
from potstill.report.system_colours import look_of, student_look
from potstill.settings import build
from potstill.store import Store


@pytest.fixture
def run(tmp_path: Path) -> Iterator[FilledRun]:
    tasks = [task("two_step_arithmetic", 120, 300), task("coin_toss", 0, 60, "yes_no")]
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    with Store(tmp_path / "run.sqlite") as store:
        filled = FilledRun(store, tasks, random.Random(0))
        filled.generate_and_curate()
        filled.train()
        filled.evaluate()
        yield filled


@pytest.fixture
def swept(tmp_path: Path) -> Iterator[SweptRun]:
    folder = tmp_path / "swept"
    folder.mkdir()
    with Store(folder / "run.sqlite") as store:
        filled = SweptRun(store, swept_tasks())
        filled.fill()
        yield filled


def read(run: FilledRun | SweptRun, facts: RunFacts | None = None) -> Results:
    roles = ROLES if isinstance(run, SweptRun) else None
    return read_results(run.store, run.tasks, run.store.path.parent, roles=roles, facts=facts)


def page_of(run: FilledRun | SweptRun, facts: RunFacts | None = None) -> Reader:
    roles = ROLES if isinstance(run, SweptRun) else None
    folder = run.store.path.parent
    html = write_report(run.store, run.tasks, folder, roles=roles, facts=facts).html
    return Reader(html.read_text("utf-8"))


def test_sections_are_ordered_by_question(swept: SweptRun) -> None:
    sections = [own["id"] for tag, own in page_of(swept).tags if tag == "section"]
    assert sections == [
        "before-after", "tradeoff", "choice", "scaling", "questions", "curation", "cost",
        "training", "comparisons", "provenance", "seed",
    ]  # fmt: skip


def test_every_link_within_the_page_arrives(run: FilledRun, swept: SweptRun) -> None:
    for one in (run, swept):
        page = page_of(one)
        ids = {own["id"] for _, own in page.tags if own.get("id")}
        links = {own["href"] or "" for tag, own in page.tags if tag == "a"}
        assert {link.partition("?")[0].removeprefix("#") for link in links} <= ids


def test_every_figure_can_be_saved_and_has_its_numbers_behind_it(
    run: FilledRun, swept: SweptRun
) -> None:
    for one in (run, swept):
        page = page_of(one)
        figures = [own["id"] for tag, own in page.tags if tag == "figure"]
        assert len(figures) == len(set(figures)) > 2
        saved = [own["data-svg"] for _, own in page.tags if own.get("data-svg")]
        assert [f"figure-{name}" for name in saved] == figures
        tables = [own["id"] for tag, own in page.tags if tag == "table" and own.get("id")]
        assert len(tables) == len(set(tables))
        behind = [own for _, own in page.tags if own.get("data-csv")]
        assert len(behind) >= len(figures)
        assert {one for own in behind for one in str(own["data-csv"]).split()} <= set(tables)
        numbers = [
            (own["data-csv"], own.get("data-part"), own.get("data-columns")) for own in behind
        ]
        assert len(numbers) == len(set(numbers)), "no two figures have the same numbers"


def test_the_teacher_is_in_the_legend_where_it_was_measured(run: FilledRun) -> None:
    assert "▾ teacher" in page_of(run).words
    scores = [one for one in run.store.scores() if one.system != System("teacher")]
    kept = [one for one in run.store.comparisons() if one.second != System("teacher")]
    run.store.replace_evaluation(scores, [], kept, grader="2", settings_hash="c")
    assert "▾" not in page_of(run).words


# gain against price -----------------------------------------------------------------------------


def test_the_front_holds_what_no_other_exceeds() -> None:
    points = [(0.5, 0.1), (0.4, 0.3), (0.4, 0.2), (0.3, 0.3), (0.1, 0.6), (0.5, 0.1)]
    assert pareto_front(points) == {0, 1, 4, 5}


def test_each_student_has_a_path_from_its_start(swept: SweptRun) -> None:
    figure = price_figure(read(swept))
    assert figure is not None and figure.ability == "generic"
    own = [one for one in figure.checkpoints if one.student == System("rationales", "small")]
    assert [one.step for one in own] == [0, 50, 100, 150, 200, 250, 300, 350, 400]
    assert [one.step for one in own if one.used] == [350]
    by_rule = {rule: one.step for one in own for rule in one.rules}
    assert by_rule == {
        "in_distribution": 350, "out_of_distribution": 200, "worst_case": 200, "pareto": 100,
    }  # fmt: skip
    targets = [one.target.value for one in own]
    prices = [one.price.value for one in own]
    assert targets == sorted(targets) and prices == sorted(prices, reverse=True)
    lines = [own for tag, own in Reader(figure.chart).tags if tag == "polyline"]
    assert len(lines) == 4 + 1  # the students, and the front


def test_the_choices_of_the_pages_student_alone_are_named_beside_their_dots(
    swept: SweptRun,
) -> None:
    results = read(swept)
    figure = price_figure(results)
    assert figure is not None and results.chosen == System("rationales", "large")
    labels = re.findall(r'class="label s(\d)"[^>]*>([^<]+)', figure.chart)
    colour = str(look_of(results, results.chosen).colour)
    named = {"used: step 350", "out of distribution, worst case", "Pareto"}
    assert {own for own, label in labels if label in named} == {colour}
    assert named <= {label for _, label in labels}
    titles = re.findall("<title>([^<]+)", figure.chart)
    assert any("step 200, chosen by out of distribution and worst case:" in one for one in titles)


def test_all_leads_with_the_student_in_model_whatever_its_name(swept: SweptRun) -> None:
    """Without development scores of the others, ``answers_only`` is the one that is chosen."""
    scores = [
        one
        for one in swept.store.scores()
        if one.split == "test" or one.system.model != "rationales"
    ]
    comparisons, choices = swept.store.comparisons(), swept.store.choices()
    swept.store.replace_evaluation(scores, [], comparisons, choices, grader="2", settings_hash="c")
    results = read(swept)
    assert results.chosen == System("answers_only", "large")
    figure = price_figure(results)
    assert figure is not None and figure.checkpoints[0].student == results.chosen
    assert look_of(results, results.chosen) == Look(1, 1)
    against = [c for c in results.comparisons if results.chosen in (c.first.as_shown,
                                                                    c.second.as_shown)]  # fmt: skip
    assert against and all(c.first.as_shown == results.chosen for c in against)
    words = " ".join(page_of(swept).words.split())
    assert "Answer-only tuning from large: in distribution takes step 350, which is used" in words
    assert "those of every student" in words and "of answer-only tuning from large that" in words


def test_step_0_stands_in_the_table_as_in_the_figure(swept: SweptRun) -> None:
    results = read(swept)
    chart = accuracy_chart(results)
    assert chart is not None
    drawn = len(re.findall('class="hover"', chart))
    html = write_report(swept.store, swept.tasks, swept.store.path.parent, roles=ROLES).html
    table = html.read_text("utf-8").partition('<table id="development-table">')[2]
    rows = re.findall(r'<tr><th scope="row">[^<]+</th><td class="number">([\d,]+)</td>',
                      table.partition("</table>")[0])  # fmt: skip
    assert len(rows) == drawn == 4 * 9
    assert rows.count("0") == 4  # once for each student


def test_a_run_that_followed_nothing_else_says_so(run: FilledRun) -> None:
    assert price_figure(read(run)) is None
    words = " ".join(page_of(run).words.split())
    assert "Nothing but two_step_arithmetic was measured along training" in words


# data, training, comparisons --------------------------------------------------------------------


def test_the_funnel_counts_what_is_left_and_why(run: FilledRun) -> None:
    results = read(run)
    rows = {row.name: row for row in funnel(results)}
    kept = [one for one in results.rationales if one.verdict == "kept"]
    assert (rows["training questions"].left, rows["rationales written"].left) == (120, 480)
    assert rows["rationales kept"].left == len(kept)
    assert rows["rationales kept"].share == len(kept) / 480
    reasons = rows["rationales kept"].reasons
    dropped = [int(number) for number in re.findall(r"(\d+) [a-z]", reasons)]
    assert sum(dropped) == 480 - len(kept) and "wrong answer" in reasons
    assert rows["questions with a kept rationale"].left == len({one.question_id for one in kept})
    written = rows["rationales written"]
    assert written.reasons == "4.0 a question; 12 min 11 s, 28.8k tokens, $0.19"
    assert (written.of, written.base) == (0, "")  # something else is counted from here on
    shares = {name: (row.of, row.base) for name, row in rows.items() if row.of}
    assert shares == {
        "with rationales": (120, "training questions"),
        "rationales kept": (480, "rationales written"),
        "questions with a kept rationale": (120, "training questions"),
        "examples that rationale tuning learned": (1203, "examples made for it"),
    }
    learned = rows["examples that rationale tuning learned"]
    assert (learned.left, learned.of) == (1200, 1203)
    assert learned.reasons == "3 left out as longer than max_length"


def test_a_run_without_rationales_has_no_funnel(swept: SweptRun) -> None:
    assert funnel(read(swept)) == []


def test_losses_stand_on_a_logarithmic_axis() -> None:
    points = [Point(1, 10.0), Point(2, 1.0), Point(3, 0.1)]
    chart = line_chart(
        [Line("loss", points)], title="Loss", x_label="steps", show="{:g}".format, log_y=True
    )
    path = next(own["points"] for tag, own in Reader(chart).tags if tag == "polyline")
    first, second, third = (float(pair.split(",")[1]) for pair in (path or "").split())
    assert second - first == pytest.approx(third - second, abs=0.11)  # equal ratios, equally far


def test_a_loss_of_0_is_drawn_from_0() -> None:
    points = [Point(1, 1.0), Point(2, 0.0)]
    chart = line_chart(
        [Line("loss", points)], title="Loss", x_label="steps", show="{:g}".format, log_y=True
    )
    assert "polyline" in chart


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0.02, 4.3, [0.02, 0.1, 1.0, 5.0]),
        (0.3, 0.9, [0.2, 0.5, 1.0]),
        (1.0, 1.0, [1.0, 2.0]),
    ],
)
def test_marks_of_a_logarithmic_axis(low: float, high: float, marks: list[float]) -> None:
    assert log_ticks(low, high) == marks


def test_learning_rates_are_those_of_the_log_and_of_an_older_log_not_recorded(
    run: FilledRun,
) -> None:
    results = read(run)
    assert rate_chart(results) is None
    words = " ".join(page_of(run).words.split())
    assert "not recorded" in words.partition("Losses and learning rates as a table")[2]
    rated = [
        replace(line, learning_rate=0.001 * line.step) if line.student == "rationales" else line
        for line in results.training
    ]
    run.store.replace_training(rated, results.checkpoints, settings_hash="b")
    chart = rate_chart(read(run))
    assert chart is not None
    titles = re.findall("<title>([^<]+)", chart)
    assert titles[0] == "Rationale tuning: 4e-1 at 400 training steps"
    assert all(title.startswith("Rationale tuning: ") for title in titles)
    assert learning_rate(7.5e-4) == "7.5e-4" and learning_rate(0.0) == "0"


def test_the_matrix_colours_what_holm_shows_over_all_comparisons(run: FilledRun) -> None:
    first, second = System("rationales", step=1), System("start")
    pairs = [
        compared(run.tasks[0], first, second, 0.2, p=0.01),
        compared(run.tasks[1], first, second, -0.3, p=0.04),
        compared(run.tasks[0], first, System("teacher"), -0.5, p=0.2),
    ]
    run.store.replace_evaluation([], [], pairs, grader="2", settings_hash="c")
    matrix = comparison_matrix(read(run))
    assert matrix is not None and matrix.tested == 3
    assert matrix.note.startswith("2 differences whose interval leaves out 0 do not count as shown")
    rows = {two.label: cells for _, two, cells in matrix.rows}
    told = {
        name: [cell and (cell.verdict, round(cell.adjusted_p, 3)) for cell in cells]
        for name, cells in rows.items()
    }
    assert told == {
        "start": [("first", 0.03), ("unshown", 0.08)],
        "teacher": [("unshown", 0.2), None],
    }


# provenance -------------------------------------------------------------------------------------


def test_the_recipe_is_shown_as_a_difference_from_the_defaults() -> None:
    values = {
        "run": "runs/a",
        "task": {"name": "two_step_arithmetic", "train": 500},
        "teacher": "bundled:teacher",
        "student": "bundled:student",
        "generate": {"temperature": 1.3},
        "train": {"students": {"rationales": {"steps": 9}}},
    }
    changed = list(changed_settings(build(Recipe, values, at="test")))
    assert {one.name for one in changed} == {
        "run", "task.name", "task.train", "teacher.model", "student.model",
        "generate.temperature", "train.students",
    }  # fmt: skip
    assert ChangedSetting("generate.temperature", "1.3", "0.7") in changed
    assert ChangedSetting("teacher.model", "bundled:teacher", "") in changed
    (students,) = [one.value for one in changed if one.name == "train.students"]
    assert students == '{"rationales":{"steps":9}}'


def test_a_changed_setting_may_be_a_file() -> None:
    values = {
        "run": "runs/a", "task": {"file": "pens.csv", "question": "q", "answer": "a"},
        "teacher": "bundled:teacher", "student": "bundled:student",
        "exemplars": {"file": "shots.json"},
    }  # fmt: skip
    changed = {one.name: one.value for one in changed_settings(build(Recipe, values, at="test"))}
    assert (changed["task.file"], changed["exemplars.file"]) == ("pens.csv", "shots.json")


def test_machines_stand_once_with_their_stages_or_are_said_to_be_unknown(run: FilledRun) -> None:
    assert "Hardware and versions: not recorded." in page_of(run).words
    small = StageMachine(
        stage="generate", system="Linux 6.1, x86_64", processor="Small <CPU>", cores=2,
        memory_bytes=24_000_000_000, accelerators="", versions="Python 3.12",
    )  # fmt: skip
    large = replace(small, stage="train", processor="", cores=16, accelerators="2 x NVIDIA H200")
    for machine in (small, replace(small, stage="curate"), large, small):
        run.store.keep_machine(machine)
    rows = stage_machines(run.store.machines())
    assert [row.stages for row in rows] == [["generate", "curate"], ["train"]]
    html = write_report(run.store, run.tasks, run.store.path.parent).html.read_text("utf-8")
    shown = html.partition('<ul class="plain" id="machines">')[2].partition("</ul>")[0]
    assert re.findall(r"<li>(.*)</li>", shown) == [
        "<strong>generate and curate</strong>: Small &lt;CPU&gt;, 2 cores, 24 GB of memory, "
        "accelerators: none; Linux 6.1, x86_64; Python 3.12",
        "<strong>train</strong>: a processor that is not known, 16 cores, 24 GB of memory, "
        "accelerators: 2 x NVIDIA H200; Linux 6.1, x86_64; Python 3.12",
    ]


def test_provenance_holds_settings_engines_and_notes(run: FilledRun) -> None:
    facts = RunFacts(changed=[ChangedSetting("train.steps", "400", "null")])
    folder = run.store.path.parent
    html = write_report(run.store, run.tasks, folder, notes=["A note."], facts=facts).html
    section = html.read_text("utf-8").partition('<section id="provenance"')[2]
    section = section.partition("</section>")[0]
    assert "train.steps" in section and "A note." in section and "steps: 400" in section


# colours ----------------------------------------------------------------------------------------


def test_a_system_has_one_colour_all_over_the_page(swept: SweptRun) -> None:
    results = read(swept)
    for student in results.students:
        look = look_of(results, student)
        chart = tradeoff_charts(results)[student]
        assert set(re.findall(r'class="line s(\d)', chart)) == {str(look.colour)}
    accuracy, scaling = accuracy_chart(results), scaling_chart(results)
    assert accuracy and re.findall(r'class="line s(\d)', accuracy) == ["1", "2", "3", "4"]
    assert scaling and re.findall(r'class="line s(\d)', scaling)[-1] == "6"  # the starts


def test_25_students_are_told_apart_and_the_first_five_by_either_colour_or_form() -> None:
    looks = [student_look(place) for place in range(25)]
    assert len(set(looks)) == 25
    assert {one.colour for one in looks} == {one.form for one in looks} == {1, 2, 3, 4, 5}
    for begin in range(0, 25, 5):
        five = looks[begin : begin + 5]
        assert len({one.colour for one in five}) == len({one.form for one in five}) == 5
    assert student_look(25) == looks[0]


def test_a_legend_holds_the_mark_of_each_of_its_lines() -> None:
    looks = [student_look(place) for place in range(12)]
    lines = [
        Line(f"student {place}", [Point(1, 1.0), Point(2, 0.5)], look=look)
        for place, look in enumerate(looks)
    ]
    tags = Reader(line_chart(lines, title="Loss", x_label="steps", show="{:g}".format)).tags
    keys = [
        (own["class"], tag, bool(own.get("transform")))
        for tag, own in tags
        if (own.get("class") or "").startswith("key")
    ]
    element = {"circle": "circle", "square": "rect", "diamond": "rect"}
    assert sorted(keys) == sorted(
        (f"key s{one.colour}", element.get(one.shape, "polygon"), one.shape == "diamond")
        for one in looks
    )
    labels = [own for tag, own in tags if (own.get("class") or "").startswith("end ")]
    assert len(labels) == 12
    lowest = max(float(own["y"] or 0) for own in labels)
    height = float((tags[0][1]["viewbox"] or "").split()[3])
    assert 12 * 14 < lowest < height  # the drawing has grown with its labels


def test_a_student_without_a_log_takes_no_others_colour(run: FilledRun) -> None:
    results = read(run)
    run.store.replace_training(
        [one for one in results.training if one.student == "answers_only"],
        results.checkpoints,
        settings_hash="b",
    )
    chart = loss_chart(read(run))
    assert chart and re.findall(r'class="line s(\d)', chart) == ["2"]


VISION = {
    "full": [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}  # fmt: skip
"""Matrices to linear RGB as one sees it, at full severity: Machado, Oliveira & Fernandes 2009."""

LEAST_DIFFERENCE = 20.0
"""The least distance of two colours in CIELAB (CIE76); a just noticeable difference is 2.3."""


def linear(colour: str) -> npt.NDArray[np.float64]:
    encoded = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def lab(rgb: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
              [0.0193339, 0.1191920, 0.9503041]]  # fmt: skip
    xyz = np.array(to_xyz) @ np.clip(rgb, 0, 1) / [0.95047, 1, 1.08883]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: str, other: str) -> float:
    weights = np.array([0.2126729, 0.7151522, 0.0721750])
    dark, light = sorted(float(weights @ linear(colour)) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_are_told_apart_whatever_one_sees_of_them(theme: int) -> None:
    style = files("potstill.report").joinpath("page.css").read_text("utf-8")
    background = re.findall(r"--page: (#\w+)", style)[theme]
    background = "#ffffff" if background == "#fff" else background
    series = [re.findall(rf"--s{number}: (#\w+)", style)[theme] for number in range(1, 7)]
    assert min(contrast(colour, background) for colour in series) >= 4.5
    for matrix in VISION.values():
        seen = [lab(np.array(matrix) @ linear(colour)) for colour in series]
        nearest = min(np.linalg.norm(one - two) for one, two in itertools.combinations(seen, 2))
        assert nearest >= LEAST_DIFFERENCE
