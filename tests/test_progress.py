import io
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from loopback import Fault, Loopback
from rich.console import Console
from rich.table import Table

from potstill.cli import main
from potstill.cli.printing import print_table
from potstill.records import Amount
from potstill.runtime import Runtime, progress
from potstill.runtime.budget import Budget, BudgetSettings
from potstill.runtime.cost_words import dollars
from potstill.runtime.events import EventLog
from potstill.runtime.progress import Meter
from potstill.runtime.tally import Tally, clock


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(progress, "TICK_SECONDS", 0.01)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    times = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: times[0])
    yield times


def until(condition: object, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)


def busy() -> Runtime:
    """A run with ten tries in flight, some that failed, and a little money spent."""
    control = Runtime(budget=Budget(BudgetSettings(usd=5, tokens=90_000)))
    number = control.budget.begin(Amount(1000, 0.5))
    assert number is not None
    control.budget.end(number, Amount(800, 0.42))
    control.events.in_flight, control.events.limit = 10, 64
    return control


def test_a_tally_tells_rate_tokens_and_time_left(now: list[float]) -> None:
    tally = Tally("rationales", total=1000, done=100, unit="")
    now[0] = 110.0
    tally.add(100, 5000, 0.25)
    # 100 in 10 s; what was there before does not count for the rate; 800 are left
    assert tally.describe() == "200/1,000  10.0/s  500 tokens/s  1:20 left"
    now[0] = 3800.0
    tally.add(800, 0, 0.0)
    # at the end the rate is that of the whole: 900 in 3,700 s
    assert tally.describe() == "1,000/1,000  0.2/s  1 tokens/s  in 1:01:40"


def test_the_rate_is_that_of_the_last_minute(now: list[float]) -> None:
    tally = Tally("rationales", total=1000, done=0, unit="")
    for second in range(1, 301):
        now[0] = 100.0 + second
        tally.add(1 if second <= 240 else 5, 0, 0.0)
        tally.describe()
    # 240 in four minutes, then 300 in the last one, and 460 are left
    assert tally.describe() == "540/1,000  5.0/s  1:32 left"


@pytest.mark.usefixtures("at_once", "now")
def test_lines_are_written_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with Meter(Console(file=out)).stage("training", total=3, unit="steps") as advance:
        advance(1, 10, 0.0)
        until(lambda: "training: 1/3 steps" in out.getvalue())
        advance(2, 10, 0.0)
    assert out.getvalue().splitlines()[-1].startswith("training: 3/3 steps")
    assert " in 0:00" in out.getvalue().splitlines()[-1]


@pytest.mark.usefixtures("at_once")
def test_a_line_says_where_prices_are_not_known() -> None:
    for cost, shown in ((0.0, "cost not known"), (0.25, "$0.25 and more, not known")):
        out, budget = io.StringIO(), Budget(unpriced=["openai:m"])
        budget.spent = Amount(900, 0.0)
        with Meter(Console(file=out), Runtime(budget)).stage("rationales", total=9) as advance:
            advance(1, 10, cost)
        assert shown in out.getvalue().splitlines()[-1]


@pytest.mark.usefixtures("at_once")
def test_a_line_has_spending_tries_in_flight_and_the_faults_of_this_stage() -> None:
    out, control = io.StringIO(), busy()
    control.events.retries["429"] = 7  # of an earlier stage
    with Meter(Console(file=out), control).stage("rationales", total=9) as advance:
        advance(1, 10, 0.1)
        control.events.retries += Counter({"429": 2, "timeout": 1})
        control.events.given_up["400"] += 1
    last = out.getvalue().splitlines()[-1]
    assert last.startswith("rationales: 1/9")
    assert last.endswith(
        "$0.42 of $5.00, 800 of 90,000 tokens  10 of 64 in flight"
        "  retried 3 (HTTP 429 ×2, timeout ×1)  failed 1 (HTTP 400 ×1)"  # noqa: RUF001
    )


@pytest.mark.usefixtures("at_once")
def test_a_live_view_is_shown_on_a_terminal_and_fits_it() -> None:
    out, control = io.StringIO(), busy()
    console = Console(file=out, force_terminal=True, width=100)
    label = "rationales of the teacher, round 2"
    with Meter(console, control).stage(label, total=12_345) as advance:
        advance(2_000, 700_000, 1.5)
        control.events.retries += Counter({"429": 1234, "timeout": 123, "503": 12, "reset": 1})
        control.stop.set()
        until(lambda: "Stopping" in out.getvalue())
    shown = re.sub(r"\x1b\[[\d?;]*[a-zA-Z]", "", out.getvalue())
    assert all(len(line) <= 97 for line in re.split(r"[\r\n]", shown)), "no room for ^C"
    assert label in shown and "2,000/12,345" in shown and "$1.50 of $5.00" in shown
    assert "10 of 64 in flight" in shown
    assert "retried 1,370 (HTTP 429 ×1,234, timeout ×123, HTTP 503 ×12, connection" in shown  # noqa: RUF001
    assert "Stopping: 10 requests in flight are awaited and kept. Ctrl-C again drops them." in shown


def test_a_label_is_no_markup() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with Meter(console).stage("training [red]", total=2) as advance:
        advance(2, 0, 0.0)
    assert "training [red]" in out.getvalue()


@pytest.mark.usefixtures("at_once")
def test_lines_say_once_that_the_run_stops() -> None:
    out, control = io.StringIO(), busy()
    with Meter(Console(file=out), control).stage("rationales", total=9):
        control.stop.set()
        until(lambda: out.getvalue().count("rationales: 0/9") > 3)
    assert out.getvalue().count("Stopping: 10 requests in flight are awaited") == 1


def test_nothing_is_shown_when_nothing_is_missing() -> None:
    out = io.StringIO()
    with Meter(Console(file=out)).stage("rationales", total=5, done=5) as advance:
        advance(0, 0, 0.0)
    assert out.getvalue() == ""


def test_an_error_in_the_block_passes_through() -> None:
    meter = Meter(Console(file=io.StringIO()))
    with pytest.raises(RuntimeError, match="inside"), meter.stage("x", total=1):
        raise RuntimeError("inside")


@pytest.mark.usefixtures("at_once")
def test_the_log_gets_the_counts_with_or_without_a_console(tmp_path: Path) -> None:
    control = Runtime(events=EventLog(tmp_path / "run" / "log.jsonl"))
    with Meter(None, control).stage("rationales", total=5, done=1) as advance:
        control.events.retried("429", wait=0.51, message="slow down")
        advance(4, 80, 0.25)
    control.close()
    written = (tmp_path / "run" / "log.jsonl").read_text()
    lines = [json.loads(line) for line in written.splitlines()]
    retry = next(line for line in lines if line["event"] == "retry")
    assert (retry["kind"], retry["wait"], retry["message"]) == ("429", 0.51, "slow down")
    assert abs(retry["time"] - time.time()) < 60
    assert lines[-1].pop("time") - retry["time"] >= 0
    assert 0 <= lines[-1].pop("seconds") < 60
    assert lines[-1] == {
        "event": "progress", "label": "rationales", "done": 5, "total": 5, "stage_left": None,
        "new": 4, "tokens": 80, "writing": 0, "usd": 0.25, "in_flight": 0, "limit": 0,
        "retries": {"429": 1}, "given_up": {},
    }  # fmt: skip


def test_a_log_that_cannot_be_written_ends_nothing() -> None:
    full = EventLog(Path("/dev/full"))
    full.failed("400", message="no such model")
    assert full.given_up == {"400": 1}
    full.close()


def test_ten_thousand_answers_cost_no_time_worth_speaking_of(tmp_path: Path) -> None:
    control = Runtime(events=EventLog(tmp_path / "log.jsonl"))
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Meter(console, control).stage("rationales", total=10_000) as advance:
        begin = time.process_time()
        for _ in range(10_000):
            advance(1, 100, 0.001)
        assert time.process_time() - begin < 0.5  # 50 microseconds an answer, with the live view
    control.close()
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) <= 2


def test_amounts_and_times_are_readable() -> None:
    assert [dollars(each) for each in (0.0, 0.0042, 0.1, 12.345, 1234.5)] == [
        "$0.00", "$0.0042", "$0.10", "$12.35", "$1,234.50",
    ]  # fmt: skip
    assert [clock(each) for each in (0.4, 59.6, 3600)] == ["0:00", "1:00", "1:00:00"]


def test_a_commands_log_tells_what_happened_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret-42")
    rows = [{"question": f"{n} + {n}?", "answer": 2 * n, "split": split}
            for n, split in enumerate(["train", "train", "dev", "test"])]  # fmt: skip
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "recipe.yaml"
    with Loopback() as server:
        server.key = "sk-secret-42"
        server.faults = [Fault(status=429, message="slow down, sk-secret-42")]
        teacher = {"model": "openai:scripted", "base_url": server.url, "api_key_env": "MY_KEY"}
        path.write_text(yaml.safe_dump({
            "run": str(tmp_path / "run"), "task": {"file": str(questions)}, "teacher": teacher,
            "student": "bundled:student", "budget": {"tokens": 3000},
            "generate": {"samples": 1, "max_tokens": 64},
        }))  # fmt: skip
        command = ["generate", str(path)]
        assert CliRunner().invoke(main, command).exit_code == 0
        assert CliRunner().invoke(main, [*command, "--set", "budget.tokens=40",
                                         "--set", "generate.samples=2"]).exit_code == 2  # fmt: skip
    written = (tmp_path / "run" / "log.jsonl").read_text()
    assert "secret" not in written
    events = [json.loads(line) for line in written.splitlines()]
    first = [event["event"] for event in events if event["event"] != "progress"][:5]
    assert first == ["started", "stage_begins", "retry", "stage_ends", "ended"]
    assert events[0]["command"] == "generate" and events[1]["stage"] == "generate"
    retry = next(event for event in events if event["event"] == "retry")
    assert retry["kind"] == "429" and "slow down" in retry["message"]
    assert events[-1]["error"] == "BudgetError" and events[-1]["seconds"] > 0


# From the first second on


@pytest.mark.usefixtures("at_once")
def test_work_of_unknown_length_is_shown_and_ends_without_a_line() -> None:
    out = io.StringIO()
    with Meter(Console(file=out)).stage("loading", total=None):
        until(lambda: "loading: 0:00 so far" in out.getvalue())
        shown = out.getvalue()
    assert out.getvalue().startswith(shown)
    assert " in " not in out.getvalue()


@pytest.mark.usefixtures("at_once")
def test_what_is_waited_for_is_said_where_there_is_no_terminal() -> None:
    out, runtime = io.StringIO(), Runtime()
    with (
        Meter(Console(file=out), runtime).stage("rationales", total=9),
        runtime.events.noted("m", "vLLM starts m: 61 s"),
    ):
        until(lambda: "0/9" in out.getvalue() and "vLLM starts m: 61 s" in out.getvalue())


@pytest.mark.usefixtures("now")
def test_the_time_that_is_left_goes_by_tokens_where_they_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tally = Tally("training", 4, 0, "steps", tokens=1000)
    tally.add(0, 100, 0.0)  # a part of the first step
    begun = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: begun + 10)
    assert tally.describe() == "0/4 steps  10 tokens/s  1:30 left"


@pytest.mark.usefixtures("now")
def test_tokens_of_unfinished_answers_count(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally("rationales", 800, 0, "", writing=lambda: 640)
    begun = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: begun + 10)
    assert tally.describe() == "0/800  64 tokens/s  0:10 so far"


def test_the_log_begins_with_the_work(tmp_path: Path) -> None:
    runtime = Runtime(events=EventLog(tmp_path / "log.jsonl"))
    with Meter(None, runtime).stage("training r", total=400, unit="steps"):
        (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    assert json.loads(line)["label"] == "training r"
    assert json.loads(line)["done"] == 0


@pytest.mark.parametrize("width", [100, 80, 60, 40])
def test_a_live_view_cuts_neither_label_nor_time_however_narrow(width: int) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width)
    label = "rationales on multi_step_arithmetic test, step 300"
    with Meter(console).stage(label, total=2000, unit="steps") as advance:
        advance(2000, 160_000, 0.0)
    shown = re.sub(r"\x1b\[[\d?;]*[a-zA-Z]", "", out.getvalue()).split("\r")[-1]
    assert " ".join(shown.split()).startswith(label)
    assert re.search(r"in\s+0:00\s*$", shown) and "…" not in shown
    assert all(len(line) <= width - 3 for line in shown.splitlines())


@pytest.mark.usefixtures("at_once")
def test_work_that_asks_nobody_tells_of_no_tries_in_flight() -> None:
    out, control = io.StringIO(), busy()
    with Meter(Console(file=out), control).stage("rationales", total=1) as advance:
        advance(1, 0, 0.0)
    control.events.in_flight = 0
    with Meter(Console(file=out), control).stage("training", total=1) as advance:
        advance(1, 0, 0.0)
    asked, trained = out.getvalue().splitlines()
    assert "10 of 64 in flight" in asked and "in flight" not in trained


def test_lines_off_a_terminal_come_more_and_more_seldom() -> None:
    times = [0.0]
    while times[-1] < 3600:
        times.append(progress.next_line(times[-1]))
    assert times[1:4] == [10.0, 20.0, 30.0]
    assert len(times) <= 16  # in an hour; one each ten seconds were 360


def test_what_is_over_in_a_moment_has_no_line_off_a_terminal() -> None:
    out = io.StringIO()
    with Meter(Console(file=out)).stage("grading", total=1) as advance:
        advance(1, 0, 0.0)
    assert out.getvalue() == ""


@pytest.mark.parametrize("width", [80, 60, 40])
def test_a_table_wider_than_the_terminal_is_shown_row_by_row_and_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    table = Table(title="accuracy")
    tasks = ["two_step_arithmetic", "multi_step_arithmetic", "coin_toss"]
    for head in ("system", *tasks):
        table.add_column(head, no_wrap=True)
    table.add_row("tuned on rationales", "86.0% [81.6, 89.5] 258/300", "3.0%", "62.0%")
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(table)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width and "…" not in shown
    flat = " ".join(shown.split())
    assert "two_step_arithmetic 86.0% [81.6, 89.5] 258/300" in flat
    assert all(word in flat for word in ["accuracy", "tuned on rationales", *tasks])
