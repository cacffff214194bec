"""Which tokens of two tokenizations of one text cover the same bytes."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def align(teacher_ends: ArrayLike, student_ends: ArrayLike) -> NDArray[np.int64]:
    """Split both tokenizations at every byte where both have a boundary.

    Two tokens are a group of their own exactly if they span the same bytes. Tokens of no bytes
    cover nothing that could be grouped: the caller leaves them out.

    Args:
        teacher_ends: Where each token of the teacher ends, in bytes from a common beginning;
            each end is beyond the one before.
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
    at = teacher.searchsorted(student)
    last = (teacher[at] == student).nonzero()[0]
    groups = np.empty((last.size, 4), np.int64)
    groups[:1, ::2] = 0
    groups[:, 1] = at[last] + 1
    groups[:, 3] = last + 1
    groups[1:, ::2] = groups[:-1, 1::2]
    return groups
