"""Runs potstill commands in processes that can be killed, without paying for imports each time.

Run: python tests/commands.py, then one JSON list of arguments a line on standard input; each is
forked as ``potstill ARGUMENTS`` from a process that has imported everything, and its process id,
then its exit code, is written on standard output.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[1]


class Commands:
    """The parent's side: starts commands, waits for them or kills them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = {
            **os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false",
            "PYTHONPATH": str(ROOT / "src"),
        }  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, __file__], cwd=folder, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._read()

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

    def run(self, *arguments: str, kill_after: float | Callable[[], object] | None = None) -> int:
        """Run one command to its end or its kill; its exit code.

        It is killed after so many seconds, or once ``kill_after``, a function, has returned.
        """
        assert self._process.stdin
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        process_id = self._read()
        if kill_after is not None:
            kill_after() if callable(kill_after) else time.sleep(kill_after)
            with suppress(ProcessLookupError):  # it has ended before
                os.kill(process_id, signal.SIGKILL)
        return self._read()

    def _read(self) -> int:
        assert self._process.stdout
        return int(self._process.stdout.readline())


def _child(arguments: list[str]) -> None:
    from potstill.cli import main

    log = os.open("commands.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["potstill", *arguments]
    try:
        main(prog_name="potstill")
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(
            int(end.code or 0)
        )  # torch, which only the parent has used, takes a second to take down


def _serve() -> None:
    import transformers.models.llama.modeling_llama  # noqa: F401

    import potstill.models.local.model
    import potstill.models.openai
    import potstill.pipeline.run  # noqa: F401

    def say(number: int) -> None:
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()

    say(0)
    for line in sys.stdin:
        process_id = os.fork()
        if process_id == 0:
            _child(json.loads(line))
        say(process_id)
        _, status = os.waitpid(process_id, 0)
        say(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    _serve()
