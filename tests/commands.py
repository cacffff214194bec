"""Runs potstill commands in processes that can be killed, without paying for imports each time.

Run: python tests/commands.py, then one JSON object a line on standard input, with the fields of
:meth:`CommandServer.start`; each is forked as ``potstill ARGUMENTS`` from a process that has
imported everything, and its process id, then its exit code and the processor time that it took in
milliseconds, are written on standard output, a line each.
"""

import gc
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[1]
SHORT_BACKOFF = "import potstill.models.openai.client as c; c.FIRST_BACKOFF = 0.02"
"""Code for :attr:`Commands.before`: retries after a server's faults wait only briefly."""


class CommandServer:
    """The process that has imported everything; it runs one command after the other."""

    def __init__(self) -> None:
        environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false",
            "PYTHONPATH": str(ROOT / "src"),
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, __file__], env=environment, bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def start(
        self,
        arguments: tuple[str, ...],
        *,
        folder: Path,
        log: Path,
        environment: Mapping[str, str],
        processor_seconds: float | None = None,
        code: str | None = None,
        before: str = "",
    ) -> "RunningCommand":
        """Fork a command that works in ``folder`` and appends all it prints to ``log``.

        Where ``code`` is given, it is run in place of ``potstill``, as ``python -c`` would. The
        code ``before`` is run first in either case.

        The kernel kills it by SIGPROF once it has taken so many seconds of a processor.
        """
        assert self._process.stdin
        message = {
            "arguments": arguments, "folder": str(folder), "log": str(log),
            "environment": dict(environment), "processor_seconds": processor_seconds,
            "code": code, "before": before,
        }  # fmt: skip
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        return RunningCommand(self, self.read())

    @property
    def has_written(self) -> bool:
        assert self._process.stdout
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def read(self, seconds: float | None = None) -> int:
        """The next number it writes; raises TimeoutError where it writes none in time."""
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            raise TimeoutError(f"no end after {seconds} seconds")
        return int(self._process.stdout.readline())  # unbuffered, so that select sees the rest


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for what must come about; the seconds only keep a failure from waiting for ever."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.002)


class RunningCommand:
    """A command that was started; used as a context manager, it does not outlive the block."""

    def __init__(self, server: CommandServer, process_id: int) -> None:
        self._server, self._process_id = server, process_id
        self._code: int | None = None
        self.processor_seconds = 0.0
        """Seconds of a processor that it took, once it has ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; one that has ended gets none."""
        if self._code is None:
            with suppress(ProcessLookupError):
                os.kill(self._process_id, number)

    @property
    def ended(self) -> bool:
        return self._code is not None or self._server.has_written

    def kill(self) -> None:
        self.send(signal.SIGKILL)

    def wait(self, seconds: float | None = None) -> int:
        """Wait for its end and return the exit code, below 0 where a signal ended it."""
        if self._code is None:
            self._code = self._server.read(seconds)
            self.processor_seconds = self._server.read() / 1000
        return self._code


class Commands:
    """The commands of one test: they work in its folder and write to one log there."""

    def __init__(self, server: CommandServer, folder: Path) -> None:
        self._server, self._folder = server, folder
        self.log = folder / "commands.log"
        self.processor_seconds = 0.0
        """Seconds of a processor that the last command took."""

        self.before = ""
        """Python code that every command runs first, e.g. to set a constant of a module."""

    def start(
        self, *arguments: str, code: str | None = None, processor_seconds: float | None = None
    ) -> RunningCommand:
        """Start a command, or Python code of the test's own, in the environment as it is now."""
        return self._server.start(
            arguments, folder=self._folder, log=self.log, environment=os.environ,
            processor_seconds=processor_seconds, code=code, before=self.before,
        )  # fmt: skip

    def run(self, *arguments: str, kill_after: float | Callable[[], object] | None = None) -> int:
        """Run one command to its end or its kill; its exit code.

        It is killed by SIGKILL once ``kill_after``, a function, has returned, or by SIGPROF, as
        suddenly, once it has taken so many seconds of a processor: those come at the same point of
        its work however busy the machine is.
        """
        if callable(kill_after):
            command = self.start(*arguments)
            kill_after()
            command.kill()
        else:
            command = self.start(*arguments, processor_seconds=kill_after)
        code = command.wait()
        self.processor_seconds = command.processor_seconds
        return code


def _child(message: dict[str, Any]) -> None:
    from potstill.cli import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(message["environment"])
    os.chdir(message["folder"])
    log = os.open(message["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if message["processor_seconds"] is not None:
        signal.setitimer(signal.ITIMER_PROF, max(1e-6, message["processor_seconds"]))
    sys.argv = ["potstill", *message["arguments"]]
    status = 0
    exec(message["before"], {})
    try:
        if message["code"] is None:
            main(prog_name="potstill")
        else:
            exec(message["code"], {"__name__": "__main__"})
    except SystemExit as end:
        status = int(end.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    # At once: torch takes a second to take down.
    os._exit(status)


def _serve() -> None:
    import peft  # noqa: F401
    import scipy.stats  # noqa: F401

    import potstill.models.openai.batch.model
    import potstill.models.openai.model
    import potstill.pipeline.run
    import potstill.train.student  # noqa: F401
    from potstill.models import model_settings, open_model
    from potstill.records import Request

    # Objects that are made only once are made here, such as transformers' patterns of weight names.
    student = open_model(model_settings("bundled:student", at="commands"))
    list(student.complete([Request(prompt="2", max_tokens=1)]))

    def write(number: int) -> None:
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()

    # Freezes all objects: a child that looked through them for garbage would copy their pages.
    gc.collect()
    gc.freeze()
    write(0)
    for line in sys.stdin:
        process_id = os.fork()
        if process_id == 0:
            _child(json.loads(line))
        write(process_id)
        _, status, usage = os.wait4(process_id, 0)
        write(os.waitstatus_to_exitcode(status))
        write(int(1000 * (usage.ru_utime + usage.ru_stime)))
    os._exit(0)  # at once, as its children


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the tests ends them, and so their pipe
    _serve()
