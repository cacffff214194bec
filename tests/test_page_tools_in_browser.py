"""Tools for the page's figures and tables in a browser: sorting, saving, printing."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from filled_pages import KINDS, demo_like, guided, trade_off
from real_browser import Watched, chromium, watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return demo_like(tmp_path_factory.mktemp("demo")).resolve().as_uri()


@pytest.fixture
def demo(browser: "Browser", address: str) -> Iterator[Watched]:
    with watched(browser) as page:
        page.open(address)
        yield page
        page.check("file://", "blob:")


def saved(demo: Watched, button: str) -> tuple[str, str]:
    """The name and the text of the file that a button saves."""
    with demo.page.expect_download() as waiting:
        demo.page.locator(button).first.click()
    download = waiting.value
    return download.suggested_filename, Path(download.path()).read_text("utf-8")


def first_column(demo: Watched) -> list[str]:
    found: list[str] = demo.page.evaluate(
        "() => [...document.querySelectorAll('#systems-table tbody th small')]"
        ".map((one) => one.textContent)"
    )
    return found


def test_systems_are_sorted_by_mouse_and_by_key(demo: Watched) -> None:
    head = demo.page.locator("#systems-table thead th").nth(1)
    assert head.get_attribute("aria-sort") is None
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    falling = first_column(demo)
    assert falling[0] == "teacher" and falling[1] == "rationales"
    head.locator("button").focus()
    demo.page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert first_column(demo) == falling[::-1]
    names = demo.page.locator("#systems-table thead th").nth(0)
    names.locator("button").click()
    assert (names.get_attribute("aria-sort"), head.get_attribute("aria-sort")) == (
        "ascending",
        None,
    )


def test_a_figures_numbers_are_saved_as_csv_that_programs_read(demo: Watched) -> None:
    name, text = saved(demo, "[data-csv='before-after-table']")
    assert name == "before-after.csv"
    heads, *rows = csv.reader(io.StringIO(text))
    assert heads[0] == "Task" and [row[0] for row in rows] == [
        "two_step_arithmetic", "multi_step_arithmetic", "coin_toss",
    ]  # fmt: skip
    assert {len(row) for row in rows} == {len(heads)}
    points = [float(row[heads.index("Change (points)")]) for row in rows]
    assert points == pytest.approx([67.0, 18.3, -4.0], abs=0.05)  # with the minus of ASCII
    shares = [float(row[heads.index("Student right (%)")]) for row in rows]
    assert shares == pytest.approx([71.7, 20.0, 45.0], abs=0.05)  # in per cent, as on the page
    low = [float(row[heads.index("Student right, low (%)")]) for row in rows]
    assert all(0 < share - end < 10 for share, end in zip(shares, low, strict=True))
    assert all(float(row[heads.index("p, Holm")]) <= 1 for row in rows if row[-1])


def test_every_table_is_saved_as_rows_of_one_length(demo: Watched) -> None:
    buttons = demo.page.locator("[data-csv]")
    assert buttons.count() > 5
    for number in range(buttons.count()):
        with demo.page.expect_download() as waiting:
            buttons.nth(number).evaluate("(button) => button.click()")
        text = Path(waiting.value.path()).read_text("utf-8")
        assert len({len(row) for row in csv.reader(io.StringIO(text))}) == 1, text[:200]
        assert not set("▲▼⁻") & set(text), "what only eyes read"


@pytest.mark.parametrize("kind", KINDS)
def test_shares_and_differences_have_one_unit_which_their_columns_name(
    browser: "Browser", tmp_path: Path, kind: str
) -> None:
    with watched(browser) as page:
        page.open(KINDS[kind](tmp_path).resolve().as_uri())
        found = page.page.evaluate(
            """() => [...new Set([...document.querySelectorAll("[data-csv]")].flatMap((one) =>
                one.dataset.csv.split(" ")))].map((id) => document.getElementById(id))
                .flatMap((table) => [...table.tHead.rows[0].cells].map((head, column) => [
                    head.dataset.heads ?? head.textContent,
                    [...table.tBodies].flatMap((body) => [...body.rows])
                        .filter((row) => !row.matches(".group"))
                        .map((row) => row.cells[column].textContent.trim()),
                ]))"""
        )
        assert found or kind == "several_teachers"
        for heads, cells in found:
            is_share = any(re.match(r"[\d.]+%", cell) for cell in cells)
            is_difference = any(re.match(r"[+\u2212][\d.]+", cell) for cell in cells)
            assert is_share <= ("(%)" in heads), heads
            assert is_difference <= ("(points)" in heads), heads


def numbers_of(page: "Page", button: str) -> list[list[str]]:
    """The rows that a button saves."""
    with page.expect_download() as waiting:
        page.locator(button).first.evaluate("(button) => button.click()")
    return list(csv.reader(io.StringIO(Path(waiting.value.path()).read_text("utf-8"))))


def test_each_students_figure_has_its_own_numbers(browser: "Browser", tmp_path: Path) -> None:
    with watched(browser) as page:
        page.open(trade_off(tmp_path).resolve().as_uri())
        small, large = (
            numbers_of(page.page, f"[data-name='trade-off-rationales_{size}']")
            for size in ("small", "large")
        )
        assert small[0] == large[0] and small[0][:5] == [
            "Student", "Step", "Target (%)", "Target, low (%)", "Target, high (%)",
        ]  # fmt: skip
        assert len(small) == len(large) == 1 + 9  # the start, and eight checkpoints
        assert {row[0] for row in small[1:]} == {"Rationale tuning from small"}
        assert {row[0] for row in large[1:]} == {"Rationale tuning from large"}
        assert all(float(row[3]) <= float(row[2]) <= float(row[4]) for row in small[1:])


def test_guidances_figures_are_saved_as_numbers_with_routing(
    browser: "Browser", tmp_path: Path
) -> None:
    with watched(browser) as page:
        page.open(guided(tmp_path).resolve().as_uri())
        names, *rows = numbers_of(page.page, "[data-name='guidance-1-1']")
        assert names[:6] == [
            "Group", "Policy", "Label",
            "Accuracy (%)", "Accuracy, low (%)", "Accuracy, high (%)",
        ]  # fmt: skip
        assert {row[0] for row in rows} >= {"Alone", "With the teacher's steps"}
        assert any(row[2].startswith("routing_") for row in rows)
        assert all(1 < float(row[3]) <= 100 and float(row[names.index("Teacher tokens")]) >= 0
                   for row in rows)  # fmt: skip


def test_a_figure_is_saved_as_it_looks(demo: Watched) -> None:
    name, text = saved(demo, "[data-svg='before-after']")
    assert name == "before-after.svg"
    drawing = ElementTree.fromstring(text)
    assert drawing.tag == f"{SVG}svg" and drawing.get("width") == "960"
    after = [one for one in drawing.iter(f"{SVG}circle") if one.get("r") == "7"]
    assert len(after) == 3
    assert after[0].get("fill") == "rgb(23, 105, 63)"  # that of a gain, without a style sheet
    assert not list(drawing.iter(f"{SVG}a")) and "class=" not in text


def test_the_summary_and_the_questions_are_saved_from_the_page(demo: Watched) -> None:
    name, text = saved(demo, "[data-download='summary-data']")
    assert name == "summary.json"
    assert json.loads(text)["leading_task"] == "two_step_arithmetic"
    name, text = saved(demo, "[data-download='questions-data']")
    assert name == "questions.json" and json.loads(text)["sets"]


def test_a_row_leads_to_the_questions_that_changed(demo: Watched) -> None:
    demo.page.locator("svg.dumbbell.wide a").first.click()
    assert demo.page.evaluate("location.hash") == (
        "#questions?task=two_step_arithmetic&start=wrong&student=right"
    )


def test_printed_the_page_holds_the_recipe(demo: Watched) -> None:
    is_open = "() => document.getElementById('recipe').open"
    assert not demo.page.evaluate(is_open)
    demo.page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert demo.page.evaluate(is_open)
    demo.page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert not demo.page.evaluate(is_open)
    demo.page.emulate_media(media="print")
    assert not demo.page.locator(".downloads").is_visible()


def test_values_are_said_under_the_pointer(demo: Watched) -> None:
    titles = demo.page.locator("#figure-development-accuracy .hover title").all_text_contents()
    assert any(title.startswith("Rationale tuning: ") and "training steps" in title
               for title in titles)  # fmt: skip
    assert all("[" in title for title in titles)  # with their intervals


def test_systems_are_cards_on_a_narrow_screen(browser: "Browser", address: str) -> None:
    with watched(browser, width=390) as page:
        page.open(address)
        cell = page.page.locator("#systems-table td").first
        assert cell.evaluate("(cell) => getComputedStyle(cell).display") == "grid"
        label = cell.evaluate("(cell) => getComputedStyle(cell, '::before').content")
        assert label == '"two_step_arithmetic"'
        assert page.page.locator("svg.dumbbell.narrow").is_visible()
        assert not page.page.locator("svg.dumbbell.wide").is_visible()
        assert page.page.locator("#systems-table [role=row]").count() > 3
