"""Runs a command for as long as whoever started it lives; a script of the standard library alone.

Run: python supervisor.py GRACE COMMAND..., with a pipe as standard input, in a session of its own.

The command is ended when the pipe is closed, which the system does when the starter is gone, be it
by kill -9. It gets SIGTERM and GRACE seconds; then all that it has started is killed, also when it
ended by itself: the workers of vLLM outlive their server where it was killed, and hold the GPU.
"""

import os
import select
import signal
import subprocess
import sys
from types import FrameType

POLL_SECONDS = 0.2
"""How often it is looked whether the command has ended."""


def keep(command: list[str], *, grace: float) -> None:
    """Run a command until it ends, or until its starter does; then kill the process group.

    Args:
        command: The command, which writes to where this process does.
        grace: Seconds that it has to end by itself.
    """
    starter, signals = os.getppid(), list[int]()

    def end(number: int, _: FrameType | None) -> None:
        signals.append(number)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while child.poll() is None:
        closed, _, _ = select.select([0], [], [], POLL_SECONDS)
        # A process that the starter has forked may hold the pipe open after its end.
        if closed or signals or os.getppid() != starter:
            child.terminate()
            try:
                child.wait(grace)
            except subprocess.TimeoutExpired:
                break
    sys.stderr.write(f"{command[0]} ended with status {child.poll()}\n")
    sys.stderr.flush()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    keep(sys.argv[2:], grace=float(sys.argv[1]))
