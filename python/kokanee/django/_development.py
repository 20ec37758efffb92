"""The server of `runserver --asgi`: Kokanee's own host, in the form that Django's `runserver` expects."""

from __future__ import annotations

from typing import Any

from .. import _run, _serve_options


class AsgiServer:
    """Serves an application of ASGI."""

    #: Read by Django: requests do not outlive the process.
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler_class: Any, ipv6: bool = False) -> None:
        host, port = address
        self._options = _serve_options.make_options(
            {"host": host, "port": port, "interface": "asgi", "access_log": True, "graceful_timeout": 1.0}
        )
        self._sockets = _run.bind(self._options)
        self.server_port: int = self._sockets[0].getsockname()[1]
        self._app: Any = None

    def set_app(self, app: Any) -> None:
        """Sets the application."""
        self._app = app

    def serve_forever(self) -> None:
        """Serves until the process is interrupted."""
        try:
            _run.Worker(self._app, self._options, ready=lambda: None).serve(self._sockets)
        finally:
            _run.unbind(self._options, self._sockets)
