"""One program with an `AsyncServer` under python-socketio and, on every asyncio host, under Kokanee: clients see the same."""

from __future__ import annotations

import functools
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import websocket
from asgi_hosts import HOSTS, TAKE_OVER
from support import PROGRAMS, Program, javascript, javascript_process, program

# Minutes of starting and stopping processes: `cargo xtask python --full`.
pytestmark = pytest.mark.full

TRANSPORTS = ["polling", "websocket", "polling,websocket"]
#: Run by default: one transport for each host, and each transport on one.
USUAL = {("uvicorn-sansio", transports) for transports in TRANSPORTS} | {
    (host, "polling,websocket") for host in HOSTS if not host.endswith(("asyncio", "uvloop"))
}


def seen_by_handlers(server: Program, ends: int) -> list[str]:
    deadline = time.monotonic() + 10
    while True:
        lines = [line for line in [*server.lines, *list(server._incoming.queue)] if line]
        lines = [line[5:] for line in lines if line.startswith("SEEN ")]
        if sum(line.startswith("disconnect") for line in lines) >= ends:
            return sorted(lines)
        if time.monotonic() > deadline:
            return sorted(lines)
        time.sleep(0.02)


def output(server: Program) -> str:
    return "\n".join([*server.lines, *(line for line in list(server._incoming.queue) if line)])


def observe(command: list[str], script: Any, ends: int, **environment: str) -> dict[str, Any]:
    with program(*command, **environment) as server:
        seen = script(server.port)
        handlers = seen_by_handlers(server, ends)
        # The handler that fails is the program's.
        text = output(server)
        assert text.count("Traceback") == text.count("ValueError: expected by the test"), text
    return {"client": seen, "handlers": handlers}


@functools.cache
def published(transports: str) -> dict[str, Any]:
    """Returns what is seen under python-socketio."""
    command, mode = HOSTS["uvicorn-sansio"]
    environment = {"PACKAGE": "socketio", "MODE": mode}
    with program(*command, **environment) as server:
        # A poll that this server leaves unanswered keeps the client's process alive after its end.
        with javascript_process("matrix.mjs", server.port, transports) as client:
            assert client.stdout is not None
            seen = json.loads(client.stdout.readline())
            return {"client": seen, "handlers": seen_by_handlers(server, 4)}


def compare(ours: dict[str, Any], transports: str, has_empty_messages: bool = True) -> None:
    theirs = published(transports)
    for key, value in theirs["client"].items():
        if key == "one" and not has_empty_messages:
            value = value[:-1]
        if key != "unknown namespace":
            assert ours["client"][key] == value, key
    ended = ("disconnect /class client disconnect", "disconnect /class transport close")
    handlers = [ended[1] if line == ended[0] else line for line in theirs["handlers"]]
    assert ours["handlers"] == sorted(handlers)


def cases() -> list[Any]:
    return [
        pytest.param(host, transports, marks=() if (host, transports) in USUAL else (pytest.mark.full,))
        for host in HOSTS
        for transports in TRANSPORTS
    ]


@pytest.mark.parametrize("host, transports", cases())
def test_a_javascript_client_sees_the_same_on_every_host(
    host: str, transports: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, mode = HOSTS[host]
    # It drops messages without content.
    has_empty_messages = host != "daphne" or transports == "polling"
    if not has_empty_messages:
        published(transports)
        monkeypatch.setenv("NO_EMPTY_MESSAGES", "1")
    ours = observe(
        command, lambda port: javascript("matrix.mjs", port, transports), 4, MODE=mode
    )
    compare(ours, transports, has_empty_messages)


@pytest.mark.parametrize("way", TAKE_OVER)
def test_a_connection_that_is_taken_over_behaves_as_one_that_is_fed(way: str) -> None:
    command, options, taken = TAKE_OVER[way]
    with program(*command, OPTIONS=options) as server:
        seen = javascript("matrix.mjs", server.port, "polling,websocket")
        ours = {"client": seen, "handlers": seen_by_handlers(server, 4)}
        compare(ours, "polling,websocket")
        text = output(server)
        assert text.count("Traceback") == text.count("ValueError: expected by the test"), text
        assert ("[taken over]" in text) == taken, text
        # Nothing is left of them at the host.
        sockets = [
            link
            for link in (os.readlink(fd) for fd in Path(f"/proc/{server.process.pid}/fd").iterdir())
            if link.startswith("socket:")
        ]
        assert len(sockets) < 12, sockets
        assert server.stop() in (0, -15)


def test_over_tls_messages_are_fed(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    command = TAKE_OVER["class"][0]
    tls = [f"--ssl-keyfile={key}", f"--ssl-certfile={certificate}"]
    with program(*command[:-1], *tls, command[-1]) as server:
        url = f"wss://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket"
        client = websocket.create_connection(url, sslopt={"cert_reqs": ssl.CERT_NONE}, timeout=10)
        assert client.recv().startswith("0{")
        client.send("40")
        assert client.recv().startswith("40") and client.recv().startswith("42")
        client.send('421["one","x"]')
        assert client.recv() == '431["x"]'
        client.close()
        assert "[taken over]" not in output(server)


@pytest.mark.parametrize("transports", ["polling", "websocket"])
@pytest.mark.parametrize("host", ["uvicorn-sansio", "aiohttp", "tornado"])
def test_a_python_client_sees_the_same(host: str, transports: str) -> None:
    def script(port: int) -> Any:
        client = [sys.executable, "async_matrix_client.py", str(port), transports]
        done = subprocess.run(client, cwd=PROGRAMS, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.strip().split("\n")[-1])

    command, mode = HOSTS[host]
    ours = observe(command, script, 1, MODE=mode)
    # At the end, its polls wait for the ping.
    options = "{'ping_interval': 2, 'ping_timeout': 2}"
    theirs = observe(HOSTS["uvicorn-sansio"][0], script, 1, PACKAGE="socketio", OPTIONS=options)
    assert ours == theirs


@pytest.mark.parametrize("host", ["aiohttp", "tornado", "sanic"])
def test_pages_of_the_application_stay(host: str) -> None:
    command, mode = HOSTS[host]
    with program(*command, MODE=mode) as server:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/page") as response:
            assert response.read() == b"page"
        assert server.stop() in (0, -15)
