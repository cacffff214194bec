"""From a model's settings to somebody whom the server can ask."""

from potstill.guide.server.http_upstream import HttpUpstream
from potstill.guide.server.local_upstream import LocalUpstream
from potstill.guide.server.served_upstream import ServedUpstream
from potstill.guide.server.upstreams import Upstream
from potstill.models import open_model
from potstill.models.settings import ModelSettings, OpenAISettings, VLLMSettings


def open_upstream(settings: ModelSettings) -> Upstream:
    """Whom these settings name; a model on this machine is loaded, or its server started.

    Raises:
        PotstillError: It cannot be asked as the settings stand.
    """
    if isinstance(settings, VLLMSettings):
        return ServedUpstream(settings)
    if isinstance(settings, OpenAISettings):
        return HttpUpstream(settings)
    return LocalUpstream(open_model(settings))
