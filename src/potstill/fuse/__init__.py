"""fuse: specialised students of one start checkpoint → one student."""

from potstill.fuse.settings import FuseSettings

__all__ = ["FuseSettings"]
