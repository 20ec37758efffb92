"""A host's connection that can be taken over, and what the host gets in its place."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Any, Callable

from .. import _engine


class Connection:
    """Is the connection of a request: a socket of the host, or a descriptor alone."""

    def __init__(
        self,
        taken: Any,
        take_unread: Callable[[], bytes] | None = None,
        *,
        is_answered: bool = False,
    ) -> None:
        self.socket = taken
        self._take_unread = take_unread
        #: Whether the host has accepted the WebSocket already.
        self.is_answered = is_answered
        #: Whether the host encrypts: its descriptor is of no use.
        self.is_tls = isinstance(taken, ssl.SSLSocket) or hasattr(taken, "_sslobj")

    def fileno(self) -> int:
        """Returns the descriptor."""
        return self.socket if isinstance(self.socket, int) else int(self.socket.fileno())

    def unread(self) -> bytes:
        """Takes what the host has read after the request."""
        return self._take_unread() if self._take_unread is not None else b""

    def replace(self) -> None:
        """Puts an end of a socket pair in the place of the host's descriptor; the engine reads the other end."""
        ours, dummy = socket.socketpair()
        try:
            os.set_blocking(dummy.fileno(), os.get_blocking(self.fileno()))
            os.dup2(dummy.fileno(), self.fileno(), inheritable=False)
            _engine.swallow(ours.fileno())
        finally:
            dummy.close()
            ours.close()


def below(stream: Any) -> Any:
    """Returns the socket below a host's input, through what wraps it; `None` if there is none."""
    for _ in range(6):
        found = getattr(stream, "_sock", None)
        if found is not None:
            return found
        stream = _inner(stream, ("raw", "rfile", "_stream", "stream", "input"))
        if stream is None:
            return None
    return None


def _inner(stream: Any, names: tuple[str, ...]) -> Any:
    """Returns what a stream wraps, by the names of its attributes; `None` if it wraps nothing."""
    for name in names:
        inner = getattr(stream, name, None)
        if inner is not None:
            return inner
    # Django's keeps only the method that it reads with.
    return getattr(getattr(stream, "_read", None), "__self__", None)


def buffered(stream: Any, taken: Any) -> bytes:
    """Takes what is in the buffer of a host's input, without waiting for more."""
    while not hasattr(stream, "peek"):
        stream = _inner(stream, ("rfile", "_stream"))
        if stream is None:
            return b""
    timeout = taken.gettimeout()
    taken.settimeout(0)
    try:
        waiting = stream.peek(1)
        return bytes(stream.read1(len(waiting))) if waiting else b""
    except (OSError, ValueError):
        return b""
    finally:
        taken.settimeout(timeout)


def nothing(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """Ends the host's part of a request with an empty response, which goes nowhere."""
    start_response("200 OK", [("Content-Length", "0")])
    return []
