"""A server that redirects `potstill verify`: the key stays with the address that it is for."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from potstill.deploy.served_answers import KEY, ServedByChat
from potstill.errors import ServerError


@pytest.fixture
def asked() -> list[str]:
    """The requests that reach the other server."""
    return []


@pytest.fixture
def redirecting(asked: list[str]) -> Iterator[str]:
    """The address of a server that redirects every request to another one."""

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"data": [{"id": "m"}]}')

        def log_message(self, format: str, *arguments: object) -> None:
            """Write nothing."""

    other = HTTPServer(("127.0.0.1", 0), Other)

    class Redirecting(Other):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{other.server_port}/login")
            self.end_headers()

    servers = [other, HTTPServer(("127.0.0.1", 0), Redirecting)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{servers[1].server_port}/v1"
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_redirect_is_an_error_and_not_followed(
    redirecting: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "sk-secret")
    with pytest.raises(ServerError, match="answered 302") as raised:
        ServedByChat(redirecting, None, stop=(), max_tokens=10)
    assert not asked
    assert "sk-secret" not in str(raised.value)
