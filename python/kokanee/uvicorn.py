"""WebSockets of uvicorn whose connections the engine takes over, so that their messages do not go through ASGI.

`uvicorn --ws kokanee.uvicorn:WebSocketProtocol app:app`, or `AsyncServer(takeover=True)` with one of uvicorn's own protocols.
The application is called as ever, so middleware, mounts and other WebSocket routes work. Over TLS messages are fed. Uvicorn
does not count connections that were taken over.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol

from . import _asgi

Adopt = Callable[[int, bytes], None]

logger = logging.getLogger("uvicorn.error")

if TYPE_CHECKING:
    Protocol = Any
elif AutoWebSocketsProtocol is None:
    raise ImportError("uvicorn's WebSockets need the package websockets or wsproto")
else:
    Protocol = AutoWebSocketsProtocol


class WebSocketProtocol(Protocol):  # type: ignore[misc]
    """Is uvicorn's protocol for WebSockets, whose connection the application may give away."""

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        if scope is not None and hasattr(self.transport, "pause_reading"):
            extensions = scope.setdefault("extensions", {})
            extensions[_asgi.TAKE_OVER] = find_connection(self)


def find_connection(protocol: Any) -> Callable[[Adopt], Awaitable[bool]] | None:
    """Returns the function that gives away a connection; `None` if that must stay with the host."""
    transport = getattr(protocol, "transport", None)
    if transport is None or transport.get_extra_info("sslcontext") is not None:
        return None
    if not hasattr(protocol, "run_asgi") or not hasattr(protocol, "handle_connect"):
        # The older implementation on websockets has a task of its own that would fail.
        return None
    if transport.get_extra_info("socket") is None:
        return None

    async def take_over(adopt: Adopt) -> bool:
        if transport.is_closing() or transport.get_write_buffer_size():
            return False
        transport.pause_reading()
        try:
            adopt(transport.get_extra_info("socket").fileno(), b"")
        except OSError:
            transport.resume_reading()
            return False
        scope = protocol.scope
        logger.info('%s - "WebSocket %s" [taken over]', scope.get("client"), scope["path"])
        # That closes the host's descriptor only, and writes nothing.
        transport.abort()
        while (await protocol.receive())["type"] != "websocket.disconnect":
            pass
        return True

    return take_over
