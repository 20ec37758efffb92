"""`AsyncServer` on asyncio hosts: connections that are taken over, TLS, and the application around it.

What clients see on each host: test_matrix.py.
"""

from __future__ import annotations

import os
import ssl
import urllib.request
from pathlib import Path

import pytest
import websocket
from asgi_hosts import HOSTS, TAKE_OVER
from observing import JAVASCRIPT_ENDS, check, compare, matrix, observe, published
from support import make_certificate, program, until


@pytest.mark.parametrize("way", TAKE_OVER)
def test_a_connection_that_is_taken_over_behaves_as_one_that_is_fed(way: str) -> None:
    command, options, taken = TAKE_OVER[way]
    theirs = published("uvicorn-sansio", "polling,websocket")
    with program(*command, OPTIONS=options) as server:
        compare(theirs, observe(server, matrix("polling,websocket"), JAVASCRIPT_ENDS))
        check(server)
        assert ("[taken over]" in server.output) == taken

        def sockets() -> list[str]:
            links = Path(f"/proc/{server.process.pid}/fd").iterdir()
            return [link for link in map(os.readlink, links) if link.startswith("socket:")]

        # Nothing is left of them at the host.
        until(lambda: len(sockets()) < 12)
        assert server.stop() in (0, -15)


def test_over_tls_messages_are_fed(tmp_path: Path) -> None:
    key, certificate = make_certificate(tmp_path)
    command = TAKE_OVER["class"][0]
    tls = [f"--ssl-keyfile={key}", f"--ssl-certfile={certificate}"]
    with program(*command[:-1], *tls, command[-1]) as server:
        url = f"wss://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket"
        client = websocket.create_connection(url, sslopt={"cert_reqs": ssl.CERT_NONE}, timeout=20)
        assert client.recv().startswith("0{")
        client.send("40")
        assert client.recv().startswith("40") and client.recv().startswith("42")
        client.send('421["one","x"]')
        assert client.recv() == '431["x"]'
        client.close()
        assert "[taken over]" not in server.output


@pytest.mark.parametrize("host", ["aiohttp", "tornado", "sanic"])
def test_pages_of_the_application_stay(host: str) -> None:
    command, mode = HOSTS[host]
    with program(*command, MODE=mode) as server:
        # Sanic 25.12.1 loses a signal that comes while it still starts, though it answers requests then.
        server.wait_for("READY")
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/page") as response:
            assert response.read() == b"page"
        assert server.stop() in (0, -15)
