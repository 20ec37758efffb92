"""`Manager`: the clients and rooms of a `Server` in this process."""

from __future__ import annotations

from typing import Any

from .base_manager import BaseManager


class Manager(BaseManager):
    """Keeps the clients and rooms of a `Server`."""

    def can_disconnect(self, sid: str, namespace: str) -> bool:
        """Returns whether a client is connected here."""
        return self.is_connected(sid, namespace)

    def pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        """Adds a client of a connection that is not the engine's, and returns its id."""
        return self.basic_pre_connect(eio_sid, namespace)

    def connect(self, sid: str, namespace: str) -> str | None:
        """Makes a client connected, and returns its id; called for each that was let in."""
        return self.basic_connect(sid, namespace)

    def disconnect(self, sid: str, namespace: str, **kwargs: Any) -> None:
        """Forgets a client; called for each that has left."""
        self.basic_disconnect(sid, namespace, **kwargs)

    def emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        ignore_queue: bool = False,
        **kwargs: Any,
    ) -> None:
        """Emits an event to the clients of a room, of several, or of the namespace; with `ignore_queue` to those of this process."""
        target = to or room
        if callback is None and self._emit_here(event, data, namespace, target, skip_sid, ignore_queue):
            return
        for send in self._emit(event, data, namespace, target, skip_sid, callback, ignore_queue):
            send()

    def enter_room(
        self, sid: str, namespace: str, room: Any, eio_sid: str | None = None
    ) -> None:
        """Puts a client into a room."""
        self.basic_enter_room(sid, namespace, room, eio_sid=eio_sid)

    def leave_room(self, sid: str, namespace: str, room: Any) -> None:
        """Takes a client out of a room."""
        self.basic_leave_room(sid, namespace, room)

    def close_room(self, room: Any, namespace: str) -> None:
        """Takes all clients out of a room."""
        self.basic_close_room(room, namespace)

    def trigger_callback(self, sid: str, id: int, data: Any) -> None:
        """Calls what waits for an answer of a client."""
        callback = self._take_callback(sid, id)
        if callback is not None:
            callback(*data)
