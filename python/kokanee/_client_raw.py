"""A connection whose packets are read and written in Python, by a packet class of an application.

It stands in the place of the engine's: the same methods, and the same events for the client.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from typing import Any

from . import _engine, packet

#: An event has left.
SENT = 0
#: The namespace is not connected.
NOT_CONNECTED = -1


class RawEngine:
    """Is a connection of a client, whose packet class encodes and decodes what is sent."""

    def __init__(self, client: Any, queue: Any, number: int, url: str, options: dict[str, Any]) -> None:
        self._client = client
        self._number = number
        self._packet_class = client.packet_class
        self._auth = options.pop("auth", None)
        self._reconnects = options["reconnection"]
        self._wanted: list[str] = []
        self._joined: set[str] = set()
        self._ids = itertools.count(1)
        #: The number of the client's call for each id of an acknowledgement.
        self._calls: dict[int, tuple[int, str]] = {}
        self._partial: Any = None
        #: All messages of one packet leave together.
        self._sending = threading.Lock()
        # One message after the other: attachments belong to what comes before them.
        self._engine = _engine.ClientEngine(queue, number, url, {**options, "raw": True, "serial": True, "json": None})

    # What a client calls.

    def join(self, namespace: str) -> None:
        """Joins a namespace, now or when the connection is open."""
        if namespace not in self._wanted:
            self._wanted.append(namespace)
        if self._engine.is_connected("/"):
            self._send(packet.CONNECT, namespace, self._auth or {})
        else:
            self._engine.join("/")

    def leave(self, namespace: str, call: int) -> bool:
        """Leaves a namespace."""
        if namespace in self._wanted:
            self._wanted.remove(namespace)
        if namespace in self._joined:
            self._joined.discard(namespace)
            self._send(packet.DISCONNECT, namespace)
        self._done(call)
        return True

    def disconnect(self, call: int) -> None:
        """Ends the connection."""
        self._leave_all()
        self._engine.disconnect(call)

    def close(self, timeout: float) -> None:
        """Ends the connection, and waits at most so many seconds."""
        self._leave_all()
        self._engine.close(timeout)

    def _leave_all(self) -> None:
        for namespace in list(self._joined):
            self._send(packet.DISCONNECT, namespace)
        self._joined.clear()

    def emit(self, namespace: str, event: str, data: Any, call: int | None = None) -> int:
        """Emits an event, as the engine does."""
        if namespace not in self._joined:
            return NOT_CONNECTED
        self._send(packet.EVENT, namespace, [event, *_args(data)])
        if call is not None:
            self._done(call)
        return SENT

    def emit_with_ack(
        self, namespace: str, event: str, data: Any, call: int, timeout: float | None = None
    ) -> int:
        """Emits an event and asks for its acknowledgement. The caller keeps the time."""
        if namespace not in self._joined:
            return NOT_CONNECTED
        id = next(self._ids)
        self._calls[id] = (call, namespace)
        self._send(packet.EVENT, namespace, [event, *_args(data)], id)
        return SENT

    def has_room(self, namespace: str) -> bool:
        """Returns whether a message would leave at once."""
        return self._engine.has_room("/")

    def when_room(self, namespace: str, call: int) -> None:
        """Ends a call when a message would leave at once."""
        self._engine.when_room("/", call)

    def set_auth(self, auth: Any) -> None:
        """Sets what is sent with CONNECT from now on."""
        self._auth = auth

    def is_connected(self, namespace: str) -> bool:
        """Returns whether a namespace is connected."""
        return namespace in self._joined

    def __getattr__(self, name: str) -> Any:
        # What is about the connection alone is the engine's.
        if name in ("session_id", "transport", "reconnect", "awaits_upgrade"):
            return getattr(self._engine, name)
        raise AttributeError(name)

    def _send(self, kind: int, namespace: str, data: Any = None, id: int | None = None) -> None:
        encoded = self._packet_class(kind, data=data, namespace=namespace, id=id).encode()
        with self._sending:
            for message in encoded if isinstance(encoded, list) else [encoded]:
                self._engine.send_message(message)

    # What the engine says, in the words for the client.

    def _tell(self, kind: int, *facts: Any) -> None:
        self._client._handle_own((kind, self._number, *facts))

    def _done(self, call: int) -> None:
        if call:
            self._tell(_engine.CLIENT_DONE, call, None)

    def take(self, event: tuple[Any, ...]) -> None:
        """Handles what the engine says of the connection."""
        kind = event[0]
        if kind == _engine.CLIENT_RECEIVED:
            with contextlib.ExitStack() as stack:
                if event[5] is not None:
                    stack.callback(event[5].done)
                self._take_message(event[4][0])
        elif kind == _engine.CLIENT_CONNECTED:
            if event[5]:
                # Of a reconnection; that of each namespace comes with its answer.
                self._tell(*event[:1], *event[2:])
                return
            self._partial = None
            for namespace in list(self._wanted):
                self._send(packet.CONNECT, namespace, self._auth or {})
        elif kind == _engine.CLIENT_DISCONNECTED:
            namespaces = sorted(self._joined)
            self._joined.clear()
            calls, self._calls = self._calls, {}
            for call, _ in calls.values():
                self._tell(_engine.CLIENT_ANSWERED, call, None, "the connection was lost")
            for namespace in namespaces:
                self._tell(kind, namespace, *event[3:])
        elif kind in (
            _engine.CLIENT_CONNECT_ERROR,
            _engine.CLIENT_NOT_JOINED,
            _engine.CLIENT_RECONNECT_ATTEMPT,
            _engine.CLIENT_RECONNECT_FAILED,
        ):
            for namespace in list(self._wanted):
                self._tell(kind, namespace, *event[3:])
        else:
            self._client._handle_own(event)

    def _take_message(self, message: Any) -> None:
        if self._partial is not None:
            decoded = self._partial
            if not decoded.add_attachment(message):
                return
            self._partial = None
        else:
            decoded = self._packet_class(encoded_packet=message)
            if decoded.attachment_count and decoded.packet_type in (packet.BINARY_EVENT, packet.BINARY_ACK):
                self._partial = decoded
                return
        self._take_packet(decoded.packet_type, decoded.namespace or "/", decoded.data, decoded.id)

    def _take_packet(self, kind: int, namespace: str, data: Any, id: int | None) -> None:
        if kind in (packet.EVENT, packet.BINARY_EVENT):
            answer = _Answer(self, namespace, id) if id is not None else None
            self._tell(_engine.CLIENT_RECEIVED, namespace, data[0], tuple(data[1:]), answer)
        elif kind in (packet.ACK, packet.BINARY_ACK):
            call, _ = self._calls.pop(id or 0, (0, ""))
            self._tell(_engine.CLIENT_ANSWERED, call, tuple(data or ()), None)
        elif kind == packet.CONNECT:
            self._joined.add(namespace)
            sid = (data or {}).get("sid", self._engine.session_id())
            self._tell(_engine.CLIENT_CONNECTED, namespace, sid, False, 0)
        elif kind == packet.DISCONNECT:
            self._joined.discard(namespace)
            if namespace in self._wanted:
                self._wanted.remove(namespace)
            self._tell(_engine.CLIENT_DISCONNECTED, namespace, "io server disconnect", True, None, "")
        elif kind == packet.CONNECT_ERROR:
            text = data.get("message", "not accepted") if isinstance(data, dict) else str(data)
            facts = ("refused", f"refused by the server: {text}", data)
            self._tell(_engine.CLIENT_CONNECT_ERROR, namespace, *facts)
            self._tell(_engine.CLIENT_NOT_JOINED, namespace, *facts)


class _Answer:
    """Answers an event."""

    def __init__(self, engine: RawEngine, namespace: str, id: int) -> None:
        self._engine, self._namespace, self._id = engine, namespace, id

    def send_result(self, result: Any) -> None:
        """Answers with what the handler has returned."""
        self._engine._send(packet.ACK, self._namespace, _args(result), self._id)

    def done(self) -> None:
        """Does nothing: events of a client whose packets are read in Python do not wait for one another."""


def _args(data: Any) -> list[Any]:
    """Returns the arguments of an event: a tuple is several, `None` is none."""
    return list(data) if isinstance(data, tuple) else [] if data is None else [data]
