"""Experiment trackers of a run, through accelerate: they are told what the run's log is told.

Each tracker works in a thread of its own, in which it is opened, told and closed (MLflow's current
run belongs to a thread), so that none holds up the run. One that fails is given up, which is said
once. ``trackers.json`` in the run's folder keeps by which names and ids the next command goes on.
"""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from queue import Full, Queue
from textwrap import shorten
from threading import Event, Lock, Thread
from typing import Any

from potstill.errors import ConfigError, MissingExtraError, extra
from potstill.pipeline.recipe import Recipe
from potstill.pipeline.track_settings import PACKAGES, TrackSettings
from potstill.pipeline.tracked_recipe import HIDDEN, ConfigValue, tracked_recipe
from potstill.pipeline.tracked_values import EventReader, TrackedValues, tracker_name
from potstill.runtime.events import EventLog
from potstill.whole_files import write_whole

KEPT = "trackers.json"
"""The file in the run's folder that says where earlier commands reported to."""

PATIENCE = 60.0
"""Seconds that a tracker may take to open, and to take in what is left at the end."""

MOST_WAITING = 10_000
"""Figures that may wait for one tracker."""

LONGEST_REASON = 200
"""Characters of what a tracker says when it fails."""

SHORTEST_SECRET = 8
"""Characters of an environment variable's value from which on it is looked for in messages."""

_SECRET_VARIABLE = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD")


def check_trackers(recipe: Recipe) -> None:
    """Refuse trackers that are not known or not installed; nothing else is done.

    Raises:
        ConfigError: accelerate knows no tracker of a name, or two students' curves would be one.
        MissingExtraError: A package is missing; the message has the command that installs it.
    """
    settings = recipe.track
    if settings is None:
        return
    student_of: dict[str, str] = {}
    for student in recipe.train.students:
        first = student_of.setdefault(tracker_name(student), student)
        if first != student:
            raise ConfigError(
                f"train.students {first!r} and {student!r} are one name to trackers, "
                f"{tracker_name(student)!r}, and their curves would run together. Rename one."
            )
    with extra("track", needed_for="track"):
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS
    for name in settings.to:
        if name not in LOGGER_TYPE_TO_CLASS:
            known = ", ".join(PACKAGES)
            raise ConfigError(f"track.to names {name!r}, which accelerate does not know: {known}.")
        if name in PACKAGES and find_spec(name) is None:
            what = "'potstill[track]'" if name == "tensorboard" else name
            raise MissingExtraError(
                f"track.to names {name}, whose package is not installed. Install it with: "
                f"pip install {what}"
            )


class _StatelessLogger(logging.LoggerAdapter[logging.Logger]):
    """Stands for accelerate's logger, which refuses to work before a process has its device."""

    def warning_once(self, message: str, *values: object) -> None:
        """Log a warning."""
        self.warning(message, *values)


class RunTracking:
    """The trackers of one run.

    Args:
        recipe: Says which; it is their config.
        events: The run's log, of which they are told.
    """

    def __init__(self, recipe: Recipe, events: EventLog) -> None:
        assert recipe.track is not None
        self._settings, self._recipe, self._events = recipe.track, recipe, events
        self._kept = _read_kept(recipe.folder / KEPT)
        self._trackers: list[TrackerThread] = []
        began = self._kept.setdefault("began", time.time())
        self._reader = EventReader(lambda: time.time() - began)

    def begin(self) -> None:
        """Open the trackers, if they are not open yet.

        Raises:
            ConfigError: As :func:`check_trackers`.
            MissingExtraError: Likewise.
        """
        if self._trackers:
            return
        check_trackers(self._recipe)
        config = tracked_recipe(self._recipe)
        for name in self._settings.to:
            place = TrackerPlace(name, self._settings, self._recipe.folder, self._kept)
            self._trackers.append(TrackerThread(name, place, config, self._failed))
        for tracker in self._trackers:
            tracker.await_open()
        write_whole(self._recipe.folder / KEPT, json.dumps(self._kept, indent=2))
        self._events.listeners.append(self._tell)

    def close(self) -> None:
        """Have the trackers take in what is left, and close them."""
        if self._tell in self._events.listeners:
            self._events.listeners.remove(self._tell)
        for tracker in self._trackers:
            tracker.close()
        self._trackers = []

    def _tell(self, name: str, fields: Mapping[str, object]) -> None:
        told = self._reader.read(name, fields)
        if told is not None and told.values:
            for tracker in self._trackers:
                tracker.send(told)

    def _failed(self, name: str, reason: str) -> None:
        line = f"track: {name} is given up: {reason}. The run goes on without it."
        self._events.announce("tracker_failed", line, tracker=name, reason=reason)


def _read_kept(path: Path) -> dict[str, Any]:
    """Returns what earlier commands kept; of a file that cannot be read, nothing."""
    try:
        kept = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


class TrackerPlace:
    """Opens one tracker where the run's earlier commands reported to, else anew.

    Args:
        name: accelerate's name of the tracker.
        settings: The project and the run's name in it.
        folder: The run's.
        kept: Takes by what the next command goes on.
    """

    def __init__(
        self, name: str, settings: TrackSettings, folder: Path, kept: dict[str, Any]
    ) -> None:
        self.name, self._project, self._folder = name, settings.project, folder
        self._run_name = settings.name or folder.resolve().name
        self._kept = kept

    def open(self) -> tuple[Any, bool]:
        """Returns the tracker, and whether it goes on with what it had; it may raise anything."""
        known = self._kept.get(self.name)
        if known is not None:
            try:
                return self._start(known), True
            except Exception:  # noqa: BLE001  # what it had may be gone there: then anew
                pass
        tracker = self._start(None)
        self._kept[self.name] = self._identity(tracker)
        return tracker, False

    def _start(self, known: str | None) -> Any:
        from accelerate import tracking

        tracking.logger = _StatelessLogger(logging.getLogger(tracking.__name__), {})
        found = tracking.LOGGER_TYPE_TO_CLASS[self.name]
        # The first of several processes alone tracks. accelerate would ask its PartialState, which
        # settles the device of the whole process before the training does.
        cls = type(found.__name__, (found,), {"main_process_only": False})
        resume = "never" if known is None else "allow"
        if self.name == "tensorboard":
            tracker = cls(self._run_name, str(self._folder / "tensorboard"))
        elif self.name == "wandb":
            _require_login()
            place = {"id": known, "name": self._run_name, "dir": str(self._folder)}
            tracker = cls(self._project, resume=resume, **place)
        elif self.name == "trackio":
            tracker = cls(self._project, name=known or self._run_name, resume=resume)
        elif self.name == "mlflow":
            tracker = cls(self._project, run_name=self._run_name, run_id=known)
        elif found.requires_logging_directory:
            tracker = cls(self._project, str(self._folder / self.name))
        else:
            tracker = cls(self._project)
        tracker.start()
        if self.name == "wandb":
            # Its own steps have to grow over the whole run; each part has an axis of its own.
            for part in ("train", "dev", "test", "rounds", "generate", "evaluate", "guide"):
                tracker.tracker.define_metric(f"{part}/*", step_metric=f"{part}/step")
        return tracker

    def _identity(self, tracker: Any) -> str:
        if self.name == "mlflow":
            return str(tracker.tracker.info.run_id)
        own = {"wandb": "id", "trackio": "name"}.get(self.name)
        return str(getattr(tracker.tracker, own)) if own else self._run_name


def _require_login() -> None:
    """Refuse to open Weights & Biases where it would ask the terminal for a key.

    Raises:
        ConfigError: There is no login, and it is not to work offline.
    """
    import wandb

    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return
    try:
        is_known = wandb.login(prompt=False)
    except TypeError:  # an older one
        is_known = bool(wandb.api.api_key)
    if not is_known:
        raise ConfigError("there is no login; run wandb login, or set WANDB_MODE=offline")


class TrackerThread:
    """One tracker at work in a thread of its own.

    Args:
        name: The tracker's name.
        place: Opens it.
        config: The facts about the run that it is told before all else.
        failed: Told once, with the reason, when the tracker is given up.
    """

    def __init__(
        self,
        name: str,
        place: TrackerPlace,
        config: Mapping[str, ConfigValue],
        failed: Callable[[str, str], None],
    ) -> None:
        self._name, self._place, self._config, self._failed = name, place, config, failed
        self._told: Queue[TrackedValues | None] = Queue(MOST_WAITING)
        self._opened, self._over, self._giving_up = Event(), Event(), Lock()
        self._thread = Thread(target=self._work, name=f"potstill-{name}", daemon=True)
        self._thread.start()

    def await_open(self) -> None:
        """Wait until the tracker is open or given up."""
        if not self._opened.wait(PATIENCE):
            self._give_up(f"it did not open within {PATIENCE:.0f} s")

    def send(self, told: TrackedValues) -> None:
        """Have it told figures; one that was given up is told nothing."""
        if not self._over.is_set():
            try:
                self._told.put_nowait(told)
            except Full:
                self._give_up("it does not keep up")

    def close(self) -> None:
        """Have it take in what is left, for a while."""
        if self._over.is_set():
            return
        try:
            self._told.put_nowait(None)
        except Full:
            self._give_up("it does not keep up")
            return
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._give_up(f"it did not close within {PATIENCE:.0f} s; its last figures may be lost")

    def _work(self) -> None:
        try:
            with redirect_stdout(sys.stderr):  # some greet, where a document may be due
                tracker, goes_on = self._place.open()
                if not goes_on:
                    tracker.store_init_configuration(dict(self._config))
            self._opened.set()
            while (told := self._told.get()) is not None and not self._over.is_set():
                self._log(tracker, told)
            with redirect_stdout(sys.stderr):
                tracker.finish()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # somebody else's code, and network
            words = shorten(str(error) or "no reason given", LONGEST_REASON, placeholder=" ...")
            self._give_up(f"{type(error).__name__}: {words.rstrip('.')}")
        finally:
            self._opened.set()

    def _log(self, tracker: Any, told: TrackedValues) -> None:
        if self._name == "wandb":
            part = next(iter(told.values)).partition("/")[0]
            tracker.log({**told.values, f"{part}/step": told.step})
        else:
            tracker.log(dict(told.values), step=told.step)

    def _give_up(self, reason: str) -> None:
        with self._giving_up:  # once, and who finds it over finds it told
            if not self._over.is_set():
                self._failed(self._name, _without_secrets(reason))
                self._over.set()


def _without_secrets(text: str) -> str:
    """Returns a text without the values of environment variables that are named after secrets."""
    for name, value in os.environ.items():
        if len(value) >= SHORTEST_SECRET and _SECRET_VARIABLE.search(name):
            text = text.replace(value, HIDDEN)
    return text
