"""`PubSubManager`: a manager of a `Server` that works with those of other processes."""

from __future__ import annotations

from typing import Any

from ._pubsub import PubSub
from ._steps import drive
from .manager import Manager


class PubSubManager(PubSub, Manager):
    """Works with other processes by messages; a subclass sends them in `_publish` and receives them in `_listen`."""

    name = "pubsub"

    def emit(
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
        drive(
            self._emit_everywhere(
                event, data, namespace, target, skip_sid, callback, ignore_queue
            )
        )

    def can_disconnect(self, sid: str, namespace: str) -> bool:
        """Returns whether a client is connected here; if not, the others are asked to disconnect it."""
        return drive(self._can_disconnect(sid, namespace))

    def disconnect(self, sid: str, namespace: str | None = None, **kwargs: Any) -> None:
        """Disconnects a client, wherever it is; with `ignore_queue` forgets one that has left here."""
        ignore_queue = bool(kwargs.get("ignore_queue"))
        drive(self._disconnect_anywhere(sid, namespace, ignore_queue))

    def enter_room(
        self, sid: str, namespace: str, room: Any, eio_sid: str | None = None
    ) -> None:
        """Puts a client into a room, wherever it is."""
        drive(self._room_anywhere("enter_room", sid, namespace, room))

    def leave_room(self, sid: str, namespace: str, room: Any) -> None:
        """Takes a client out of a room, wherever it is."""
        drive(self._room_anywhere("leave_room", sid, namespace, room))

    def close_room(self, room: Any, namespace: str | None = None) -> None:
        """Takes all clients out of a room, in all processes."""
        drive(self._close_everywhere(room, namespace))

    def _return_callback(
        self, host_id: str, sid: str, namespace: str, id: int, *args: Any
    ) -> None:
        drive(self._return(host_id, sid, namespace, id, args))

    def _handle_emit(self, message: dict[str, Any]) -> None:
        drive(self._heard_emit(message))

    def _handle_callback(self, message: dict[str, Any]) -> None:
        drive(self._heard_callback(message))

    def _handle_disconnect(self, message: dict[str, Any]) -> None:
        drive(self._heard_disconnect(message))

    def _handle_enter_room(self, message: dict[str, Any]) -> None:
        drive(self._heard_room("enter_room", message))

    def _handle_leave_room(self, message: dict[str, Any]) -> None:
        drive(self._heard_room("leave_room", message))

    def _handle_close_room(self, message: dict[str, Any]) -> None:
        drive(self._heard_close(message))

    def _thread(self) -> None:
        for message in self._listen():
            drive(self._heard(message))
