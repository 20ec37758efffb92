"""Which pages may use a server: by default those of its own host alone, as a WebSocket carries the visitor's cookies."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

import pytest
import test_frameworks
from support import program

import kokanee

EXAMPLES = Path(__file__).parent.parent / "examples"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def status(port: int, transport: str, headers: dict[str, str]) -> int:
    """Returns with which status a session is opened or refused."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    if transport == "websocket":
        headers = {**UPGRADE, **headers}
    connection.request("GET", f"/socket.io/?EIO=4&transport={transport}", headers=headers)
    answer = connection.getresponse().status
    connection.close()
    return answer


@pytest.mark.parametrize("name", ["demo", "fastapi"])
def test_pages_of_other_hosts_are_refused(name: str) -> None:
    with program(*test_frameworks.HOSTS[name][0]) as server:
        own = f"http://127.0.0.1:{server.port}"
        for transport, success in (("polling", 200), ("websocket", 101)):
            assert status(server.port, transport, {}) == success
            assert status(server.port, transport, {"Origin": own}) == success
            assert status(server.port, transport, {"Origin": "http://other.example"}) in (400, 403)
            proxied = {"Origin": "https://app.example", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "app.example"}
            assert status(server.port, transport, proxied) == success


@pytest.mark.parametrize(
    "allowed, accepted",
    [
        (None, ["http://own"]),
        ("*", ["http://own", "http://a", "http://b"]),
        ("http://a", ["http://a"]),
        (["http://a", "http://b"], ["http://a", "http://b"]),
        ([], ["http://own", "http://a", "http://b"]),
        (lambda origin: origin == "http://b", ["http://b"]),
        (lambda origin, environ: environ["HTTP_HOST"] in origin, ["http://own"]),
    ],
)
def test_the_option_says_which_origins_are_accepted(allowed: Any, accepted: list[str]) -> None:
    server = kokanee.Server(async_mode="threading", cors_allowed_origins=allowed)
    environ = {"wsgi.url_scheme": "http", "HTTP_HOST": "own"}
    origins = ["http://own", "http://a", "http://b"]
    assert [o for o in origins if server._accepts_origin({**environ, "HTTP_ORIGIN": o})] == accepted
    assert server._accepts_origin(environ)
