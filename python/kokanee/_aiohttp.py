"""`AsyncServer` within an application of aiohttp."""

from __future__ import annotations

import contextlib
from typing import Any

from aiohttp import WSMsgType, web

from . import _asgi, _bridge


def create_route(app: Any, server: Any, path: str) -> None:
    """Has an application give the requests for a path to a server, and end it with itself."""
    app.router.add_get(path, server.handle_request)
    app.router.add_post(path, server.handle_request)
    app.router.add_route("OPTIONS", path, server.handle_request)

    async def stop(app: Any) -> None:
        await server.shutdown()

    app.on_shutdown.append(stop)


async def handle(server: Any, request: web.Request) -> web.StreamResponse:
    """Answers a request, or serves a WebSocket until it ends."""
    transport = request.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    client = (peer[0], peer[1]) if isinstance(peer, tuple) else None
    scope = _bridge.make_scope(
        request.method,
        request.path,
        request.rel_url.raw_query_string,
        request.headers.items(),
        client,
        request.secure,
    )
    extra = {"SERVER_SOFTWARE": "aiohttp", "aiohttp.request": request}
    is_websocket = scope["type"] == "websocket"
    exchange = _bridge.Exchange(is_websocket)
    socket: web.WebSocketResponse | None = None
    if is_websocket:
        # Messages that are too large for the engine come to it nevertheless: it says so to the client.
        limit = server._options["max_http_buffer_size"]
        socket = web.WebSocketResponse(max_msg_size=limit + 4096, timeout=1.0)
        _use(socket, exchange, request)
        if server._options["takeover"]:
            scope["extensions"][_asgi.TAKE_OVER] = _find_connection(request)
    else:
        exchange.read_body = request.content.readany
        exchange.wait_left = lambda: _bridge.closed(lambda: _is_closed(request))
    await exchange.run(server, scope, extra)
    if socket is not None and socket.prepared:
        await socket.close()
        return socket
    if exchange.status == 0:
        # Nobody is there to read it.
        return web.Response(status=400)
    headers = [(name, value) for name, value in exchange.headers if name != "content-length"]
    return web.Response(body=exchange.body, status=exchange.status, headers=headers)


def _is_closed(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _use(socket: web.WebSocketResponse, exchange: _bridge.Exchange, request: web.Request) -> None:
    async def accept(headers: list[tuple[str, str]]) -> None:
        for name, value in headers:
            socket.headers.add(name, value)
        await socket.prepare(request)

    async def read() -> str | bytes | None:
        message = await socket.receive()
        return message.data if message.type in (WSMsgType.TEXT, WSMsgType.BINARY) else None

    async def write(data: str | bytes) -> None:
        await (socket.send_str(data) if isinstance(data, str) else socket.send_bytes(data))

    async def close(code: int) -> None:
        if socket.prepared:
            await socket.close(code=code)

    exchange.accept, exchange.read, exchange.write, exchange.close = accept, read, write, close


def _find_connection(request: web.Request) -> Any:
    transport = request.transport
    if transport is None or transport.get_extra_info("sslcontext") is not None:
        return None

    async def take_over(adopt: Any) -> bool:
        socket = transport.get_extra_info("socket")
        if socket is None or transport.is_closing():
            return False
        with contextlib.suppress(RuntimeError):
            transport.pause_reading()
        adopt(socket.fileno(), b"")
        transport.abort()
        return True

    return take_over
