"""Clients made by hand, for what a well-behaved client does not do."""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any

PATH = "/socket.io/?EIO=4&transport="


class Poller:
    """Is a client of long polling; its GETs wait on a connection of their own."""

    def __init__(self, port: int, sid: str = "") -> None:
        self.port = port
        self.sid = sid
        if sid:
            # Somebody else has opened the session.
            return
        opened = self.get()
        assert opened.startswith("0"), opened
        self.handshake = json.loads(opened[1:])
        self.sid = self.handshake["sid"]

    def request(self, method: str, body: Any = None, **options: Any) -> tuple[int, str]:
        """Makes a request, and returns status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        path = PATH + "polling" + (f"&sid={self.sid}" if self.sid else "")
        try:
            connection.request(method, path, body, **options)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def get(self) -> str:
        """Waits for packets."""
        status, body = self.request("GET")
        assert status == 200, body
        return body

    def post(self, packets: str) -> None:
        """Sends packets."""
        assert self.request("POST", packets.encode()) == (200, "ok")

    def join(self) -> None:
        """Connects to the default namespace."""
        self.post("40")
        assert self.until("40")

    def until(self, start: str) -> str:
        """Polls until a packet begins like this, answers pings meanwhile, and returns it."""
        for _ in range(100):
            for packet in self.get().split("\x1e"):
                if packet == "2":
                    self.post("3")
                if packet.startswith(start):
                    return packet
        raise AssertionError(f"no packet {start!r}")

    def emit(self, *args: Any, ack: int | None = None) -> None:
        """Emits an event."""
        self.post(f"42{ack if ack is not None else ''}{json.dumps(args)}")

    def call(self, *args: Any) -> Any:
        """Emits an event and returns the arguments of its acknowledgement."""
        self.emit(*args, ack=1)
        return json.loads(self.until("431[")[3:])


def leave_poll(client: Poller, count: int = 1) -> None:
    """Begins a GET of a client, perhaps with more of them right behind it, and leaves before it is answered."""
    with socket.create_connection(("127.0.0.1", client.port)) as connection:
        connection.sendall(f"GET {PATH}polling&sid={client.sid} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * count)
        time.sleep(0.2)


def exchange(port: int, request: bytes) -> bytes:
    """Sends bytes, and returns what comes until the other end closes."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


def exchange_half_closed(port: int, request: bytes) -> bytes:
    """As `exchange`, but says before it reads that nothing more is sent, as `nc -N` does."""
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


def websocket(port: int) -> Any:
    """Opens a WebSocket, joins the default namespace and returns it."""
    import websocket as client

    opened = client.create_connection(f"ws://127.0.0.1:{port}{PATH}websocket", timeout=20)
    assert opened.recv().startswith("0")
    opened.send("40")
    assert opened.recv().startswith("40")
    return opened
