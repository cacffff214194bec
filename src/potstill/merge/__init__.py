"""merge: specialised students of finished runs → one student, measured on all their tasks."""

from potstill.merge.settings import MergeSettings

__all__ = ["MergeSettings"]
