"""fuse: specialised students of finished runs → one student, measured on all their tasks."""

from potstill.fuse.settings import FuseSettings

__all__ = ["FuseSettings"]
