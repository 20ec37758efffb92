"""`WSGIApp` with the parameter names of Engine.IO."""

from __future__ import annotations

from typing import Any

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


class Middleware(WSGIApp):
    """Is `WSGIApp` under its older name."""

    def __init__(
        self, engineio_app: Any, wsgi_app: Any = None, engineio_path: str = "engine.io"
    ) -> None:
        super().__init__(engineio_app, wsgi_app, engineio_path=engineio_path)
