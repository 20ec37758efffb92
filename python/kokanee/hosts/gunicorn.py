"""Gunicorn: its workers sync, gthread and gevent (`gunicorn.socket`), and gevent_pywsgi (`gunicorn.sock`)."""

from __future__ import annotations

from typing import Any

from . import gevent
from ._taking import Connection, nothing

end = nothing


def find(environ: dict[str, Any]) -> Connection | None:
    """Returns the connection of a request."""
    if "wsgi.websocket" in environ or environ.get("gunicorn.sock") is not None:
        return gevent.find(environ)
    taken = environ.get("gunicorn.socket")
    return None if taken is None else Connection(taken, lambda: _unread(environ["wsgi.input"]))


def _unread(stream: Any) -> bytes:
    unreader = getattr(getattr(stream, "reader", None), "unreader", None)
    take = getattr(unreader, "take_buffered", None)
    return bytes(take()) if take is not None else b""
