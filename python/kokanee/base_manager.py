"""What all managers have in common: who is in which room, as the engine knows it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any


class Rooms(Mapping[str, "NamespaceRooms"]):
    """Shows the rooms of all namespaces: `{namespace: {room: {sid: eio_sid}}}`, as they are when they are read."""

    def __init__(self, manager: BaseManager) -> None:
        self._manager = manager

    def _names(self) -> list[str]:
        clients = self._manager.server._clients.values()
        return list(dict.fromkeys(client.namespace for client in list(clients)))

    def __getitem__(self, namespace: str) -> NamespaceRooms:
        if namespace not in self._names():
            raise KeyError(namespace)
        return NamespaceRooms(self._manager, namespace)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())


class NamespaceRooms(Mapping[Any, dict[str, str]]):
    """Shows the rooms of a namespace: `None` is everybody, and each client has a room of its own."""

    def __init__(self, manager: BaseManager, namespace: str) -> None:
        self._manager = manager
        self._namespace = namespace

    def __getitem__(self, room: Any) -> dict[str, str]:
        members = dict(self._manager.get_participants(self._namespace, room))
        if not members:
            raise KeyError(room)
        return members

    def __iter__(self) -> Iterator[Any]:
        manager = self._manager
        clients = list(manager.server._clients.items())
        own = (sid for sid, client in clients if client.namespace == self._namespace)
        names = manager.server._engine.room_names(self._namespace)
        return itertools.chain([None], own, map(manager.room_key, names))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class BaseManager:
    """Knows who is in which room. The engine keeps the rooms; a manager asks it."""

    def __init__(self) -> None:
        self.logger: Any = None
        self.server: Any = None
        self.rooms = Rooms(self)
        #: Names of rooms that are not texts, by the text that stands for each.
        self._keys: dict[str, Any] = {}

    def set_server(self, server: Any) -> None:
        """Remembers the server; called by it."""
        self.server = server
        self.logger = server.logger

    def initialize(self) -> None:
        """Starts what needs a running server; called with its first client."""

    # Names of rooms may be any value that can be a key of a dict; those of the engine are texts.

    def room_name(self, room: Any) -> str:
        """Returns the engine's name of a room."""
        if type(room) is str:
            return room
        if isinstance(room, str):
            return str(room)
        name = f"\0{type(room).__name__}:{room!r}"
        self._keys.setdefault(name, room)
        return name

    def room_key(self, name: str) -> Any:
        """Returns the application's name of a room."""
        return self._keys.get(name, name) if name.startswith("\0") else name

    # Facts.

    def get_namespaces(self) -> Any:
        """Returns the namespaces that have clients."""
        return self.rooms.keys()

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        """Yields the clients of a room, of several (a list), or of the namespace (`None`), with their `eio_sid`."""
        engine = self.server._engine
        if room is None:
            yield from engine.participants(namespace)
            return
        names = room if isinstance(room, (list, tuple)) else [room]
        seen: set[str] = set()
        for name in names:
            for sid, eio_sid in engine.participants(namespace, self.room_name(name)):
                if sid not in seen:
                    seen.add(sid)
                    yield sid, eio_sid

    def get_rooms(self, sid: str, namespace: str) -> list[Any]:
        """Returns the rooms of a client, its own included."""
        names = self.server._engine.rooms(sid, namespace)
        return [self.room_key(name) for name in names] if names is not None else []

    def is_connected(self, sid: str, namespace: str) -> bool:
        """Returns whether a client is connected: accepted, and not gone."""
        client = self.server._clients.get(sid)
        return client is not None and client.namespace == namespace and client.connected

    def sid_from_eio_sid(self, eio_sid: str, namespace: str) -> str | None:
        """Returns the client of a connection in a namespace."""
        for sid, client in list(self.server._clients.items()):
            if client.eio_sid == eio_sid and client.namespace == namespace:
                return sid
        return None

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str | None:
        """Returns the connection of a client."""
        client = self.server._clients.get(sid)
        return client.eio_sid if client is not None and client.namespace == namespace else None

    def is_sid_room(self, namespace: str, room: Any) -> bool:
        """Returns whether a room is that of a single client."""
        client = self.server._clients.get(room)
        return client is not None and client.namespace == namespace

    # Changes, without waiting.

    def basic_enter_room(self, sid: str, namespace: str, room: Any) -> None:
        """Puts a client into a room."""
        server = self.server
        client = server._clients.get(sid)
        if client is None or client.namespace != namespace:
            if namespace not in self.rooms:
                raise ValueError("sid is not connected to requested namespace")
            raise KeyError(sid)
        if room == sid:
            return
        if self.is_sid_room(namespace, room):
            raise ValueError("cannot enter a sid room")
        server._engine.enter_room(sid, namespace, self.room_name(room))

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:
        """Takes a client out of a room."""
        self.server._engine.leave_room(sid, namespace, self.room_name(room))

    def basic_close_room(self, room: Any, namespace: str) -> None:
        """Takes all clients out of a room."""
        if self.is_sid_room(namespace, room):
            raise ValueError("cannot close a sid room")
        self.server._engine.close_room(namespace, self.room_name(room))

    def _emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any,
        skip_sid: Any,
        callback: Any,
    ) -> None:
        """Gives an event to the engine; `callback` is kept for each client's answer."""
        server = self.server
        server.logger.info('emitting event "%s" to %s [%s]', event, room or "all", namespace)
        if callback is None:
            server._engine.emit(
                event, data, namespace, server._targets(room, None), server._skipped(skip_sid)
            )
            return
        skipped = set(server._skipped(skip_sid) or ())
        for sid, _ in self.get_participants(namespace, room or None):
            if sid not in skipped:
                number = server._engine.emit_with_ack(event, data, namespace, sid)
                if number is not None:
                    server._callbacks[number] = callback
