"""Whatever a batch endpoint answers, asking ends in completions or in an error that says what."""

import json
from collections.abc import Callable
from threading import Timer
from typing import Any

from aiohttp import web
from batches import BatchServer
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_hostile_replies import JSON, changed, places

from potstill.errors import ModelError
from potstill.models.openai.model import OpenAIModel
from potstill.models.settings import OpenAISettings
from potstill.records import Request
from potstill.runtime import Runtime

CALLS = ("list", "upload", "create", "poll", "content")


class Odd(BatchServer):
    """A batch endpoint of whose answers to one call one thing is replaced."""

    def __init__(self, call: str, place: int, value: object) -> None:
        super().__init__()
        self.polls = 1
        self._call, self._place, self._value = call, place, value

    def _troubled(self, name: str, handler: Callable[[web.Request], Any]) -> Any:
        inner = super()._troubled(name, handler)

        async def handle(request: web.Request) -> web.StreamResponse:
            answer = await inner(request)
            if name != self._call or not isinstance(answer.body, bytes):
                return answer  # type: ignore[no-any-return]
            lines = [self._changed(json.loads(line)) for line in answer.body.splitlines()]
            return web.Response(body=b"\n".join(lines), content_type="application/json")

        return handle

    def _changed(self, reply: dict[str, Any]) -> bytes:
        found = [(), *places(reply)]
        at = found[self._place % len(found)]
        return json.dumps(changed(reply, at, self._value) if at else self._value).encode()


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(call=st.sampled_from(CALLS), place=st.integers(0, 60), value=JSON)
@example(call="list", place=2, value=True)
def test_a_batch_endpoint_with_one_thing_wrong(call: str, place: int, value: object) -> None:
    requests = [Request(prompt=str(n), samples=(0, 1), temperature=1.0) for n in range(2)]
    control = Runtime()
    brake = Timer(2.0, control.stop.set)  # a batch that never ends is waited for
    brake.start()
    with Odd(call, place, value) as server:
        teacher = OpenAIModel(OpenAISettings.model_validate({
            "model": "openai:m", "base_url": server.url, "api_key_env": None, "mode": "batch",
            "poll_seconds": 0.001, "retries": 1, "deadline": 0.2,
        }), control)  # fmt: skip
        for _ in range(2):  # the second time reads what there is
            found = []
            try:
                for completion in teacher.complete(requests):
                    found.append(completion)
                    assert completion.error is None or completion.error.isprintable()
            except ModelError as error:
                assert str(error).isprintable()
            else:
                assert len(found) == 4 or control.stop.is_set()
    brake.cancel()
