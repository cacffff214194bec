"""The group of processes that train one student together, and its end."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch.distributed
from accelerate.state import AcceleratorState, GradientState


@contextmanager
def ending_process_group() -> Iterator[None]:
    """End the group that trainings in the block begin, whichever way the block is left.

    Its threads may else still be at work while the interpreter takes itself down, which aborts the
    process. After a good end the processes wait for each other; after a failure they do not, since
    others may never come. A group that was there before is left to who began it.
    """
    if not torch.distributed.is_available() or torch.distributed.is_initialized():
        yield
        return
    try:
        yield
    except BaseException:
        _end(in_good_order=False)
        raise
    _end(in_good_order=True)


def _end(*, in_good_order: bool) -> None:
    if not torch.distributed.is_initialized():
        return
    if in_good_order:
        with suppress(RuntimeError):  # one that was stopped in its last moment does not come
            torch.distributed.barrier()
    elif torch.distributed.get_backend() == "nccl":  # its usual end waits for all processes
        torch.distributed.distributed_c10d._abort_process_group()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    # accelerate takes a group that it has seen once for one that is there.
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
