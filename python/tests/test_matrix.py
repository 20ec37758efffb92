"""One program under python-socketio and under Kokanee: what clients see, and what its handlers see, is the same."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
import wsgi_hosts
from support import PROGRAMS, free_port, javascript, javascript_process, program

TRANSPORTS = ["polling", "websocket", "polling,websocket"]
HOSTS = {
    "werkzeug": (["host.py", "werkzeug"], "threading"),
    "gunicorn-gthread": (
        [*wsgi_hosts.gunicorn("gthread", "--threads=20")[:-1], "matrix:app"],
        "threading",
    ),
    "eventlet": (["host.py", "eventlet-patched"], "eventlet"),
    "gevent-websocket": (["host.py", "gevent-websocket"], "gevent"),
}


def observe(host: str, package: str, script: Any, ends: int, **environment: str) -> dict[str, Any]:
    """Runs a client against the program, and returns what both saw."""
    command, mode = HOSTS[host]
    environment = {"MODE": mode, "PACKAGE": package, "PROGRAM": "matrix", **environment}
    with program(*command, **environment) as server:
        seen = script(server.port)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            lines = [line for line in [*server.lines, *list(server._incoming.queue)] if line]
            # A host may be in the middle of a line of its log.
            lines = [line.partition("SEEN ")[2] for line in lines if "SEEN " in line]
            if sum(line.startswith("disconnect") for line in lines) >= ends:
                break
            time.sleep(0.02)
        return {"client": seen, "handlers": sorted(lines)}


def cases() -> list[Any]:
    every = []
    for host in HOSTS:
        for transports in TRANSPORTS:
            usual = transports == "polling,websocket" or host == "werkzeug"
            marks = () if usual else (pytest.mark.full,)
            every.append(pytest.param(host, transports, marks=marks))
    return every


#: Where we decided to do otherwise: what the client or the handlers see, in both packages.
DIFFERENT: dict[str, Any] = {
    # The message of the JavaScript server; python-socketio sends a text that this client cannot read.
    "unknown namespace": (
        {"message": "", "data": "undefined"},
        {"message": "Invalid namespace", "data": "undefined"},
    ),
}


def compare(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Asserts that both saw the same, except for what is decided."""
    assert theirs["client"].keys() == ours["client"].keys()
    for key, value in ours["client"].items():
        if key in DIFFERENT:
            assert (theirs["client"][key], value) == DIFFERENT[key], key
        else:
            assert value == theirs["client"][key], key
    # A client that ends its polling with a packet, without leaving its namespaces: as in JavaScript.
    ended = ("disconnect /class client disconnect", "disconnect /class transport close")
    assert ours["handlers"] == theirs["handlers"] or ours["handlers"] == sorted(
        ended[1] if line == ended[0] else line for line in theirs["handlers"]
    )


@pytest.mark.parametrize("host, transports", cases())
def test_a_javascript_client_sees_the_same(host: str, transports: str) -> None:
    def script(port: int) -> Any:
        return javascript("matrix.mjs", port, transports)

    compare(observe(host, "socketio", script, 4), observe(host, "kokanee", script, 4))


@pytest.mark.parametrize("transports", TRANSPORTS)
def test_an_old_javascript_client_sees_what_a_new_one_sees(transports: str) -> None:
    def script(client: str) -> Any:
        return lambda port: javascript("matrix.mjs", port, transports, client)

    new = observe("werkzeug", "kokanee", script("socket.io-client"), 4, EIO3="1")
    old = observe("werkzeug", "kokanee", script("socket.io-client-v2"), 4, EIO3="1")
    for key, value in old["client"].items():
        if key != "welcome":
            assert value == new["client"][key], key


@pytest.mark.parametrize(
    "host, transports",
    [("werkzeug", "polling"), ("werkzeug", "websocket"), ("gevent-websocket", "websocket")],
)
def test_a_python_client_sees_the_same(host: str, transports: str) -> None:
    def script(port: int) -> Any:
        client = [sys.executable, "matrix_client.py", str(port), transports]
        done = subprocess.run(client, cwd=PROGRAMS, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.strip().split("\n")[-1])

    compare(observe(host, "socketio", script, 3), observe(host, "kokanee", script, 3))


@pytest.mark.parametrize("transports", TRANSPORTS)
def test_clients_come_back_after_a_restart(transports: str) -> None:
    seen = {}
    for package in ("socketio", "kokanee"):
        command, mode = HOSTS["werkzeug"]
        environment = {"MODE": mode, "PACKAGE": package, "PROGRAM": "matrix"}
        port = free_port()
        with contextlib.ExitStack() as stack:
            with program(*command, port=port, **environment) as server:
                client = stack.enter_context(javascript_process("restart.mjs", port, transports))
                assert client.stdout is not None
                assert client.stdout.readline().strip() == "UP"
                server.stop(signal.SIGKILL)
            with program(*command, port=port, **environment):
                seen[package] = json.loads(client.stdout.readline())
                assert client.wait(10) == 0
    assert seen["kokanee"] == seen["socketio"]
    assert seen["kokanee"]["isNew"] and seen["kokanee"]["answer"] == 1
