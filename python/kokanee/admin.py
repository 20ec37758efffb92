"""`InstrumentedServer`: the admin UI for a `Server`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._admin import Instrumentation
from ._steps import drive


class InstrumentedServer(Instrumentation):
    """Tells administrators what happens on a server, and does what they ask for."""

    _stop: Any = None

    def shutdown(self) -> None:
        """Ends the statistics."""
        if self._stats_task is not None:
            self._stop.set()
            self._stats_task.join()
            self._stats_task = None

    def admin_connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        """Handles an administrator that connects."""
        if self._stop is None:
            self._stop = self.sio._mode.event()
        drive(self._admin_connect(sid, auth))

    def admin_emit(self, sid: str, namespace: str, room: Any, event: str, *data: Any) -> None:
        """Emits an event for an administrator."""
        drive(self._emit_for_admin(namespace, room, event, data))

    def admin_enter_room(
        self, sid: str, namespace: str, room: Any, room_filter: Any = None
    ) -> None:
        """Puts clients into a room for an administrator."""
        drive(self._for_each("enter_room", namespace, room_filter, room))

    def admin_leave_room(
        self, sid: str, namespace: str, room: Any, room_filter: Any = None
    ) -> None:
        """Takes clients out of a room for an administrator."""
        drive(self._for_each("leave_room", namespace, room_filter, room))

    def admin_disconnect(
        self, sid: str, namespace: str, close: bool, room_filter: Any = None
    ) -> None:
        """Disconnects clients for an administrator."""
        drive(self._for_each("disconnect", namespace, room_filter))

    def _greet_task(self, sid: str) -> None:
        drive(self._greet(sid))

    def _upgrade_task(self, eio_sid: str, sid: str, namespace: str) -> None:
        drive(self._watch_upgrade(eio_sid, sid, namespace))

    def _tell_stats(self) -> None:
        while not self._stop.is_set():
            self._stop.wait(self.server_stats_interval)
            self._tell("server_stats", self._stats())

    def _send(self, send: Callable[[], Any]) -> None:
        send()
