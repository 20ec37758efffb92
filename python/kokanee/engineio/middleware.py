"""`WSGIApp` with the parameter names of Engine.IO."""

from __future__ import annotations

from typing import Any, Callable

from .. import middleware


class WSGIApp(middleware.WSGIApp):
    """Gives the requests below `engineio_path` to a server, and others to `wsgi_app` or to static files."""

    def __init__(
        self,
        engineio_app: Any,
        wsgi_app: Any = None,
        static_files: dict[str, Any] | None = None,
        engineio_path: str = "engine.io",
    ) -> None:
        super().__init__(engineio_app, wsgi_app, static_files, engineio_path)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if "gunicorn.socket" in environ:
            # Where servers of Engine.IO look for the socket.
            environ["eventlet.input"] = _Input(environ["gunicorn.socket"])
        return super().__call__(environ, start_response)


class _Input:
    def __init__(self, socket: Any) -> None:
        self._socket = socket

    def get_socket(self) -> Any:
        """Returns the socket of the connection."""
        return self._socket


class Middleware(WSGIApp):
    """Is `WSGIApp` under its older name."""

    def __init__(
        self, engineio_app: Any, wsgi_app: Any = None, engineio_path: str = "engine.io"
    ) -> None:
        super().__init__(engineio_app, wsgi_app, engineio_path=engineio_path)
