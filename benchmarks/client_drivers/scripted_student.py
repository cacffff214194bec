"""A student behind a server that calls tools, writes JSON, and fills in DSPy's form: always 7."""

import json
import socket
from typing import Any

from aiohttp import web

Body = dict[str, Any]
CALL_ARGUMENTS = {"a": 3, "b": 4, "answer": 7}


def message_for(body: Body) -> tuple[Body, str]:
    """The message and the reason of its end."""
    turns, tools = body["messages"], body.get("tools")
    shape = (body.get("response_format") or {}).get("type", "text")
    asked = json.dumps(turns)
    if tools and turns[-1]["role"] != "tool":
        known = tools[0]["function"].get("parameters", {}).get("properties", CALL_ARGUMENTS)
        arguments = {name: value for name, value in CALL_ARGUMENTS.items() if name in known}
        function = {"name": tools[0]["function"]["name"], "arguments": json.dumps(arguments)}
        call = {"id": "call_1", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    wants_json = "json object" in asked.lower() or ("JSON" in asked and "[[ ##" not in asked)
    if shape != "text" or wants_json:
        return {"role": "assistant", "content": '{"answer": 7}'}, "stop"
    if "[[ ##" in asked:
        return {
            "role": "assistant",
            "content": "[[ ## answer ## ]]\n7\n\n[[ ## completed ## ]]",
        }, "stop"
    return {"role": "assistant", "content": "The answer is 7."}, "stop"


async def answer(request: web.Request) -> web.Response:
    """A chat's answer."""
    message, reason = message_for(await request.json())
    choice = {"index": 0, "message": message, "finish_reason": reason}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return web.json_response({"choices": [choice], "usage": usage})


async def models(_: web.Request) -> web.Response:
    """One model."""
    return web.json_response({"data": [{"id": "scripted"}]})


def main() -> None:
    """Serve on any free port, which is the first line of standard output."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", answer), web.get("/v1/models", models)])
    web.run_app(
        app,
        sock=listening,
        print=lambda *_: print(listening.getsockname()[1], flush=True),
    )


if __name__ == "__main__":
    main()
