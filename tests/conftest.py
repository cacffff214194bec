"""Fixtures that several test modules use."""

import gc
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from commands import Commands, CommandServer
    from fakes_upstream import FakeUpstream, Served

# Before any test imports torch: its models here are tiny, and threads that wait for one another in
# a busy loop make them many times slower wherever something else runs beside the tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Else every process that a test starts would compile the whole package again, where the environment
# says so.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# In memory, where there is enough: every store flushes what it writes to the disk.
MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 2**31:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# A machine that does other work, too, is slow at times, which says nothing of what is tested.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# All that collecting imports stays to the end; there is no garbage to be looked for in it.
gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes long, so that no worker is still at it when the others are done.

    With it go the tests that start commands: all run by one worker, which needs the one process
    that they are forked from.
    """

    def comes_later(item: pytest.Item) -> bool:
        starts_commands = "commands" in getattr(item, "fixturenames", ())
        return not starts_commands and item.get_closest_marker("slow") is None

    items.sort(key=comes_later)


def pytest_collection_finish() -> None:
    """Have garbage looked for from here on, among what the tests make."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C reaches what a test starts, even where the tests themselves ignore it.

    A shell ignores it for what it starts in the background, and children inherit that.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    if ignored:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.fixture(scope="session")
def command_server() -> Iterator["CommandServer"]:
    """A process that has imported everything, once for all tests that start commands."""
    from commands import CommandServer

    with CommandServer() as server:
        yield server


@pytest.fixture
def commands(command_server: "CommandServer", tmp_path: Path) -> "Commands":
    """Commands that can be killed; they work in the test's folder."""
    from commands import Commands

    return Commands(command_server, tmp_path)


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
