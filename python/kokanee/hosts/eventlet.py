"""`eventlet.wsgi`, with the standard library patched or not."""

from __future__ import annotations

from typing import Any, Callable

from ._taking import Connection, buffered, nothing


def find(environ: dict[str, Any]) -> Connection | None:
    """Returns the connection of a request."""
    stream = environ.get("eventlet.input")
    if stream is None:
        return None
    taken = stream.get_socket()
    return Connection(taken, lambda: buffered(stream, taken))


def end(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """Ends the host's part of a request: it writes nothing."""
    try:
        from eventlet.wsgi import WSGI_LOCAL
    except ImportError:
        return nothing(environ, start_response)
    WSGI_LOCAL.already_handled = True
    return [b""]
