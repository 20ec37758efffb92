"""Simple clients see what those of python-socketio see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from client_observing import combined, serve
from support import Program, result


@pytest.fixture(scope="module")
def server() -> Iterator[Program]:
    with serve() as running:
        yield running


@combined([("sync", "polling,websocket"), ("async", "websocket"), ("async", "polling")])
def test_simple_clients_see_the_same(server: Program, kind: str, transports: str) -> None:
    ours = result("client_simple.py", str(server.port), transports, PACKAGE="kokanee", KIND=kind)
    # On polling, python-socketio's client waits for a poll that its server leaves unanswered.
    reference = "websocket" if transports == "polling" else transports
    theirs = result("client_simple.py", str(server.port), reference, PACKAGE="socketio", KIND=kind)
    assert ours.pop("connected") == [True, transports.split(",")[-1], True]
    theirs.pop("connected")
    assert ours == theirs
