"""Waitress. Its `environ` does not name the connection: it is that of the task that has called the application."""

from __future__ import annotations

import sys
from typing import Any

from ._taking import Connection, nothing

end = nothing


def find(environ: dict[str, Any]) -> Connection | None:
    """Returns the connection of a request."""
    if not str(environ.get("SERVER_SOFTWARE", "")).startswith("waitress") and (
        "waitress.client_disconnected" not in environ
    ):
        return None
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") == "waitress.task":
            channel = getattr(frame.f_locals.get("self"), "channel", None)
            if channel is not None:
                return Connection(channel.socket)
        frame = frame.f_back  # type: ignore[assignment]
    return None
