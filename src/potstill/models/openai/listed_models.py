"""The models that a server lists, which costs nothing."""

from http import HTTPStatus
from typing import Any

import aiohttp

from potstill.models.openai.client import open_session, read_content
from potstill.models.openai.http_errors import Fault
from potstill.models.openai.lenient_json import read_json
from potstill.models.settings import OpenAISettings

Json = dict[str, Any]

MODELS_SECONDS = 10.0
"""Longest wait for the list of models."""


async def listed_models(settings: OpenAISettings, key: str | None) -> list[Json]:
    """Returns the models that a server lists; none where it lists none."""
    url = f"{settings.base_url.rstrip('/')}/models"
    timeout = aiohttp.ClientTimeout(total=MODELS_SECONDS)
    session = open_session(settings, key)
    try:
        async with session.get(url, timeout=timeout, allow_redirects=False) as response:
            if response.status != HTTPStatus.OK:
                return []
            models = read_json(await read_content(response))["data"]
        return [model for model in models if isinstance(model, dict)]
    except (aiohttp.ClientError, OSError, Fault, LookupError, TypeError, ValueError):
        return []
    finally:
        await session.close()
