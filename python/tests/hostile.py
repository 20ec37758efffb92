"""Servers that are not what a client expects: each is a function that answers one connection."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

Answer = Callable[[socket.socket], None]


@contextlib.contextmanager
def hostile(answer: Answer) -> Iterator[int]:
    """Runs a server until the block ends, and returns its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        connections: list[socket.socket] = []

        def handle(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):
                answer(connection)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connections.append(connection)
                    threading.Thread(target=handle, args=[connection], daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for connection in connections:
                connection.close()


def read_head(connection: socket.socket) -> str:
    """Returns the head of a request."""
    head = b""
    while b"\r\n\r\n" not in head:
        read = connection.recv(4096)
        if not read:
            raise OSError("it ended")
        head += read
    return head.decode("latin-1")


def silent(connection: socket.socket) -> None:
    """Accepts and says nothing, until the client goes."""
    while connection.recv(4096):
        pass


def plain(connection: socket.socket) -> None:
    """Answers whatever comes first, such as a greeting of TLS, with a page of HTTP."""
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    connection.shutdown(socket.SHUT_WR)
    silent(connection)


def closing(connection: socket.socket) -> None:
    """Reads the request and hangs up."""
    read_head(connection)
    connection.close()


def says(status: str, body: bytes, kind: str = "text/html") -> Answer:
    """Returns what answers each request with the same page."""

    def answer(connection: socket.socket) -> None:
        read_head(connection)
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_WR)
        silent(connection)

    return answer


def endless(connection: socket.socket) -> None:
    """Answers with a page that has no end."""
    read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def begins(text: bytes) -> Answer:
    """Returns what begins an answer to each request, and never ends it."""

    def answer(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(text)
        silent(connection)

    return answer


def noise(connection: socket.socket) -> None:
    """Answers with bytes that mean nothing, and waits."""
    connection.recv(4096)
    connection.sendall(bytes(range(256)) * 64)
    silent(connection)


def polling(*bodies: str | bytes) -> Answer:
    """Returns a server of long-polling that answers the GETs of each session with these bodies, and lets the next one wait."""
    left: list[str | bytes] = []

    def answer(connection: socket.socket) -> None:
        while True:
            head = read_head(connection)
            line, _, rest = head.partition("\r\n")
            if line.startswith("POST"):
                length = next(int(each.split(":")[1]) for each in rest.split("\r\n") if each.lower().startswith("content-length"))
                body = len(rest.partition("\r\n\r\n")[2])
                while body < length:
                    body += len(connection.recv(4096))
                content: str | bytes = "ok"
            elif "transport=websocket" in line:
                return silent(connection)
            else:
                if "sid=" not in line:
                    left[:] = bodies
                if not left:
                    return silent(connection)
                content = left.pop(0)
            data = content.encode() if isinstance(content, str) else content
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)

    return answer


def either(over_websocket: Answer, over_polling: Answer) -> Answer:
    """Returns a server that answers the requests of each transport in its own way."""

    def answer(connection: socket.socket) -> None:
        while not (begin := connection.recv(4096, socket.MSG_PEEK)) or b"\r\n" not in begin:
            if not begin:
                return
        (over_websocket if b"transport=websocket" in begin.split(b"\r\n")[0] else over_polling)(connection)

    return answer


def frame(payload: str | bytes, opcode: int | None = None) -> bytes:
    """Returns a message as a frame of a WebSocket."""
    data = payload.encode() if isinstance(payload, str) else payload
    kind = opcode if opcode is not None else 1 if isinstance(payload, str) else 2
    if len(data) < 126:
        size = bytes([len(data)])
    elif len(data) < 65536:
        size = b"\x7e" + struct.pack("!H", len(data))
    else:
        size = b"\x7f" + struct.pack("!Q", len(data))
    return bytes([0x80 | kind]) + size + data


def texts(connection: socket.socket) -> Iterator[str]:
    """Returns the texts that a client sends in frames of a WebSocket, each short, until it closes."""
    stream = connection.makefile("rb")
    while len(head := stream.read(6)) == 6 and head[0] & 15 != 8:
        data = stream.read(head[1] & 127)
        yield bytes(byte ^ head[2 + index % 4] for index, byte in enumerate(data)).decode()


def websocket(*messages: str | bytes, then: Answer = silent) -> Answer:
    """Returns a server of WebSockets that says these messages, or raw bytes of frames, and then waits, or goes on."""

    def answer(connection: socket.socket) -> None:
        head = read_head(connection)
        key = next(
            line.split(": ", 1)[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key")
        )
        accept = base64.b64encode(
            hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        ).decode()
        connection.sendall(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        for message in messages:
            connection.sendall(message if isinstance(message, bytes) else frame(message))
        then(connection)

    return answer
