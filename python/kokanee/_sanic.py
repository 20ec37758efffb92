"""`AsyncServer` within an application of Sanic."""

from __future__ import annotations

import asyncio
from typing import Any

from sanic.response import HTTPResponse

from . import _asgi, _bridge


def create_route(app: Any, server: Any, path: str) -> None:
    """Has an application give the requests for a path to a server, and end it with itself."""

    async def socketio(request: Any) -> Any:
        return await server.handle_request(request)

    # So that it may return no response: Sanic would write one to a connection that a WebSocket has ended.
    socketio.is_websocket = True  # type: ignore[attr-defined]
    app.add_route(socketio, path, methods=["GET", "POST", "OPTIONS"])
    app.enable_websocket()

    async def stop(app: Any) -> None:
        await server.shutdown()

    app.register_listener(stop, "before_server_stop")


async def handle(server: Any, request: Any) -> Any:
    """Answers a request, or serves a WebSocket until it ends."""
    client = (request.ip, request.port or 0) if request.ip else None
    scope = _bridge.make_scope(
        request.method,
        request.path,
        request.query_string,
        request.headers.items(),
        client,
        request.scheme in ("https", "wss"),
    )
    exchange = _bridge.Exchange(scope["type"] == "websocket")
    socket: Any = None
    if scope["type"] == "websocket":

        async def accept(headers: list[tuple[str, str]]) -> None:
            nonlocal socket
            socket = await request.transport.get_protocol().websocket_handshake(request)

        async def read() -> Any:
            try:
                return await socket.recv()
            except asyncio.CancelledError:
                # It says so, too, that the client has left.
                if socket.ws_proto.state.name not in ("CLOSING", "CLOSED"):
                    raise
            except Exception as error:
                _asgi.logger.debug("a WebSocket has ended: %r", error)
            return None

        async def write(data: str | bytes) -> None:
            await socket.send(data)

        async def close(code: int) -> None:
            if socket is not None:
                await socket.close(code)

        exchange.accept, exchange.read, exchange.write, exchange.close = accept, read, write, close
    else:
        pieces = iter([request.body])

        async def read_body() -> bytes:
            return next(pieces, b"")

        exchange.read_body = read_body
        exchange.wait_left = lambda: _bridge.closed(request.transport.is_closing)
    await exchange.run(server, scope, {"SERVER_SOFTWARE": "sanic", "sanic.request": request})
    if socket is not None:
        return None
    headers = dict(exchange.headers)
    kind = headers.pop("content-type", None)
    return HTTPResponse(exchange.body, exchange.status or 400, headers, kind)
