"""A server of a model on this machine: started, waited for, and ended with whoever started it."""

import atexit
import http.client
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Lock

import orjson

from potstill.errors import MissingExtraError, ModelError
from potstill.models.settings import OpenAISettings, VLLMSettings
from potstill.runtime.events import EventLog

logger = logging.getLogger(__name__)

SUPERVISOR = Path(__file__).with_name("supervisor.py")
"""The script that ends the server when this process is gone."""

EXECUTABLE = "vllm"

GRACE = 20.0
"""Seconds that the server has to end by itself."""

END_SECONDS = 5.0
"""Longest wait for processes that were killed; where nobody collects them, they never go."""

HEALTH_POLL_SECONDS = 0.25
"""How often a server that starts is asked whether it is ready."""

LAST_LINES = 12
"""Lines of the log in an error, its last ones."""

LAST_BYTES = 4000
"""Bytes of the log in which these lines are looked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerProgram:
    """A program that serves one model over HTTP, and how it is started and asked."""

    name: str
    """The program's name in messages: ``vLLM``."""

    model: str
    """The model's name or folder, for messages."""

    label: str
    """The same as a recipe names it."""

    command: Callable[[int], list[str]]
    """Returns the command line for a port; raises MissingExtraError where it is not installed."""

    asked: Callable[[int], OpenAISettings]
    """Returns how the server at a port is asked."""

    health: str = "/health"
    """The route that answers with 200 once the server is ready."""

    startup_seconds: float = 1800.0
    """Longest wait until it is ready."""


class LaunchedServer:
    """A program that serves a model, in a process of its own. Thread-safe.

    Args:
        program: The program.
        events: Takes its start and end. Its output goes to ``vllm.log`` beside this log, or to a
            file called after another program.
    """

    def __init__(self, program: ServerProgram, events: EventLog) -> None:
        self._program, self._events = program, events
        self._starting, self._lock = Lock(), Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._served: OpenAISettings | None = None
        self._log: Path | None = None
        self._log_start = 0

    def start(self, stop: Event | None = None) -> OpenAISettings | None:
        """Start the server, unless it runs, and wait until it is ready.

        Args:
            stop: Once set, the waiting ends.

        Returns:
            How to ask it; None where it was stopped before it was ready.

        Raises:
            MissingExtraError: The program is not installed.
            ModelError: It ended, or was not ready in ``startup_seconds``.
        """
        with self._starting:
            if self._served is not None and self._process and self._process.poll() is None:
                return self._served
            self.stop()
            port = _free_port()
            process = self._launch(port)
            try:
                ready = self._wait(process, port, stop or Event())
            except BaseException:
                self.stop()
                raise
            if not ready:
                self.stop()
                return None
            self._served = self._program.asked(port)
            return self._served

    def stop(self) -> None:
        """End the server and all that it has started; nothing where there is none."""
        with self._lock:
            process, self._process, self._served = self._process, None, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()  # on which its supervisor ends it
        try:
            process.wait(GRACE + 5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        _await_end(process.pid)
        atexit.unregister(self.stop)
        self._record("ended")

    def fault(self) -> str | None:
        """Returns a message where the server has ended by itself; None where it did not.

        One that does not answer any more is given a moment to end.
        """
        process = self._process
        if process is None:
            return None
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        return f"the server of {self._program.label} has ended. {self._last_words()}"

    def _launch(self, port: int) -> "subprocess.Popen[bytes]":
        command = self._program.command(port)
        self._log = self._log or self._log_file()
        # A key of the user's own would be asked of us, who have none for this server.
        environment = {name: value for name, value in os.environ.items() if name != "VLLM_API_KEY"}
        supervisor = [sys.executable, "-I", str(SUPERVISOR), str(GRACE)]
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            process = subprocess.Popen(
                [*supervisor, *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
            )
        self._process = process
        atexit.register(self.stop)
        name, model = self._program.name, self._program.model
        logger.info("starting %s for %s; its output goes to %s", name, model, self._log)
        self._record("starting", output=str(self._log))
        return process

    def _record(self, status: str, **fields: object) -> None:
        kind = self._program.name.lower()
        self._events.record(kind, status=status, model=self._program.model, **fields)

    def _log_file(self) -> Path:
        folder = self._events.folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            return folder / f"{self._program.name.lower()}.log"
        prefix = f"potstill-{self._program.name.lower()}-"
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".log")
        os.close(handle)
        return Path(name)

    def _wait(self, process: "subprocess.Popen[bytes]", port: int, stop: Event) -> bool:
        """Waits until the server is ready; False where it was stopped before."""
        began, where, notes = time.monotonic(), self._program.model, self._events.notes
        name, longest = self._program.name, self._program.startup_seconds
        try:
            while not stop.wait(HEALTH_POLL_SECONDS) and self._process is process:
                seconds = time.monotonic() - began
                notes[where] = f"{name} starts {where}: {seconds:.0f} s"
                if process.poll() is not None:
                    raise ModelError(f"{name} could not serve {where}. {self._last_words()}")
                if _is_healthy(port, self._program.health):
                    ready = round(seconds, 1)
                    self._record("ready", seconds=ready)
                    return True
                if seconds > longest:
                    raise ModelError(
                        f"{name} was not ready to serve {where} after {longest:g} seconds; raise "
                        f"startup_seconds, or see why. {self._last_words()}"
                    )
        finally:
            notes.pop(where, None)
        return False

    def _last_words(self) -> str:
        """Returns the end of the server's output."""
        assert self._log is not None
        with self._log.open("rb") as log:
            log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - LAST_BYTES))
            text = log.read().decode(errors="replace")
        lines = [line.rstrip() for line in text.splitlines() if line.strip()][-LAST_LINES:]
        shown = "".join(f"\n  {''.join(c for c in line if c.isprintable())}" for line in lines)
        return f"The end of {self._log}:{shown}" if lines else f"{self._log} is empty."


def vllm_program(settings: VLLMSettings) -> ServerProgram:
    """Returns vLLM as the server of a model."""

    def command(port: int) -> list[str]:
        return [vllm_executable(settings.model), *arguments(settings, port)]

    return ServerProgram(
        name="vLLM",
        model=settings.where,
        label=settings.model,
        command=command,
        asked=partial(served, settings),
        startup_seconds=settings.startup_seconds,
    )


def vllm_executable(needed_for: str) -> str:
    """Returns the place of the command ``vllm``.

    Args:
        needed_for: The feature that needs it, which begins the message.

    Raises:
        MissingExtraError: vLLM is not installed.
    """
    executable = shutil.which(EXECUTABLE)
    if executable is None:
        raise MissingExtraError(
            f"{needed_for} needs the command {EXECUTABLE!r}, which is not on the PATH. Install "
            "it with: pip install 'potstill[vllm]'"
        )
    return executable


def served(settings: VLLMSettings, port: int) -> OpenAISettings:
    """Returns how the server of a model is asked."""
    return OpenAISettings(
        model=f"openai:{settings.where}",
        base_url=f"http://127.0.0.1:{port}/v1",
        api_key_env=None,
        chat=settings.chat,
        chat_template=None if settings.chat or settings.control_tokens else settings.where,
        concurrency=settings.concurrency,
        timeout=settings.timeout,
        deadline=settings.deadline,
        retries=settings.retries,
        prompt_price=0.0,
        completion_price=0.0,
        body=settings.body,
        prefill="continue_final_message",
    )


def arguments(settings: VLLMSettings, port: int) -> list[str]:
    """Returns the arguments that ``vllm`` is started with.

    Sampling is the request's alone: by itself vLLM would take what a request leaves out, such as
    ``top_p: 1``, from the model's ``generation_config.json``.
    """
    flags: dict[str, object] = {
        "host": "127.0.0.1",
        "port": port,
        "generation-config": "vllm",
        "disable-uvicorn-access-log": True,
    }
    return ["serve", settings.where, *_flags(flags | settings.options)]


def _flags(options: Mapping[str, object]) -> list[str]:
    flags: list[str] = []
    for name, value in options.items():
        if value is None:
            continue
        if isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, list):
            flags += [f"--{name}", *map(str, value)]
        elif isinstance(value, Mapping):
            flags += [f"--{name}", orjson.dumps(value).decode()]
        else:
            flags += [f"--{name}", str(value)]
    return flags


def _await_end(group: int) -> None:
    """Wait until the processes of a group that was killed have given back what they held."""
    until = time.monotonic() + END_SECONDS
    while _holds_something(group) and time.monotonic() < until:
        time.sleep(0.02)


def _holds_something(group: int) -> bool:
    """Whether a process of a group lives, as Linux tells; nothing does on other systems.

    One that has ended and that nobody has waited for yet holds nothing.
    """
    for process in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            state, _, its_group, *_ = process.read_text().rpartition(") ")[2].split()
            if int(its_group) == group and state not in ("Z", "X"):
                return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_healthy(port: int, route: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        connection.request("GET", route)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
