"""What the hosts with an interface of their own have in common: a request of theirs as one of ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from . import _asgi

#: How often a host that does not say that a client has left is asked, in seconds.
ASK = 1.0


def make_scope(
    method: str,
    path: str,
    query: str,
    headers: Iterable[tuple[str, str]],
    client: Any,
    secure: bool,
) -> dict[str, Any]:
    """Returns the scope of a request or, if it asks for one, of a WebSocket."""
    encoded = [(name.lower().encode("latin-1"), _bytes(value)) for name, value in headers]
    upgrade = dict(encoded).get(b"upgrade", b"").lower()
    is_websocket = method == "GET" and upgrade == b"websocket"
    scheme = ("ws" if is_websocket else "http") + ("s" if secure else "")
    scope: dict[str, Any] = {
        "type": "websocket" if is_websocket else "http",
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": path,
        "query_string": query.encode("latin-1"),
        "headers": encoded,
        "client": client,
        "server": None,
        "extensions": {"websocket.http.response": {}},
    }
    return scope


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


class Exchange:
    """Is one request of a host, or one WebSocket: `receive` and `send` of ASGI, made of what the host has.

    A response is kept in `status`, `headers` and `body` for the host to write. The host sets how a WebSocket is accepted,
    read and written.
    """

    def __init__(self, is_websocket: bool) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self._is_websocket = is_websocket
        self._begun = False
        self._accepted = asyncio.Event()
        #: Returns the next piece of the body; nothing at its end.
        self.read_body: Callable[[], Any] | None = None
        #: Waits until the client has left.
        self.wait_left: Callable[[], Any] | None = None
        #: Answers the handshake, with these headers.
        self.accept: Callable[[list[tuple[str, str]]], Any] | None = None
        #: Returns the client's next message; `None` when it has left.
        self.read: Callable[[], Any] | None = None
        self.write: Callable[[Any], Any] | None = None
        self.close: Callable[[int], Any] | None = None

    async def receive(self) -> dict[str, Any]:
        """Returns the next message from the client, as ASGI does."""
        if self._is_websocket:
            if not self._begun:
                self._begun = True
                return {"type": "websocket.connect"}
            await self._accepted.wait()
            assert self.read is not None
            data = await self.read()
            if data is None:
                return {"type": "websocket.disconnect", "code": 1005}
            kind = "text" if isinstance(data, str) else "bytes"
            return {"type": "websocket.receive", kind: data}
        if not self._begun and self.read_body is not None:
            piece = await self.read_body()
            self._begun = not piece
            return {"type": "http.request", "body": piece, "more_body": bool(piece)}
        if self.wait_left is not None:
            await self.wait_left()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """Takes the next message for the client, as ASGI does."""
        kind = message["type"]
        if kind.endswith("response.start"):
            self.status = message["status"]
            self.headers = [
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in message["headers"]
            ]
        elif kind.endswith("response.body"):
            self.body += message.get("body", b"")
        elif kind == "websocket.accept":
            assert self.accept is not None
            await self.accept(
                [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
            )
            self._accepted.set()
        elif kind == "websocket.send":
            assert self.write is not None
            text = message.get("text")
            await self.write(text if text is not None else message["bytes"])
        elif self.status == 0 and self.close is not None:
            await self.close(message.get("code", 1000))

    async def run(self, server: Any, scope: dict[str, Any], extra: dict[str, Any]) -> None:
        """Gives the request to a server."""
        server._loop.start()
        await _asgi.handle(server, scope, self.receive, self.send, extra)


async def closed(is_closed: Callable[[], bool]) -> None:
    """Waits until a connection is closed, of a host that has no other way to say so."""
    while not is_closed():
        await asyncio.sleep(ASK)
