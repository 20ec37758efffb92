"""Large events, many at once, and many binary values: what works with python-socketio works here, and a limit says what it is.

The clients are python-socketio's.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from typing import Any

import pytest
import socketio
from raw import websocket
from support import LIMIT, Program, program, until

KINDS = pytest.mark.parametrize("kind", ["sync", "async"])
TRANSPORTS = pytest.mark.parametrize("transport", ["polling", "websocket"])


@contextlib.contextmanager
def serve(kind: str, **options: Any) -> Iterator[Program]:
    with program("sizes.py", KIND=kind, OPTIONS=repr(options)) as server:
        yield server


@contextlib.contextmanager
def connected(server: Program, transport: str = "websocket") -> Iterator[socketio.Client]:
    """Gives a client whose `got` receives the arguments of each event."""
    client = socketio.Client(reconnection=False, request_timeout=LIMIT)
    client.got = queue.Queue()
    client.on("part", lambda *args: client.got.put(args))

    @client.on("many")
    def many(values: list[bytes]) -> list[bytes]:
        client.got.put(values)
        return values

    client.connect(f"http://127.0.0.1:{server.port}", transports=[transport])
    try:
        yield client
    finally:
        client.disconnect()


@KINDS
@TRANSPORTS
def test_max_http_buffer_size_is_that_of_binary_values_too(kind: str, transport: str) -> None:
    with serve(kind, max_http_buffer_size=8_000_000) as server:
        # Those of one event have a message each, but with long-polling they share a request.
        several = [b"y" * 5_000_000] * 3 if transport == "websocket" else [b"y" * 1_000_000] * 5
        for data in (b"x" * 5_000_000, "x" * 5_000_000, several, [b"z"] * 200):
            with connected(server, transport) as client:
                assert client.call("size", data, timeout=LIMIT) == len(data)


@KINDS
@TRANSPORTS
def test_a_message_that_is_too_large_ends_the_connection_and_the_log_says_why(kind: str, transport: str) -> None:
    with serve(kind) as server:
        with connected(server, transport) as client:
            assert client.call("size", b"x" * 700_000, timeout=LIMIT) == 700_000
            client.emit("size", b"x" * 1_100_000)
            server.wait_for("LEFT transport error")
        line = server.wait_for("WARNING kokanee ")
        assert "max_http_buffer_size" in line
        assert "1000000" in line
        assert "127.0.0.1" in line


@KINDS
@TRANSPORTS
def test_a_burst_to_one_client_arrives_whole(kind: str, transport: str) -> None:
    count = 30
    with serve(kind) as server, connected(server, transport) as client:
        client.emit("burst", (count, 1_000_000, b"x"))
        for number in range(count):
            assert client.got.get(timeout=LIMIT) == (number, b"x" * 1_000_000)
        assert "LEFT" not in server.output


@KINDS
def test_a_client_that_does_not_read_costs_what_the_option_allows(kind: str) -> None:
    count = 300
    with serve(kind, max_outbound_bytes=200_000) as server:
        client = websocket(server.port)
        client.send(f'42["burst",{count},100000,"x"]')
        server.wait_for("LEFT slow consumer")
        client.close()


@KINDS
def test_events_that_have_no_room_may_be_dropped_instead(kind: str) -> None:
    count = 300
    with serve(kind, max_outbound_bytes=200_000, overflow="drop_newest") as server:
        client = websocket(server.port)
        client.send(f'42["burst",{count},100000,"x"]')
        server.wait_for("WARNING kokanee slow client, dropping messages")
        client.send('421["size","abc"]')
        numbers = []
        while (packet := client.recv()) != "431[3]":
            if packet == "2":
                client.send("3")
            else:
                numbers.append(int(packet.split(",")[1]))
        assert numbers == sorted(set(numbers))
        assert 0 < len(numbers) < count
        assert "LEFT" not in server.output
        client.close()


@KINDS
def test_any_number_of_binary_values_is_sent_and_the_log_names_those_who_do_not_read_them(kind: str) -> None:
    with serve(kind) as server, connected(server) as client:
        values = [bytes([number]) for number in range(11)]
        assert client.call("binary", timeout=LIMIT) == values
        assert [client.got.get(timeout=LIMIT) for _ in range(2)] == [values, values]
        server.wait_for("ANSWER 11")
        until(lambda: server.output.count("an event has 11 binary values: JavaScript clients") == 1)


@KINDS
def test_a_client_may_be_in_many_rooms_with_long_names(kind: str) -> None:
    with serve(kind) as server, connected(server) as client:
        assert client.call("rooms", (1500, 300), timeout=LIMIT) == 1501
