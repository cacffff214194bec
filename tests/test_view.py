"""``potstill view``: a run's page served over its whole store, to this machine alone."""

import csv
import io
import logging
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import pytest
from click.testing import CliRunner
from older_stores import UNPROMISED, forget_promised_accuracies
from real_browser import chromium, watched
from viewed_run import Viewing, make_run, viewing

from potstill.cli import main
from potstill.store import Store
from potstill.store.question_index import IndexedQuestion, QuestionFilter, QuestionIndex
from potstill.view import viewed_runs
from potstill.view.access_rules import is_own_name
from potstill.view.page_server import open_view
from potstill.view.settings import ViewSettings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TASK = {"task": "two_step_arithmetic"}
FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"start": "right", "student": "wrong"},
    {"right": "rationales", "wrong": "answers_only"},
    {"start": "wrong", "right": "teacher", "sort": "order"},
    {"cut": "1", "unanswered": "1"},
    {"template": "two_step_arithmetic/lose-find", "sort": "length"},
    {"q": "FIRST multiply. 1", "page": "2"},
    {"q": "no text has this", "page": "3"},
    {"page": "99999"},
    {"page": "99999999999999"},
    {"page": "000000000002"},
    {"page": "0"},
    {"page": "2.5"},
    {"split": "train", "verdict": "kept"},
    {"split": "train", "verdict": "none_kept", "sort": "order"},
    {"split": "train", "q": "so many", "length": "long"},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("viewed") / "sums"
    make_run(place)
    return place


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Viewing]:
    with viewing(folder) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as started:
        yield started


@pytest.mark.parametrize("asked", FILTERS, ids=urlencode)
def test_the_served_page_finds_what_the_file_finds(
    browser: "Browser", server: Viewing, folder: Path, asked: dict[str, str]
) -> None:
    address = f"#questions?{urlencode({**TASK, **asked})}"
    found = []
    for page in ((folder / "report.html").resolve().as_uri(), server.opened.address):
        with watched(browser) as opened:
            opened.open(page + address)
            found.append((opened.ids(), opened.page.inner_text("#found")))
            opened.check("file://", server.opened.address)
    assert found[0] == found[1]


def test_a_question_opens_as_in_the_file(browser: "Browser", server: Viewing, folder: Path) -> None:
    with watched(browser) as page:
        texts = []
        for place in ((folder / "report.html").resolve().as_uri(), server.opened.address):
            page.open(f"{place}#questions?task=two_step_arithmetic")
            page.page.keyboard.press("j")
            page.page.keyboard.press("Enter")
            page.page.wait_for_selector("details.one[open] .panel")
            texts.append(page.page.inner_text("details.one[open]"))
        assert texts[0] == texts[1] and "Gold answer" in texts[0]
        page.check("file://", server.opened.address)


COMPUTED = ('=HYPERLINK("x")', "+1 a", "-5 or so", "@a", "\t=1", " =1+1", "\uff1d1", "\rback")
"""Answers that a spreadsheet would compute."""

PLAIN = ("-5", "-1,000.5e3", "a,b", 'said "q"', "two\nlines", "", "\u20135", "'=1")
"""Others, some of which need quotes."""


def test_all_answers_are_saved_alike_by_the_file_and_by_the_server(
    browser: "Browser", folder: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(folder, own)
    answers = [*COMPUTED, *PLAIN]
    with Store(own / "run.sqlite") as store:
        awkward = [
            replace(one, answer=answers[number]) if number < len(answers) else one
            for number, one in enumerate(store.predictions())
        ]
        store.replace_evaluation(
            store.scores(), awkward, store.comparisons(), grader="2", settings_hash="c"
        )
    assert CliRunner().invoke(main, ["report", str(own)]).exit_code == 0
    with watched(browser) as page, viewing(own) as server:
        saved = []
        for place in ((own / "report.html").resolve().as_uri(), server.opened.address):
            page.open(place)
            with page.page.expect_download() as waiting:
                page.page.get_by_text("answers.csv", exact=True).click()
            assert waiting.value.suggested_filename == "answers.csv"
            saved.append(Path(waiting.value.path()).read_bytes())
        page.check("file://", "blob:", server.opened.address)
    assert saved[0] == saved[1]
    lines = list(csv.DictReader(io.StringIO(saved[0].decode(), newline="")))
    tests = [one for one in lines if one["split"] == "test"]
    assert len(tests) == len(awkward) and len(lines) == len(awkward) + 120
    assert {one["verdict"] for one in tests} == {"right", "wrong"}
    assert {one["finish"] for one in tests} == {"stop", "length"}
    assert {one["tokens"] for one in lines} == {"31", "60"}
    given = {one["answer"] for one in tests}
    assert {f"'{one}" for one in COMPUTED} | set(PLAIN) <= given


def test_whoever_names_another_host_is_refused(server: Viewing) -> None:
    for path in ("", "questions.json?task=two_step_arithmetic", "version.json"):
        refused = server.get(path, Host="attacker.example")
        assert refused.status == 421 and "two_step" not in refused.text
        assert server.get(path).status == 200


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8765", True), ("localhost", True), ("LOCALHOST:1", True), ("[::1]:80", True),
        ("192.168.1.7:8765", True), ("mine.lan:1", True), ("::1", True),
        ("localhost.evil.com", False), ("127.0.0.1.evil.com", False), ("", False),
        ("evil.com", False), ("[::1]evil.com", False), ("[evil.com]", False), ("[::1", False),
    ],
)  # fmt: skip
def test_a_server_is_named_by_address_or_its_own_name(host: str, allowed: bool) -> None:
    assert is_own_name(host, "mine.lan") is allowed


def test_browsers_are_told_what_the_page_may_do(server: Viewing) -> None:
    page = server.get()
    assert "connect-src 'self'" in page.text and "unsafe" not in page.text
    assert page.headers["content-security-policy"] == "frame-ancestors 'none'"
    answer = server.get("version.json")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for answered in (page, answer, server.get("no/such/place")):
        assert answered.headers["x-content-type-options"] == "nosniff"
        assert answered.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answered.headers


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ("page=-1", 60), ("page=99999999999999", 60), ("page=%00", 60), ("sort=DROP", 60),
        ("right=nobody&start=maybe&length=endless", 60), ("verdict=%27--", 0), ("q=%25", 0),
        ("template=%27", 0), ("cut=&cut=", 7), ("question=no", 60),
    ],
)  # fmt: skip
def test_what_an_address_says_is_data(server: Viewing, query: str, total: int) -> None:
    answer = server.get(f"questions.json?task=two_step_arithmetic&{query}")
    assert (answer.status, answer.json["total"]) == (200, total)
    expected = 10 if "page=9" in query else min(total, 25)  # the last page has the rest of 60
    assert len(answer.json["rows"]) == expected


def test_what_is_not_there_is_said(server: Viewing) -> None:
    assert server.get("questions.json?task=nothing").status == 404
    assert server.get("question.json?task=two_step_arithmetic&question=no").status == 404
    many = server.get("questions.json?" + "&".join(f"a{number}=" for number in range(300)))
    assert many.status == 500 and "parameters" in many.text


def test_an_older_store_is_read_and_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    forget_promised_accuracies(old / "run.sqlite")
    before = {file.name: file.stat().st_mtime_ns for file in old.iterdir()}
    with viewing(old) as server:
        assert server.get("questions.json?task=two_step_arithmetic").json["total"] == 60
    with sqlite3.connect(old / "run.sqlite") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (UNPROMISED,)
    db.close()
    after = {file.name: file.stat().st_mtime_ns for file in old.iterdir()}
    assert {name: after[name] for name in before} == before


def test_a_run_at_work_is_followed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewed_runs, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(viewed_runs, "SHARE", 1e9)
    working = tmp_path / "working"
    shutil.copytree(folder, working)
    asked = "questions.json?task=two_step_arithmetic&unanswered=1"
    with viewing(working) as server:
        assert server.get("version.json").json == {"version": 1, "at_work": False, "fault": ""}
        before = server.get(asked).json["total"]
        with Store(working / "run.sqlite") as store:
            scores, comparisons = store.scores(), store.comparisons()
            kept = [one for one in store.predictions() if one.answer is not None]
            store.replace_evaluation(scores, kept, comparisons, grader="2", settings_hash="d")
            while server.get("version.json").json["version"] == 1:
                pass
            assert server.get("version.json").json["at_work"] is True
            assert before > 0 and server.get(asked).json["total"] == 0
        version = server.get("version.json").json["version"]
        while server.get("version.json").json["version"] == version:
            pass  # its end alone is a change: what is worth doing next is another thing
        (working / "recipe.yaml").write_text("task: [")
        while not (fault := server.get("version.json").json["fault"]):
            pass
        assert "recipe.yaml" in fault
        assert server.get(asked).json["total"] == 0  # as it was read last


def test_the_runs_of_a_folder_are_listed(folder: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("first", "in it/second ü", "broken"):
        shutil.copytree(folder, runs / name)
    (runs / "broken" / "run.sqlite").write_bytes(b"no store")
    with viewing(runs) as server:
        listed = server.get()
        second = f"runs/{quote('in it/second ü')}/"
        assert 'href="runs/first/"' in listed.text and f'href="{second}"' in listed.text
        assert "It cannot be read" in listed.text
        assert "Questions that changed" in server.get(second).text
        query = "questions.json?task=two_step_arithmetic"
        assert server.get(second + query).json["total"] == 60
        assert server.get("runs/broken/").status == 500
        for path in ("runs/../first/", "runs/none/", "runs/%2e%2e/first/", "runs//etc/"):
            assert server.get(path).status == 404


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing_on_served_pages(
    browser: "Browser", server: Viewing, folder: Path, width: int
) -> None:
    with viewing(folder.parent) as listed:
        for address in (listed.opened.address, server.opened.address):
            with watched(browser, width=width, dark=width > 400, bypass_csp=True) as page:
                page.open(address)
                assert page.axe_findings() == []
                assert page.wider_than_the_screen() == []
                page.check(address)


@pytest.mark.parametrize(
    ("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)]
)
def test_a_page_that_is_open_to_the_network_is_warned_of_in_one_line(
    folder: Path, host: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        open_view(folder, ViewSettings(host=host, port=0)).listening.close()
    lines = [record.getMessage() for record in caplog.records if "potstill" in record.name]
    expected = (
        "host is 0.0.0.0, which other machines reach: whoever does can read all that the runs "
        "hold, without a password."
    )
    assert lines == ([expected] if warned else [])


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["view", str(tmp_path)])
    assert result.exit_code == 2
    assert "is no run and holds none" in result.output


def test_a_missing_extra_prints_its_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith(("potstill.view.page_server", "potstill.serve", "uvicorn")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = CliRunner().invoke(main, ["view", str(folder)])
    assert result.exit_code == 2
    assert "potstill view needs" in result.output and "potstill[serve]" in result.output


def test_an_index_finds_by_every_condition() -> None:
    def question(place: int, **more: object) -> IndexedQuestion:
        plain = IndexedQuestion(
            place=place, id=f"q{place}", template=None, length=10 * place, split_by=place % 2,
            cut=False, unanswered=False, none_kept=False, right=[("a", place > 1)], verdicts=[],
            words="", row=b"",
        )  # fmt: skip
        return plain._replace(**more)  # type: ignore[arg-type]

    index = QuestionIndex()
    index.add(0, [question(0, cut=True), question(1, words="ab%_c", verdicts=["kept"])])
    index.add(0, [question(2, template="t", none_kept=True), question(3, unanswered=True)])
    index.add(1, [question(0, row=b"other")])
    for sought, expected in (
        (QuestionFilter(), [1, 3, 0, 2]),
        (QuestionFilter(order="order"), [0, 1, 2, 3]),
        (QuestionFilter(order="length"), [3, 2, 1, 0]),
        (QuestionFilter(right=["a"]), [3, 2]),
        (QuestionFilter(wrong=["a"]), [1, 0]),
        (QuestionFilter(right=["a"], wrong=["a"]), []),
        (QuestionFilter(cut=True), [0]),
        (QuestionFilter(unanswered=True), [3]),
        (QuestionFilter(verdict="kept"), [1]),
        (QuestionFilter(verdict="none_kept"), [2]),
        (QuestionFilter(above=10, up_to=20), [2]),
        (QuestionFilter(template="t"), [2]),
        (QuestionFilter(words="%_"), [1]),
        (QuestionFilter(words="b_c"), []),
    ):
        assert [place for place, _ in index.find(0, sought)] == expected, sought
    assert index.rows(1, [0]) == [b"other"]
    index.close()
