"""Serializers and JSON modules of an application, and namespaces that clients open; the clients are python-socketio's."""

from __future__ import annotations

import contextlib
import json
import types
from collections.abc import Iterator
from typing import Any

import pytest
import socketio
import socketio.msgpack_packet
import socketio.packet
from support import program
from test_semantics import until

KINDS = pytest.mark.parametrize("kind", ["sync", "async"])
TRANSPORTS = pytest.mark.parametrize("transport", ["polling", "websocket"])


class Reversed(socketio.packet.Packet):
    uses_binary_events = False

    def encode(self) -> Any:
        return super().encode()[::-1]

    def decode(self, encoded_packet: Any) -> Any:
        return super().decode(encoded_packet[::-1])


@contextlib.contextmanager
def client(port: int, transport: str, namespaces: Any = "/", **options: Any) -> Iterator[Any]:
    one = socketio.Client(reconnection=False, **options)
    one.backs = []
    one.on("back", lambda *args: one.backs.append(args))
    one.on("question", lambda data: (data, "answer"))
    try:
        one.connect(
            f"http://127.0.0.1:{port}",
            transports=[transport],
            namespaces=namespaces,
            wait_timeout=10,
        )
        yield one
    finally:
        one.disconnect()


@KINDS
@TRANSPORTS
@pytest.mark.parametrize(
    "name, serializer, binary",
    [
        ("reversed", Reversed, False),
        ("scanless", "default", True),
        ("msgpack", "msgpack", True),
        ("msgpack with hooks", "msgpack", True),
    ],
)
def test_serializers(
    kind: str, transport: str, name: str, serializer: Any, binary: bool
) -> None:
    with program("serializers.py", SERIALIZER=name, KIND=kind) as server:
        values = ["ä", {"list": [1, None, 2.5]}] + ([b"\0\xff"] if binary else [])
        with client(server.port, transport, serializer=serializer) as one:
            with client(server.port, transport, serializer=serializer) as other:
                assert one.call("echo", tuple(values)) == tuple(values)
                assert until(lambda: other.backs) == [tuple(values)]
                assert one.call("ask", 7) == (7, "answer")
                assert one.call("state") == [2, ["/"], transport]
            # The client may give a POST up in which it says that it leaves; then only time tells.
            if transport == "websocket":
                until(lambda: one.call("state") == [1, ["/"], transport])
            if name == "msgpack with hooks":
                assert one.call("add", 1) == [1.0, 1.0]


@KINDS
def test_a_json_module_reads_and_writes_the_values(kind: str) -> None:
    module = types.SimpleNamespace(
        loads=json.loads, dumps=lambda value, **options: json.dumps(value, **options)
    )
    saved = socketio.packet.Packet.json
    try:
        with program("serializers.py", SERIALIZER="json", KIND=kind) as server:
            with client(server.port, "websocket", json=module) as one:
                assert one.call("add", {"complex": [1, 2]}) == {"complex": [1.0, 3.0]}
                assert one.call("echo", ("a", b"b", [b"c"])) == ("a", b"b", [b"c"])
                assert one.call("echo", ()) is None
    finally:
        socketio.packet.Packet.json = saved


@KINDS
@TRANSPORTS
def test_clients_open_namespaces_that_go_with_them(kind: str, transport: str) -> None:
    with program("serializers.py", SERIALIZER="every namespace", KIND=kind) as server:
        with client(server.port, transport) as one:
            with client(server.port, transport, ["/new", "/other"]) as other:
                assert other.call("where", namespace="/new") == ["/new", ["/", "/new", "/other"]]
            # The client may give a POST up in which it says that it leaves; then only time tells.
            if transport == "websocket":
                until(lambda: one.call("state") == [1, ["/"], transport])
