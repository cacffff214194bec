"""All answers of a run as CSV, in pieces."""

import asyncio
from pathlib import Path

import pytest
from viewed_run import make_run

from potstill.report.answer_table import inert
from potstill.view.run_snapshot import RunSnapshot


@pytest.mark.parametrize("text", ["5", "-5", "+1e-3", "-1,000.5", "a=1", "", "x -1", "'=1"])
def test_what_a_spreadsheet_does_not_compute_stays(text: str) -> None:
    assert inert(text) == text


@pytest.mark.parametrize("text", ["=1", " =1", "-5 apples", "+a", "@SUM(A1)", "\t1", "\uff1d1"])
def test_what_it_would_compute_stands_behind_an_apostrophe(text: str) -> None:
    assert inert(text) == f"'{text}"


def test_a_table_is_whole_though_the_run_is_read_anew_meanwhile(tmp_path: Path) -> None:
    folder = tmp_path / "sums"
    make_run(folder)

    async def read() -> tuple[str, str]:
        first, second = RunSnapshot(folder, 1), RunSnapshot(folder, 2)
        whole = "".join([piece async for piece in second.answers()])
        await second.close()
        pieces = first.answers()
        begun = await anext(pieces)
        await first.close()
        rest = [piece async for piece in pieces]
        assert first._opened is None
        return whole, begun + "".join(rest)

    whole, interrupted = asyncio.run(read())
    assert whole == interrupted and whole.count("two_step_arithmetic,test,") > 100
