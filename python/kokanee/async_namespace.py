"""Class-based handlers of `AsyncServer`."""

from __future__ import annotations

import inspect
from typing import Any

from ._handlers import LIFECYCLE, call_lifecycle
from .async_client_namespace import AsyncClientNamespace as AsyncClientNamespace
from .base_namespace import BaseServerNamespace


class AsyncNamespace(BaseServerNamespace):
    """Receives the events of one namespace of an `AsyncServer`; methods may be coroutines."""

    def is_asyncio_based(self) -> bool:
        """Returns `True`."""
        return True

    async def trigger_event(self, event: str, *args: Any) -> Any:
        """Calls the method of an event; `None` if there is none."""
        handler = getattr(self, "on_" + (event or ""), None)
        if handler is None:
            return None
        if event in LIFECYCLE:
            return await call_lifecycle(event, handler, args)
        result = handler(*args)
        return await result if inspect.isawaitable(result) else result

    async def emit(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        room: Any = None,
        skip_sid: Any = None,
        namespace: str | None = None,
        callback: Any = None,
        ignore_queue: bool = False,
    ) -> None:
        """Emits an event; see `AsyncServer.emit`."""
        await self.server.emit(
            event,
            data=data,
            to=to,
            room=room,
            skip_sid=skip_sid,
            namespace=namespace or self.namespace,
            callback=callback,
            ignore_queue=ignore_queue,
        )

    async def send(
        self,
        data: Any,
        to: Any = None,
        room: Any = None,
        skip_sid: Any = None,
        namespace: str | None = None,
        callback: Any = None,
        ignore_queue: bool = False,
    ) -> None:
        """Emits the event `message`; see `AsyncServer.send`."""
        await self.server.send(
            data,
            to=to,
            room=room,
            skip_sid=skip_sid,
            namespace=namespace or self.namespace,
            callback=callback,
            ignore_queue=ignore_queue,
        )

    async def call(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        sid: Any = None,
        namespace: str | None = None,
        timeout: float | None = None,
        ignore_queue: bool = False,
    ) -> Any:
        """Emits an event to one client and waits for its answer; see `AsyncServer.call`.

        Without a `timeout` it waits until the client answers or leaves.
        """
        return await self.server.call(
            event,
            data=data,
            to=to,
            sid=sid,
            namespace=namespace or self.namespace,
            timeout=timeout,
            ignore_queue=ignore_queue,
        )

    async def enter_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        """Puts a client into a room."""
        await self.server.enter_room(sid, room, namespace=namespace or self.namespace)

    async def leave_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        """Takes a client out of a room."""
        await self.server.leave_room(sid, room, namespace=namespace or self.namespace)

    async def close_room(self, room: Any, namespace: str | None = None) -> None:
        """Takes all clients out of a room."""
        await self.server.close_room(room, namespace=namespace or self.namespace)

    async def get_session(self, sid: str, namespace: str | None = None) -> Any:
        """Returns the session of a client."""
        return await self.server.get_session(sid, namespace=namespace or self.namespace)

    async def save_session(self, sid: str, session: Any, namespace: str | None = None) -> None:
        """Stores the session of a client."""
        await self.server.save_session(
            sid, session, namespace=namespace or self.namespace
        )

    def session(self, sid: str, namespace: str | None = None) -> Any:
        """Returns the session of a client as an async context manager that stores it at its end."""
        return self.server.session(sid, namespace=namespace or self.namespace)

    async def disconnect(self, sid: str, namespace: str | None = None) -> None:
        """Disconnects a client from the namespace."""
        await self.server.disconnect(sid, namespace=namespace or self.namespace)
