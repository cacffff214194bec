"""The group of processes that train one student together: its beginning, its end, what it shares.

The main process decides, as whether a training is finished and from which checkpoint it goes on;
the others take its word, since they may see a disk as it was a moment before.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed
from accelerate.state import AcceleratorState, GradientState

from potstill.errors import ConfigError, LostProcessError, PotstillError
from potstill.launched import (
    is_main_process,
    local_process_number,
    process_count,
    process_number,
    tells_ending,
)
from potstill.runtime.signals import GRACE

Shared = TypeVar("Shared")

LONGEST_WAIT = timedelta(days=7)
"""How long processes wait for each other: the main one may measure a checkpoint meanwhile, or buy
scores. One that ends, by whatever cause, is noticed at once."""

LOST = (
    "connection closed by peer",
    "connection reset by peer",
    "connection refused",
    "broken pipe",
    "socket closed",
    "remote process exited",
    "timed out waiting",
)
"""Error texts of gloo, NCCL and torch's own store, in lower case, when another process is gone."""


@contextmanager
def training_processes() -> Iterator[None]:
    """Begin the group of the processes that a launcher has started, and end it behind the block.

    Its threads may else still be at work while the interpreter takes itself down, which aborts the
    process. After a good end the processes wait for each other; after a failure they do not, since
    others may never come. A group that was there before is left to the code that began it.

    Raises:
        LostProcessError: Another process is gone.
    """
    if not torch.distributed.is_available() or torch.distributed.is_initialized():
        yield
        return
    try:
        with _ending_when_stuck():
            _begin()
            yield
    except BaseException as error:
        lost = _lost_process(error)
        if lost is not None and threading.current_thread() is threading.main_thread():
            # The launcher ends all that is left. This process says why first, and ends by itself.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end(in_good_order=False)
        if lost is not None:
            raise lost from error
        raise
    _end(in_good_order=True)


def shared(value: Shared) -> Shared:
    """Returns the main process's value; all processes have to ask."""
    if not _is_grouped():
        return value
    box = [value]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]


def by_all(value: Shared) -> list[Shared]:
    """Returns the values of all processes, in their order; all have to ask."""
    if not _is_grouped():
        return [value]
    values: list[Shared | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]  # each is there now


def require_same(identity: str, *, of: str) -> None:
    """Refuse to train where processes would train different students.

    Args:
        identity: Stands for all that determines the student; all processes have to ask.
        of: The student's name.

    Raises:
        ConfigError: It is another one in some process.
    """
    identities = by_all(identity)
    others = [number for number, other in enumerate(identities) if other != identities[0]]
    if others:
        listed = ", ".join(map(str, others))
        raise ConfigError(
            f"{of}: process {listed} of {len(identities)} has other examples, settings or weights "
            "of the start than the main process. Give all machines the same recipe, start and "
            "versions, and the run's folder on a disk that they share."
        )


def _begin() -> None:
    """Begin the group, where there are several processes; each takes the GPU of its number."""
    count = process_count()
    if count == 1:
        return
    # mpirun says the same by names of its own, and no address on a single machine.
    for name, value in {
        "RANK": process_number(),
        "WORLD_SIZE": count,
        "LOCAL_RANK": local_process_number(),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": 29500,
    }.items():
        os.environ.setdefault(name, str(value))
    if local_process_number() < torch.cuda.device_count():
        torch.cuda.set_device(local_process_number())
    torch.distributed.init_process_group(timeout=LONGEST_WAIT)


def _is_grouped() -> bool:
    available = torch.distributed.is_available() and torch.distributed.is_initialized()
    return available and torch.distributed.get_world_size() > 1


def _lost_process(error: BaseException | None) -> LostProcessError | None:
    """Returns an error in the place of one that says that another process is gone, else None.

    One that came while such an error was handled counts, too, as that of the launcher's SIGTERM.
    """
    while process_count() > 1 and error is not None:
        is_other = isinstance(error, PotstillError) or not isinstance(error, RuntimeError)
        if not is_other and any(sign in str(error).lower() for sign in LOST):
            return LostProcessError(_words_of_loss())
        error = error.__context__
    return None


def _words_of_loss() -> str:
    which = "another process" if is_main_process() else "the main process"
    return (
        f"{which} of the {process_count()} that train together is gone. Where it says nothing "
        "above, it was killed, as for want of memory. Repeat the command to go on from the newest "
        "checkpoint, with as many processes or with others."
    )


@contextmanager
def _ending_when_stuck() -> Iterator[None]:
    """End this process in the block, where it is told to end and waits for one that never comes.

    While the main thread waits inside torch, Python cannot handle a signal there.
    """
    main = threading.main_thread()
    if process_count() == 1 or threading.current_thread() is not main:
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    former = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_end_if_stuck, args=(reader, main.ident), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(former)
        os.close(writer)  # which ends the thread


def _end_if_stuck(reader: int, main: int) -> None:
    """Wait for a signal that ends work; if the main thread does not move then, end the process."""
    with os.fdopen(reader, "rb", buffering=0) as signals:
        while arrived := signals.read(1):
            if arrived[0] not in (signal.SIGINT, signal.SIGTERM):
                continue
            if _stays(main, GRACE):
                if tells_ending():
                    sys.stderr.write(f"Error: {_words_of_loss()}\n")
                    sys.stderr.flush()
                os._exit(128 + arrived[0])


def _stays(thread: int, seconds: float, every: float = 0.2) -> bool:
    """Whether a thread stays in one place of its program for so long."""
    before, end = _place_of(thread), time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(every)
        if _place_of(thread) != before:
            return False
    return True


def _place_of(thread: int) -> tuple[int, int]:
    """Returns where a thread is in its program."""
    frame = sys._current_frames()[thread]
    return id(frame), frame.f_lasti


def _end(*, in_good_order: bool) -> None:
    if not torch.distributed.is_initialized():
        return
    if in_good_order:
        with suppress(RuntimeError):  # one that was stopped in its last moment does not come
            torch.distributed.barrier()
    elif torch.cuda.is_available():  # NCCL's usual end waits for all processes
        with suppress(RuntimeError):
            torch.distributed.distributed_c10d._abort_process_group()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    # accelerate takes a group that it has seen once for one that is there.
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
