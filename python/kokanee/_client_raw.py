"""A connection whose packets are read and written in Python, by a packet class of an application.

It stands in the place of the engine's: the same methods, and the same events for the client.
"""

from __future__ import annotations

import collections
import itertools
import threading
from typing import Any

from . import _engine, packet

#: An event has left.
SENT = 0
#: The namespace is not connected.
NOT_CONNECTED = -1

#: The kind of what is said here of packets. It begins as what the engine says does, so that the next message waits for no handler.
TOLD = -1
#: The kind of what is put behind events, of which many wait: then the next message is read.
TURN = -2
#: Events that wait for handlers before the next message waits.
MOST_WAITING = 1024


class RawEngine:
    """Is a connection of a client, whose packet class encodes and decodes what is sent."""

    def __init__(self, client: Any, queue: Any, number: int, url: str, options: dict[str, Any]) -> None:
        self._client = client
        self._number = number
        #: Where handlers take what is told. The engine's own events are taken elsewhere, if threads may wait within handlers.
        self._queue = queue
        packets = client._hub.packet_queue(queue)
        #: The number of the connection that is open, or of the next one.
        self._connection = 1
        #: That of the last message.
        self._message_connection = 1
        self._packet_class = client.packet_class
        #: What is sent with CONNECT. `None`: the application must be asked.
        self._auth = options.pop("auth", None)
        self._asks_auth = options.pop("asks_auth")
        #: Whether a server is tried again to which there was no connection yet.
        self._retries = bool(options["retry"])
        self._was_joined = False
        #: The namespaces that are or will be joined, in their order.
        self._wanted: dict[str, None] = {}
        self._joined: set[str] = set()
        #: The namespaces whose state the server keeps.
        self._recoverable: set[str] = set()
        self._ids = itertools.count(1)
        #: The number of the client's call for each id of an acknowledgement.
        self._calls: dict[int, tuple[int, str]] = {}
        self._partial: Any = None
        #: While an event is handled, those that wait for its end; `None` without an event, or if they wait for nothing.
        self._waiting: collections.deque[tuple[Any, ...]] | None = None
        self._is_serial = bool(options["serial"])
        #: Of a message after which too many wait.
        self._turn: Any = None
        self._ordering = threading.Lock()
        #: All messages of one packet leave together.
        self._sending = threading.Lock()
        # One message after the other: attachments belong to what comes before them.
        self._engine = _engine.ClientEngine(packets, number, url, {**options, "raw": True, "serial": True, "json": None})

    # What a client calls.

    def join(self, namespace: str, later: bool = False) -> None:
        """Joins a namespace, now or when the connection is open; `later` with an auth of its own."""
        if later:
            self._renew_auth()
        self._wanted[namespace] = None
        if self._engine.is_connected("/"):
            self._connect([namespace])
        else:
            self._engine.join("/")

    def leave(self, namespace: str, call: int) -> bool:
        """Leaves a namespace."""
        self._wanted.pop(namespace, None)
        if namespace in self._joined:
            self._joined.discard(namespace)
            self._send(packet.DISCONNECT, namespace)
            self._end_calls("the namespace was left", namespace)
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
        is_sent = self._send(packet.EVENT, namespace, [event, *_args(data)], id)
        if is_sent and namespace in self._joined:
            return SENT
        # The connection was lost meanwhile.
        self._calls.pop(id, None)
        return NOT_CONNECTED

    def has_room(self, namespace: str) -> bool:
        """Returns whether a message would leave at once."""
        return self._engine.has_room("/")

    def when_room(self, namespace: str, call: int) -> None:
        """Ends a call when a message would leave at once."""
        self._engine.when_room("/", call)

    def is_connected(self, namespace: str) -> bool:
        """Returns whether a namespace is connected."""
        return namespace in self._joined

    def __getattr__(self, name: str) -> Any:
        # What is about the connection alone is the engine's.
        if name in ("session_id", "transport", "reconnect", "awaits_upgrade"):
            return getattr(self._engine, name)
        raise AttributeError(name)

    def _send(self, kind: int, namespace: str, data: Any = None, id: int | None = None) -> bool:
        encoded = self._packet_class(kind, data=data, namespace=namespace, id=id).encode()
        with self._sending:
            return all(map(self._engine.send_message, encoded if isinstance(encoded, list) else [encoded]))

    # What the engine says, in the words for the client.

    def _tell(self, kind: int, *facts: Any) -> None:
        self._put((kind, self._number, *facts))

    def _put(self, event: tuple[Any, ...]) -> None:
        self._queue.put((TOLD, self._number, event))

    def _tell_answer(self, call: int, args: tuple[Any, ...] | None, error: str | BaseException | None) -> None:
        if self._client._is_waited_for(call):
            # All threads for handlers may wait for answers.
            self._client._handle_answer(call, args, error)
        else:
            self._tell(_engine.CLIENT_ANSWERED, call, args, error)

    def _done(self, call: int) -> None:
        if call:
            self._client._handle_done(call, None)

    def _end_calls(self, why: str, namespace: str | None = None) -> None:
        """Says that no answers come any more, in one namespace or in all."""
        for id, (call, name) in list(self._calls.items()):
            if namespace in (None, name) and self._calls.pop(id, None) is not None:
                self._tell_answer(call, None, why)

    def take(self, event: tuple[Any, ...]) -> None:
        """Handles what the engine says of the connection, and what its packets have led to."""
        kind = event[0]
        if kind == TOLD:
            self._take_told(event[2])
        elif kind == _engine.CLIENT_RECEIVED:
            try:
                self._take_message(*event[4])
            except Exception as error:
                self._client.logger.exception("a packet of the server cannot be read")
                self._end_waiting_calls(error)
            finally:
                self._end_turn(event[5])
        elif kind == _engine.CLIENT_CONNECTED:
            if event[5]:
                # Of a reconnection; that of each namespace comes with its answer.
                self._tell(*event[:1], *event[2:])
                return
            self._connect(list(self._wanted))
        elif kind == _engine.CLIENT_DISCONNECTED:
            self._lost(*event[3:])
        elif kind in (
            _engine.CLIENT_CONNECT_ERROR,
            _engine.CLIENT_NOT_JOINED,
            _engine.CLIENT_RECONNECT_ATTEMPT,
            _engine.CLIENT_RECONNECT_FAILED,
        ):
            self._renew_auth()
            for namespace in list(self._wanted):
                self._tell(kind, namespace, *event[3:])
        elif kind == _engine.CLIENT_DONE:
            # Somebody waits, so that no thread for handlers may be left.
            self._client._handle_own(event)
        else:
            self._put(event)

    def _take_told(self, event: tuple[Any, ...]) -> None:
        if event[0] == TURN:
            event[2].done()
        else:
            self._client._handle_own(event)

    def _lost(self, detail: str, is_final: bool, *facts: Any) -> None:
        """Handles the end of the connection."""
        self._connection += 1
        namespaces = sorted(self._joined)
        self._joined.clear()
        self._renew_auth()
        self._end_calls("the connection was lost")
        for namespace in namespaces:
            self._tell(_engine.CLIENT_DISCONNECTED, namespace, detail, is_final, *facts)
        if detail == "io client disconnect":
            return
        for namespace in list(self._wanted):
            if namespace not in namespaces:
                failure = ("interrupted", f"the connection ended during the handshake: {detail}", None)
                self._tell(_engine.CLIENT_CONNECT_ERROR, namespace, *failure)
                if is_final or not (self._retries or self._was_joined):
                    self._tell(_engine.CLIENT_NOT_JOINED, namespace, *failure)

    def _end_waiting_calls(self, error: Exception) -> None:
        """Ends the calls that wait: one of them may wait for the packet that could not be read."""
        for id, (call, _) in list(self._calls.items()):
            if self._client._is_waited_for(call) and self._calls.pop(id, None) is not None:
                self._tell_answer(call, None, error)

    def _take_message(self, message: Any, connection: int) -> None:
        partial, self._partial = self._partial, None
        if connection != self._message_connection:
            self._message_connection, partial = connection, None
        if partial is not None and isinstance(message, str):
            # What comes now is another packet.
            self._client.logger.error("a packet of the server came without its attachments")
            self._end_waiting_calls(ValueError("a packet came without its attachments"))
            partial = None
        if partial is not None:
            decoded = partial
            if not decoded.add_attachment(message):
                self._partial = decoded
                return
        else:
            decoded = self._packet_class(encoded_packet=message)
            if decoded.attachment_count and decoded.packet_type in (packet.BINARY_EVENT, packet.BINARY_ACK):
                self._partial = decoded
                return
        self._take_packet(decoded.packet_type, decoded.namespace or "/", decoded.data, decoded.id)

    def _take_packet(self, kind: int, namespace: str, data: Any, id: int | None) -> None:
        is_event = kind in (packet.EVENT, packet.BINARY_EVENT)
        if self._message_connection < self._connection:
            # Its connection is lost: nobody waits for an answer, and nothing else of it holds any more.
            if not is_event:
                return
            id = None
        if kind not in (packet.ACK, packet.BINARY_ACK) and namespace not in self._wanted:
            # Servers of revision 3 connect `/` unasked; others may not know yet that a namespace was left.
            return
        if is_event:
            may_have_offset = id is None and namespace in self._recoverable
            answer = _Answer(self, namespace, id) if id is not None or self._is_serial else None
            facts = (namespace, data[0], tuple(data[1:]), answer, may_have_offset)
            self._put_event((_engine.CLIENT_RECEIVED, self._number, *facts))
        elif kind in (packet.ACK, packet.BINARY_ACK):
            call, _ = self._calls.pop(id or 0, (0, ""))
            self._tell_answer(call, tuple(data or ()), None)
        elif kind == packet.CONNECT:
            self._joined.add(namespace)
            self._was_joined = True
            self._recoverable.discard(namespace)
            if (data or {}).get("pid"):
                self._recoverable.add(namespace)
            sid = (data or {}).get("sid", self._engine.session_id())
            self._tell(_engine.CLIENT_CONNECTED, namespace, sid, False, 0)
        elif kind == packet.DISCONNECT:
            self._joined.discard(namespace)
            self._wanted.pop(namespace, None)
            self._end_calls("the socket is disconnected", namespace)
            self._tell(_engine.CLIENT_DISCONNECTED, namespace, "io server disconnect", True, None, "")
        elif kind == packet.CONNECT_ERROR:
            text = data.get("message", "not accepted") if isinstance(data, dict) else str(data)
            self._tell_refused(namespace, "refused", f"refused by the server: {text}", data)

    def _tell_refused(self, namespace: str, *facts: Any) -> None:
        self._tell(_engine.CLIENT_CONNECT_ERROR, namespace, *facts)
        self._tell(_engine.CLIENT_NOT_JOINED, namespace, *facts)

    # Joining.

    def _renew_auth(self) -> None:
        if self._asks_auth:
            self._auth = None

    def _connect(self, namespaces: list[str]) -> None:
        """Asks for namespaces, when the application has said with which auth."""
        if self._auth is None:
            self._tell(_engine.CLIENT_AUTH, _AuthRequest(self, namespaces))
        else:
            self._send_connect(namespaces, self._auth)

    def _send_connect(self, namespaces: list[str], auth: Any) -> None:
        for namespace in namespaces:
            try:
                self._send(packet.CONNECT, namespace, auth)
            except Exception as error:
                self._tell_refused(namespace, "option", f"the packet class cannot write the auth: {error}", None)

    # Events that are handled one after the other.

    def _put_event(self, event: tuple[Any, ...]) -> None:
        """Has an event handled, now or after those before it."""
        with self._ordering:
            if self._waiting is not None:
                self._waiting.append(event)
                return
            if self._is_serial:
                self._waiting = collections.deque()
        self._put(event)

    def _end_event(self) -> None:
        """Has the next event handled, after the end of one."""
        event = turn = None
        with self._ordering:
            if self._waiting:
                event = self._waiting.popleft()
                if len(self._waiting) < MOST_WAITING:
                    turn, self._turn = self._turn, None
            else:
                self._waiting = None
        if event is not None:
            self._put(event)
        if turn is not None:
            turn.done()

    def _end_turn(self, turn: Any) -> None:
        """Lets the next message come, unless too many events wait."""
        with self._ordering:
            if self._waiting is not None and len(self._waiting) >= MOST_WAITING:
                self._turn = turn
                return
        if self._queue.load()[0] >= MOST_WAITING:
            # When handlers have taken what is before it.
            self._put((TURN, self._number, turn))
        else:
            turn.done()


class _AuthRequest:
    """Asks for what is sent with CONNECT, once for all namespaces that are joined with a connection."""

    def __init__(self, engine: RawEngine, namespaces: list[str]) -> None:
        self._engine, self._namespaces = engine, namespaces

    def give(self, auth: Any) -> None:
        """Joins the namespaces."""
        self._engine._send_connect(self._namespaces, auth)

    def fail(self) -> None:
        """Lets the connection be made again, as the attempt has failed."""
        self._engine.reconnect()


class _Answer:
    """Answers an event, if the server wants that, and ends its turn."""

    def __init__(self, engine: RawEngine, namespace: str, id: int | None) -> None:
        self._engine, self._namespace, self._id = engine, namespace, id

    def send_result(self, result: Any) -> None:
        """Answers with what the handler has returned."""
        if self._id is not None:
            self._engine._send(packet.ACK, self._namespace, _args(result), self._id)

    def done(self) -> None:
        """Ends the turn of the event."""
        if self._engine._is_serial:
            self._engine._end_event()


def _args(data: Any) -> list[Any]:
    """Returns the arguments of an event: a tuple is several, `None` is none."""
    return list(data) if isinstance(data, tuple) else [] if data is None else [data]
