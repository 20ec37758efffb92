"""`ASGIApp`: a server as an ASGI application, beside another one and static files."""

from __future__ import annotations

import inspect
import logging
import os
from typing import Any, Callable

from .static_files import get_static_file

logger = logging.getLogger("socketio.server")


#: Bytes of a file that are read at once.
CHUNK = 64 * 1024


class ASGIApp:
    """Gives the requests below `socketio_path` to a server, and others to `other_asgi_app` or to static files."""

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

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            if self.other_asgi_app is not None and not (self.on_startup or self.on_shutdown):
                await self.other_asgi_app(scope, receive, send)
            else:
                await self.lifespan(scope, receive, send)
            return
        path = scope["path"]
        if self.engineio_path is None or (path.rstrip("/") + "/").startswith(
            self.engineio_path
        ):
            await self.engineio_server.handle_request(scope, receive, send)
            return
        found = get_static_file(path, self.static_files) if self.static_files else None
        if kind == "http" and found is not None and os.path.isfile(found["filename"]):
            await self.serve_static_file(found, receive, send)
        elif self.other_asgi_app is not None:
            await self.other_asgi_app(scope, receive, send)
        else:
            await self.not_found(receive, send, kind)

    async def lifespan(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answers the events of the host's start and end."""
        hooks = {
            "lifespan.startup": self.on_startup,
            "lifespan.shutdown": self.on_shutdown,
        }
        while True:
            kind = (await receive())["type"]
            if kind not in hooks:
                continue
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

    async def serve_static_file(
        self, found: dict[str, str], receive: Any, send: Any
    ) -> None:
        """Sends a file."""
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"Content-Type", found["content_type"].encode())],
            }
        )
        with open(found["filename"], "rb") as file:
            chunk = file.read(CHUNK)
            while following := file.read(CHUNK):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                chunk = following
        await send({"type": "http.response.body", "body": chunk})

    async def not_found(self, receive: Any, send: Any, kind: str = "http") -> None:
        """Answers with 404."""
        if kind == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        headers = [(b"Content-Type", b"text/plain")]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": b"Not Found"})
