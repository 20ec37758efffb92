"""Clients of both packages against our extensions for Flask, Django and FastAPI: events, answers, binary, refusals, ends."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client_observing import KINDS, TRANSPORTS
from support import INTEROP, LIMIT, PROGRAMS, Program, program, result
from test_client_interop import check

BIN = Path(sys.executable).parent
#: Pings come often, as python-socketio's client may wait for one before it ends a session of long-polling.
OPTIONS = ["--port", "{port}", "--ping-interval", "1000"]
FLASK = [sys.executable, "as_flask_extension.py", str(INTEROP / "client" / "servers" / "flask_server.py"), *OPTIONS]
#: How each is started, and its environment.
SERVERS: dict[str, tuple[list[str], dict[str, str]]] = {
    "flask": ([*FLASK, "--threads", "--run"], {}),
    "flask on werkzeug": ([*FLASK, "--threads"], {}),
    "flask on gevent": (FLASK, {}),
    "flask on gevent, run": ([*FLASK, "--run"], {}),
    "django, asgi": (
        [str(BIN / "uvicorn"), "--port={port}", "--log-level=warning", "interop_django:application"],
        {"GATEWAY": "asgi"},
    ),
    "django, wsgi": (
        [str(BIN / "gunicorn"), "--threads=8", "-b", "127.0.0.1:{port}", "--log-level=warning", "interop_django:application"],
        {"GATEWAY": "wsgi"},
    ),
    "fastapi": (["interop_fastapi.py"], {}),
    "fastapi, own": (["interop_fastapi.py", "own"], {}),
}
#: Those whose handlers of one client run side by side.
UNORDERED = {name for name in SERVERS if name.startswith("flask")}
#: What runs without `--full`: each server, each package and kind, each transport.
USUAL = {
    ("flask", "socketio", "sync", "polling,websocket"),
    ("flask on werkzeug", "socketio", "async", "polling"),
    ("flask on gevent", "socketio", "sync", "websocket"),
    ("django, asgi", "socketio", "async", "polling,websocket"),
    ("django, wsgi", "socketio", "sync", "polling"),
    ("fastapi", "socketio", "async", "polling,websocket"),
    ("fastapi, own", "kokanee", "sync", "polling"),
}


@contextlib.contextmanager
def served(server: str) -> Iterator[Program]:
    command, environment = SERVERS[server]
    # That of the published servers: some of the hosts end with their clients only.
    with program(*command, PACKAGE="socketio", PYTHONPATH=str(PROGRAMS), **environment) as running:
        yield running


def cases() -> list[Any]:
    every = [(a, b, c, d) for a in SERVERS for b in ("socketio", "kokanee") for c in KINDS for d in TRANSPORTS]
    assert set(every) >= USUAL
    return [pytest.param(*each, marks=[] if each in USUAL else [pytest.mark.full]) for each in every]


@pytest.mark.parametrize(("server", "package", "kind", "transports"), cases())
def test_a_client_uses_all_that_there_is(server: str, package: str, kind: str, transports: str) -> None:
    with served(server) as running:
        seen = result("client_interop.py", str(running.port), transports, PACKAGE=package, KIND=kind)
    for namespace in ("/", "/chat"):
        # Handlers that run side by side may note numbers in another order.
        if server in UNORDERED:
            seen[namespace]["report"] = {"received": 200, "error": None}
    check(server, kind, transports, seen, {})


@pytest.mark.parametrize("package", ["socketio", pytest.param("kokanee", marks=pytest.mark.full)])
@pytest.mark.parametrize(
    ("server", "kind", "transports"),
    [
        ("flask", "sync", "websocket"),
        pytest.param("django, wsgi", "sync", "websocket", marks=pytest.mark.full),
        ("fastapi", "async", "polling,websocket"),
        pytest.param("flask on gevent", "sync", "polling,websocket", marks=pytest.mark.full),
        pytest.param("django, asgi", "async", "polling,websocket", marks=pytest.mark.full),
    ],
)
def test_the_server_knows_why_a_client_left(server: str, package: str, kind: str, transports: str) -> None:
    environment = {**os.environ, "PACKAGE": package, "KIND": kind, "GONE": '["transport close", "transport error"]'}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with served(server) as running, contextlib.ExitStack() as stack:

        def start(*arguments: str) -> Program:
            command = [sys.executable, "client_reasons.py", str(running.port), transports, *arguments]
            process = subprocess.Popen(command, cwd=PROGRAMS, env=environment, start_new_session=True, **pipes)
            started = Program(process, running.port)
            stack.callback(started.kill)
            return started

        observer = start()
        observer.wait_for("READY")
        dying = start("dies")
        dying.wait_for("UP")
        dying.kill()
        assert observer.process.stdin is not None
        observer.process.stdin.write("\n")
        observer.process.stdin.flush()
        assert observer.process.wait(LIMIT) == 0
        found = json.loads(observer.wait_for('{"server"'))
    assert found["server"] == "server disconnect"
    assert found["client"] == "client disconnect" or package == "socketio"
    assert found["client"] and found["gone"]
