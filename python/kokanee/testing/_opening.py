"""How a client's request comes to the server: through its application, as a host's would, but with a channel in memory.

The request has what the package's own host puts into it (`hosts/kokanee.py`), so that the server gives it to the engine in the same
way. What is around the server, such as the middleware of a framework, sees the request of a WebSocket.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from ..hosts.kokanee import KEY
from ._events import RequestRefused

Headers = Mapping[str, str]


class Opening:
    """Is the request of a client that opens its connection."""

    def __init__(
        self,
        server: Any,
        app: Any,
        path: str | None,
        headers: Headers | None,
        query: Mapping[str, str] | None,
    ) -> None:
        self._server = server
        self._app = app
        self._path = f"/{path.strip('/')}/" if path else "/socket.io/"
        self._query = urlencode({"EIO": "4", "transport": "websocket", **(query or {})})
        self._headers = {"host": "testserver", **{name.lower(): value for name, value in (headers or {}).items()}}
        #: The connection, once the server has taken the request.
        self.channel: Any = None
        self._status: int | None = None
        self._body = b""

    def give(self, engine: Any, environ: Any) -> bool:
        """Opens the connection, as the server says that the request is for its engine."""
        path = self._server._options["path"] or "/socket.io/"
        headers = [*self._headers.items(), ("upgrade", "websocket"), ("connection", "upgrade")]
        self.channel = engine.websocket(f"{path}?{self._query}", headers, ("127.0.0.1", 1), False, environ)
        return True

    def _refused(self) -> RequestRefused:
        return RequestRefused(self._status, self._body)

    def through_wsgi(self) -> Any:
        """Sends the request through an application of WSGI, and returns the connection."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": self._path,
            "QUERY_STRING": self._query,
            "RAW_URI": f"{self._path}?{self._query}",
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_PORT": "1",
            "HTTP_CONNECTION": "upgrade",
            "HTTP_UPGRADE": "websocket",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            KEY: self,
        }
        for name, value in self._headers.items():
            environ["HTTP_" + name.upper().replace("-", "_")] = value

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
            self._status = int(status.split(" ", 1)[0])
            return lambda data: None

        body = self._app(environ, start_response)
        try:
            self._body = b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()
        if self.channel is None:
            raise self._refused()
        return self.channel

    async def through_asgi(self) -> Any:
        """Sends the request through an application of ASGI, and returns the connection."""
        scope: dict[str, Any] = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": self._path,
            "raw_path": self._path.encode(),
            "root_path": "",
            "query_string": self._query.encode(),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("testserver", 80),
            "subprotocols": [],
            "state": {},
            "extensions": {"websocket.http.response": {}, KEY: self},
        }

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "websocket.close":
                self._status = self._status or 403
            self._status = message.get("status", self._status)
            self._body += message.get("body", b"")

        await self._app(scope, receive, send)
        if self.channel is None:
            raise self._refused()
        return self.channel


def path_of(target: Any, app: Any) -> str | None:
    """Returns the path of clients, if the application says it."""
    path: str | None = getattr(app, "engineio_path", None) or getattr(target, "socketio_path", None)
    return path


def server_of(target: Any) -> tuple[Any, Any]:
    """Returns the server of what a test was given, and the application that its requests go through."""
    from ..asgi import ASGIApp
    from ..base_server import BaseServer
    from ..middleware import WSGIApp

    if isinstance(target, BaseServer):
        return target, (ASGIApp if target.is_asyncio_based() else WSGIApp)(target)
    for name in ("engineio_app", "engineio_server", "server"):
        server = getattr(target, name, None)
        if isinstance(server, BaseServer):
            return server, _application_of(target, server)
    raise TypeError(
        f"this is neither a server nor an application with one: {target!r}; "
        "for an application that keeps its server elsewhere, pass server=…"
    )


def _application_of(target: Any, server: Any) -> Any:
    """Returns what answers the requests: the target itself, or the application that an extension has put its server into."""
    from ..asgi import ASGIApp
    from ..middleware import WSGIApp

    if isinstance(target, (ASGIApp, WSGIApp)):
        return target
    # As Flask's extensions keep it.
    app = getattr(target, "app", None) or getattr(target, "sockio_mw", None)
    if callable(app):
        return app
    return target if callable(target) else (ASGIApp if server.is_asyncio_based() else WSGIApp)(server)
