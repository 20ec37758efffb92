"""`WSGIApp`: a server as a WSGI application, beside another one and static files."""

from __future__ import annotations

import os
from typing import Any, Callable

from .static_files import get_static_file


#: Bytes of a file that are read at once.
CHUNK = 64 * 1024


class WSGIApp:
    """Gives the requests below `socketio_path` to a server, and others to `wsgi_app` or to static files."""

    def __init__(
        self,
        socketio_app: Any,
        wsgi_app: Any = None,
        static_files: dict[str, Any] | None = None,
        socketio_path: str = "socket.io",
    ) -> None:
        self.engineio_app = socketio_app
        self.wsgi_app = wsgi_app
        self.engineio_path = "/" + f"{socketio_path.strip('/')}/".lstrip("/")
        self.static_files = static_files or {}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        path = environ["PATH_INFO"]
        if path is not None and path.startswith(self.engineio_path):
            return self.engineio_app.handle_request(environ, start_response)
        found = get_static_file(path, self.static_files) if self.static_files else None
        if found is not None and os.path.isfile(found["filename"]):
            return self._send_file(found, start_response)
        if self.wsgi_app is not None:
            return self.wsgi_app(environ, start_response)
        return self.not_found(start_response)

    @staticmethod
    def _send_file(found: dict[str, str], start_response: Callable[..., Any]) -> Any:
        size = os.path.getsize(found["filename"])
        headers = [("Content-Type", found["content_type"])]
        if size <= CHUNK:
            # Of a response in one piece the host knows the length.
            start_response("200 OK", headers)
            return list(_chunks(found["filename"]))
        start_response("200 OK", [*headers, ("Content-Length", str(size))])
        return _chunks(found["filename"])

    def not_found(self, start_response: Callable[..., Any]) -> Any:
        """Answers with 404."""
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"Not Found"]


def _chunks(filename: str) -> Any:
    with open(filename, "rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


class Middleware(WSGIApp):
    """Is `WSGIApp` under its older name."""

    def __init__(
        self, socketio_app: Any, wsgi_app: Any = None, socketio_path: str = "socket.io"
    ) -> None:
        super().__init__(socketio_app, wsgi_app, socketio_path=socketio_path)
