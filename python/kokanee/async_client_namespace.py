"""Class-based handlers of `AsyncClient`."""

from __future__ import annotations

from typing import Any

from ._client_handlers import handler_args
from ._steps import settle
from .base_namespace import BaseClientNamespace


class AsyncClientNamespace(BaseClientNamespace):
    """Receives the events of one namespace of an `AsyncClient`. Its methods may be coroutines."""

    def is_asyncio_based(self) -> bool:
        """Returns whether methods may be coroutines."""
        return True

    async def trigger_event(self, event: str, *args: Any) -> Any:
        """Calls the method of an event; `None` if there is none."""
        handler = getattr(self, "on_" + (event or ""), None)
        if handler is None:
            return None
        return await settle(handler(*handler_args(event, handler, args)))

    async def emit(
        self, event: str, data: Any = None, namespace: str | None = None, callback: Any = None
    ) -> None:
        """Emits an event; see `AsyncClient.emit`."""
        await self.client.emit(event, data=data, namespace=namespace or self.namespace, callback=callback)

    async def send(self, data: Any, namespace: str | None = None, callback: Any = None) -> None:
        """Emits the event `message`; see `AsyncClient.send`."""
        await self.client.send(data, namespace=namespace or self.namespace, callback=callback)

    async def call(
        self, event: str, data: Any = None, namespace: str | None = None, timeout: float | None = None
    ) -> Any:
        """Emits an event and waits for its acknowledgement; see `AsyncClient.call`."""
        return await self.client.call(event, data=data, namespace=namespace or self.namespace, timeout=timeout)

    async def disconnect(self) -> None:
        """Disconnects from the server."""
        await self.client.disconnect()
