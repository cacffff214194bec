"""A server of vLLM that the guided server starts for itself, as the student or the teacher."""

import asyncio

from potstill.control.watching import Watch
from potstill.guide.server.http_upstream import HttpUpstream
from potstill.models.settings import VLLMSettings
from potstill.models.vllm_server import VLLMServer


class ServedUpstream(HttpUpstream):
    """A model served by vLLM on this machine, from now until it is closed.

    Raises:
        MissingExtraError: vLLM is not installed.
        ModelError: Its server does not start.
    """

    def __init__(self, settings: VLLMSettings) -> None:
        self._server = VLLMServer(settings, Watch())
        served = self._server.start()
        assert served is not None, "nobody stops it while it starts"
        super().__init__(served)

    async def close(self) -> None:
        """Close every connection, and end the server."""
        await super().close()
        await asyncio.to_thread(self._server.stop)
