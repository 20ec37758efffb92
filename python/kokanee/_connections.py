"""How clients join and leave, and connections that are not the engine's: their packets are read and written in Python.

Three kinds of connections end here. Those of the engine come with decisions (`Connecting`) and answers (`Answer`) of its own.
Those of an application's serializer come as messages of Engine.IO. And tests make some without a transport, by calling
`_handle_eio_connect`, `_handle_eio_message` and `_handle_eio_disconnect`, which are part of the API in practice.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from . import _engine, base_manager, exceptions, packet
from ._steps import settle
from .engineio import packet as eio_packet

#: Events that the engine alone may cause, as in JavaScript.
RESERVED = frozenset(
    ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
)


def arguments_of(result: Any) -> tuple[Any, ...]:
    """Returns the arguments of an acknowledgement for what a handler has returned: a tuple is spread, `None` is none."""
    if result is None:
        return ()
    return result if isinstance(result, tuple) else (result,)


def raise_again(*context: Any) -> None:
    """Gives the exception of a handler to the caller, as tests expect that bring their own connections."""
    raise


class LocalConnecting:
    """Decides on a client that lives in Python, as the engine's `Connecting` does on others."""

    def __init__(self, server: Any, eio_sid: str, namespace: str, sid: str) -> None:
        self._send = functools.partial(server._send_packet, eio_sid)
        self._packet = functools.partial(server.packet_class, namespace=namespace)
        self._sid = sid

    async def accept(self) -> bool:
        """Lets the client in."""
        await settle(self._send(self._packet(packet.CONNECT, {"sid": self._sid})))
        return True

    async def refuse(self, message: str, data: Any = None) -> None:
        """Refuses the client, with a message and perhaps data for it."""
        error = {"message": message} if data is None else {"message": message, "data": data}
        await settle(self._send(self._packet(packet.CONNECT_ERROR, error)))

    async def dismiss(self, message: str, data: Any = None) -> None:
        """Disconnects the client after it was let in, with the reason for it."""
        error = {"message": message} if data is None else {"message": message, "data": data}
        await settle(self._send(self._packet(packet.DISCONNECT, error)))


class TappedConnecting(LocalConnecting):
    """Decides on a client of the engine by packets, so that an application's `_send_packet` sees them."""

    def __init__(self, server: Any, eio_sid: str, namespace: str, sid: str, connecting: Any) -> None:
        super().__init__(server, eio_sid, namespace, sid)
        self._turn = server._turns, (eio_sid, namespace, None)
        self._connecting = connecting
        self._is_there = False

    async def accept(self) -> bool:
        """Lets the client in, if the packet comes through. Returns whether the client is there."""
        with _expecting(*self._turn, self):
            await super().accept()
        return self._is_there

    async def refuse(self, message: str, data: Any = None) -> None:
        """Refuses the client."""
        with _expecting(*self._turn, self):
            await super().refuse(message, data)

    def pass_on(self, pkt: Any) -> None:
        """Gives a packet that came through to the engine."""
        if pkt.packet_type == packet.CONNECT:
            self._is_there = self._connecting.accept()
        else:
            self._connecting.refuse(pkt.data["message"], pkt.data.get("data"))

    def done(self) -> None:
        """Says that nothing more is done for the client's wish to join."""
        self._connecting.done()


class LocalAnswer:
    """Answers an event of a client that lives in Python, as the engine's `Answer` does for others."""

    def __init__(self, server: Any, eio_sid: str, namespace: str, id: int) -> None:
        self._send = functools.partial(server._send_packet, eio_sid)
        self._packet = functools.partial(server.packet_class, namespace=namespace, id=id)

    def send_result(self, result: Any) -> Any:
        """Answers with what the handler has returned: a tuple is several values, `None` is none."""
        return self._send(self._packet(packet.ACK, data=list(arguments_of(result))))

    def done(self) -> None:
        """Ends the turn of the client; here its next event waits for nothing."""


class TappedAnswer(LocalAnswer):
    """Answers an event of a client of the engine by a packet, so that an application's `_send_packet` sees it."""

    def __init__(self, server: Any, eio_sid: str, namespace: str, answer: _engine.Answer) -> None:
        assert answer.id is not None
        super().__init__(server, eio_sid, namespace, answer.id)
        self._turn = server._turns, (eio_sid, namespace, answer.id)
        self._answer = answer

    async def send_result(self, result: Any) -> None:
        """Answers with what the handler has returned."""
        try:
            with _expecting(*self._turn, self):
                await settle(super().send_result(result))
        finally:
            # Also if the application has kept the packet.
            self._answer.done()

    def done(self) -> None:
        """Ends the turn of the client."""
        self._answer.done()

    def pass_on(self, pkt: Any) -> None:
        """Gives a packet that came through to the engine."""
        self._answer.send_result(tuple(pkt.data))


@contextlib.contextmanager
def _expecting(turns: dict[Any, Any], key: Any, turn: Any) -> Iterator[None]:
    """Makes a packet of the block known to `pass_on`."""
    turns[key] = turn
    try:
        yield
    finally:
        turns.pop(key, None)


class Call:
    """Is an event that is being emitted: its callback waits for answers, which may come at once, unless it is not made."""

    def __init__(self, callbacks: dict[int, tuple[Any, str, str]], number: int) -> None:
        self.number = number
        self.is_made = False
        self._callbacks = callbacks

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *error: object) -> None:
        if not self.is_made:
            self._callbacks.pop(self.number, None)


class Connections:
    """Is the part of a server that lets clients in, sees them leave, and serves connections that are not the engine's."""

    # What the servers are.
    logger: Any
    manager: Any
    environ: dict[str, Any]
    reason: Any
    packet_class: Any
    always_connect: bool
    async_handlers: bool
    not_handled: Any
    _sessions: dict[str, dict[str, Any]]
    #: Callbacks of events that clients of the engine are to answer, with the client.
    _callbacks: dict[int, tuple[Any, str, str]]
    _engine: Any
    #: Binary packets of which attachments are missing: of clients, and on the way to clients of the engine.
    _partial: dict[str, Any]
    _outgoing: dict[str, Any]
    #: What waits for its packet to come through `_send_packet`: by connection, namespace, and the id of an acknowledgement.
    _turns: dict[tuple[str, str, int | None], Any]
    #: Connections that are not the engine's, and those that have ended while clients of them are about to leave.
    _local: set[str]
    _ended: set[str]

    # Joining.

    def _initialize_manager(self) -> None:
        raise NotImplementedError

    def _is_open(self, namespace: str) -> bool:
        raise NotImplementedError

    def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any:
        raise NotImplementedError

    async def _join(
        self, sid: str, namespace: str, environ: Any, auth: Any, connecting: Any
    ) -> None:
        """Asks the connect handler whether a client may join, and tells it so. Nothing of a refused one stays."""
        client: base_manager.Client = self.manager.clients[sid]
        let_in = False
        refusal: tuple[Any, ...] | None = ("Unable to connect",)
        try:
            if not self._is_open(namespace):
                return
            if self.always_connect:
                let_in = await self._let_in(sid, namespace, connecting)
                if not let_in:
                    return
            refusal = ("internal error",)
            outer = base_manager.joining.get()
            base_manager.joining.set(sid)
            try:
                result = await settle(self._ask_to_join(sid, namespace, environ, auth))
            finally:
                base_manager.joining.set(outer)
            refused = result is False or client.unwanted
            refusal = ("Connection rejected by server",) if refused else None
        except exceptions.ConnectionRefusedError as error:
            refusal = (error.error_args["message"], error.error_args.get("data"))
        except ConnectionRefusedError:
            refusal = ("Connection refused by server",)
        finally:
            # Also if the handler has failed, or its task was cancelled.
            if refusal is not None:
                client.state = base_manager.LEAVING
                try:
                    if let_in:
                        await settle(self._dismiss(sid, namespace, connecting, refusal))
                    else:
                        await settle(connecting.refuse(*refusal))
                finally:
                    await settle(self.manager.disconnect(sid, namespace, ignore_queue=True))
            elif not let_in and not await self._let_in(sid, namespace, connecting):
                # It was gone before it was let in, but its handler knows it.
                await self._leave(sid, namespace, self.reason.TRANSPORT_CLOSE)

    def _ask_to_join(self, sid: str, namespace: str, environ: Any, auth: Any) -> Any:
        """Calls the connect handler, and returns what it returns."""
        return self._trigger_event("connect", namespace, sid, environ, auth or None)

    async def _let_in(self, sid: str, namespace: str, connecting: Any) -> bool:
        # First the state: the client's next packet may be handled before this goes on.
        await settle(self.manager.connect(sid, namespace))
        return bool(await settle(connecting.accept()))

    def _dismiss(
        self, sid: str, namespace: str, connecting: Any, refusal: tuple[Any, ...]
    ) -> Any:
        if isinstance(connecting, LocalConnecting):
            return connecting.dismiss(*refusal)
        return self._engine.disconnect(sid, namespace)

    # Leaving.

    async def _leave(self, sid: str, namespace: str, reason: str, marked: bool = False) -> None:
        """Calls the disconnect handler of a client that leaves, and forgets the client whatever happens there."""
        client: base_manager.Client | None = self.manager.clients.get(sid)
        if client is None:
            return
        if not marked and self.manager.pre_disconnect(sid, namespace) is None:
            # Somebody else is at it.
            return
        try:
            await settle(self._trigger_event("disconnect", namespace, sid, reason))
        finally:
            await settle(self.manager.disconnect(sid, namespace, ignore_queue=True))
            if client.eio_sid in self._ended:
                self._session_ended(client.eio_sid)

    async def _disconnect(self, sid: str, namespace: str, ignore_queue: bool) -> None:
        """Disconnects a client for the application; see `disconnect`."""
        manager = self.manager
        client: base_manager.Client | None = manager.clients.get(sid)
        if client is not None and client.state == base_manager.CONNECTING:
            # By its own connect handler: it is refused when that ends.
            client.unwanted = client.namespace == namespace
            return
        if ignore_queue:
            is_here = manager.is_connected(sid, namespace)
        else:
            is_here = await settle(manager.can_disconnect(sid, namespace))
        if not is_here:
            if not ignore_queue and client is None and manager.may_be_elsewhere(sid):
                self._engine.disconnect_elsewhere(sid, namespace)
            return
        self.logger.info("Disconnecting %s [%s]", sid, namespace)
        # Before the engine does it, as then the client has left its rooms.
        eio_sid = manager.pre_disconnect(sid, namespace)
        if eio_sid is None:
            return
        await settle(
            self._send_packet(eio_sid, self.packet_class(packet.DISCONNECT, namespace=namespace))
        )
        await self._leave(sid, namespace, self.reason.SERVER_DISCONNECT, marked=True)

    # Connections that are not the engine's.

    async def _open_connection(self, eio_sid: str, environ: Any) -> None:
        self._initialize_manager()
        self._local.add(eio_sid)
        self.environ[eio_sid] = environ

    async def _close_connection(self, eio_sid: str, reason: Any = None) -> None:
        clients = list(self.manager.clients.items())
        try:
            for sid, client in clients:
                if client.eio_sid == eio_sid:
                    reason = reason or self.reason.TRANSPORT_CLOSE
                    await self._leave(sid, client.namespace, reason)
        finally:
            self._session_ended(eio_sid)

    def _session_ended(self, eio_sid: str) -> None:
        """Forgets a connection, or waits for that until no client of it is left."""
        if self.manager.has_clients(eio_sid):
            self._ended.add(eio_sid)
            return
        self._ended.discard(eio_sid)
        self._local.discard(eio_sid)
        self._partial.pop(eio_sid, None)
        self.environ.pop(eio_sid, None)
        self._sessions.pop(eio_sid, None)
        self._outgoing.pop(eio_sid, None)

    def _all_sessions_ended(self) -> None:
        """Forgets the connections of an engine that was closed, which does not say any more that they have ended."""
        for eio_sid in list(self.environ):
            if eio_sid not in self._local:
                self._session_ended(eio_sid)

    async def _take_message(self, eio_sid: str, data: Any) -> None:
        """Handles a message of Engine.IO: a packet of Socket.IO, or an attachment of one."""
        waiting = self._partial.get(eio_sid)
        if waiting is None:
            pkt = self.packet_class(encoded_packet=data)
            if pkt.attachment_count > 0 and pkt.packet_type in (
                packet.BINARY_EVENT,
                packet.BINARY_ACK,
            ):
                self._partial[eio_sid] = pkt
                return
        else:
            if not isinstance(data, (bytes, bytearray)):
                del self._partial[eio_sid]
                raise ValueError("a text in the place of an attachment")
            if not waiting.add_attachment(data):
                return
            pkt = self._partial.pop(eio_sid)
        await self._take_packet(eio_sid, pkt)

    async def _take_packet(self, eio_sid: str, pkt: Any) -> None:
        namespace = pkt.namespace or "/"
        kind = pkt.packet_type
        if kind == packet.CONNECT:
            await self._take_connect(eio_sid, namespace, pkt.data)
            return
        if kind == packet.CONNECT_ERROR or kind not in range(len(packet.packet_names)):
            raise ValueError(f"unexpected packet of type {kind!r}")
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if sid is None or not self.manager.is_connected(sid, namespace):
            self.logger.warning("%s is not connected to namespace %s", sid or eio_sid, namespace)
        elif kind == packet.DISCONNECT:
            await self._leave(sid, namespace, self.reason.CLIENT_DISCONNECT)
        elif kind in (packet.EVENT, packet.BINARY_EVENT):
            await self._take_event(eio_sid, sid, namespace, pkt.id, pkt.data)
        else:
            self.logger.info("received ack from %s [%s]", sid, namespace)
            await settle(self.manager.trigger_callback(sid, pkt.id, pkt.data))

    async def _take_connect(self, eio_sid: str, namespace: str, auth: Any) -> None:
        sid = None
        if self._is_open(namespace):
            sid = await settle(self.manager.pre_connect(eio_sid, namespace))
        if sid is None:
            refusal = self.packet_class(
                packet.CONNECT_ERROR, {"message": "Unable to connect"}, namespace=namespace
            )
            await settle(self._send_packet(eio_sid, refusal))
            return
        connecting = LocalConnecting(self, eio_sid, namespace, sid)
        await self._join(sid, namespace, self.environ.get(eio_sid), auth, connecting)

    async def _take_event(
        self, eio_sid: str, sid: str, namespace: str, id: int | None, data: Any
    ) -> None:
        if not isinstance(data, list) or not data:
            raise ValueError("an event without a name")
        if data[0] in RESERVED:
            raise ValueError(f"the event {data[0]!r} is reserved")
        answer = None if id is None else LocalAnswer(self, eio_sid, namespace, id)
        # Without a kind, its errors are for the caller: a test.
        kind = _engine.EVENT if self.async_handlers else None
        event = (kind, sid, namespace, data[0], tuple(data[1:]), answer)
        if self.async_handlers:
            self._start_event(event)
        else:
            await settle(self._handle_event(event, on_error=raise_again))

    def _start_event(self, event: tuple[Any, ...]) -> Any:
        """Handles an event beside others."""
        raise NotImplementedError

    def _handle_event(self, event: tuple[Any, ...], *, on_error: Any) -> Any:
        """Calls the handler of an event, and answers it. `on_error` is called while its exception is handled."""
        raise NotImplementedError

    # Sending packets. Applications put functions of their own in the place of these two methods.

    def _is_tapped(self) -> bool:
        """Returns whether packets of all clients go through `_send_packet` and `_send_eio_packet`."""
        # Asked for each emit.
        own, kind = self.__dict__, type(self)
        return (
            "_send_packet" in own
            or "_send_eio_packet" in own
            or kind._send_packet is not _SEND_PACKET
            or kind._send_eio_packet is not _SEND_EIO_PACKET
        )

    def _sends_packets(self) -> bool:
        """Returns whether each packet goes through an application's `_send_packet`."""
        # Asked for each acknowledgement.
        return "_send_packet" in self.__dict__ or type(self)._send_packet is not _SEND_PACKET

    def _answer_by(self, answer: Any, sid: str, namespace: str) -> Any:
        """Returns what answers an event that was not handled directly: the answer that came with it, or a packet."""
        if type(answer) is not _engine.Answer or not self._sends_packets():
            return answer
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace)
        if eio_sid is None or not answer.is_wanted():
            return answer
        return TappedAnswer(self, eio_sid, namespace, answer)

    def _send_packet(self, eio_sid: str, pkt: Any) -> Any:
        """Sends a packet on a connection."""
        if eio_sid not in self._local:
            return self._give_to_engine(eio_sid, pkt)
        encoded = pkt.encode()
        parts = encoded if isinstance(encoded, list) else [encoded]
        sent = [
            self._send_eio_packet(eio_sid, eio_packet.Packet(eio_packet.MESSAGE, part))
            for part in parts
        ]
        return sent[0] if len(sent) == 1 else self._all_of(sent)

    def _send_eio_packet(self, eio_sid: str, eio_pkt: Any) -> Any:
        """Sends a packet of Engine.IO, which is a packet of Socket.IO or an attachment of one."""
        if eio_sid in self._local:
            self._send_message(eio_sid, eio_pkt.data)
            return self._nothing()
        waiting = self._outgoing.get(eio_sid)
        if waiting is None:
            pkt = self.packet_class(encoded_packet=eio_pkt.data)
            if pkt.attachment_count > 0:
                self._outgoing[eio_sid] = pkt
                return self._nothing()
        elif waiting.add_attachment(eio_pkt.data):
            pkt = self._outgoing.pop(eio_sid)
        else:
            return self._nothing()
        return self._give_to_engine(eio_sid, pkt)

    def _nothing(self) -> Any:
        """Returns what a method that has done its work returns: `None`, or something that can be awaited."""
        return None

    def _given(self, value: Any) -> Any:
        """Returns a value as the methods of the server do: itself, or something that can be awaited."""
        return value

    def _all_of(self, sent: list[Any]) -> Any:
        """Returns what several calls have returned as one: `None`, or something that can be awaited."""
        return None

    def _send_message(self, eio_sid: str, data: Any) -> None:
        raise NotImplementedError

    def _give_to_engine(self, eio_sid: str, pkt: Any) -> Any:
        namespace = pkt.namespace or "/"
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if sid is None:
            return self._nothing()
        turn = self._turns.get((eio_sid, namespace, pkt.id))
        if pkt.packet_type == packet.DISCONNECT:
            self._engine.disconnect(sid, namespace)
        elif pkt.packet_type in (packet.EVENT, packet.BINARY_EVENT):
            event, args = pkt.data[0], tuple(pkt.data[1:])
            if pkt.id is None:
                self._engine.emit(event, args, namespace, [sid], None)
            else:
                answered = functools.partial(self._answered, sid, pkt.id)
                with self._expect_answer(answered, sid, namespace) as call:
                    call.is_made = self._engine.emit_with_ack(call.number, event, args, namespace, sid)
        elif turn is not None:
            turn.pass_on(pkt)
        return self._nothing()

    def _expect_answer(self, callback: Any, sid: str, namespace: str) -> Call:
        """Returns the call that is to be made for a callback."""
        number: int = self._engine.next_call()
        self._callbacks[number] = callback, sid, namespace
        return Call(self._callbacks, number)

    def _answered(self, sid: str, id: int, *args: Any) -> Any:
        return self.manager.trigger_callback(sid, id, list(args))


#: The methods that applications override.
_SEND_PACKET = Connections._send_packet
_SEND_EIO_PACKET = Connections._send_eio_packet
