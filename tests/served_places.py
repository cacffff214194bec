"""Servers of a student that is not there: they answer with the texts that they are given."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

Json = dict[str, Any]


class Redirect(NamedTuple):
    """An answer that sends a client elsewhere."""

    url: str


Route = Callable[[Json], Json | Redirect]
"""Answers a body."""


@contextmanager
def server(routes: Mapping[str, Route]) -> Iterator[str]:
    """A server with these routes, on this machine; yields its address without a route."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self._reply(json.loads(self.rfile.read(length)))

        def _reply(self, body: Json) -> None:
            route = routes.get(self.path)
            reply = {"error": "there is no such route"} if route is None else route(body)
            content = json.dumps(reply).encode()
            if isinstance(reply, Redirect):
                self.send_response(302)
                self.send_header("Location", reply.url)
            else:
                self.send_response(404 if route is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def chat_routes(texts: Mapping[str, str], **told: Any) -> dict[str, Route]:
    """The routes of an OpenAI-compatible server of one model, ``pens``.

    Args:
        texts: The answer to each question.
        told: ``prompt_tokens``, ``finish_reason``, ``reasoning``; and whole answers of further
            routes by their names, with ``_`` for ``-``.
    """
    usage = {"prompt_tokens": told.pop("prompt_tokens", 0), "completion_tokens": 3}
    reason, reasoning = told.pop("finish_reason", "stop"), told.pop("reasoning", None)

    def answer(body: Json) -> Json:
        message = {"role": "assistant", "content": texts[body["messages"][-1]["content"]]}
        if reasoning is not None:
            message["reasoning_content"] = reasoning
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return {"choices": [choice], "usage": usage}

    routes: dict[str, Route] = {
        "/v1/models": lambda _: {"data": [{"id": "pens"}]},
        "/v1/chat/completions": answer,
    }
    return routes | {f"/{name.replace('_', '-')}": fixed(reply) for name, reply in told.items()}


def fixed(reply: Json) -> Route:
    """A route that answers every body alike."""
    return lambda _: reply


def ollama_routes(texts: Mapping[str, str], **details: str) -> dict[str, Route]:
    """The routes of Ollama by which a model is asked, and told of."""

    def answer(body: Json) -> Json:
        assert set(body) == {"model", "messages", "stream"}, "the Modelfile says all else"
        content = texts[body["messages"][-1]["content"]]
        return {"message": {"role": "assistant", "content": content}, "done_reason": "stop"}

    return {"/api/chat": answer, "/api/show": lambda _: {"details": details}}
