"""One program with an `AsyncServer` under python-socketio and, on every asyncio host, under Kokanee: clients see the same."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time
import urllib.request
from typing import Any

import pytest
from asgi_hosts import HOSTS, TAKE_OVER
from support import PROGRAMS, Program, javascript, javascript_process, program

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
        monkeypatch.setenv("NO_EMPTY_MESSAGES", "1")
    ours = observe(
        command, lambda port: javascript("matrix.mjs", port, transports), 4, MODE=mode
    )
    compare(ours, transports, has_empty_messages)


@pytest.mark.parametrize("way", TAKE_OVER)
def test_a_connection_that_is_taken_over_behaves_as_one_that_is_fed(way: str) -> None:
    command, options = TAKE_OVER[way]
    ours = observe(
        command, lambda port: javascript("matrix.mjs", port, "polling,websocket"), 4, OPTIONS=options
    )
    compare(ours, "polling,websocket")


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
    theirs = observe(*HOSTS["uvicorn-sansio"][:1], script, 1, PACKAGE="socketio")
    assert ours == theirs


@pytest.mark.parametrize("host", ["aiohttp", "tornado", "sanic"])
def test_pages_of_the_application_stay(host: str) -> None:
    command, mode = HOSTS[host]
    with program(*command, MODE=mode) as server:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/page") as response:
            assert response.read() == b"page"
        assert server.stop() in (0, -15)
