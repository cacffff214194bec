"""Fixtures that several test modules use."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fakes_upstream import FakeUpstream, Served

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


@pytest.fixture
def student() -> Iterator["FakeUpstream"]:
    """A scripted server for the tests of the guided server."""
    from fakes_upstream import FakeUpstream, student_says  # loads what other tests do without

    with FakeUpstream(student_says) as upstream:
        yield upstream


@pytest.fixture
def teacher() -> Iterator["FakeUpstream"]:
    """Another, which writes better steps."""
    from fakes_upstream import FakeUpstream, teacher_says

    with FakeUpstream(teacher_says) as upstream:
        yield upstream


@pytest.fixture
def server(student: "FakeUpstream", teacher: "FakeUpstream") -> Iterator["Served"]:
    """The guided server before both."""
    from fakes_upstream import served, settings_for

    with served(settings_for(student, teacher)) as running:
        yield running
