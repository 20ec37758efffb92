"""Our clients against published servers, and Kokanee: socket.io, python-socketio, Flask-SocketIO."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from client_observing import KINDS, TRANSPORTS, combined
from support import INTEROP, program, result

SERVERS = INTEROP / "client" / "servers"
#: Built by `cargo xtask python` and `cargo xtask interop`.
SOCKETIOXIDE = INTEROP.parent.parent / "bench" / "peers" / "target" / "debug" / "socketioxide-interop"
PYTHON = sys.executable
#: How each is started, and the options of its clients.
COMMANDS: dict[str, tuple[list[str | Path], dict[str, Any]]] = {
    "socket.io 4": (["node", SERVERS / "socket-io-4.mjs"], {}),
    "socket.io 4, msgpack": (["node", SERVERS / "socket-io-4.mjs", "--msgpack"], {"serializer": "msgpack"}),
    "socket.io 3": (["node", SERVERS / "socket-io-3.mjs"], {}),
    "socket.io 2": (["node", SERVERS / "socket-io-2.mjs"], {"eio_version": 3}),
    "python-socketio": ([PYTHON, SERVERS / "server.py"], {}),
    "python-socketio, msgpack": ([PYTHON, SERVERS / "server.py", "--msgpack"], {"serializer": "msgpack"}),
    "Flask-SocketIO on gevent": ([PYTHON, SERVERS / "flask_server.py"], {}),
    "Flask-SocketIO on threads": ([PYTHON, SERVERS / "flask_server.py", "--threads"], {}),
    "Kokanee": ([PYTHON, "as_kokanee.py", SERVERS / "server.py"], {}),
    "Kokanee under Flask-SocketIO": ([PYTHON, "as_kokanee.py", SERVERS / "flask_server.py"], {}),
}
#: Servers that handle each event in a thread or greenlet of its own, in any order.
UNORDERED = {"Flask-SocketIO on gevent", "Flask-SocketIO on threads", "Kokanee under Flask-SocketIO"}
#: Those that both kinds use; others run with `--full`, and on the other transports.
USUAL = {"socket.io 4", "python-socketio"}
#: What each run shows of events right before the end.
LAST_WORDS = {
    ("socket.io 4", "sync", "polling"),
    ("socketioxide", "sync", "polling,websocket"),
    ("python-socketio", "async", "websocket"),
    ("Flask-SocketIO on threads", "sync", "websocket"),
}
HINT = {"code": 401, "hint": "say the token"}


def cases() -> list[Any]:
    found = []
    for index, server in enumerate(COMMANDS):
        for kind in KINDS:
            for transports in TRANSPORTS:
                is_usual = server in USUAL or kind == KINDS[index % 2]
                marks = [] if is_usual and transports == "polling,websocket" else [pytest.mark.full]
                found.append(pytest.param(server, kind, transports, marks=marks))
    return found


@pytest.mark.parametrize(("server", "kind", "transports"), cases())
def test_a_client_uses_all_that_there_is(server: str, kind: str, transports: str) -> None:
    _, options = COMMANDS[server]
    check(server, kind, transports, use(server, "kokanee", kind, transports), options)


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("server", ["socket.io 4", "python-socketio", "Kokanee"])
def test_the_published_client_sees_the_same(server: str, kind: str) -> None:
    check(server, kind, "websocket", use(server, "socketio", kind, "websocket"), {})


@pytest.mark.parametrize(
    ("server", "kind", "transports"),
    [
        pytest.param(
            server, kind, transports, marks=[] if (server, kind, transports) in LAST_WORDS else [pytest.mark.full]
        )
        for server in [*COMMANDS, "socketioxide"]
        for kind in KINDS
        for transports in TRANSPORTS
    ],
)
def test_what_is_emitted_right_before_the_end_arrives(server: str, kind: str, transports: str) -> None:
    command, options = COMMANDS.get(server, ([SOCKETIOXIDE], {}))
    if server == "socketioxide" and not SOCKETIOXIDE.exists():
        pytest.skip(f"{SOCKETIOXIDE} is built by `cargo xtask python`")
    with program(*map(str, command), "--port", "{port}", PACKAGE="socketio") as running:
        environment = {"PACKAGE": "kokanee", "KIND": kind, "OPTIONS": repr(options)}
        noted, count = result("client_notes.py", str(running.port), transports, **environment)
    assert noted == count


@combined([("sync", "websocket"), ("async", "polling,websocket")])
def test_a_client_uses_socketioxide(kind: str, transports: str) -> None:
    if not SOCKETIOXIDE.exists():
        pytest.skip(f"{SOCKETIOXIDE} is built by `cargo xtask python`")
    with program(str(SOCKETIOXIDE), "--port", "{port}", PACKAGE="socketio") as running:
        seen = result("client_few_events.py", str(running.port), transports, PACKAGE="kokanee", KIND=kind)
    for namespace in ("/", "/chat"):
        assert seen.pop(namespace) == {
            "echo": [True] * 7,
            "bytes": [True] * 2,
            "said": [{"a": [1]}],
            "said bytes": ["bytes 01"],
            "asked": [["why?"], [{"answer": 2}]],
        }
    assert seen == {
        "transport": transports.split(",")[-1],
        "still": [["/"], 1],
        "joined again": 2,
        "reasons": [["/chat", "server disconnect"], ["/chat", "client disconnect"], ["/", "client disconnect"]],
        "private": "in",
        "refused": [
            "refused",
            "One or more namespaces failed to connect: /private",
            [[{"message": "not authorized"}]],
        ],
        "unknown": [
            "refused",
            "One or more namespaces failed to connect: /unknown",
            [[{"message": "Invalid namespace"}]],
        ],
    }


def use(server: str, package: str, kind: str, transports: str) -> Any:
    command, options = COMMANDS[server]
    with program(*map(str, command), "--port", "{port}", PACKAGE="socketio") as running:
        environment = {"PACKAGE": package, "KIND": kind, "OPTIONS": repr(options)}
        return result("client_interop.py", str(running.port), transports, **environment)


def check(server: str, kind: str, transports: str, seen: Any, options: dict[str, Any]) -> None:
    for namespace in ("/", "/chat"):
        used = seen[namespace]
        assert all(used["echo"]) and used["numbers"], used
        assert used["none"] is None
        assert used["several"] == ["tuple", 1, "bytes 32", [3]]
        assert used["said"] == ["one", 2, "bytes 03"]
        question = [1, "bytes 32"]
        assert used["answers value"] == [question, ["value"]]
        assert used["answers several"] == [question, [1, [2], "three"]]
        assert used["answers nothing"] == [question, []]
        assert used["answers bytes"] == [question, [{"b": "bytes 34"}]]
        assert used["report"]["received"] == 200 or server in UNORDERED
        assert used["report"]["error"] is None or server in UNORDERED
    last = transports.split(",")[-1]
    has_auth = "eio_version" not in options
    assert seen["handshake"] == ["python", "header", {"token": "kokanee"} if has_auth else None]
    assert seen["transport"] == [last, last]
    assert seen["kicked"] == ["server disconnect", ["/"], 1]
    assert seen["left"] == "client disconnect"
    assert seen["refused"][0] == "One or more namespaces failed to connect: /private"
    if has_auth:
        assert seen["private"] == "in"
        assert seen["refused"][1] == [[{"message": "not authorized", "data": HINT}]]
        assert seen["unknown"] == "One or more namespaces failed to connect: /unknown"


def built() -> str | None:
    """Returns the path of `kokanee`: `$KOKANEE`, or the newer of those that are built."""
    target = INTEROP.parent.parent / "target"
    found = [path for profile in ("debug", "release") if (path := target / profile / "kokanee").exists()]
    newest = max(found, key=lambda path: path.stat().st_mtime, default=None)
    return os.environ.get("KOKANEE") or (str(newest) if newest else None)


@pytest.mark.skipif(built() is None, reason="`kokanee` is built by `cargo xtask python`")
@combined([("sync", "polling,websocket"), ("async", "polling,websocket")])
def test_the_demo_server(kind: str, transports: str) -> None:
    with program(str(built()), "serve", "--port", "{port}", "--quiet", PACKAGE="socketio") as running:
        seen = result("client_demo.py", str(running.port), transports, PACKAGE="kokanee", KIND=kind)
    assert seen == {
        "echo": ["tuple", "ä🐟", [1, None], "bytes 00ff"],
        "event": ["without", "bytes 616e20616e73776572"],
        "same id": True,
        "asked": ["tuple", "answer", {"b": "bytes 31"}, 2],
        "rooms": [["red"], []],
        "failed": {"error": {"code": "internal", "message": "internal error"}},
        "transport": transports.split(",")[-1],
        "disconnect": ["server disconnect"],
        "wrong": ["One or more namespaces failed to connect: /private", "not authorized", 401],
        "kokanee": {"token": "kokanee"},
    }
