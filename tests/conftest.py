"""Fixtures that several test modules use."""

import os
from pathlib import Path

import pytest

# Before any test imports torch: its models here are tiny, and threads that wait for one another in
# a busy loop make them many times slower wherever something else runs beside the tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def shared_data() -> Path:
    """The folder of published data sets; tests that need it are skipped where there is none."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("POTSTILL_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no data in {folder}; set POTSTILL_DATA")
    return folder
