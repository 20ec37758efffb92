"""`AsyncManager`: the rooms of an `AsyncServer` in this process."""

from __future__ import annotations

from typing import Any

from .base_manager import BaseManager


class AsyncManager(BaseManager):
    """Keeps the rooms of an `AsyncServer`."""

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        **kwargs: Any,
    ) -> None:
        """Emits an event to the clients of a room, of several, or of the namespace."""
        self._emit(event, data, namespace, to or room, skip_sid, callback)

    async def enter_room(self, sid: str, namespace: str, room: Any) -> None:
        """Puts a client into a room."""
        self.basic_enter_room(sid, namespace, room)

    async def leave_room(self, sid: str, namespace: str, room: Any) -> None:
        """Takes a client out of a room."""
        self.basic_leave_room(sid, namespace, room)

    async def close_room(self, room: Any, namespace: str) -> None:
        """Takes all clients out of a room."""
        self.basic_close_room(room, namespace)

    async def can_disconnect(self, sid: str, namespace: str) -> bool:
        """Returns whether a client is connected here."""
        return self.is_connected(sid, namespace)

    async def disconnect_client(
        self, sid: str, namespace: str, ignore_queue: bool = False
    ) -> None:
        """Disconnects a client."""
        self.server._engine.disconnect(sid, namespace)
