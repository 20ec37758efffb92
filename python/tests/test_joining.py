"""What the handler of `connect` sends: its client gets it like all others, after the answer that lets it in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import kokanee
from kokanee.testing import ConnectionRefused, Event, TestClient


def make(kind: str) -> tuple[Any, list[Any]]:
    """Returns a server, and what its handler of `connect` has seen."""
    seen: list[Any] = []
    sio: Any = kokanee.Server(namespaces=["/other"]) if kind == "Server" else kokanee.AsyncServer(async_mode="asgi", namespaces=["/other"])

    async def connect(sid: str, environ: Any, auth: Any) -> None:
        async def do(result: Any) -> None:
            if asyncio.iscoroutine(result):
                await result

        await do(sio.emit("all"))
        await do(sio.enter_room(sid, "tea"))
        await do(sio.emit("room", (1, b"2"), room="tea"))
        await do(sio.emit("rooms", room=["tea", "milk", sid]))
        await do(sio.emit("own", to=sid))
        await do(sio.emit("not me", skip_sid=sid))
        await do(sio.emit("not this room", skip_sid="tea"))
        await do(sio.emit("milk", room="milk"))
        await do(sio.emit("elsewhere", namespace="/other"))
        seen.append(list(sio.manager.get_participants("/", "tea")) == [(sid, sio.manager.eio_sid_from_sid(sid, "/"))])
        await do(sio.leave_room(sid, "tea"))
        await do(sio.emit("left", room="tea"))
        if auth:
            raise kokanee.exceptions.ConnectionRefusedError("no")

    def run(sid: str, environ: Any, auth: Any) -> None:
        with pytest.raises(StopIteration):
            connect(sid, environ, auth).send(None)

    sio.on("connect", run if kind == "Server" else connect)
    return sio, seen


@pytest.mark.parametrize("kind", ["Server", "AsyncServer"])
def test_the_client_gets_what_its_handler_of_connect_sends_to_many(kind: str) -> None:
    sio, seen = make(kind)
    with TestClient(sio) as one:
        expected = [Event("all"), Event("room", (1, b"2")), Event("rooms"), Event("own")]
        assert one.received == expected
        one.received.clear()
        with TestClient(sio) as two:
            assert two.received == expected
            assert one.received == [Event("all"), Event("not me"), Event("not this room")]
    assert seen == [True, True]


@pytest.mark.parametrize("kind", ["Server", "AsyncServer"])
def test_a_client_that_is_refused_gets_none_of_it(kind: str) -> None:
    sio, _ = make(kind)
    client = TestClient(sio, auth={"refuse": True})
    with pytest.raises(ConnectionRefused):
        client.connect()
    assert client.received == []
