"""Connection state recovery: clients whose connection is lost come back with their sid, rooms, session and missed events."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

import kokanee
import pytest
import websocket
from support import program, until

KINDS = pytest.mark.parametrize("kind", ["sync", "async"])
RESET = struct.pack("ii", 1, 0)


class Client:
    """Is a client on a WebSocket, as far as a test needs one."""

    def __init__(self, port: int, auth: dict[str, Any] | None = None) -> None:
        url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
        self._socket = websocket.create_connection(url, timeout=20)
        assert self._socket.recv().startswith("0")
        #: The events that came before the acceptance.
        self.missed: list[list[Any]] = []
        self._socket.send("40" + (json.dumps(auth) if auth else ""))
        while not (packet := self._receive()).startswith("40"):
            self.missed.append(json.loads(packet[2:]))
        accepted = json.loads(packet[2:])
        self.sid, self.pid = accepted["sid"], accepted["pid"]

    def _receive(self) -> str:
        while (packet := self._socket.recv()) == "2":
            self._socket.send("3")
        return str(packet)

    def call(self, *args: Any) -> Any:
        """Emits an event and returns the acknowledgement."""
        self._socket.send(f"421{json.dumps(args)}")
        while not (packet := self._receive()).startswith("431"):
            pass
        return json.loads(packet[3:])

    def event(self) -> list[Any]:
        """Returns the next event."""
        return list(json.loads(self._receive()[2:]))

    def cut(self) -> None:
        """Loses the connection."""
        self._socket.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._socket.shutdown()

    def leave(self) -> None:
        """Disconnects from the namespace."""
        self._socket.send("41")


@KINDS
def test_a_client_comes_back_as_it_was(kind: str) -> None:
    with program("recovery.py", KIND=kind) as server:
        client, other = Client(server.port), Client(server.port)
        sid = client.call("name", "Ada", "red")[0]
        assert sid == client.sid
        client.cut()
        # It is not known whether the server has noticed it: what is sent is not lost.
        for number, to in enumerate(["red", "blue", sid, None]):
            other.call("say", "news", to, number)
        back = Client(server.port, {"pid": client.pid})
        assert (back.sid, back.pid) == (client.sid, client.pid)
        assert [event[:2] for event in back.missed] == [["news", 0], ["news", 2], ["news", 3]]
        other.call("say", "news", "red", 4)
        assert back.event()[:2] == ["news", 4]
        until(lambda: len(noted(server.output)) >= 4)
        *new, left, came_back = noted(server.output)
        assert new == ["CONNECT False None []"] * 2
        assert left in ("DISCONNECT transport close Ada", "DISCONNECT transport error Ada")
        assert came_back == "CONNECT True Ada ['red']"


def noted(output: str) -> list[str]:
    """Returns the lines of the program about its clients."""
    return [line for line in output.splitlines() if "CONNECT" in line]


@KINDS
def test_a_client_that_has_left_is_new(kind: str) -> None:
    with program("recovery.py", KIND=kind) as server:
        client = Client(server.port)
        client.call("name", "Ada", "red")
        client.leave()
        until(lambda: "DISCONNECT" in server.output)
        back = Client(server.port, {"pid": client.pid})
        assert back.sid != client.sid
        assert back.pid != client.pid
        until(lambda: server.output.count("CONNECT False None []") == 2)


def test_without_the_option_nobody_comes_back() -> None:
    sio = kokanee.Server(async_mode="threading")
    assert sio.recovered("AAAAAAAAAAAAAAAAAAAA") is False


@pytest.mark.parametrize("wrong", [5, "yes", {"max_disconnection": 5}, {"max_bytes": "1"}])
def test_a_wrong_setting_says_what_was_meant(wrong: Any) -> None:
    with pytest.raises(TypeError, match="connection_state_recovery is True, False, or a dict"):
        kokanee.Server(async_mode="threading", connection_state_recovery=wrong)
