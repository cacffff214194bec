"""The activity of a run's models: counts for the live view, and the run's structured log.

The log, ``log.jsonl`` in the run's folder, has one JSON object a line: ``time`` in seconds since
1970, ``event``, and the event's own fields. One line is written for each of:

``started``
    A command that works on the run begins: ``command`` and the ``version`` of potstill. ``report``
    and other readers leave no line, which would hide that the command before was killed.
``stage_begins``, ``stage_ends``
    A ``stage``; with the ``seconds`` it took.
``progress``
    At the beginning, every ten seconds, and at the end of a piece of work with a ``label``: how
    many of ``total`` are ``done``, how many of them are ``new`` since it began ``seconds`` ago, the
    new ones' ``tokens`` and ``usd``, the tokens that this machine is ``writing`` of answers that
    are not done, tries ``in_flight`` and the ``limit`` of them, and the command's
    ``retries`` and ``given_up`` by kind.
``retry``
    A try failed with a fault of this ``kind`` and is repeated after ``wait`` seconds; the server's
    ``message``.
``failed``
    A request was given up, with ``kind`` and ``message``.
``concurrency``
    The ``limit`` of tries in flight has doubled or halved since it was last told.
``samples_at_once``
    The server gives no more than ``most`` samples in one answer.
``prefix_repeated``
    A server was asked whether it ``repeats`` the beginning of an answer that it is given; what it
    repeats is left out of its answers.
``no_finish_reason``
    So many texts (``count``) came without a reason for their end while a model was asked; they
    count as ended.
``unknown_finish_reason``
    So many texts (``count``) came with a reason for their end that is not known; they count as cut.
``untrusted_positions``
    So many tokens (``count``) were listed with the probabilities of others while a model was asked,
    and go by the text alone.
``samples_equal``
    The samples of each of the first ``questions`` are one text, at this ``temperature``.
``batch``
    What became of a batch ``id`` at a server: its ``status``, how many of its ``lines`` are
    ``completed`` and ``failed``; the status ``left`` is a batch that runs on without us.
``vllm``
    A server of a ``model`` on this machine is ``starting`` (its ``output`` is in a file of its
    own), ``ready`` after so many ``seconds``, or ``ended`` (``status``).
``worker``
    What became of a worker (``number``) of a ``model`` on a cluster: its ``status`` is
    ``starting``, ``ready`` (in which process ``pid`` on which ``node``, after so many
    ``seconds``), ``lost`` (with so many ``samples`` given to it, which are asked again; the
    ``message`` says why, and the ``detail`` what Ray says of it), ``failed`` or ``ended``; how
    many of the model's are ``at_work`` then.
``workers_awaited``
    No worker of a ``model`` is ready yet; the ``cpus`` and ``gpus`` that each claims.
``number_format``
    In what a ``model`` computes a kind of ``work`` on a processor: the format ``chosen``, and the
    seconds that a trial took in ``float32`` and ``bfloat16``.
``training_values``
    What was filled in of a ``student``'s training, where the recipe leaves it open: each value by
    its setting's name.
``training_step``
    Every few steps of a ``student``'s training: the ``loss`` since the last one in nats a token,
    the ``learning_rate`` and the norm of the gradients (``grad_norm``, before it is clipped) of
    this ``step``, and the ``tokens`` so far.
``measured``
    A ``system`` at a ``step`` was measured on a ``split`` of a ``task``: how many of ``total`` are
    ``correct``, and the ends of the 95% interval (``low``, ``high``).
``tracker_failed``
    An experiment ``tracker`` was given up, for this ``reason``; the run went on.
``on_policy_round``
    What came of a ``round`` of a ``student``'s on-policy training: each field of
    :class:`potstill.records.TrainingRound`.
``collapse``
    A limit ended the on-policy training of a ``student`` in a ``round``: each field of
    :class:`potstill.records.Collapse`.
``left_out``
    A row of an imported ``file`` was left out: ``at`` which line or row it stands, and ``why``.
``interrupted``
    Ctrl-C or SIGTERM (``signal``) came while so many tries were ``in_flight``; whether a second one
    ``dropped`` them.
``ended``
    The command ended after so many ``seconds``, with an ``error`` (its class) where it did not get
    to its end; ``BudgetError`` is a budget that was spent.

An answer has no line of its own. Prompts, answers and keys are never written.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

import orjson


class EventLog:
    """Counts what happens while models are asked. Thread-safe.

    Args:
        log: Takes one JSON object a line for every event; None writes none. Texts and keys never
            go there.
    """

    def __init__(self, log: Path | None = None) -> None:
        self.in_flight = 0
        """Tries that wait for their answers."""

        self.limit = 0
        """How many may be in flight at once by now; 0 before any was sent."""

        self.retries: Counter[str] = Counter()
        """Tries that failed and were repeated, by kind of fault, such as ``429`` or ``timeout``."""

        self.given_up: Counter[str] = Counter()
        """Requests that failed for good, by kind of fault."""

        self.notes: dict[str, str] = {}
        """The reason each waiting model waits, in a few words, by model."""

        self.writing = 0
        """Tokens that models on this machine have written of answers that are not finished."""

        self.show: Callable[[str], None] = lambda _: None
        """Shows a line to whoever watches the run."""

        self.listeners: list[Callable[[str, Mapping[str, object]], None]] = []
        """Called with the name and the fields of every event, by whichever thread records it."""

        self._log = log
        self._file: int | None = None
        self._lock = Lock()

    @property
    def logs(self) -> bool:
        """Whether events are written."""
        return self._log is not None

    @property
    def folder(self) -> Path | None:
        """The folder of the log, and of other logs."""
        return None if self._log is None else self._log.parent

    def record(self, name: str, **fields: object) -> None:
        """Write one event to the log. A full disk ends no work here; the store will say so."""
        for listener in tuple(self.listeners):
            listener(name, fields)
        if self._log is None:
            return
        line = orjson.dumps({"time": round(time.time(), 3), "event": name, **fields}) + b"\n"
        with self._lock, suppress(OSError):
            if self._file is None:
                self._log.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                self._file = os.open(self._log, flags, 0o644)
            os.write(self._file, line)

    @contextmanager
    def noted(self, key: str, note: str) -> Iterator[None]:
        """Have the view say what is waited for, and since when, while the block runs.

        Args:
            key: Identifies the note among several at once.
            note: The work, in a few words.
        """
        self.notes[key] = note
        try:
            yield
        finally:
            self.notes.pop(key, None)

    def announce(self, name: str, line: str, **fields: object) -> None:
        """Write one event to the log, and show a line that says the same."""
        self.record(name, **fields)
        self.show(line)

    def retried(self, kind: str, *, wait: float, message: str) -> None:
        """A try failed and will be repeated after so many seconds."""
        self.retries[kind] += 1
        self.record("retry", kind=kind, wait=round(wait, 3), message=message)

    def failed(self, kind: str, *, message: str) -> None:
        """A request failed for good."""
        self.given_up[kind] += 1
        self.record("failed", kind=kind, message=message)

    def close(self) -> None:
        """Close the log."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
