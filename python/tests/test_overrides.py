"""Methods that applications override to see or change what is sent: they see what they see of python-socketio, and it arrives."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import websocket
from support import program

KINDS = pytest.mark.parametrize("kind", ["sync", "async"])
METHODS = pytest.mark.parametrize("method", ["_send_packet", "_send_eio_packet"])


def talk(package: str, kind: str, method: str) -> tuple[list[Any], list[Any]]:
    """Returns what the method sees of a client's whole life, and what the client gets."""
    with program("overrides.py", PACKAGE=package, KIND=kind, WHICH=method) as server:
        url = f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket"
        one = websocket.create_connection(url, timeout=10)
        one.recv()
        received: list[Any] = []

        def take(count: int) -> None:
            received.extend(one.recv() for _ in range(count))

        one.send("40/other,")
        take(1)
        one.send('40{"refuse":true}')
        take(1)
        one.send('40{"token":1}')
        take(1)
        one.send('427["ask"]')
        take(6)
        number = re.search(r"51-(\d+)", str(received))
        assert number is not None
        one.send(f'43{number[1]}["yes",2]')
        assert server.wait_for("ANSWER") == "ANSWER ('yes', 2)"
        one.send('42["bye"]')
        take(1)
        server.wait_for("BYE")
        one.close()
        seen = [json.loads(line[5:]) for line in server.lines if line.startswith("SEEN")]
        return seen, [without_ids(message) for message in received]


def without_ids(message: Any) -> Any:
    if isinstance(message, bytes):
        return message
    return re.sub(r'"sid":"[^"]+"', '"sid":""', re.sub(r"^451-\d+\[", "451-N[", message))


WIRE = [
    '40/other,{"sid":""}',
    '44{"message":"no","data":1}',
    '40{"sid":""}',
    '42["text",{"a":[1]}]',
    '451-N["bytes",{"_placeholder":true,"num":0}]',
    b"x",
    '42["message","a",1]',
    '461-7["one",{"_placeholder":true,"num":0}]',
    b"two",
    "41",
]


@KINDS
@METHODS
def test_an_overridden_method_sees_all_packets_and_they_arrive(kind: str, method: str) -> None:
    seen, received = talk("kokanee", kind, method)
    assert received == WIRE
    if method == "_send_packet":
        assert [pkt[0] for pkt in seen] == [0, 4, 0, 5, 6, 1]
        assert seen[-2] == [6, "/", 7, "['one', b'two']"]
    else:
        # By this one, events without a callback are sent: they are encoded once for all clients.
        assert seen == [["'2[\"text\",{\"a\":[1]}]'"], ["'2[\"message\",\"a\",1]'"]]


@KINDS
@METHODS
def test_it_sees_what_it_sees_of_the_published_package(kind: str, method: str) -> None:
    assert talk("kokanee", kind, method) == talk("socketio", kind, method)
