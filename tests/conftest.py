"""Fixtures that several test modules use."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def shared_data() -> Path:
    """The folder of published data sets; tests that need it are skipped where there is none."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("POTSTILL_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no data in {folder}; set POTSTILL_DATA")
    return folder
