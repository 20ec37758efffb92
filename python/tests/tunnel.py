"""A proxy for HTTP between clients and servers under test: for requests of whole URLs, and for tunnels with CONNECT."""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.parse
from collections.abc import Iterator


class Tunnel:
    """Listens on a port, and notes what it is asked for."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        #: The first lines of the requests.
        self.requests: list[str] = []

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._handle, args=[client], daemon=True).start()

    def _handle(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (read := client.recv(4096)):
                    return
                head += read
            line, rest = head.split(b"\r\n", 1)
            self.requests.append(line.decode())
            method, target, version = line.decode().split(" ")
            if method == "CONNECT":
                host, port = target.rsplit(":", 1)
                begin = head.split(b"\r\n\r\n", 1)[1]
            else:
                url = urllib.parse.urlsplit(target)
                host, port = str(url.hostname), str(url.port)
                path = f"{url.path or '/'}?{url.query}"
                # One request for each connection, as the next may be for another server.
                begin = f"{method} {path} {version}\r\nConnection: close\r\n".encode() + rest
            with socket.create_connection((host, int(port))) as server:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                server.sendall(begin)
                threading.Thread(target=forward, args=[client, server], daemon=True).start()
                forward(server, client)


def forward(source: socket.socket, target: socket.socket) -> None:
    """Sends on what comes, until either side ends."""
    with contextlib.suppress(OSError):
        while read := source.recv(65536):
            target.sendall(read)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def tunnel() -> Iterator[Tunnel]:
    """Runs a proxy until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = Tunnel(listener)
        threading.Thread(target=running.serve, daemon=True).start()
        yield running
        listener.shutdown(socket.SHUT_RDWR)
