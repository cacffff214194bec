"""The runs that are viewed: each opened when it is first looked at, and renewed as it works.

A run is read anew when its store or recipe has changed, or when its work has begun or ended; the
former snapshot answers meanwhile.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from potstill.errors import PotstillError
from potstill.store import lock_holder
from potstill.view.run_snapshot import RunSnapshot

MOST_OPEN = 3
"""Runs that are held open at once; of more, the one looked at longest ago is closed."""

LEAST_SECONDS = 3.0
"""The least time between two readings of a run, in seconds."""

SHARE = 0.2
"""Share of the time that reading a run anew may take."""

_WATCHED = ("run.sqlite", "run.sqlite-wal", "recipe.yaml")

Mark = tuple[object, ...]
"""The time of change and the size of each watched file, and whether the run is at work."""


class ViewedRun:
    """One run, with its newest snapshot.

    Args:
        folder: The run's folder.
        clock: Seconds that only go forward.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self._clock = folder, clock
        self._snapshot: RunSnapshot | None = None
        self._mark: Mark = ()
        self._renewing: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._again_at = 0.0
        self.fault = ""
        """The reason why the run could not be read anew, if it could not."""

    async def snapshot(self) -> RunSnapshot:
        """Returns the newest snapshot; the first one is waited for.

        Raises:
            PotstillError: The run cannot be read.
        """
        async with self._opening:
            if self._snapshot is None:
                self._snapshot = await self._taken(1)
            return self._snapshot

    def look(self) -> None:
        """Begin to read the run anew if it has changed, and was not read just before."""
        busy = self._renewing is not None and not self._renewing.done()
        changed = self._snapshot is not None and mark_of(self.folder) != self._mark
        if changed and not busy and self._clock() >= self._again_at:
            self._renewing = asyncio.create_task(self._renew())

    async def renewed(self) -> None:
        """Wait for a reading that goes on, if one does."""
        if self._renewing is not None:
            await self._renewing

    async def close(self) -> None:
        """Close what is open."""
        await self.renewed()
        if self._snapshot is not None:
            await self._snapshot.close()
            self._snapshot = None

    async def _taken(self, version: int) -> RunSnapshot:
        mark, began = mark_of(self.folder), self._clock()
        snapshot = RunSnapshot(self.folder, version)
        try:
            await snapshot.opened()
        except BaseException:
            await snapshot.close()
            raise
        took = self._clock() - began
        self._again_at = self._clock() + max(LEAST_SECONDS, took / SHARE)
        self._mark = mark
        return snapshot

    async def _renew(self) -> None:
        former = self._snapshot
        assert former is not None
        try:
            self._snapshot = await self._taken(former.version + 1)
        except PotstillError as error:
            self.fault = str(error)
            self._mark = mark_of(self.folder)  # until it changes again
            return
        self.fault = ""
        await former.close()


def mark_of(folder: Path) -> Mark:
    """Returns what changes when the run's store or recipe does, or when it begins or ends work."""
    marks: list[object] = [lock_holder(folder / "run.sqlite") is not None]
    for name in _WATCHED:
        try:
            found = (folder / name).stat()
            marks.append((found.st_mtime_ns, found.st_size))
        except OSError:
            marks.append((0, 0))
    return tuple(marks)


class ViewedRuns:
    """The runs of a folder by their names, or one run by the empty name.

    Args:
        runs: Returns the folders of the runs that there are now, by name.
    """

    def __init__(self, runs: Callable[[], dict[str, Path]]) -> None:
        self.folders = runs
        self._open: dict[str, ViewedRun] = {}

    async def named(self, name: str) -> ViewedRun | None:
        """Returns a run, opened; None where there is none of that name.

        Raises:
            PotstillError: It cannot be read.
        """
        viewed = self._open.pop(name, None)
        if viewed is None:
            folder = self.folders().get(name)
            if folder is None:
                return None
            viewed = ViewedRun(folder)
        self._open[name] = viewed  # the newest stands last
        await viewed.snapshot()
        for old in list(self._open)[:-MOST_OPEN]:
            await self._open.pop(old).close()
        return viewed

    async def close(self) -> None:
        """Close all."""
        for viewed in self._open.values():
            await viewed.close()
        self._open.clear()
