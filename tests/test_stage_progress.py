"""One view for all the work of a stage, and of a run: counts, time left, lines that stay."""

import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console, Group

from potstill.runtime import Runtime, progress
from potstill.runtime.budget import Budget, BudgetSettings
from potstill.runtime.events import EventLog
from potstill.runtime.live_view import Board, view_lines
from potstill.runtime.progress import Meter
from potstill.runtime.server_traffic import ServerTraffic
from potstill.runtime.stage_tally import StageOrder, StageTally
from potstill.runtime.tally import Tally

LONG = "rationales step 300 on multi_step_arithmetic dev"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    times = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: times[0])
    yield times


def piece(total: int, done: int = 0) -> Tally:
    return Tally("answers", total, done, "")


def test_what_is_left_of_a_stage_goes_by_all_its_pieces(now: list[float]) -> None:
    stage = StageTally("evaluate")
    stage.expect(400, "answers")
    with stage.part(100):
        first = piece(100)
        stage.add(first)
        first.add(100, 0, 0.0)
        now[0] += 10.0
    second = piece(300)
    with stage.part(300):
        stage.add(second)
        second.add(50, 0, 0.0)
        now[0] += 5.0
        # 150 answers in 15 s; 250 are left. The piece itself has the same left, at its own pace.
        assert stage.pace().counts == "150/400 answers"
        assert stage.pace().rate == "10.0/s"
        assert stage.pace().time == "0:25 left"
        assert stage.share == 0.375


def test_loading_and_what_was_there_before_count_for_no_pace(now: list[float]) -> None:
    stage = StageTally("evaluate")
    stage.expect(300, "answers")
    now[0] += 60.0  # a model is loaded
    with stage.part(200):
        resumed = piece(200, done=150)
        stage.add(resumed)
        resumed.add(50, 0, 0.0)
        now[0] += 10.0
    assert stage.pace().counts == "200/300 answers"
    assert stage.pace().time == "0:20 left"  # 50 in 10 s, and 100 are left


def test_a_part_that_was_stopped_counts_as_far_as_it_came(now: list[float]) -> None:
    stage = StageTally("train")
    stage.expect(600, "steps")
    with pytest.raises(KeyboardInterrupt), stage.part(300):
        training = piece(300)
        stage.add(training)
        training.add(33, 0, 0.0)
        now[0] += 11.0
        assert stage.left_with(training) == 567
        assert stage.left_with(piece(9)) is None, "a piece that counts other things"
        raise KeyboardInterrupt
    assert stage.pace().counts == "33/600 steps"
    assert stage.pace().time == "3:09 left"  # 567 more at 3 a second


def test_a_part_is_whole_at_its_end_whatever_its_pieces_were(now: list[float]) -> None:
    stage = StageTally("evaluate")
    stage.expect(30, "answers")
    with stage.part(20):  # asked in two turns, the second of fewer
        for size in (20, 12):
            turn = piece(size)
            stage.add(turn)
            turn.add(size, 0, 0.0)
            assert stage.done <= 20
    assert stage.done == 20
    with stage.part(10), stage.part(7):  # a part in a part is the outer one's
        pass
    assert stage.done == 30


def test_the_run_says_at_least_how_long_while_stages_follow(now: list[float]) -> None:
    order = StageOrder(["generate", "train"])
    for name, place, words, share in (
        ("generate", "stage 1 of 2", "0:10 so far, over 0:30 left", 0.125),
        ("train", "stage 2 of 2", "0:20 so far, 0:30 left", 0.625),  # one, and a quarter of two
    ):
        stage, asked = StageTally(name), piece(40)
        stage.add(asked)
        asked.add(10, 0, 0.0)
        now[0] += 10.0
        assert order.place(stage) == place
        assert order.time(stage) == words
        assert order.share(stage) == share


def screen(raw: str) -> list[str]:
    """Returns a terminal's final lines, by the few control sequences that a live view sends."""
    lines, row, column = [""], 0, 0
    for control, text in re.findall(r"(\x1b\[[\d?;]*[a-zA-Z]|[\r\n])|([^\x1b\r\n]+)", raw):
        if text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
        elif control == "\n":
            row, column = row + 1, 0
            lines += [""] * (row == len(lines))
        elif control == "\r":
            column = 0
        elif control.endswith("A"):
            row -= int(control[2:-1] or 1)
        elif control.endswith("K"):
            lines[row] = ""
    return [line.rstrip() for line in lines if line.strip()]


def rendered(board: Board, runtime: Runtime, width: int) -> list[str]:
    """The view at this moment on a terminal of so many columns."""
    out = io.StringIO()
    Console(file=out, width=width).print(Group(*view_lines(board, ServerTraffic(runtime), width)))
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", [120, 80, 60, 40])
@pytest.mark.parametrize("in_run", [True, False])
def test_a_view_has_its_time_in_one_line_however_narrow(
    width: int, in_run: bool, now: list[float]
) -> None:
    runtime = Runtime(budget=Budget(BudgetSettings(usd=5, tokens=90_000)))
    stage, asked = StageTally("evaluate"), Tally(LONG, 6000, 0, "")
    order = StageOrder(["generate", "train", "evaluate"]) if in_run else None
    board = Board(pieces=[asked], stage=stage, order=order)
    stage.expect(12_000, "answers")
    with stage.part(6000):
        stage.add(asked)
        asked.add(3000, 1_000_000, 1.5)
        now[0] += 600.0
        lines = rendered(board, runtime, width)
    assert all(len(line) <= width for line in lines)
    (shown,) = (line for line in lines if re.search(r"30:00 left$", line) and "so far" not in line)
    assert ("3,000/12,000 answers" in shown) == (width >= 60)
    assert ("5.0/s" in shown, "1,667 tokens/s" in shown) == (width >= 60, width >= 80)
    flat = " ".join(" ".join(lines).split())
    assert LONG in flat and "3,000/6,000" in flat and "$1.50 of $5.00" in flat
    assert ("10:00 so far, 30:00 left" in flat) == in_run
    assert ("stage 3 of 3" in flat) == (in_run and width > 40)
    assert sum("━" in line for line in lines) == 1  # one bar for all of it


def test_of_a_stage_one_line_stays(now: list[float]) -> None:
    out = io.StringIO()
    meter = Meter(Console(file=out, force_terminal=True, width=80))
    meter.all_stages(["train", "evaluate"])
    with meter.run_stage("evaluate"):
        meter.expect(12_000, "answers")
        for system in (LONG, f"{LONG}, final answers"):
            with meter.part(6000), meter.stage(system, total=6000) as advance:
                now[0] += 600.0
                advance(6000, 1_000_000, 1.5)
    assert screen(out.getvalue()) == ["evaluate  12,000/12,000 answers  in 20:00"]


def test_a_path_that_is_waited_for_is_not_folded() -> None:
    runtime = Runtime()
    place = "hf:/data/someone/experiments/runs/sums/checkpoints/rationales/checkpoint-000002"
    runtime.events.notes["m"] = f"loading {place}"
    shown = " ".join(rendered(Board(), runtime, 60))
    assert "/…/" in shown and "checkpoint-000002" in shown


def test_work_of_unknown_length_leaves_no_line_on_a_terminal() -> None:
    out = io.StringIO()
    with Meter(Console(file=out, force_terminal=True, width=80)).stage("checking", total=None):
        pass
    assert screen(out.getvalue()) == []


def test_off_a_terminal_a_stage_has_lines_of_its_own_and_its_pieces_have_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    monkeypatch.setattr(progress, "TICK_SECONDS", 0.01)
    out, runtime = io.StringIO(), Runtime(events=EventLog(tmp_path / "log.jsonl"))
    meter = Meter(Console(file=out, width=50), runtime)
    with meter.run_stage("evaluate"):
        meter.expect(5, "answers")
        with meter.part(5), meter.stage(LONG, total=5) as advance:
            advance(2, 0, 0.0)
            end = time.monotonic() + 10
            while f"{LONG}  2/5" not in out.getvalue():
                assert time.monotonic() < end
                time.sleep(0.01)
            advance(3, 0, 0.0)
    runtime.close()
    lines = out.getvalue().splitlines()
    assert {line.partition(":")[0] for line in lines} == {"evaluate"}
    assert lines[-1] == "evaluate: 5/5 answers  in 0:00"
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {line["label"] for line in logged} == {LONG} and logged[-1]["done"] == 5


def test_an_error_in_a_stage_passes_and_the_next_one_begins_anew() -> None:
    out = io.StringIO()
    meter = Meter(Console(file=out, force_terminal=True, width=80))
    with pytest.raises(RuntimeError), meter.run_stage("train"), meter.stage("x", total=2):
        raise RuntimeError("inside")
    with meter.run_stage("evaluate"), meter.stage("y", total=2) as advance:
        advance(2, 0, 0.0)
    assert screen(out.getvalue())[-1].startswith("evaluate  2 answers  in ")


def test_pieces_inside_pieces_share_the_view_and_count_once() -> None:
    out = io.StringIO()
    meter = Meter(Console(file=out, force_terminal=True, width=80))
    with meter.run_stage("train"):
        meter.expect(4, "steps")
        with meter.part(4), meter.stage("training", total=4, unit="steps") as advance:
            for round_ in range(2):
                with meter.stage(f"round {round_}, the student writes", total=50) as write:
                    write(50, 0, 0.0)
                advance(2, 0, 0.0)
    assert screen(out.getvalue())[-1].startswith("train  4/4 steps  in ")
