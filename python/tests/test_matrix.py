"""One program under python-socketio and, on every host, under Kokanee: clients see the same, and so do its handlers.

Clients are the published ones: JavaScript over polling, WebSocket and the upgrade from one to the other, the same of Engine.IO 3,
and Python's. Each uses events, answers both ways, bytes, rooms, namespaces, refusals, `call`, and ends in several ways.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import asgi_hosts
import pytest
import wsgi_hosts
from observing import (
    ASYNC_ENDS,
    JAVASCRIPT_ENDS,
    OLD,
    PYTHON_ENDS,
    QUICK_PINGS,
    SINGLE,
    TRANSPORTS,
    check,
    compare,
    matrix,
    observe,
    published,
    published_python,
    python_client,
    reasons,
    serve,
)
from support import LIMIT, Program, free_port, grouped, javascript_process, read_line

#: Where python-socketio runs, to be compared with.
WSGI_PEER, ASGI_PEER = "werkzeug", "uvicorn-sansio"
#: Hosts on which it is compared with itself, as its program runs there in another way.
PEERS = {"eventlet-patched", "gevent-websocket"}
#: It drops messages without content that come over a WebSocket.
NO_EMPTY_MESSAGES = "daphne"
#: Sanic 25.12.1 drops a message that is read together with the end of its WebSocket.
LOSES_LAST = "sanic"


HOSTS = [*wsgi_hosts.HOSTS, *asgi_hosts.HOSTS]
LIKE_OTHERS = wsgi_hosts.LIKE_OTHERS | asgi_hosts.LIKE_OTHERS
EACH = pytest.mark.parametrize("server", grouped(HOSTS), indirect=True)
USUAL = pytest.mark.parametrize("server", grouped(HOSTS, LIKE_OTHERS), indirect=True)


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, Program]]:
    """Runs the program on a host."""
    with serve(request.param, EIO3="1", OPTIONS=QUICK_PINGS) as running:
        yield request.param, running


def is_async(host: str) -> bool:
    return host in asgi_hosts.HOSTS


def peer(host: str) -> str:
    if is_async(host):
        return ASGI_PEER
    return host if host in PEERS else WSGI_PEER


def sends_empty_messages(host: str, transports: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Returns whether messages without content arrive; if not, the client is started so that it expects none."""
    if host != NO_EMPTY_MESSAGES or transports == "polling":
        return True
    monkeypatch.setenv("NO_EMPTY_MESSAGES", "1")
    return False


@EACH
@pytest.mark.parametrize("transports", TRANSPORTS)
def test_a_javascript_client_sees_the_same(
    server: tuple[str, Program], transports: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, running = server
    theirs = published(peer(host), transports)
    has_empty_messages = sends_empty_messages(host, transports, monkeypatch)
    ours = observe(running, matrix(transports), JAVASCRIPT_ENDS)
    compare(theirs, ours, has_empty_messages, host == LOSES_LAST)
    check(running)


@USUAL
@pytest.mark.parametrize("transports", TRANSPORTS)
def test_an_old_javascript_client_sees_what_a_new_one_sees(
    server: tuple[str, Program], transports: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, running = server
    theirs = published(peer(host), transports)
    has_empty_messages = sends_empty_messages(host, transports, monkeypatch)
    ours = observe(running, matrix(transports, OLD), JAVASCRIPT_ENDS + 2)
    # It cannot say who it is, so that it is not refused.
    known = {key for key in theirs["client"] if not key.startswith(("refused", "unknown"))}
    assert ours["client"].keys() == known
    for key in known - {"welcome"}:
        expected = theirs["client"][key]
        if key == "one" and not has_empty_messages:
            expected = expected[:-1]
        assert ours["client"][key] == expected, key
    # It joins the default namespace on each connection, also on those for /admin and /class.
    more = ["disconnect transport close"] * 2
    expected = sorted(more + ends(theirs["handlers"]))
    assert reasons(ends(ours["handlers"]), host == LOSES_LAST) == reasons(expected, host == LOSES_LAST)
    check(running)


def ends(handlers: list[str]) -> list[str]:
    """Returns how clients have left, as their handlers see it."""
    return [line for line in handlers if line.startswith("disconnect")]


@USUAL
@pytest.mark.parametrize("transports", SINGLE)
def test_a_python_client_sees_the_same(server: tuple[str, Program], transports: str) -> None:
    host, running = server
    theirs = published_python(peer(host), transports)
    client = python_client(transports, is_async(host))
    ours = observe(running, client, ASYNC_ENDS if is_async(host) else PYTHON_ENDS)
    compare(theirs, ours, loses_last=host == LOSES_LAST)
    check(running)


@pytest.mark.parametrize("host", grouped(HOSTS, LIKE_OTHERS))
def test_a_client_comes_back_after_a_restart(host: str) -> None:
    assert after_restart(host, "kokanee", "polling,websocket") == {
        "reason": "transport close",
        "isNew": True,
        "answer": 1,
    }


@pytest.mark.parametrize("transports", SINGLE)
def test_each_transport_comes_back_as_under_python_socketio(transports: str) -> None:
    ours = after_restart("werkzeug", "kokanee", transports)
    assert ours == after_restart("werkzeug", "socketio", transports)
    assert ours["isNew"] and ours["answer"] == 1


def after_restart(host: str, package: str, transports: str) -> Any:
    """Returns what a client sees whose server dies and runs again."""
    port = free_port()
    with contextlib.ExitStack() as stack:
        with serve(host, port=port, PACKAGE=package) as server:
            client = stack.enter_context(javascript_process("restart.mjs", port, transports))
            assert read_line(client) == "UP"
            server.kill()
        with serve(host, port=port, PACKAGE=package):
            seen = json.loads(read_line(client))
            assert client.wait(LIMIT) == 0
            return seen
