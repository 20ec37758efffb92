"""Cheroot, the server of CherryPy."""

from __future__ import annotations

from typing import Any

from ._taking import Connection, below, buffered, nothing

end = nothing


def find(environ: dict[str, Any]) -> Connection | None:
    """Returns the connection of a request."""
    if not type(environ["wsgi.input"]).__module__.startswith("cheroot"):
        return None
    taken = below(environ["wsgi.input"])
    if taken is None:
        return None
    return Connection(taken, lambda: buffered(environ["wsgi.input"], taken))
