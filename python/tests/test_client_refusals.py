"""Servers that refuse a namespace, in each form that they may use: handlers and exceptions get what python-socketio's get."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest
from hostile import hostile, texts, websocket

import kokanee
from kokanee import exceptions, packet


class OwnPacket(packet.Packet):
    """Is read and written in Python."""

    def encode(self) -> str | list[str | bytes]:
        return super().encode()


OPEN = {3: '0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000}'}
OPEN[4] = OPEN[3]
#: What the server sends, and the arguments of `connect_error`. Servers of revision 3 send the data alone, or the message.
FORMS: list[tuple[Any, list[Any]]] = [
    ("not authorized", ["not authorized"]),
    ({"message": "no", "data": {"code": 401}}, [{"message": "no", "data": {"code": 401}}]),
    ({"message": "no", "hint": 1}, [{"message": "no", "hint": 1}]),
    ({"code": 401}, [{"code": 401}]),
]


def leaving(connection: socket.socket) -> None:
    """Closes the connection when the client says that it does."""
    for _ in texts(connection):
        pass
    connection.shutdown(socket.SHUT_RDWR)


def text_of(error: exceptions.ConnectionError) -> str:
    return f"{error.reason}: {error}"


@pytest.mark.parametrize("serializer", ["default", OwnPacket])
@pytest.mark.parametrize("revision", [3, 4])
def test_what_the_server_has_said_reaches_handler_and_exception(revision: int, serializer: Any) -> None:
    for sent, expected in FORMS:
        messages = [OPEN[revision], *(["40"] if revision == 3 else []), "44/locked," + json.dumps(sent)]
        with hostile(websocket(*messages, then=leaving)) as port:
            sio = kokanee.Client(eio_version=revision, serializer=serializer, reconnection=False)
            seen: list[Any] = []
            sio.on("connect_error", lambda *args, seen=seen: seen.extend(args), namespace="/locked")
            with pytest.raises(exceptions.ConnectionError) as failed:
                sio.connect(f"http://127.0.0.1:{port}", namespaces=["/locked"], transports="websocket")
            assert text_of(failed.value) == "refused: One or more namespaces failed to connect: /locked"
            assert failed.value.data == expected[0], sent
            assert seen == expected, sent


def hanging_up(connection: socket.socket) -> None:
    """Closes the connection when the client has asked for its namespace."""
    connection.recv(4096)
    connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("reconnection", [True, False])
@pytest.mark.parametrize("serializer", ["default", OwnPacket])
def test_a_connection_that_ends_before_the_answer_is_an_error(serializer: Any, reconnection: bool) -> None:
    seen: list[str] = []
    with hostile(websocket(OPEN[4], then=hanging_up)) as port:
        sio = kokanee.Client(serializer=serializer, reconnection=reconnection)
        sio.on("connect_error", seen.append)
        with pytest.raises(exceptions.ConnectionError) as failed:
            sio.connect(f"http://127.0.0.1:{port}", transports="websocket")
        assert text_of(failed.value).startswith("interrupted: the connection ended during the handshake: transport close")
        sio.wait()
    assert seen[0].startswith("the connection ended during the handshake: transport close")


def test_the_text_of_a_refusal_for_asyncio() -> None:
    async def refused(port: int) -> tuple[list[Any], Any]:
        sio = kokanee.AsyncClient(eio_version=3, reconnection=False)
        seen: list[Any] = []
        sio.on("connect_error", lambda *args: seen.extend(args), namespace="/locked")
        with pytest.raises(exceptions.ConnectionError) as failed:
            await sio.connect(f"http://127.0.0.1:{port}", namespaces=["/locked"], transports="websocket")
        return seen, failed.value.data

    with hostile(websocket(OPEN[3], "40", '44/locked,"not authorized"', then=leaving)) as port:
        assert asyncio.run(refused(port)) == (["not authorized"], "not authorized")
