"""The function for the `auth` of a client: it is asked once for each connection, just before that joins its namespaces."""

from __future__ import annotations

import asyncio
import queue
from typing import Any

import pytest
from reversed_packets import Reversed
from support import LIMIT, free_port, program, result, until
from test_client import url_of

import kokanee

FAST = {"reconnection_delay": 0.01, "reconnection_delay_max": 0.02}


@pytest.mark.parametrize("serializer", ["default", "reversed"])
def test_each_connection_has_a_fresh_auth(serializer: str) -> None:
    port = free_port()
    events: queue.Queue[Any] = queue.Queue()
    tokens: list[int] = []
    urls: list[str] = []

    def auth() -> dict[str, int]:
        tokens.append(len(tokens))
        if len(tokens) == 2:
            raise ValueError("no token now")
        return {"token": len(tokens)}

    def url() -> str:
        urls.append(f"http://127.0.0.1:{port}")
        return urls[-1]

    sio = kokanee.Client(**FAST, **({"serializer": Reversed} if serializer == "reversed" else {}))  # type: ignore[arg-type]
    with program("serving_clients.py", port=port, PACKAGE="kokanee", SERIALIZER=serializer) as server:
        sio.connect(url, auth=auth, namespaces=["/", "/other"])
        server.wait_for("connect {'token': 1}")
        assert len(tokens) == 1
        sio.on_reconnect_error(lambda error: events.put("failed"))
        sio.on_reconnect(lambda attempt: events.put("again"))
        server.kill()
    for _ in range(3):
        assert events.get(timeout=LIMIT) == "failed"
    # Attempts that reach no server ask for no auth.
    assert len(tokens) == 1 < len(urls)
    with program("serving_clients.py", port=port, PACKAGE="kokanee", SERIALIZER=serializer) as server:
        # The function fails once, and with it the attempt.
        server.wait_for("connect {'token': 3}")
        while events.get(timeout=LIMIT) != "again":
            pass
        until(lambda: "/other" in sio.namespaces)
        assert sio.call("where", namespace="/other", timeout=LIMIT) == "/other"
        assert len(tokens) == 3
        sio.leave("/")
        sio.join("/")
        server.wait_for("connect {'token': 4}")
        assert len(tokens) == 4
        sio.disconnect()


@pytest.mark.asyncio
async def test_each_connection_of_asyncio_has_a_fresh_auth() -> None:
    tokens: list[int] = []
    again = asyncio.Event()

    async def auth() -> dict[str, int]:
        await asyncio.sleep(0)
        tokens.append(len(tokens))
        return {"token": len(tokens)}

    with program("serving_clients.py", PACKAGE="kokanee") as server:
        sio = kokanee.AsyncClient(**FAST)  # type: ignore[arg-type]
        await sio.connect(url_of(server), auth=auth, namespaces=["/", "/other"])
        sio.on_reconnect(lambda attempt: again.set())
        sio._engine.reconnect()
        await asyncio.wait_for(again.wait(), LIMIT)
        server.wait_for("connect {'token': 2}")
        await asyncio.to_thread(until, lambda: "/other" in sio.namespaces)
        assert await sio.call("where", namespace="/other") == "/other"
        assert len(tokens) == 2
        await sio.disconnect()


def seen_of_auths(server_package: str, client_package: str) -> Any:
    """Returns which values clients were let in with, and what the server's handler saw of each."""
    with program("serving_clients.py", PACKAGE=server_package) as server:
        accepted = result("auth_values.py", url_of(server), PACKAGE=client_package)
        server.wait_for("connect", len(accepted))
        lines = [line.partition(" token=")[0] for line in server.lines if line.startswith("connect")]
    return accepted, lines


def test_servers_accept_the_auth_that_python_socketio_accepts() -> None:
    expected = seen_of_auths("socketio", "kokanee")
    assert expected[1][0] == "connect 'a token'"
    assert seen_of_auths("kokanee", "socketio") == expected
