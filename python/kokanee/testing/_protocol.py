"""The client's side of Engine.IO and Socket.IO, on the messages of a WebSocket: what a client has joined, received, and must answer.

It does no input or output: `handle` takes a message and `take_outgoing` gives those that are to be sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .. import packet
from ._events import Event

#: What a client handles an event with: its result is the acknowledgement.
Handler = Callable[..., Any]


class Joined:
    """Is what a client knows of a namespace."""

    def __init__(self) -> None:
        self.sid: str | None = None
        #: What the server has refused it with.
        self.refusal: dict[str, Any] | None = None
        self.is_connected = False


class Protocol:
    """Speaks for one connection of a client."""

    def __init__(self, packet_class: Any) -> None:
        self._packet_class = packet_class
        self._outgoing: list[str | bytes] = []
        #: A packet that waits for its attachments.
        self._partial: Any = None
        self._answers: dict[int, tuple[Any, ...] | None] = {}
        self._next_id = 0
        self.handshake: dict[str, Any] | None = None
        self.namespaces: dict[str, Joined] = {}
        self.handlers: dict[tuple[str, str], Handler] = {}
        self.received: list[Event] = []
        self.answers_pings = True
        self.ping_count = 0
        self.is_closed = False
        #: What calls a handler and passes on its result, which may be awaitable.
        self.run: Callable[[Handler, tuple[Any, ...], Callable[[Any], None]], None] = _run

    # What is sent.

    def take_outgoing(self) -> list[str | bytes]:
        """Takes the messages that are to be sent."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def _send(self, pkt: Any) -> None:
        encoded = pkt.encode()
        for part in encoded if isinstance(encoded, list) else [encoded]:
            self._outgoing.append(f"4{part}" if isinstance(part, str) else bytes(part))

    def join(self, namespace: str, auth: Any) -> None:
        """Asks for a namespace."""
        self.namespaces[namespace] = Joined()
        self._send(self._packet_class(packet.CONNECT, auth, namespace))

    def leave(self, namespace: str) -> None:
        """Leaves a namespace."""
        if self.namespaces[namespace].is_connected:
            self.namespaces[namespace].is_connected = False
            self._send(self._packet_class(packet.DISCONNECT, namespace=namespace))

    def close(self) -> None:
        """Ends the session."""
        self._outgoing.append("1")

    def emit(self, event: str, data: Any, namespace: str, asks: bool = False) -> int | None:
        """Emits an event, and returns the id of its acknowledgement if that is asked for."""
        args = data if isinstance(data, tuple) else () if data is None else (data,)
        number = None
        if asks:
            number = self._next_id
            self._next_id += 1
            self._answers[number] = None
        self._send(self._packet_class(packet.EVENT, [event, *args], namespace, number))
        return number

    def is_answered(self, number: int) -> bool:
        """Returns whether the acknowledgement has come."""
        return self._answers[number] is not None

    def take_answer(self, number: int) -> tuple[Any, ...] | None:
        """Takes the arguments of an acknowledgement, `None` if it has not come. One that comes later is dropped."""
        return self._answers.pop(number)

    # What is received.

    def handle(self, message: str | bytes) -> None:
        """Takes a message of the server."""
        if isinstance(message, bytes):
            if self._partial is not None:
                if self._partial.add_attachment(message):
                    whole, self._partial = self._partial, None
                    self._handle_packet(whole)
            else:
                self._handle_packet(self._packet_class(encoded_packet=message))
            return
        kind, rest = message[:1], message[1:]
        if kind == "0":
            self.handshake = json.loads(rest)
        elif kind == "1":
            self.end()
        elif kind == "2":
            self.ping_count += 1
            if self.answers_pings:
                self._outgoing.append(f"3{rest}")
        elif kind == "4":
            pkt = self._packet_class(encoded_packet=rest)
            if pkt.attachment_count:
                self._partial = pkt
            else:
                self._handle_packet(pkt)

    def _handle_packet(self, pkt: Any) -> None:
        name = pkt.namespace or "/"
        joined = self.namespaces.setdefault(name, Joined())
        if pkt.packet_type == packet.CONNECT:
            joined.sid = (pkt.data or {}).get("sid")
            joined.is_connected = True
        elif pkt.packet_type == packet.CONNECT_ERROR:
            data = pkt.data
            joined.refusal = data if isinstance(data, dict) else {"message": data}
        elif pkt.packet_type == packet.DISCONNECT:
            joined.is_connected = False
        elif pkt.packet_type in (packet.EVENT, packet.BINARY_EVENT):
            self._handle_event(pkt, name)
        elif pkt.id in self._answers:
            self._answers[pkt.id] = tuple(pkt.data or ())

    def _handle_event(self, pkt: Any, namespace: str) -> None:
        event, *args = pkt.data

        def ack(*values: Any) -> None:
            self._send(self._packet_class(packet.ACK, list(values), namespace, pkt.id))

        def answer(result: Any) -> None:
            if pkt.id is not None:
                ack(*(result if isinstance(result, tuple) else () if result is None else (result,)))

        handler = self.handlers.get((namespace, event))
        if handler is not None:
            self.run(handler, tuple(args), answer)
        else:
            own = ack if pkt.id is not None else None
            self.received.append(Event(event, tuple(args), namespace, own))

    def end(self) -> None:
        """The connection has ended."""
        self.is_closed = True
        for joined in self.namespaces.values():
            joined.is_connected = False


def _run(handler: Handler, args: tuple[Any, ...], answer: Callable[[Any], None]) -> None:
    answer(handler(*args))
