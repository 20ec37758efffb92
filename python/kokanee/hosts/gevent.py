"""`gevent.pywsgi`, alone or with the WebSocket handler of gevent-websocket."""

from __future__ import annotations

from typing import Any

from ._taking import Connection, below, buffered, nothing

end = nothing


def find(environ: dict[str, Any]) -> Connection | None:
    """Returns the connection of a request."""
    websocket = environ.get("wsgi.websocket")
    if websocket is not None:
        handler = websocket.stream.handler
        taken = handler.socket
        return Connection(taken, lambda: buffered(handler.rfile, taken), is_answered=True)
    if not str(environ.get("SERVER_SOFTWARE", "")).startswith("gevent"):
        taken = environ.get("gunicorn.sock")
    else:
        taken = below(environ["wsgi.input"])
    if taken is None:
        return None
    return Connection(taken, lambda: buffered(environ["wsgi.input"], taken))
