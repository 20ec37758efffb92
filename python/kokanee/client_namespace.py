"""Class-based handlers of `Client`."""

from __future__ import annotations

from typing import Any

from ._client_handlers import handler_args
from .base_namespace import BaseClientNamespace


class ClientNamespace(BaseClientNamespace):
    """Receives the events of one namespace of a `Client`."""

    def trigger_event(self, event: str, *args: Any) -> Any:
        """Calls the method of an event; `None` if there is none."""
        handler = getattr(self, "on_" + (event or ""), None)
        if handler is None:
            return None
        return handler(*handler_args(event, handler, args))

    def emit(self, event: str, data: Any = None, namespace: str | None = None, callback: Any = None) -> None:
        """Emits an event; see `Client.emit`."""
        self.client.emit(event, data=data, namespace=namespace or self.namespace, callback=callback)

    def send(self, data: Any, room: Any = None, namespace: str | None = None, callback: Any = None) -> None:
        """Emits the event `message`; see `Client.send`. `room` has no effect."""
        self.client.send(data, namespace=namespace or self.namespace, callback=callback)

    def call(
        self, event: str, data: Any = None, namespace: str | None = None, timeout: float | None = None
    ) -> Any:
        """Emits an event and waits for its acknowledgement; see `Client.call`."""
        return self.client.call(event, data=data, namespace=namespace or self.namespace, timeout=timeout)

    def disconnect(self) -> None:
        """Disconnects from the server."""
        self.client.disconnect()
