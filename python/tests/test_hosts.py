"""Each host with the published JavaScript client: polling, WebSocket, and the upgrade from one to the other."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

import pytest
from support import javascript, program

DATA = {"text": "hällo 🐟", "list": [1, 2.5, None, True], "bytes": "0001ff"}
BIN = Path(sys.executable).parent

HOSTS = {
    "eventlet": ["origin_eventlet.py"],
    "uvicorn": [str(BIN / "uvicorn"), "--port", "{port}", "asgi:app"],
}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("transports", ["polling", "websocket", "polling,websocket"])
def test_events_answers_and_bytes_pass_both_ways(host: str, transports: str) -> None:
    with program(*HOSTS[host]) as server:
        seen = javascript("echo.mjs", server.port, transports)
        assert seen == {
            "transport": transports.rsplit(",", 1)[-1],
            "ack": DATA,
            "back": [DATA],
        }
        server.wait_for("connect ")
        server.wait_for("message ")
        server.wait_for("disconnect ")


@pytest.mark.parametrize("host", HOSTS)
def test_static_files_are_served(host: str) -> None:
    with program(*HOSTS[host]) as server:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/") as response:
            assert response.headers["Content-Type"] == "text/html"
            assert b"Hello" in response.read()
