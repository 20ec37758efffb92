"""uWSGI: with threads, with processes or with `--gevent`."""

from __future__ import annotations

import sys
from typing import Any

from ._taking import Connection, nothing

end = nothing


def find(environ: dict[str, Any]) -> Connection | None:
    """Returns the connection of a request."""
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None or "uwsgi.version" not in environ:
        return None
    options = uwsgi.opt
    if any(_has(options, name) for name in ("https", "https-socket", "https2")):
        return None
    if _has(options, "http") and not _has(options, "http-websockets"):
        # Its router passes on nothing but requests and responses.
        return None
    fd = uwsgi.connection_fd()
    return Connection(fd) if fd >= 0 else None


def closes(environ: dict[str, Any]) -> bool:
    """Returns whether the host ends the connection after a response, without saying so.

    A client that keeps connections may then send its next request to one that is just being closed.
    """
    uwsgi = sys.modules.get("uwsgi")
    return uwsgi is not None and "uwsgi.version" in environ and _has(uwsgi.opt, "http-socket")


def _has(options: Any, name: str) -> bool:
    return name in options or name.encode() in options
