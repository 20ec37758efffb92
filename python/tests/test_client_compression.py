"""permessage-deflate: what a client and a server have agreed on is compressed on the wire, in both directions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from client_observing import KINDS, combined
from relay import Relay, relay
from support import INTEROP, program, result

SERVERS = INTEROP / "client" / "servers"
#: How each server is started, its environment, and the options of its clients.
COMMANDS: dict[str, tuple[list[str | Path], dict[str, str], str]] = {
    "socket.io 4": (["node", SERVERS / "socket-io-4.mjs", "--port", "{port}", "--deflate"], {}, "{}"),
    "socket.io 4, msgpack": (
        ["node", SERVERS / "socket-io-4.mjs", "--port", "{port}", "--deflate", "--msgpack"],
        {},
        "{'serializer': 'msgpack'}",
    ),
    "websockets": ([sys.executable, SERVERS / "server.py", "--port", "{port}"], {}, "{}"),
    "websockets-sansio": ([sys.executable, "client_server.py"], {"WS": "websockets-sansio"}, "{}"),
    "wsproto": ([sys.executable, "client_server.py"], {"WS": "wsproto"}, "{}"),
}
#: More than the values need that are compressed, less than they need otherwise.
PLAIN, COMPRESSED = 500_000, 200_000


def echo(server: str, kind: str, transports: str, compression: str) -> Relay:
    """Echoes values, and returns the relay that has counted their bytes."""
    command, environment, options = COMMANDS[server]
    with program(*map(str, command), PACKAGE="socketio", **environment) as running, relay(running.port) as between:
        found = result(
            *("client_compression.py", str(between.port), transports),
            PACKAGE="kokanee",
            KIND=kind,
            COMPRESSION=compression,
            OPTIONS=options,
        )
        assert found["wrong"] == []
        return between


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("server", "transports"),
    [
        ("socket.io 4", "websocket"),
        pytest.param("socket.io 4", "polling,websocket", marks=pytest.mark.full),
        pytest.param("socket.io 4, msgpack", "websocket", marks=pytest.mark.full),
        ("websockets", "polling,websocket"),
        pytest.param("websockets", "websocket", marks=pytest.mark.full),
        pytest.param("websockets-sansio", "websocket", marks=pytest.mark.full),
        pytest.param("wsproto", "websocket", marks=pytest.mark.full),
    ],
)
def test_what_is_agreed_on_is_compressed_both_ways(server: str, transports: str, kind: str) -> None:
    between = echo(server, kind, transports, "yes")
    assert 10_000 < between.from_clients < COMPRESSED
    assert 10_000 < between.from_server < COMPRESSED


@combined([("sync", "websocket")], ["websocket", "polling,websocket"])
def test_nothing_is_compressed_that_was_not_asked_for(kind: str, transports: str) -> None:
    between = echo("socket.io 4", kind, transports, "no")
    assert between.from_clients > PLAIN
    assert between.from_server > PLAIN
