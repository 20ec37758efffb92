"""How an ASGI host's requests and WebSockets come to the engine: message by message, or by their connection.

Hosts with an interface of their own (aiohttp, Tornado, Sanic) speak ASGI here, too: each makes a scope and two functions.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ._environ import Environ, Scope, of_scope, opens_session, taken
from ._loop import Loop
from .hosts import kokanee

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

logger = logging.getLogger("engineio.server")

#: Where ASGI hosts that can give a connection away say so: `scope["extensions"][TAKE_OVER]` is a function that does.
TAKE_OVER = "kokanee.take_over"


async def handle(
    server: Any, scope: Scope, receive: Receive, send: Send, extra: dict[str, Any] | None = None
) -> None:
    """Answers a request or a WebSocket of an ASGI host; `extra` is what the host adds to the environ."""
    if scope["type"] not in ("http", "websocket"):
        return
    has_origin = any(name == b"origin" for name, _ in scope["headers"])
    if has_origin and not server._accepts_origin(of_scope(scope, receive, send, extra)):
        await _refuse_origin(scope, receive, send)
    elif _give(server, scope, extra):
        return
    elif scope["type"] == "websocket":
        await _websocket(server, scope, receive, send, extra)
    else:
        await _http(server, scope, receive, send, extra)


async def _refuse_origin(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request of an origin that is not accepted."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": b'"Not an accepted origin."'})


def _head(server: Any, scope: Scope) -> tuple[str, list[tuple[str, str]], Any, bool]:
    # The application has found that the path is ours, whatever was before it.
    target = server._options["path"] or "/socket.io/"
    query = scope.get("query_string", b"")
    if query:
        target = f"{target}?{query.decode('latin-1')}"
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
    ]
    client = scope.get("client")
    address = None
    if client:
        try:
            address = (str(client[0]), int(client[1] or 0))
        except ValueError:
            pass
    return target, headers, address, scope.get("scheme") in ("https", "wss")


def _kept_environ(
    scope: Scope, receive: Receive, send: Send, extra: dict[str, Any] | None
) -> Environ | None:
    """Returns the environ of a request that opens a session; `None` for others."""
    query = scope.get("query_string", b"").decode("latin-1")
    return of_scope(scope, receive, send, extra) if opens_session(query) else None


def _give(server: Any, scope: Scope, extra: dict[str, Any] | None) -> bool:
    """Gives a request of the package's own host to the engine."""
    extensions = scope.get("extensions")
    if not extensions or kokanee.KEY not in extensions:
        return False

    def environ() -> Environ | None:
        if not opens_session(scope.get("query_string", b"").decode("latin-1")):
            return None
        kept = of_scope(scope, taken, taken, extra)
        kept.leave_host()
        return kept

    return kokanee.give(server._engine, extensions, environ)


async def _http(
    server: Any, scope: Scope, receive: Receive, send: Send, extra: dict[str, Any] | None
) -> None:
    target, headers, address, secure = _head(server, scope)
    method = scope["method"]
    body = b""
    if method == "POST":
        received = await _body(receive, server._options["max_http_buffer_size"])
        if received is None:
            return
        body = received
    environ = _kept_environ(scope, receive, send, extra)
    pending = server._engine.request(
        method, target, headers, body, address, secure, environ, True
    )
    reply = pending.wait(0) or await _reply(server._loop.replies, pending, method, receive)
    if reply is None:
        return
    status, _, headers, body = reply
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive, limit: int) -> bytes | None:
    """Returns the body of a request; of one that is too large the beginning, which is too large. `None`: it never came."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        if size <= limit:
            chunks.append(chunk[: limit + 1 - size])
            size += len(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _reply(
    replies: dict[int, asyncio.Future[Any]], pending: Any, method: str, receive: Receive
) -> Any:
    """Waits for a response. A client that leaves while its poll waits ends it: `None`."""
    done = asyncio.get_running_loop().create_future()
    replies[pending.id] = done
    leaving = None
    try:
        # It may have come before anybody waited.
        reply = pending.wait(0)
        if reply is not None:
            return reply
        if method == "GET":
            leaving = asyncio.ensure_future(_left(receive))
            await asyncio.wait([leaving, done], return_when=asyncio.FIRST_COMPLETED)
        else:
            await done
        return pending.wait(0)
    finally:
        # Nothing happens if the response has come.
        pending.cancel()
        replies.pop(pending.id, None)
        if leaving is not None:
            leaving.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Fed:
    """Is a WebSocket that the host feeds: its messages go to the engine, and those of the engine to it."""

    def __init__(
        self, loop: Loop, channel: Any, send: Send, extensions: Mapping[str, Any]
    ) -> None:
        self._loop = loop
        self._channel = channel
        self._send = send
        self._extensions = extensions
        self._sends = False
        self._steps = _sends_without_task(send)
        #: Set when there is room again, while it is waited for.
        self._room: asyncio.Future[None] | None = None
        #: Set when the connection has ended, from either side.
        self.ended = asyncio.get_running_loop().create_future()

    def ready(self, begin: Callable[[Any], Any]) -> None:
        """Sends what the engine has for the client, or goes on to feed it."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        if not self._sends:
            self._sends = True
            sending = self._send_all()
            if not self._steps:
                begin(sending)
                return
            try:
                waits_for = sending.send(None)
            except StopIteration:
                return
            begin(_go_on(waits_for, sending))

    def end(self) -> None:
        """Ends it, as its loop does."""
        self._channel.end()

    async def feed(self, receive: Receive) -> None:
        """Gives the client's messages to the engine."""
        channel = self._channel
        loop = self._loop
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return
            data = message.get("text")
            if data is None:
                data = message.get("bytes") or b""
            has_room = channel.feed(data)
            if not loop.flushes:
                loop.flush_soon()
            if not has_room:
                # The event that says that there is room is handled on this loop, and so not before this waits.
                self._room = asyncio.get_running_loop().create_future()
                await self._room
                self._room = None

    async def _send_all(self) -> None:
        send = self._send
        try:
            while messages := self._channel.take():
                for message in messages:
                    if isinstance(message, str):
                        await send({"type": "websocket.send", "text": message})
                    elif isinstance(message, bytes):
                        await send({"type": "websocket.send", "bytes": message})
                    else:
                        await self._say(*message)
        except Exception as error:
            # The client is gone; hosts say that in different ways.
            logger.debug("a WebSocket could not be written: %r", error)
            self._channel.end()
            self.finish()
        finally:
            self._sends = False

    async def _say(self, kind: str, value: Any, *response: Any) -> None:
        if kind == "accept":
            headers = _encoded(value)
            await self._send({"type": "websocket.accept", "headers": headers})
            return
        if kind == "close":
            code = value if value != 1006 else 1011
            await self._send({"type": "websocket.close", "code": code})
        elif "websocket.http.response" in self._extensions:
            headers, body = response
            start = "websocket.http.response.start"
            await self._send({"type": start, "status": value, "headers": _encoded(headers)})
            await self._send({"type": "websocket.http.response.body", "body": body})
        else:
            await self._send({"type": "websocket.close", "code": 1008})
        self.finish()

    def finish(self, feeding: Any = None) -> None:
        """Says that the connection has ended."""
        if not self.ended.done():
            self.ended.set_result(None)


def _sends_without_task(send: Send) -> bool:
    """Returns whether a host's function needs no task but where it waits: so uvicorn's, which seldom waits."""
    protocol = getattr(send, "__self__", None)
    module = type(protocol).__module__
    return module.startswith(("uvicorn.protocols.", "kokanee.uvicorn")) and hasattr(protocol, "run_asgi")


@types.coroutine
def _go_on(waits_for: Any, coroutine: Any) -> Any:
    """Goes on with a coroutine that was begun without a task and waits."""
    yield waits_for
    return (yield from coroutine)


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _websocket(
    server: Any, scope: Scope, receive: Receive, send: Send, extra: dict[str, Any] | None
) -> None:
    message = await receive()
    if message["type"] != "websocket.connect":
        return
    target, headers, address, secure = _head(server, scope)
    environ = _kept_environ(scope, receive, send, extra)
    extensions = scope.get("extensions") or {}
    take_over = extensions.get(TAKE_OVER)
    if take_over is None and server._options["takeover"]:
        take_over = _find_connection(receive)
    if take_over is not None:

        def adopt(fd: int, unread: bytes) -> None:
            server._engine.adopt(fd, "GET", target, headers, unread, address, environ)
            if environ is not None:
                environ.leave_host()

        if await take_over(adopt):
            return
    channel = server._engine.websocket(target, headers, address, secure, environ)
    fed = server._loop.channels[channel.id] = _Fed(
        server._loop, channel, send, extensions
    )
    feeding = asyncio.ensure_future(fed.feed(receive))
    try:
        # `asyncio.wait` would keep much more for as long as the connection lasts.
        feeding.add_done_callback(fed.finish)
        await fed.ended
        if feeding.done():
            # Why the host failed, if it did.
            feeding.result()
    finally:
        server._loop.channels.pop(channel.id, None)
        channel.end()
        feeding.cancel()


def _find_connection(receive: Receive) -> Any:
    """Returns the function that gives away the connection of a host's WebSocket, if the host is one that can."""
    protocol = getattr(receive, "__self__", None)
    if type(protocol).__module__.startswith("uvicorn.protocols.websockets."):
        from . import uvicorn

        return uvicorn.find_connection(protocol)
    return None
