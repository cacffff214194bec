import io
import time

import pytest
from rich.console import Console

from potstill import progress
from potstill.progress import Meter, Tally


def test_a_tally_tells_rate_tokens_cost_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 110.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    tally = Tally("rationales", total=1000, done=100, unit="")
    tally.add(100, 5000, 0.25)
    # 100 in 10 s; what was there before does not count for the rate; 800 are left
    assert tally.describe() == "200/1,000  10.0/s  500 tokens/s  $0.25  1:20 left"


def test_lines_are_written_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    out = io.StringIO()
    with Meter(Console(file=out)).stage("training", total=3, unit="steps") as advance:
        for _ in range(3):
            advance(1, 10, 0.0)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("training: 1/3 steps")
    assert lines[-1].startswith("training: 3/3 steps") and " in 0:00" in lines[-1]


def test_a_live_bar_is_shown_on_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with Meter(console).stage("rationales", total=2) as advance:
        advance(2, 7, 1.5)
    assert "2/2" in out.getvalue() and "$1.50" in out.getvalue()


def test_nothing_is_shown_when_nothing_is_missing() -> None:
    out = io.StringIO()
    with Meter(Console(file=out)).stage("rationales", total=5, done=5) as advance:
        advance(0, 0, 0.0)
    assert out.getvalue() == ""


def test_an_error_in_the_block_passes_through() -> None:
    meter = Meter(Console(file=io.StringIO()))
    with pytest.raises(RuntimeError, match="inside"), meter.stage("x", total=1):
        raise RuntimeError("inside")
