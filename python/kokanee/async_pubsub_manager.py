"""`AsyncPubSubManager`: a manager of an `AsyncServer` that works with those of other processes."""

from __future__ import annotations

import asyncio
from typing import Any

from ._pubsub import PubSub
from .async_manager import AsyncManager


class AsyncPubSubManager(PubSub, AsyncManager):
    """Works with other processes by messages; a subclass sends them in `_publish` and receives them in `_listen`."""

    name = "asyncpubsub"

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str | None = None,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        ignore_queue: bool = False,
        **kwargs: Any,
    ) -> None:
        """Emits an event to the clients of a room, of several, or of the namespace, in all processes."""
        target = to or room or None
        await self._emit_everywhere(
            event, data, namespace, target, skip_sid, callback, ignore_queue
        )

    async def can_disconnect(self, sid: str, namespace: str) -> bool:
        """Returns whether a client is connected here; if not, the others are asked to disconnect it."""
        return await self._can_disconnect(sid, namespace)

    async def disconnect(self, sid: str, namespace: str | None = None, **kwargs: Any) -> None:
        """Disconnects a client, wherever it is; with `ignore_queue` forgets one that has left here."""
        ignore_queue = bool(kwargs.get("ignore_queue"))
        await self._disconnect_anywhere(sid, namespace, ignore_queue)

    async def enter_room(
        self, sid: str, namespace: str, room: Any, eio_sid: str | None = None
    ) -> None:
        """Puts a client into a room, wherever it is."""
        await self._room_anywhere("enter_room", sid, namespace, room)

    async def leave_room(self, sid: str, namespace: str, room: Any) -> None:
        """Takes a client out of a room, wherever it is."""
        await self._room_anywhere("leave_room", sid, namespace, room)

    async def close_room(self, room: Any, namespace: str | None = None) -> None:
        """Takes all clients out of a room, in all processes."""
        await self._close_everywhere(room, namespace)

    async def _return_callback(
        self, host_id: str, sid: str, namespace: str, id: int, *args: Any
    ) -> None:
        await self._return(host_id, sid, namespace, id, args)

    async def _handle_emit(self, message: dict[str, Any]) -> None:
        await self._heard_emit(message)

    async def _handle_callback(self, message: dict[str, Any]) -> None:
        await self._heard_callback(message)

    async def _handle_disconnect(self, message: dict[str, Any]) -> None:
        await self._heard_disconnect(message)

    async def _handle_enter_room(self, message: dict[str, Any]) -> None:
        await self._heard_room("enter_room", message)

    async def _handle_leave_room(self, message: dict[str, Any]) -> None:
        await self._heard_room("leave_room", message)

    async def _handle_close_room(self, message: dict[str, Any]) -> None:
        await self._heard_close(message)

    async def _thread(self) -> None:
        try:
            async for message in self._listen():
                await self._heard(message)
        except asyncio.CancelledError:
            # The server ends.
            return
