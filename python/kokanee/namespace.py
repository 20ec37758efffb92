"""Class-based handlers of `Server`."""

from __future__ import annotations

from typing import Any

from ._handlers import LIFECYCLE, call_lifecycle
from ._steps import drive
from .base_namespace import BaseServerNamespace
from .client_namespace import ClientNamespace as ClientNamespace


class Namespace(BaseServerNamespace):
    """Receives the events of one namespace of a `Server`."""

    def trigger_event(self, event: str, *args: Any) -> Any:
        """Calls the method of an event; `None` if there is none."""
        handler = getattr(self, "on_" + (event or ""), None)
        if handler is None:
            return None
        if event in LIFECYCLE:
            return drive(call_lifecycle(event, handler, args))
        return handler(*args)

    def emit(
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
        """Emits an event; see `Server.emit`."""
        self.server.emit(
            event,
            data=data,
            to=to,
            room=room,
            skip_sid=skip_sid,
            namespace=namespace or self.namespace,
            callback=callback,
            ignore_queue=ignore_queue,
        )

    def send(
        self,
        data: Any,
        to: Any = None,
        room: Any = None,
        skip_sid: Any = None,
        namespace: str | None = None,
        callback: Any = None,
        ignore_queue: bool = False,
    ) -> None:
        """Emits the event `message`; see `Server.send`."""
        self.server.send(
            data,
            to=to,
            room=room,
            skip_sid=skip_sid,
            namespace=namespace or self.namespace,
            callback=callback,
            ignore_queue=ignore_queue,
        )

    def call(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        sid: Any = None,
        namespace: str | None = None,
        timeout: float | None = None,
        ignore_queue: bool = False,
    ) -> Any:
        """Emits an event to one client and waits for its answer; see `Server.call`.

        Without a `timeout` it waits until the client answers or leaves.
        """
        return self.server.call(
            event,
            data=data,
            to=to,
            sid=sid,
            namespace=namespace or self.namespace,
            timeout=timeout,
            ignore_queue=ignore_queue,
        )

    def enter_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        """Puts a client into a room."""
        self.server.enter_room(sid, room, namespace=namespace or self.namespace)

    def leave_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        """Takes a client out of a room."""
        self.server.leave_room(sid, room, namespace=namespace or self.namespace)

    def close_room(self, room: Any, namespace: str | None = None) -> None:
        """Takes all clients out of a room."""
        self.server.close_room(room, namespace=namespace or self.namespace)

    def get_session(self, sid: str, namespace: str | None = None) -> Any:
        """Returns the session of a client."""
        return self.server.get_session(sid, namespace=namespace or self.namespace)

    def save_session(self, sid: str, session: Any, namespace: str | None = None) -> None:
        """Stores the session of a client."""
        self.server.save_session(sid, session, namespace=namespace or self.namespace)

    def session(self, sid: str, namespace: str | None = None) -> Any:
        """Returns the session of a client as a context manager that stores it at its end."""
        return self.server.session(sid, namespace=namespace or self.namespace)

    def disconnect(self, sid: str, namespace: str | None = None) -> None:
        """Disconnects a client from the namespace."""
        self.server.disconnect(sid, namespace=namespace or self.namespace)
