"""Functions as handlers of events, which the engine calls by itself: they are called, answered and logged as the package's code would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from raw import websocket
from support import Program, program


@pytest.fixture(params=[True, False], ids=["beside each other", "one after the other"])
def server(request: pytest.FixtureRequest) -> Iterator[Program]:
    with program("functions.py", ASYNC_HANDLERS=str(int(request.param))) as running:
        yield running


def answer(client: Any, event: str) -> str:
    """Returns the answer to an event, which is the next packet."""
    client.send(f"421{event}")
    packet: str = client.recv()
    return packet


def test_exceptions_are_logged_and_the_next_events_are_handled(server: Program) -> None:
    client = websocket(server.port)
    client.send('421["fail","one"]')
    assert server.wait_for('ERROR the handler of "fail" failed for').endswith(" [/]")
    server.wait_for("ValueError: one")
    client.send('421["write"]')
    server.wait_for('ERROR the handler of "write" failed for')
    server.wait_for("TypeError: Object of type object is not JSON serializable (at data)")
    for _ in range(10):
        # The thread goes on.
        client.send('421["leave"]')
    assert answer(client, '["ask",1]') == "431[1]"
    # The traceback shows the handler.
    assert any(line.endswith("in fail") for line in server.lines)
    client.close()


def test_what_is_returned_is_the_answer(server: Program) -> None:
    client = websocket(server.port)
    assert answer(client, '["ask"]') == "431[]"
    assert answer(client, '["ask",{"a":[1.5,null]}]') == '431[{"a":[1.5,null]}]'
    assert answer(client, '["ask",1,"two",[3]]') == '431[1,"two",[3]]'
    assert answer(client, '["unknown",1]') == '431[["unknown",1]]'
    client.send('425["silent"]')
    client.send('42["fail","nobody asks"]')
    assert answer(client, '["ask",2]') == "431[2]"
    client.send('451-6["ask",{"_placeholder":true,"num":0}]')
    client.send_binary(b"bytes")
    assert client.recv() == '461-6[{"_placeholder":true,"num":0}]'
    assert client.recv() == b"bytes"
    client.close()


def test_handlers_may_change_at_any_time(server: Program) -> None:
    client = websocket(server.port)
    assert answer(client, '["replace"]') == "431[]"
    assert answer(client, '["ask",1]') == '431[["replaced",1]]'
    assert answer(client, '["intercept"]') == "431[]"
    assert answer(client, '["ask",1]') == '431[["seen","ask"]]'
    assert answer(client, '["restore"]') == "431[]"
    assert answer(client, '["ask",1]') == '431[["replaced",1]]'
    client.close()


def test_events_are_logged_as_soon_as_the_log_takes_them(server: Program) -> None:
    client = websocket(server.port)
    assert answer(client, '["ask",1]') == "431[1]"
    assert answer(client, '["log","INFO"]') == "431[]"
    assert answer(client, '["ask",2]') == "431[2]"
    assert server.wait_for('INFO received event "ask"').endswith(" [/]")
    assert answer(client, '["log","ERROR"]') == "431[]"
    assert answer(client, '["ask",3]') == "431[3]"
    client.close()
    assert sum(line.startswith('INFO received event "ask"') for line in server.lines) == 1
