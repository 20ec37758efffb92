"""What applications use of `sio.eio`: handlers for connections, as python-engineio has them."""

from __future__ import annotations

from typing import Any

import kokanee
import pytest
import websocket
from kokanee import engineio
from raw import PATH
from support import program

KINDS = pytest.mark.parametrize("kind", ["sync", "async"])


def talk(package: str, kind: str, which: str) -> tuple[list[str], list[Any]]:
    """Returns what the handlers see of a client's whole life, and what the client gets."""
    with program("eio_handlers.py", PACKAGE=package, KIND=kind, WHICH=which) as server:
        url = f"ws://127.0.0.1:{server.port}{PATH}websocket"
        one = websocket.create_connection(url, timeout=10)
        one.recv()
        one.send('40{"token":1}')
        received = [one.recv()[:2]]
        one.send('451-7["ask",{"_placeholder":true,"num":0}]')
        one.send_binary(b"bytes")
        received += [one.recv() for _ in range(3)]
        one.close()
        server.wait_for('SEEN ["disconnect"')
        if which != "subclass":
            assert is_refused(f"{url}&refuse=1")
            server.wait_for('SEEN ["connect"', 2)
    return [line for line in server.lines if line.startswith(("SEEN", "JOINED"))], received


def is_refused(url: str) -> bool:
    """Returns whether a connection is refused, or ended at once."""
    try:
        opened = websocket.create_connection(url, timeout=10)
        # An empty message stands for its end.
        while opened.recv():
            pass
    except websocket.WebSocketTimeoutException:
        return False
    except (websocket.WebSocketException, OSError):
        pass
    return True


@KINDS
@pytest.mark.parametrize("which", ["on", "handlers", "subclass"])
def test_handlers_of_connections_see_what_they_see_of_python_socketio(kind: str, which: str) -> None:
    seen, received = talk("kokanee", kind, which)
    if which == "handlers":
        # As with `on`.
        assert len(seen) == 7 and seen[-1].startswith('SEEN ["connect"')
    else:
        assert (seen, received) == talk("socketio", kind, which)


@KINDS
@pytest.mark.parametrize("package", ["socketio", "kokanee"])
def test_a_client_that_does_not_ask_can_be_connected_when_its_connection_opens(package: str, kind: str) -> None:
    with program("eio_handlers.py", PACKAGE=package, KIND=kind, WHICH="joining") as server:
        one = websocket.create_connection(f"ws://127.0.0.1:{server.port}{PATH}websocket", timeout=10)
        assert one.recv()[:1] == "0"
        assert one.recv()[:10] == '40{"sid":"'
        one.send('421["ask"]')
        assert one.recv().startswith('461-1["one",')
        one.close()


def test_handlers_of_connections_are_for_a_server_that_is_not_in_use() -> None:
    sio = kokanee.Server(async_mode="threading")
    assert sio.eio.on("connect")(print) is print and sio.eio.handlers["connect"] is print
    sio = kokanee.Server(async_mode="threading")
    with pytest.raises(ValueError, match="Invalid event: 'open' is not one of connect, message, disconnect"):
        sio.eio.on("open", print)
    sio._start()
    with pytest.raises(RuntimeError, match="set them before the first request"):
        sio.eio.on("message", print)
    assert sio.eio.handlers["message"] == sio._handle_eio_message
    sio.shutdown()


def test_a_socket_says_why_it_has_no_queue() -> None:
    sio = kokanee.Server(async_mode="threading")
    sio._handle_eio_connect("a", {})
    with pytest.raises(AttributeError, match="limited by max_outbound_bytes"):
        sio.eio.sockets["a"].queue  # noqa: B018


def test_there_are_no_servers_of_engine_io_alone() -> None:
    for kind in (engineio.Server, engineio.AsyncServer):
        with pytest.raises(NotImplementedError, match=f"use kokanee.{kind.__name__}, whose eio.on"):
            kind(cors_allowed_origins="*")
