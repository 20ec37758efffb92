"""What all managers have in common: which clients there are, and who is in which room.

Most clients are the engine's, which keeps their rooms. Others live in Python alone: those of an application's serializer, and
those that tests make without a connection (`pre_connect`, `connect`); their rooms are here. Every question is put to both.
"""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from . import _engine, packet
from .engineio import packet as eio_packet

#: The states of a client.
CONNECTING, CONNECTED, LEAVING = range(3)

#: The client whose handler of `connect` runs. The engine counts it among the clients when that has ended.
joining: contextvars.ContextVar[str | None] = contextvars.ContextVar("joining", default=None)


class Client:
    """Keeps what is known of one client in one namespace."""

    __slots__ = ("eio_sid", "is_local", "namespace", "rooms", "state", "unwanted")

    def __init__(self, eio_sid: str, namespace: str, is_local: bool) -> None:
        self.eio_sid = eio_sid
        self.namespace = namespace
        #: Whether it lives in Python.
        self.is_local = is_local
        #: Its rooms if it lives in Python. Otherwise `None`, and its last rooms once it leaves.
        self.rooms: dict[Any, None] | None = {} if is_local else None
        self.state = CONNECTING
        #: It was disconnected by its own connect handler.
        self.unwanted = False


class Waiter:
    """Is a callback that is also called when no answer will come."""

    def __call__(self, *args: Any) -> None:
        raise NotImplementedError

    def gone(self) -> None:
        """Says that no answer will come."""
        raise NotImplementedError


class Members(dict[str, str]):
    """Shows who is in a room: `{sid: eio_sid}`."""

    @property
    def inverse(self) -> dict[str, str]:
        """The other way round: `{eio_sid: sid}`."""
        return {eio_sid: sid for sid, eio_sid in self.items()}

    inv = inverse


class Rooms(Mapping[str, "NamespaceRooms"]):
    """Shows the rooms of all namespaces: `{namespace: {room: {sid: eio_sid}}}`, as they are when they are read."""

    def __init__(self, manager: BaseManager) -> None:
        self._manager = manager

    def _names(self) -> list[str]:
        return list(self._manager._everyone)

    def __getitem__(self, namespace: str) -> NamespaceRooms:
        if not self._manager.has_namespace(namespace):
            raise KeyError(namespace)
        return NamespaceRooms(self._manager, namespace)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __repr__(self) -> str:
        return repr({name: dict(rooms) for name, rooms in self.items()})


class NamespaceRooms(Mapping[Any, Members]):
    """Shows the rooms of a namespace: `None` is everybody, and each client has a room of its own."""

    def __init__(self, manager: BaseManager, namespace: str) -> None:
        self._manager = manager
        self._namespace = namespace

    def __getitem__(self, room: Any) -> Members:
        members = Members(self._manager.get_participants(self._namespace, room))
        if not members:
            raise KeyError(room)
        return members

    def __iter__(self) -> Iterator[Any]:
        return iter(self._manager.room_keys(self._namespace))

    def __len__(self) -> int:
        return len(self._manager.room_keys(self._namespace))

    def __repr__(self) -> str:
        return repr(dict(self))


class BaseManager:
    """Knows which clients there are, and who is in which room."""

    #: Whether a message queue connects it with those of other processes.
    has_queue = False

    def __init__(self) -> None:
        self.logger: Any = None
        self.server: Any = None
        self.json: Any = packet.Packet.json
        self.clients: dict[str, Client] = {}
        self.rooms = Rooms(self)
        #: Not used, as in python-socketio.
        self.eio_to_sid: dict[str, str] = {}
        #: What is called with the answers of clients that live in Python: `{sid: {0: last number, number: callback}}`.
        self.callbacks: dict[str, dict[int, Any]] = {}
        self._engine: Any = None
        self._lock = threading.Lock()
        #: Who is in a namespace, and who a connection is there.
        self._everyone: dict[str, Members] = {}
        self._sids: dict[tuple[str, str], str] = {}
        #: Of clients that live in Python: how many, and who is in a room.
        self._local_clients = 0
        self._members: dict[tuple[str, Any], Members] = {}
        #: Names of rooms that are not texts, by the text that stands for each.
        self._keys: dict[str, Any] = {}

    def set_server(self, server: Any) -> None:
        """Remembers the server; called by it."""
        self.server = server
        self.json = server.packet_class.json
        engine = getattr(server, "_engine", None)
        self._engine = engine if isinstance(engine, _engine.Engine) else None

    def check(self) -> None:
        """Raises an exception if the manager cannot be used; called with the first request."""

    def initialize(self) -> None:
        """Starts what needs a running server; called with its first client."""

    def _get_logger(self) -> Any:
        return self.logger or self.server.logger

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

    def room_keys(self, namespace: str) -> list[Any]:
        """Returns the rooms of a namespace: `None`, that of each client, and the others."""
        own = list(self._everyone.get(namespace, ()))
        if not own:
            return []
        names = self._engine.room_names(namespace) if self._engine is not None else []
        others = [self.room_key(name) for name in names]
        others += [room for space, room in list(self._members) if space == namespace]
        return [None, *own, *dict.fromkeys(others)]

    # Facts.

    def get_namespaces(self) -> Any:
        """Returns the namespaces that have clients."""
        return self.rooms.keys()

    def has_namespace(self, namespace: str) -> bool:
        """Returns whether there are clients in a namespace."""
        return namespace in self._everyone

    def has_clients(self, eio_sid: str) -> bool:
        """Returns whether a connection has clients."""
        return any((eio_sid, namespace) in self._sids for namespace in list(self._everyone))

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        """Yields the clients of a room, of several (a list), or of the namespace (`None`), with their `eio_sid`."""
        if room is None:
            yield from list(self._everyone.get(namespace, Members()).items())
            return
        seen: set[str] = set()
        for name in room if isinstance(room, (list, tuple)) else [room]:
            for sid, eio_sid in self._members_of(namespace, name):
                if sid not in seen:
                    seen.add(sid)
                    yield sid, eio_sid

    def _members_of(self, namespace: str, room: Any) -> Iterable[tuple[str, str]]:
        client = self.clients.get(room) if isinstance(room, str) else None
        if client is not None and client.namespace == namespace:
            return [(room, client.eio_sid)]
        members = list(self._members.get((namespace, room), Members()).items())
        if self._engine is not None:
            members += self._engine.participants(namespace, self.room_name(room))
            sid = joining.get()
            if sid is not None and room in self._rooms_while_joining(sid, namespace):
                members.append((sid, self.clients[sid].eio_sid))
        return members

    def _rooms_while_joining(self, sid: str, namespace: str) -> list[Any]:
        """Returns the rooms of a client of the engine that its handler of `connect` has put it into, its own included."""
        client = self.clients.get(sid)
        if client is None or client.is_local or client.state != CONNECTING:
            return []
        return self.get_rooms(sid, namespace)

    def get_rooms(self, sid: str, namespace: str) -> list[Any]:
        """Returns the rooms of a client, its own included."""
        client = self.clients.get(sid)
        if client is None or client.namespace != namespace:
            return []
        if client.rooms is not None:
            return [sid, *client.rooms]
        names = self._engine.rooms(sid, namespace) or [sid]
        return [self.room_key(name) for name in names]

    def is_connected(self, sid: str, namespace: str) -> bool:
        """Returns whether a client is connected: accepted, and not about to leave."""
        return self._has_state(sid, namespace, CONNECTED)

    def is_pre_connected(self, sid: str, namespace: str) -> bool:
        """Returns whether it is not decided yet if a client may connect."""
        return self._has_state(sid, namespace, CONNECTING)

    def _has_state(self, sid: str, namespace: str, state: int) -> bool:
        client = self.clients.get(sid)
        return client is not None and client.namespace == namespace and client.state == state

    @property
    def pending_connect(self) -> dict[str, list[str]]:
        """The clients of each namespace of which it is not decided if they may connect."""
        return self._of_state(CONNECTING)

    @property
    def pending_disconnect(self) -> dict[str, list[str]]:
        """The clients of each namespace that are about to leave."""
        return self._of_state(LEAVING)

    def _of_state(self, state: int) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for sid, client in list(self.clients.items()):
            if client.state == state:
                found.setdefault(client.namespace, []).append(sid)
        return found

    def sid_from_eio_sid(self, eio_sid: str, namespace: str) -> str | None:
        """Returns the client of a connection in a namespace."""
        return self._sids.get((eio_sid, namespace))

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str | None:
        """Returns the connection of a client."""
        client = self.clients.get(sid)
        return client.eio_sid if client is not None and client.namespace == namespace else None

    def is_sid_room(self, namespace: str, room: Any) -> bool:
        """Returns whether a room is that of a single client."""
        client = self.clients.get(room)
        return client is not None and client.namespace == namespace

    # Changes, without waiting.

    def add(self, sid: str, eio_sid: str, namespace: str, is_local: bool = False) -> Client:
        """Adds a client, of which it is not decided yet if it may connect."""
        client = self.clients[sid] = Client(eio_sid, namespace, is_local)
        with self._lock:
            self._everyone.setdefault(namespace, Members())[sid] = eio_sid
            self._sids[eio_sid, namespace] = sid
            self._local_clients += is_local
        return client

    def basic_pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        """Adds a client that lives in Python. `None` if its connection has one in the namespace already."""
        if (eio_sid, namespace) in self._sids:
            return None
        sid: str = self.server.eio.generate_id()
        self.add(sid, eio_sid, namespace, is_local=True)
        return sid

    def basic_connect(self, sid: str, namespace: str) -> str | None:
        """Makes a client connected; given a connection, adds its client first."""
        client = self.clients.get(sid)
        if client is None:
            added = self.basic_pre_connect(sid, namespace)
            return self.basic_connect(added, namespace) if added is not None else None
        client.state = CONNECTED
        return sid

    def pre_disconnect(self, sid: str, namespace: str) -> str | None:
        """Marks a client as about to leave, and returns its connection; `None` if it is marked already."""
        with self._lock:
            client = self.clients.get(sid)
            if client is None or client.namespace != namespace or client.state == LEAVING:
                return None
            client.state = LEAVING
        if client.rooms is None:
            names = self._engine.rooms(sid, namespace) or [sid]
            client.rooms = dict.fromkeys(self.room_key(name) for name in names[1:])
        return client.eio_sid

    def basic_disconnect(self, sid: str, namespace: str, **kwargs: Any) -> None:
        """Forgets a client."""
        with self._lock:
            client = self.clients.get(sid)
            if client is None or client.namespace != namespace:
                return
            del self.clients[sid]
            self._local_clients -= client.is_local
            if self._sids.get((client.eio_sid, namespace)) == sid:
                del self._sids[client.eio_sid, namespace]
            everyone = self._everyone.get(namespace)
            if everyone is not None:
                everyone.pop(sid, None)
                if not everyone:
                    del self._everyone[namespace]
        for callback in (self.callbacks.pop(sid, None) or {}).values():
            if isinstance(callback, Waiter):
                callback.gone()
        if client.is_local:
            for room in client.rooms or ():
                self._leave_local(sid, namespace, room)

    def may_be_elsewhere(self, sid: Any) -> bool:
        """Returns whether what is no client here may be one of another worker: applications pass on anything, such as `None`."""
        return self._engine is not None and isinstance(sid, str)

    def basic_enter_room(
        self, sid: str, namespace: str, room: Any, eio_sid: str | None = None
    ) -> None:
        """Puts a client into a room."""
        client = self.clients.get(sid)
        if client is None or client.namespace != namespace:
            if self.may_be_elsewhere(sid) and self._engine.enter_room(
                sid, namespace, self.room_name(room)
            ):
                # It is another worker's.
                return
            if not self.has_namespace(namespace):
                raise ValueError("sid is not connected to requested namespace")
            raise KeyError(sid)
        if room == sid or room is None:
            return
        if self.is_sid_room(namespace, room):
            raise ValueError("cannot enter a sid room")
        if client.is_local and client.rooms is not None:
            client.rooms[room] = None
            self._members.setdefault((namespace, room), Members())[sid] = client.eio_sid
        else:
            self._engine.enter_room(sid, namespace, self.room_name(room))

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:
        """Takes a client out of a room."""
        client = self.clients.get(sid)
        if client is None or client.namespace != namespace:
            if self.may_be_elsewhere(sid):
                self._engine.leave_room(sid, namespace, self.room_name(room))
            return
        if client.is_local and client.rooms is not None:
            client.rooms.pop(room, None)
            self._leave_local(sid, namespace, room)
        else:
            self._engine.leave_room(sid, namespace, self.room_name(room))

    def basic_close_room(self, room: Any, namespace: str) -> None:
        """Takes all clients out of a room."""
        if self.is_sid_room(namespace, room):
            raise ValueError("cannot close a sid room")
        for sid in list(self._members.get((namespace, room), ())):
            self.basic_leave_room(sid, namespace, room)
        if self._engine is not None:
            self._engine.close_room(namespace, self.room_name(room))

    def _leave_local(self, sid: str, namespace: str, room: Any) -> None:
        members = self._members.get((namespace, room))
        if members is not None:
            members.pop(sid, None)
            if not members:
                del self._members[namespace, room]

    # Answers of clients that live in Python.

    def _generate_ack_id(self, sid: str, callback: Any) -> int:
        callbacks = self.callbacks.setdefault(sid, {0: 0})
        callbacks[0] += 1
        number: int = callbacks[0]
        callbacks[number] = callback
        return number

    def _take_callback(self, sid: str, id: int) -> Callable[..., Any] | None:
        callbacks = self.callbacks.get(sid)
        if callbacks is None or not id or id not in callbacks:
            self._get_logger().warning("Unknown callback received, ignoring.")
            return None
        callback: Callable[..., Any] = callbacks.pop(id)
        return callback

    # Emitting.

    def _emit_here(
        self, event: str, data: Any, namespace: str, room: Any, skip_sid: Any, ignore_queue: bool
    ) -> bool:
        """Gives an event that nobody answers to the engine, if that is all that most events need; returns whether it is."""
        if self._engine is None or self._local_clients or skip_sid or self.server._is_tapped():
            return False
        if joining.get() is not None:
            # The client that joins is not among the engine's yet.
            return False
        if room and type(room) is not str:
            return False
        self._engine.emit(event, data, namespace, room or None, None, ignore_queue)
        return True

    def _emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any,
        skip_sid: Any,
        callback: Any,
        ignore_queue: bool = False,
    ) -> list[Any]:
        """Gives an event to the engine for its clients; returns what is to be called for those that live in Python."""
        room = room or None
        skipped = _as_list(skip_sid)
        rooms = None if room is None else [self.room_name(name) for name in _as_list(room)]
        tapped = self._engine is None or self.server._is_tapped()
        asked = False
        if callback is None:
            if not tapped:
                self._engine.emit(event, data, namespace, rooms, skipped or None, ignore_queue)
            elif self._engine is not None and not ignore_queue:
                self._engine.emit(event, data, namespace, rooms, skipped or None, elsewhere=True)
            if not tapped and (sid := joining.get()) is not None:
                self._emit_to_joining(sid, event, data, namespace, room, skipped)
        else:
            if not tapped:
                self._emit_with_ack(event, data, namespace, room, skipped, callback)
            if self._engine is not None and not ignore_queue:
                asked = self._ask_elsewhere(event, data, namespace, rooms, skipped, callback)
        if (
            isinstance(callback, Waiter)
            and not asked
            and not any(self.get_participants(namespace, room))
        ):
            callback.gone()
        if not tapped and not self._local_clients:
            return []
        targets = [
            (sid, eio_sid)
            for sid, eio_sid in self.get_participants(namespace, room)
            if sid not in skipped and (tapped or self._is_local(sid))
        ]
        return self._packets(event, data, namespace, targets, callback)

    def _emit_to_joining(
        self, sid: str, event: str, data: Any, namespace: str, room: Any, skipped: list[Any]
    ) -> None:
        """Gives an event of the handler of `connect` to its client if it is for a room that the client is in, or for all."""
        own = self._rooms_while_joining(sid, namespace)
        rooms = _as_list(room)
        if not own or any(name in own for name in skipped) or (rooms and not any(name in own for name in rooms)):
            return
        if rooms != [sid] or skipped:
            # For itself alone, the engine has it already.
            self._engine.emit(event, data, namespace, [sid], None, here=True)

    def _is_local(self, sid: str) -> bool:
        client = self.clients.get(sid)
        return client is not None and client.is_local

    def _emit_with_ack(
        self, event: str, data: Any, namespace: str, room: Any, skipped: list[Any], callback: Any
    ) -> None:
        for sid, _ in self.get_participants(namespace, room):
            if sid in skipped or self._is_local(sid):
                continue
            with self.server._expect_answer(callback, sid, namespace) as call:
                call.is_made = self._engine.emit_with_ack(call.number, event, data, namespace, sid)
            if not call.is_made and isinstance(callback, Waiter):
                callback.gone()

    def _ask_elsewhere(
        self,
        event: str,
        data: Any,
        namespace: str,
        rooms: list[str] | None,
        skipped: list[Any],
        callback: Any,
    ) -> bool:
        """Emits an event to the clients of other workers. Returns whether there may be any that will answer."""
        with self.server._expect_answer(callback, "another worker's client", namespace) as call:
            call.is_made = self._engine.ask_elsewhere(
                call.number, event, data, namespace, rooms, skipped or None
            )
        return bool(call.is_made)

    def _packets(
        self,
        event: str,
        data: Any,
        namespace: str,
        targets: list[tuple[str, str]],
        callback: Any,
    ) -> list[Any]:
        if not targets:
            return []
        server = self.server
        args = list(data) if isinstance(data, tuple) else [] if data is None else [data]
        make = functools.partial(
            server.packet_class, packet.EVENT, namespace=namespace, data=[event, *args]
        )
        if callback is not None:
            return [
                functools.partial(
                    server._send_packet,
                    eio_sid,
                    make(id=self._generate_ack_id(sid, callback)),
                )
                for sid, eio_sid in targets
            ]
        encoded = make().encode()
        parts = [
            eio_packet.Packet(eio_packet.MESSAGE, part)
            for part in (encoded if isinstance(encoded, list) else [encoded])
        ]
        return [
            functools.partial(server._send_eio_packet, eio_sid, part)
            for _, eio_sid in targets
            for part in parts
        ]


def _as_list(value: Any) -> list[Any]:
    """Returns one value or several as a list."""
    if not value:
        return []
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
