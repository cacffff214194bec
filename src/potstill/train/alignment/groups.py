"""Which tokens of two tokenizations of one text cover the same bytes."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def align(teacher_ends: ArrayLike, student_ends: ArrayLike) -> NDArray[np.int64]:
    """Split both tokenizations at every byte where both have a boundary.

    A token of no bytes belongs to the group that ends where it stands; at the very beginning
    these tokens are a group of their own, which may have none of the other side.

    Args:
        teacher_ends: Where each token of the teacher ends, in bytes from a common beginning.
        student_ends: The same for the student.

    Returns:
        ``(G, 4)``: first token and the one after the last, of the teacher, then of the student.

    Raises:
        ValueError: The tokenizations do not end at the same byte.
    """
    teacher = np.asarray(teacher_ends, dtype=np.int64)
    student = np.asarray(student_ends, dtype=np.int64)
    ends = [int(side[-1]) if side.size else 0 for side in (teacher, student)]
    if ends[0] != ends[1]:
        raise ValueError(f"the teacher's tokens end at byte {ends[0]}, the student's at {ends[1]}")
    shared = np.append(0, teacher[np.isin(teacher, student)])
    shared = shared[np.append(True, shared[1:] > shared[:-1])]
    stops = np.stack(
        [np.searchsorted(teacher, shared, "right"), np.searchsorted(student, shared, "right")],
        axis=1,
    )
    starts = np.vstack([np.zeros((1, 2), np.int64), stops[:-1]])
    groups = np.stack([starts[:, 0], stops[:, 0], starts[:, 1], stops[:, 1]], axis=1)
    return groups[(stops > starts).any(axis=1)]
