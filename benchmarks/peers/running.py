"""Running a system's driver: on one core, timed, killed when it is to be."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mock_server import cores
from peers.environments import Peer, PeerError
from peers.job import Job

POLL = 0.01
"""Seconds between two looks at whether it has ended."""

READING = 900
"""Seconds that telling what was kept may take."""


class Ran(NamedTuple):
    """One command of a driver."""

    seconds: float
    cpu: float
    """Seconds of processor time, of the processes that it waited for too."""

    peak_mib: float
    """Largest resident memory of any one of its processes."""

    killed: bool


def ask(
    python: Path,
    peer: Peer,
    job: Job,
    *,
    timeout: float,
    kill_when: Callable[[], bool] | None = None,
) -> Ran:
    """Have a job asked, in a session and on a core of its own.

    Args:
        python: The interpreter of the system's environment.
        peer: Which system.
        job: The questions to ask.
        timeout: Seconds after which it counts as hung.
        kill_when: Tells when all its processes are to be killed, by SIGKILL.

    Raises:
        PeerError: It failed or did not end.
    """
    log = Path(f"{job.folder}.log")
    begun = time.perf_counter()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(python), str(_driver(peer)), str(job.save())],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,
        )
        os.sched_setaffinity(process.pid, {cores()[0]})
        killed = hung = False
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            hung = hung or time.perf_counter() - begun > timeout
            killed = killed or (kill_when is not None and kill_when())
            if hung or killed:
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(POLL)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begun
    if hung:
        raise PeerError(f"did not end within {timeout:g} seconds")
    if process.returncode and not killed:
        raise PeerError(f"ended with {process.returncode}: {_last_words(log)}")
    return Ran(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, killed)


def kept(python: Path, peer: Peer, job: Job) -> dict[str, Any]:
    """Counts what the system kept of a job; see :func:`peers.job.told`.

    Raises:
        PeerError: Its result cannot be read.
    """
    command = [str(python), str(_driver(peer)), str(job.save()), "--read"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=READING, env=_environment()
        )
    except subprocess.TimeoutExpired:
        raise PeerError(f"its result was not read within {READING} seconds") from None
    if done.returncode:
        raise PeerError(f"its result cannot be read: {' '.join(done.stderr.split())[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _environment() -> dict[str, str]:
    """Drivers find :mod:`peers.job` in the folder above; whatever else was on the path stays."""
    path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path)}


def _driver(peer: Peer) -> Path:
    return Path(__file__).with_name(f"{peer.driver}.py")


def _last_words(log: Path) -> str:
    return " ".join(log.read_text(errors="replace").split())[-300:]
