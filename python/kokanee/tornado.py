"""`AsyncServer` within an application of Tornado."""

from __future__ import annotations

import asyncio
from typing import Any

import tornado.web
import tornado.websocket

from . import _bridge


def get_tornado_handler(socketio_server: Any) -> type[tornado.websocket.WebSocketHandler]:
    """Returns the class of handlers that gives the requests for a path to a server: `(r"/socket.io/", …)`."""

    class Handler(_Handler):
        server = socketio_server

    return Handler


class _Handler(tornado.websocket.WebSocketHandler):
    server: Any

    def initialize(self) -> None:
        self._left = asyncio.Event()
        self._opened = asyncio.Event()
        self._messages: asyncio.Queue[Any] = asyncio.Queue(16)

    async def get(self, *args: Any, **kwargs: Any) -> None:
        scope = self._scope()
        if scope["type"] == "http":
            await self._answer(scope)
            return
        exchange = _bridge.Exchange(is_websocket=True)
        accepted = asyncio.get_running_loop().create_future()

        async def accept(headers: list[tuple[str, str]]) -> None:
            accepted.set_result(headers)
            await self._opened.wait()

        exchange.accept = accept
        exchange.read, exchange.write, exchange.close = self._read, self._write, self._end
        serving = asyncio.ensure_future(exchange.run(self.server, scope, self._extra()))
        try:
            await asyncio.wait([serving, accepted], return_when=asyncio.FIRST_COMPLETED)
            if not accepted.done():
                self._respond(exchange)
                return
            for name, value in accepted.result():
                self.add_header(name, value)
            # It returns when the WebSocket has ended.
            await super().get(*args, **kwargs)
            await serving
        finally:
            serving.cancel()

    async def post(self, *args: Any, **kwargs: Any) -> None:
        await self._answer(self._scope())

    async def options(self, *args: Any, **kwargs: Any) -> None:
        await self._answer(self._scope())

    async def open(self, *args: Any, **kwargs: Any) -> None:
        self._opened.set()

    async def on_message(self, message: str | bytes) -> None:
        await self._messages.put(message)

    def on_close(self) -> None:
        self._left.set()
        self._opened.set()

    def on_connection_close(self) -> None:
        self._left.set()
        super().on_connection_close()

    def check_origin(self, origin: str) -> bool:
        # The engine has done it.
        return True

    def check_xsrf_cookie(self) -> None:
        """Does nothing: clients of Socket.IO have no such cookie."""

    def get_compression_options(self) -> dict[str, Any]:
        return {}

    def _scope(self) -> dict[str, Any]:
        request = self.request
        return _bridge.make_scope(
            request.method or "GET",
            request.path,
            request.query,
            request.headers.get_all(),
            (request.remote_ip, 0) if request.remote_ip else None,
            request.protocol == "https",
        )

    def _extra(self) -> dict[str, Any]:
        return {"SERVER_SOFTWARE": "tornado", "tornado.handler": self}

    async def _answer(self, scope: dict[str, Any]) -> None:
        exchange = _bridge.Exchange(is_websocket=False)
        pieces = iter([self.request.body])

        async def read_body() -> bytes:
            return next(pieces, b"")

        exchange.read_body, exchange.wait_left = read_body, self._left.wait
        await exchange.run(self.server, scope, self._extra())
        if exchange.status:
            self._respond(exchange)

    def _respond(self, exchange: _bridge.Exchange) -> None:
        self.set_status(exchange.status or 403)
        self.clear_header("Content-Type")
        for name, value in exchange.headers:
            self.add_header(name, value)
        self.write(exchange.body)
        self.finish()

    async def _read(self) -> Any:
        """Returns the next message, also those that had come when the client left; `None` after that."""
        if not self._messages.empty():
            return self._messages.get_nowait()
        message = asyncio.ensure_future(self._messages.get())
        left = asyncio.ensure_future(self._left.wait())
        try:
            await asyncio.wait([message, left], return_when=asyncio.FIRST_COMPLETED)
            return message.result() if message.done() else None
        finally:
            message.cancel()
            left.cancel()

    async def _write(self, data: str | bytes) -> None:
        await self.write_message(data, binary=isinstance(data, bytes))

    async def _end(self, code: int) -> None:
        self.close(code)
