"""Measures what a client that comes back costs the server, beside a new one: CPU time from the handshake to the acceptance.

    cargo build --release -p kokanee-examples --bin kokanee-bench-server
    python bench/peers/python/recovery.py target/release/kokanee-bench-server

Raw WebSockets, one after the other; both kinds take turns. Needs Linux, and nothing but Python.
"""

import json
import re
import socket
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

CLIENTS = 300
ROUNDS = 10
REQUEST = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def frame(text: str) -> bytes:
    """Returns a text of at most 125 bytes as a frame, masked with zeros."""
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text.encode()


def receive(stream: socket.socket, pattern: bytes) -> re.Match[bytes]:
    """Reads until what has come contains a pattern."""
    data = b""
    while not (found := re.search(pattern, data)):
        part = stream.recv(65536)
        if not part:
            raise ConnectionError(data)
        data += part
    return found


class Client:
    """Is one connection, with one socket."""

    def __init__(self, port: int, pid: str | None = None) -> None:
        self.stream = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream.sendall(REQUEST)
        receive(self.stream, rb'"maxPayload":\d+}')
        self.stream.sendall(frame("40" + (json.dumps({"pid": pid}) if pid else "")))
        accepted = json.loads(receive(self.stream, rb"40(\{.*\})")[1])
        self.sid, self.pid = accepted["sid"], accepted["pid"]

    def cut(self) -> None:
        """Resets the connection."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.close()


def main() -> None:
    """Starts the server, measures, and prints a line for each number of missed events."""
    with subprocess.Popen([sys.argv[1], "--recovery"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline().strip().rsplit(":", 1)[1])

        def cpu() -> int:
            return int(Path(f"/proc/{server.pid}/schedstat").read_text().split()[0])

        known = [Client(port) for _ in range(CLIENTS)]
        for missed in (0, 10):
            ratios, times = [], []
            for _ in range(ROUNDS):
                before = cpu()
                new = [Client(port) for _ in range(CLIENTS)]
                new_time = cpu() - before
                for client in [*new, *known]:
                    client.cut()
                time.sleep(0.3)
                sender = Client(port)
                for _ in range(missed):
                    sender.stream.sendall(frame('42["blast","0123456789"]'))
                time.sleep(0.3)
                sender.cut()
                before = cpu()
                back = [Client(port, client.pid) for client in known]
                time_of_back = cpu() - before
                assert [client.sid for client in back] == [client.sid for client in known], "recovered"
                known = back
                ratios.append(time_of_back / new_time)
                times.append((new_time / CLIENTS / 1000, time_of_back / CLIENTS / 1000))
            new_us, back_us = (statistics.median(column) for column in zip(*times, strict=True))
            print(
                f"{missed} events missed: a new client {new_us:.0f} µs, one that comes back {back_us:.0f} µs, "
                f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            )
        server.terminate()


if __name__ == "__main__":
    main()
