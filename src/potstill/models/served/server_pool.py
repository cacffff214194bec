"""The servers of a run's students: one at a time, unless several are asked by turns.

Checkpoints are measured one after the other, and each needs the memory of the one before. A server
goes on running while models that ask it are held, and for whoever opens the same model next; it is
ended when another is to start and nobody holds a model that asks it.
"""

import gc
from threading import Lock
from weakref import WeakSet

from potstill.models.settings import OpenAISettings
from potstill.models.vllm.launcher import LaunchedServer, ServerProgram
from potstill.runtime import Runtime

_SHARED = "servers of students"


class _PooledServer:
    """A server, and those who ask it."""

    def __init__(self, server: LaunchedServer) -> None:
        self.server = server
        self.askers = WeakSet[object]()


class ServerPool:
    """The servers that a run has started for its students. Thread-safe.

    Args:
        runtime: The run's; the servers end when it releases its models.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._lock = runtime, Lock()
        self._entries: dict[str, _PooledServer] = {}
        runtime.releasing.append(self.stop)

    @classmethod
    def of(cls, runtime: Runtime) -> "ServerPool":
        """Returns the pool of a run."""
        pool = runtime.shared.setdefault(_SHARED, None) or cls(runtime)
        assert isinstance(pool, cls)
        runtime.shared[_SHARED] = pool
        return pool

    def join(self, asker: object, name: str, program: ServerProgram) -> None:
        """Count an asker of the server of this name, which is not started yet.

        Args:
            asker: Whoever is going to ask it; it leaves when it is let go.
            name: The model's name, which tells it from all others.
            program: The server's program.
        """
        with self._lock:
            if name not in self._entries:
                self._entries[name] = _PooledServer(LaunchedServer(program, self._runtime.events))
            self._entries[name].askers.add(asker)

    def start(self, name: str) -> OpenAISettings | None:
        """Start a server unless it runs, and end those that nobody is going to ask.

        Returns:
            How it is asked; None where the run was stopped before it was ready.

        Raises:
            PotstillError: As :meth:`LaunchedServer.start`.
        """
        with self._lock:
            entry = self._entries[name]
            others = [other for other in self._entries.values() if other is not entry]
        if others:
            gc.collect()  # a model that was let go may be part of a cycle
        for other in others:
            if not other.askers:
                other.server.stop()
        return entry.server.start(self._runtime.stop)

    def fault(self, name: str) -> str | None:
        """Returns a message where a server has ended by itself."""
        return self._entries[name].server.fault()

    def stop(self) -> None:
        """End all servers; asked again, they are started again."""
        for entry in list(self._entries.values()):
            entry.server.stop()
