"""`ASGIApp` with the parameter names of Engine.IO."""

from __future__ import annotations

from typing import Any, Callable

from ... import asgi


class ASGIApp(asgi.ASGIApp):
    """Gives the requests below `engineio_path` to a server, and others to `other_asgi_app` or to static files."""

    def __init__(
        self,
        engineio_server: Any,
        other_asgi_app: Any = None,
        static_files: dict[str, Any] | None = None,
        engineio_path: str | None = "engine.io",
        on_startup: Callable[[], Any] | None = None,
        on_shutdown: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__(
            engineio_server,
            other_asgi_app,
            static_files,
            engineio_path,
            on_startup,
            on_shutdown,
        )
