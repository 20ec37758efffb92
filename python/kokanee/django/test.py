"""`SocketClient`: a client for tests, without a port. Handlers run in the thread of the test, within its transaction.

    class ChatTests(TestCase):
        def test_what_one_says_others_hear(self):
            self.client.force_login(ada)
            with SocketClient(self.client) as one, SocketClient() as other:
                self.assertEqual(one.call("say", "hello"), 1)
                self.assertEqual(other.take(), [Event("said", "ada: hello")])
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import connections
from django.dispatch import receiver
from django.test import LiveServerTestCase

from .. import packet
from .._connections import raise_again
from .._steps import drive
from ..exceptions import ConnectionRefusedError, DisconnectedError
from ..server import Server
from . import _conf, _servers
from ._bridge import Bridge
from ._registry import Sockets, sockets

_numbers = itertools.count(1)


class Event:
    """Is an event that a client has received: the same as `Event("said", "hello")` if name and arguments are the same."""

    def __init__(self, name: str, *args: Any) -> None:
        self.name = name
        self.args = args

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and (self.name, self.args) == (other.name, other.args)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"Event({', '.join(map(repr, (self.name, *self.args)))})"


class _Server(Server):
    """Serves the clients of tests. Each event is handled before its `emit` returns, and a handler's exception is raised there."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.test_clients: dict[str, SocketClient] = {}
        # There are no clients of an engine, so that none need be started.
        self.manager._engine = None

    def _start_event(self, event: tuple[Any, ...]) -> Any:
        return self._handle_event((None, *event[1:]), raise_again)

    def _send_message(self, eio_sid: str, data: Any) -> None:
        client = self.test_clients.get(eio_sid)
        if client is not None:
            client._take_message(data)


def bridge_for_tests(registry: Sockets) -> Bridge:
    """Returns what serves the clients of tests, and sends what the project emits in them."""
    for bridge in registry.bridges:
        if isinstance(bridge.server, _Server):
            return bridge
    options = {**_conf.for_server(_conf.options(), is_async=False), "async_mode": "threading"}
    bridge = Bridge(_Server(**options), in_test=True)
    registry.attach(bridge)
    return bridge


class SocketLiveServerTestCase(LiveServerTestCase):
    """Serves the project with its clients on a port, for browsers and other clients; see `LiveServerTestCase`.

    Handlers run on threads of the server, so that there is no transaction around a test, and SQLite needs a file:
    `DATABASES["default"]["TEST"] = {"NAME": "test.sqlite3"}`.
    """

    @classmethod
    def setUpClass(cls) -> None:
        """Raises `ImproperlyConfigured` if threads cannot share the database."""
        for connection in connections.all():
            if connection.vendor == "sqlite" and connection.is_in_memory_db():
                raise ImproperlyConfigured(
                    "handlers run on threads, which cannot share a database of SQLite in memory: "
                    f"set DATABASES[{connection.alias!r}]['TEST'] = {{'NAME': 'test.sqlite3'}}"
                )
        super().setUpClass()

    @staticmethod
    def static_handler(application: Any) -> Any:
        """Returns what serves clients and static files in front of the project."""
        if settings.STATIC_URL:
            application = StaticFilesHandler(application)
        return _servers.wsgi(application)

    @classmethod
    def tearDownClass(cls) -> None:
        """Disconnects all clients, and stops."""
        for bridge in sockets.bridges:
            if not bridge.is_async and not bridge.in_test:
                sockets.detach(bridge)
                bridge.server.shutdown()
        super().tearDownClass()


@receiver(setting_changed)
def _changed(*, setting: str, **_: Any) -> None:
    """Has the next client of tests meet a server with other options."""
    if setting == "KOKANEE":
        for bridge in sockets.bridges:
            if isinstance(bridge.server, _Server):
                sockets.detach(bridge)


class SocketClient:
    """Is a client of the project's handlers. It is connected when it is made.

    `client`, a test client of Django, is the browser whose session and user the handlers see. Raises `ConnectionRefusedError` if
    the client is refused. In coroutines use `aopen`, `acall`, `aemit` and `adisconnect`.
    """

    def __init__(
        self,
        client: Any = None,
        *,
        namespace: str = "/",
        auth: Any = None,
        headers: dict[str, str] | None = None,
        registry: Sockets = sockets,
    ) -> None:
        self.namespace = namespace
        #: What the client has received, in order.
        self.received: list[Event] = []
        self.connected = False
        #: The name of the client, which is that of its own room, too.
        self.sid = ""
        self._answers: dict[str, Callable[..., Any]] = {}
        self._acks: dict[int, Any] = {}
        self._ids = itertools.count(1)
        self._partial: Any = None
        self._refusal: dict[str, Any] | None = None
        self._server: _Server = bridge_for_tests(registry).server
        self._eio_sid = f"test-{next(_numbers)}"
        self._server.test_clients[self._eio_sid] = self
        self._open(_environ(client, headers or {}), auth)

    def _open(self, environ: dict[str, Any], auth: Any) -> None:
        try:
            self._server._handle_eio_connect(self._eio_sid, environ)
            self._send(packet.CONNECT, auth)
        except BaseException:
            self._close()
            raise
        if self._refusal is not None:
            self._close()
            refusal = self._refusal
            raise ConnectionRefusedError(*(refusal[name] for name in ("message", "data") if name in refusal))

    @classmethod
    async def aopen(cls, *args: Any, **kwargs: Any) -> SocketClient:
        """Returns a client that is connected."""
        return await sync_to_async(cls)(*args, **kwargs)

    def __enter__(self) -> SocketClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.disconnect()

    async def __aenter__(self) -> SocketClient:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.adisconnect()

    # What it sends.

    def emit(self, event: str, *args: Any) -> None:
        """Emits an event. When this returns, its handler has run; its exception is raised here."""
        self._send(packet.EVENT, [event, *args])

    def call(self, event: str, *args: Any) -> Any:
        """Emits an event, and returns the acknowledgement: its only value, a tuple of several, or `None`.

        Raises `AssertionError` if no handler has answered.
        """
        number = next(self._ids)
        self._send(packet.EVENT, [event, *args], id=number)
        if number not in self._acks:
            raise AssertionError(f"no handler has answered {event!r}: declare one with @sockets.on({event!r})")
        values = self._acks.pop(number)
        return tuple(values) if len(values) > 1 else values[0] if values else None

    def disconnect(self) -> None:
        """Leaves, if the server has not disconnected the client before. When this returns, the handler of `disconnect` has run."""
        try:
            if self.connected:
                self._send(packet.DISCONNECT)
        finally:
            self._close()

    async def aemit(self, event: str, *args: Any) -> None:
        """Emits an event, as `emit` does."""
        await sync_to_async(self.emit)(event, *args)

    async def acall(self, event: str, *args: Any) -> Any:
        """Emits an event, and returns the acknowledgement, as `call` does."""
        return await sync_to_async(self.call)(event, *args)

    async def adisconnect(self) -> None:
        """Leaves, as `disconnect` does."""
        await sync_to_async(self.disconnect)()

    # What it receives.

    def take(self, *names: str) -> list[Event]:
        """Returns the events that were received, or those with some names, and removes them from `received`."""
        taken = [event for event in self.received if not names or event.name in names]
        self.received = [event for event in self.received if names and event.name not in names]
        return taken

    def on(self, event: str, answer: Callable[..., Any]) -> None:
        """Sets the function that answers an event which a handler sends with `call` or with a callback."""
        self._answers[event] = answer

    # The wire.

    def _send(self, kind: int, data: Any = None, id: int | None = None) -> None:
        if kind != packet.CONNECT and not self.connected:
            raise DisconnectedError("the client is not connected")
        encoded = self._server.packet_class(kind, data=data, namespace=self.namespace, id=id).encode()
        for part in encoded if isinstance(encoded, list) else [encoded]:
            self._server._handle_eio_message(self._eio_sid, part)

    def _take_message(self, data: Any) -> None:
        if self._partial is None:
            pkt = self._server.packet_class(encoded_packet=data)
            if pkt.attachment_count > 0:
                self._partial = pkt
                return
        elif self._partial.add_attachment(data):
            pkt, self._partial = self._partial, None
        else:
            return
        self._take_packet(pkt)

    def _take_packet(self, pkt: Any) -> None:
        kind = pkt.packet_type
        if kind == packet.CONNECT:
            self.connected = True
            self.sid = pkt.data["sid"]
        elif kind == packet.CONNECT_ERROR:
            self._refusal = pkt.data
        elif kind == packet.DISCONNECT:
            self.connected = False
        elif kind in (packet.ACK, packet.BINARY_ACK):
            self._acks[pkt.id] = pkt.data
        else:
            self._take_event(pkt)

    def _take_event(self, pkt: Any) -> None:
        name, *args = pkt.data
        self.received.append(Event(name, *args))
        if pkt.id is None:
            return
        answer = self._answers.get(name)
        if answer is None:
            raise AssertionError(f"the client is asked {name!r}, and has no answer: client.on({name!r}, function)")
        result = answer(*args)
        values = list(result) if isinstance(result, tuple) else [] if result is None else [result]
        self._send(packet.ACK, values, id=pkt.id)

    def _close(self) -> None:
        self.connected = False
        self._server.test_clients.pop(self._eio_sid, None)
        drive(self._server._close_connection(self._eio_sid))


def _environ(client: Any, headers: dict[str, str]) -> dict[str, Any]:
    """Returns the first request of a client."""
    from django.test import RequestFactory

    path = f"/{str(_conf.options()['path']).strip('/')}/"
    request = RequestFactory().get(path, {"EIO": "4", "transport": "websocket"})
    environ: dict[str, Any] = dict(request.environ)
    environ.update(getattr(client, "defaults", {}))
    if client is not None and client.cookies:
        environ["HTTP_COOKIE"] = "; ".join(f"{name}={each.value}" for name, each in client.cookies.items())
    for name, value in headers.items():
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    return environ
