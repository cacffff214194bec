"""Settings of ``potstill view``."""

from pydantic import Field

from potstill.settings import Settings


class ViewSettings(Settings):
    """The address at which the page is served."""

    host: str = "127.0.0.1"
    """Address to listen on. Whoever reaches it reads all that the run holds."""

    port: int = Field(default=8765, ge=0, le=65535)
    """The port to listen on; 0 takes any that is free."""
