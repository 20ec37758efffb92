"""`wsgiref.simple_server`, and what is made of it: Django's `runserver`."""

from __future__ import annotations

import socket
from typing import Any

from ._taking import Connection, below, buffered, nothing

end = nothing


def find(environ: dict[str, Any]) -> Connection | None:
    """Returns the connection of a request."""
    if not str(environ.get("SERVER_SOFTWARE", "")).startswith("WSGIServer"):
        return None
    taken = below(environ["wsgi.input"])
    if not isinstance(taken, socket.socket):
        return None
    return Connection(taken, lambda: buffered(environ["wsgi.input"], taken))
