"""`SocketIOTestClient`: a client in the process of the server, for tests of an application."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from flask.testing import EnvironBuilder

from .. import packet

if TYPE_CHECKING:
    import flask

    from ._extension import SocketIO
    from ._server import FlaskServer

_EVENTS = (packet.EVENT, packet.BINARY_EVENT)
_ACKS = (packet.ACK, packet.BINARY_ACK)


class SocketIOTestClient:
    """Is a client for tests, which needs no port: handlers run within `emit`, and their exceptions come out of it."""

    #: The clients of all tests, by connection.
    clients: ClassVar[dict[str, SocketIOTestClient]] = {}

    def __init__(
        self,
        app: flask.Flask,
        socketio: SocketIO,
        namespace: str | None = None,
        query_string: str | None = None,
        headers: Any = None,
        auth: Any = None,
        flask_test_client: Any = None,
    ) -> None:
        self.app = app
        self.socketio = socketio
        self.flask_test_client = flask_test_client
        self.eio_sid = uuid.uuid4().hex
        #: The namespaces that it is in.
        self.connected: dict[str, bool] = {}
        #: The events that it has received.
        self.queue: list[dict[str, Any]] = []
        self.acks: dict[str, Any] | None = None
        self.callback_counter = 0
        server = self._server = socketio._server_for(app)
        if getattr(server.manager, "has_queue", False):
            raise RuntimeError(
                "Test client cannot be used with a message queue. Disable the queue on your test configuration."
            )
        self.clients[self.eio_sid] = self
        _prepare(server)
        server.environ[self.eio_sid] = {}
        self.connect(namespace=namespace, query_string=query_string, headers=headers, auth=auth)

    def is_connected(self, namespace: str | None = None) -> bool:
        """Returns whether it is in a namespace."""
        return self.connected.get(namespace or "/", False)

    def connect(
        self, namespace: str | None = None, query_string: str | None = None, headers: Any = None, auth: Any = None
    ) -> None:
        """Joins a namespace: one more, as the first one is joined when the client is made."""
        namespace = namespace or "/"
        path = "/socket.io"
        if query_string:
            path += query_string if query_string.startswith("?") else f"?{query_string}"
        environ = self._environ(path, headers)
        environ["flask.app"] = self.app
        self._server._handle_eio_connect(self.eio_sid, environ)
        self._put(packet.Packet(packet.CONNECT, auth, namespace=namespace))
        if self._server.manager.sid_from_eio_sid(self.eio_sid, namespace):
            self.connected[namespace] = True

    def _environ(self, path: str, headers: Any) -> dict[str, Any]:
        """Returns the request that opens the connection, with the cookies of Flask's test client."""
        client = self.flask_test_client
        if client is None:
            return EnvironBuilder(self.app, path=path, headers=headers).get_environ()
        environ: dict[str, Any] = client._request_from_builder_args(
            args=(), kwargs={"path": path, "headers": headers}
        ).environ
        client._add_cookies_to_wsgi(environ)
        return environ

    def disconnect(self, namespace: str | None = None) -> None:
        """Leaves a namespace."""
        self._check(namespace)
        self._put(packet.Packet(packet.DISCONNECT, namespace=namespace))
        self.connected.pop(namespace or "/", None)

    def emit(
        self, event: str, *args: Any, callback: bool = False, namespace: str | None = None, **others: Any
    ) -> Any:
        """Emits an event; with `callback`, returns what the handler has answered: one value, or a list.

        Other options have no effect, as in Flask-SocketIO.
        """
        self._check(namespace)
        id = None
        if callback:
            self.callback_counter += 1
            id = self.callback_counter
        self._put(packet.Packet(packet.EVENT, data=[event, *args], namespace=namespace, id=id))
        if self.acks is None:
            return None
        answered, self.acks = self.acks["args"], None
        return answered[0] if len(answered) == 1 else answered

    def send(self, data: Any, json: bool = False, callback: bool = False, namespace: str | None = None) -> Any:
        """Emits the event `message`, or `json`."""
        return self.emit("json" if json else "message", data, callback=callback, namespace=namespace)

    def get_received(self, namespace: str | None = None) -> list[dict[str, Any]]:
        """Returns the events of a namespace that came since the last call: `{"name": …, "args": …, "namespace": …}`.

        `args` is a list of the event's arguments; of `message` and `json` it is the first one itself.
        """
        self._check(namespace)
        received = [each for each in self.queue if each["namespace"] == (namespace or "/")]
        self.queue = [each for each in self.queue if each not in received]
        return received

    def _check(self, namespace: str | None) -> None:
        if not self.is_connected(namespace):
            raise RuntimeError("not connected")

    def _put(self, pkt: packet.Packet) -> None:
        """Gives a packet to the server."""
        encoded = pkt.encode()
        for part in encoded if isinstance(encoded, list) else [encoded]:
            self._server._handle_eio_message(self.eio_sid, part)

    def _take(self, pkt: packet.Packet) -> None:
        """Takes a packet of the server."""
        namespace = pkt.namespace or "/"
        if pkt.packet_type in _EVENTS:
            name, *args = pkt.data
            is_plain = name in ("message", "json")
            self.queue.append({"name": name, "args": args[0] if is_plain else args, "namespace": namespace})
        elif pkt.packet_type in _ACKS:
            self.acks = {"args": pkt.data, "namespace": namespace}
        elif pkt.packet_type in (packet.DISCONNECT, packet.CONNECT_ERROR):
            self.connected[namespace] = False


def _prepare(server: FlaskServer) -> None:
    """Lets a server send its packets to the test clients, and run handlers at once."""
    partial: dict[str, packet.Packet] = {}

    def send_packet(eio_sid: str, pkt: Any) -> Any:
        if eio_sid not in SocketIOTestClient.clients:
            return type(server)._send_packet(server, eio_sid, pkt)
        # As it would be after the network.
        encoded = pkt.encode()
        first, *attachments = encoded if isinstance(encoded, list) else [encoded]
        pkt = packet.Packet(encoded_packet=first)
        for attachment in attachments:
            pkt.add_attachment(attachment)
        return SocketIOTestClient.clients[eio_sid]._take(pkt)

    def send_eio_packet(eio_sid: str, eio_pkt: Any) -> Any:
        if eio_sid not in SocketIOTestClient.clients:
            return type(server)._send_eio_packet(server, eio_sid, eio_pkt)
        pkt = partial.pop(eio_sid, None)
        if pkt is None:
            pkt = packet.Packet(encoded_packet=eio_pkt.data)
            is_whole = pkt.attachment_count == 0
        else:
            is_whole = bool(pkt.add_attachment(eio_pkt.data))
        if is_whole:
            send_packet(eio_sid, pkt)
        else:
            partial[eio_sid] = pkt
        return None

    server._send_packet = send_packet  # type: ignore[method-assign]
    server._send_eio_packet = send_eio_packet  # type: ignore[method-assign]
    server.async_handlers = False
    server.eio.async_handlers = False
    server.manager.initialize()
