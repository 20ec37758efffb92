"""`ASGIApp`: a server as an ASGI application, beside another one and static files."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import MutableMapping
from typing import Any, Callable

from .static_files import get_static_file

logger = logging.getLogger("socketio.server")

#: Bytes of a file that are read at once.
CHUNK = 64 * 1024

Scope = MutableMapping[str, Any]


class ASGIApp:
    """Gives the requests below `socketio_path` to a server, and others to `other_asgi_app` or to static files.

    Below a mount, `socketio_path` may be the path within the mount or the whole one. With `""` or `None` all requests are the
    server's. `on_startup` and `on_shutdown` are called when the host starts and ends; without them, `other_asgi_app` gets the events.
    """

    def __init__(
        self,
        socketio_server: Any,
        other_asgi_app: Any = None,
        static_files: dict[str, Any] | None = None,
        socketio_path: str | None = "socket.io",
        on_startup: Callable[[], Any] | None = None,
        on_shutdown: Callable[[], Any] | None = None,
    ) -> None:
        self.engineio_server = socketio_server
        self.other_asgi_app = other_asgi_app
        self.engineio_path = socketio_path
        if self.engineio_path is not None:
            path = self.engineio_path.strip("/")
            self.engineio_path = f"/{path}/" if path else "/"
        self.static_files = static_files or {}
        self.on_startup = on_startup
        self.on_shutdown = on_shutdown

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self.lifespan(scope, receive, send)
            return
        if kind in ("http", "websocket") and self._is_ours(scope):
            await self.engineio_server.handle_request(scope, receive, send)
            return
        found = None
        if self.static_files and kind == "http":
            found = get_static_file(_path_below_mount(scope), self.static_files)
        if found is not None and os.path.isfile(found["filename"]):
            await self.serve_static_file(found, receive, send, scope.get("method") != "HEAD")
        elif self.other_asgi_app is not None:
            await self.other_asgi_app(scope, receive, send)
        else:
            await self.not_found(receive, send, kind)

    def _is_ours(self, scope: Scope) -> bool:
        own = self.engineio_path
        return own is None or any(
            f"{path.rstrip('/')}/".startswith(own) for path in (scope["path"], _path_below_mount(scope))
        )

    async def lifespan(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answers the events of the host's start and end, or has the other application answer them.

        Before the end is announced, all clients are disconnected, while their handlers can still run.
        """
        if self.other_asgi_app is not None and not (self.on_startup or self.on_shutdown):
            await self._lifespan_of_other(scope, receive, send)
        else:
            await self._lifespan_of_hooks(receive, send)

    async def _lifespan_of_hooks(self, receive: Any, send: Any, first: Any = None) -> None:
        hooks = {
            "lifespan.startup": self.on_startup,
            "lifespan.shutdown": self.on_shutdown,
        }
        while True:
            kind = (first or await receive())["type"]
            first = None
            if kind not in hooks:
                continue
            if kind == "lifespan.shutdown":
                await self._stop()
            hook = hooks[kind]
            try:
                result = hook() if hook is not None else None
                if inspect.isawaitable(result):
                    await result
            except Exception:
                logger.exception("the function for %s failed", kind)
                await send({"type": f"{kind}.failed"})
                return
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    async def _lifespan_of_other(self, scope: Scope, receive: Any, send: Any) -> None:
        """Has the other application answer. One that does not know these events is not asked again."""
        pending: Any = None
        answered = False

        async def receive_for_other() -> Any:
            nonlocal pending
            pending = await receive()
            if pending["type"] == "lifespan.shutdown":
                await self._stop()
            return pending

        async def send_for_other(message: dict[str, Any]) -> None:
            nonlocal pending, answered
            answered, pending = True, None
            await send(message)

        try:
            await self.other_asgi_app(scope, receive_for_other, send_for_other)
        except Exception:
            if answered:
                raise
            logger.debug("the other application does not answer lifespan events", exc_info=True)
        if pending is not None or not answered:
            await self._lifespan_of_hooks(receive, send, pending)

    async def _stop(self) -> None:
        # Tests put other objects in the server's place.
        stop = getattr(self.engineio_server, "shutdown", None)
        if stop is not None:
            try:
                await stop()
            except asyncio.CancelledError:
                raise
            except Exception:
                logger.exception("the server could not be stopped")

    async def serve_static_file(
        self, found: dict[str, str], receive: Any, send: Any, with_body: bool = True
    ) -> None:
        """Sends a file."""
        size = os.path.getsize(found["filename"])
        headers = [
            (b"content-type", found["content_type"].encode()),
            (b"content-length", str(size).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if not with_body:
            await send({"type": "http.response.body", "body": b""})
            return
        with open(found["filename"], "rb") as file:
            chunk = file.read(CHUNK)
            while following := file.read(CHUNK):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                chunk = following
        await send({"type": "http.response.body", "body": chunk})

    async def not_found(self, receive: Any, send: Any, kind: str = "http") -> None:
        """Answers with 404; a WebSocket is refused."""
        if kind == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": b"Not Found"})


def _path_below_mount(scope: Scope) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if root and (path == root or path.startswith(root + "/")):
        return path[len(root) :] or "/"
    return path
