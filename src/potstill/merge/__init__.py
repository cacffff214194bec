"""fuse: specialised students of finished runs → one student, measured on all their tasks."""

from potstill.merge.settings import FuseSettings

__all__ = ["FuseSettings"]
