"""`InstrumentedAsyncServer`: the admin UI for an `AsyncServer`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from ._admin import Instrumentation


class InstrumentedAsyncServer(Instrumentation):
    """Tells administrators what happens on a server, and does what they ask for."""

    _stop: asyncio.Event | None = None

    async def shutdown(self) -> None:
        """Ends the statistics."""
        if self._stats_task is not None:
            assert self._stop is not None
            self._stop.set()
            await asyncio.gather(self._stats_task, return_exceptions=True)
            self._stats_task = None

    async def admin_connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        """Handles an administrator that connects."""
        if self._stop is None:
            self._stop = asyncio.Event()
        await self._admin_connect(sid, auth)

    async def admin_emit(self, sid: str, namespace: str, room: Any, event: str, *data: Any) -> None:
        """Emits an event for an administrator."""
        await self._emit_for_admin(namespace, room, event, data)

    async def admin_enter_room(
        self, sid: str, namespace: str, room: Any, room_filter: Any = None
    ) -> None:
        """Puts clients into a room for an administrator."""
        await self._for_each("enter_room", namespace, room_filter, room)

    async def admin_leave_room(
        self, sid: str, namespace: str, room: Any, room_filter: Any = None
    ) -> None:
        """Takes clients out of a room for an administrator."""
        await self._for_each("leave_room", namespace, room_filter, room)

    async def admin_disconnect(
        self, sid: str, namespace: str, close: bool, room_filter: Any = None
    ) -> None:
        """Disconnects clients for an administrator."""
        await self._for_each("disconnect", namespace, room_filter)

    async def _greet_task(self, sid: str) -> None:
        await self._greet(sid)

    async def _upgrade_task(self, eio_sid: str, sid: str, namespace: str) -> None:
        await self._watch_upgrade(eio_sid, sid, namespace)

    async def _tell_stats(self) -> None:
        assert self._stop is not None
        while not self._stop.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self.server_stats_interval)
            self._tell("server_stats", self._stats())

    def _send(self, send: Callable[[], Any]) -> None:
        self.sio.start_background_task(send)
