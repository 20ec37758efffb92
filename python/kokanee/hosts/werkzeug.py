"""The development server of Werkzeug, which `flask run` starts."""

from __future__ import annotations

from typing import Any, Callable

from ._taking import Connection, buffered, nothing


def find(environ: dict[str, Any]) -> Connection | None:
    """Returns the connection of a request."""
    taken = environ.get("werkzeug.socket")
    if taken is None:
        return None
    return Connection(taken, lambda: buffered(environ["wsgi.input"], taken))


def end(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """Ends the host's part of a request: as if the client had gone, which it does not log."""
    if "werkzeug.debug.preserve_context" in environ:
        # Its debugger would show the exception.
        return nothing(environ, start_response)
    raise ConnectionError
