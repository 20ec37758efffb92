"""`server.eio`: what applications read and set of Engine.IO, as a view of the server."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import queue
from collections.abc import Iterator, Mapping
from typing import Any

from . import base_manager
from .engineio import packet

#: Attributes that are options of the server, as they were given.
_OPTIONS = (
    "allow_upgrades",
    "compression_threshold",
    "cookie",
    "cors_allowed_origins",
    "cors_credentials",
    "http_compression",
    "max_http_buffer_size",
    "ping_interval",
    "ping_timeout",
    "transports",
)


class Connection:
    """Shows one connection: `server.eio.sockets[eio_sid]`."""

    def __init__(self, server: Any, eio_sid: str) -> None:
        self.server = server
        self.sid = eio_sid
        self.connected = True
        self.upgrading = False
        #: Not known here: the engine pings.
        self.last_ping: float | None = None

    @property
    def queue(self) -> Any:
        """Raises `AttributeError`, as what waits for a client does so in the engine."""
        raise AttributeError(
            "sockets have no queue in Python: what waits for a client is limited by max_outbound_bytes, see the page about tuning"
        )

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self.sid not in self.server.environ

    closing = closed

    @property
    def upgraded(self) -> bool:
        """Whether messages go over a WebSocket."""
        return bool(self.server.eio.transport(self.sid) == "websocket")

    @property
    def session(self) -> dict[str, Any]:
        """The sessions of the connection, by namespace."""
        sessions: dict[str, Any] = self.server._sessions.setdefault(self.sid, {})
        return sessions

    def send(self, pkt: Any) -> Any:
        """Sends a packet on the connection."""
        return self.server.eio.send_packet(self.sid, pkt)

    def close(self, wait: bool = True, abort: bool = False, reason: Any = None) -> Any:
        """Ends the connection."""
        return self.server.eio.disconnect(self.sid)


class Connections(Mapping[str, Connection]):
    """Shows the connections of which a client has asked for a namespace."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def __getitem__(self, eio_sid: str) -> Connection:
        if eio_sid not in self._server.environ:
            raise KeyError(eio_sid)
        return Connection(self._server, eio_sid)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._server.environ))

    def __len__(self) -> int:
        return len(self._server.environ)


class Handlers(dict[str, Any]):
    """The functions for what connections do: those of the server, unless an application puts others in their place."""

    def __init__(self, server: Any) -> None:
        super().__init__(
            connect=server._handle_eio_connect,
            message=server._handle_eio_message,
            disconnect=server._handle_eio_disconnect,
        )
        self._server = server

    def __setitem__(self, event: str, handler: Any) -> None:
        if event not in self:
            raise ValueError(f"Invalid event: {event!r} is not one of {', '.join(self)}")
        self._server._read_in_python()
        super().__setitem__(event, handler)


class EngineIO:
    """Shows the Engine.IO part of a server. Options that are set before the first client have an effect; those of the heartbeat also later, on new sessions."""

    start_service_task = True
    #: The engine watches its clients itself: there is no such task.
    service_task_handle = None
    service_task_event = None

    def __init__(self, server: Any) -> None:
        self._server = server
        self._numbers = itertools.count()
        self.async_mode = server.async_mode
        self.async_handlers = False
        self.logger = server.eio_logger
        self.sockets = Connections(server)
        self.handlers = Handlers(server)
        self.reason = server.reason

    def __getattr__(self, name: str) -> Any:
        if name in _OPTIONS:
            value = self._server._options[name]
            return value[0] if name == "ping_interval" and isinstance(value, tuple) else value
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OPTIONS:
            self._server._set_option(name, value)
        else:
            super().__setattr__(name, value)

    def on(self, event: str, handler: Any = None) -> Any:
        """Puts a function in the place of the server's for `connect`, `message` or `disconnect`; as a decorator without `handler`.

        It gets `(eio_sid, environ)`, `(eio_sid, text or bytes)` or `(eio_sid, reason)`, and goes on with the server's own, which
        was in `handlers`. A connection is refused if that for `connect` returns something else than `None` and `True`. From then on
        all packets are read in Python, which takes longer. Raises `RuntimeError` if the server is in use.
        """

        def register(function: Any) -> Any:
            self.handlers[event] = function
            return function

        return register if handler is None else register(handler)

    def generate_id(self) -> str:
        """Returns a new id: 20 characters, the last four of which count."""
        number = next(self._numbers) & 0xFFFFFF
        return base64.urlsafe_b64encode(os.urandom(12) + number.to_bytes(3, "big")).decode()

    def transport(self, eio_sid: str) -> str:
        """Returns `"polling"` or `"websocket"`. Raises `KeyError` for an unknown connection."""
        if self._server._raw:
            raw: str | None = self._server._engine.transport(eio_sid, "/")
            if raw is not None:
                return raw
        for sid, client in self._clients(eio_sid):
            transport: str | None = self._server._engine.transport(sid, client.namespace)
            if transport is not None:
                return transport
        if eio_sid not in self._server.environ:
            raise KeyError(eio_sid)
        return "polling"

    def send(self, eio_sid: str, data: Any) -> Any:
        """Sends a message on a connection."""
        return self.send_packet(eio_sid, packet.Packet(packet.MESSAGE, data))

    def send_packet(self, eio_sid: str, pkt: Any) -> Any:
        """Sends a packet on a connection. For an unknown one it logs a warning."""
        if eio_sid not in self._server.environ:
            self.logger.warning("Cannot send to sid %s", eio_sid)
            return self._server._nothing()
        return self._server._send_eio_packet(eio_sid, pkt)

    def disconnect(self, eio_sid: str | None = None) -> Any:
        """Ends a connection, or all of them."""
        if self._server._raw:
            for connection in [eio_sid] if eio_sid is not None else list(self.sockets):
                self._server._engine.close_connection(connection, "/")
        ended: set[str] = set()
        for sid, client in self._clients(eio_sid):
            if client.eio_sid not in ended:
                ended.add(client.eio_sid)
                self._server._engine.close_connection(sid, client.namespace)
        return self._server._nothing()

    def get_session(self, eio_sid: str) -> Any:
        """Returns the sessions of a connection, by namespace. Raises `KeyError` for an unknown one."""
        return self._server._given(self._get_socket(eio_sid).session)

    def save_session(self, eio_sid: str, session: dict[str, Any]) -> Any:
        """Replaces the sessions of a connection."""
        self._get_socket(eio_sid)
        self._server._sessions[eio_sid] = session
        return self._server._given(None)

    def handle_request(self, *args: Any, **kwargs: Any) -> Any:
        """Answers a request of a host; see the server."""
        return self._server.handle_request(*args, **kwargs)

    def shutdown(self) -> Any:
        """Disconnects all clients and stops the server; see there."""
        return self._server.shutdown()

    @property
    def ping_interval_grace_period(self) -> float:
        """The second number of the option `ping_interval`, which the engine does not need."""
        interval = self._server._options["ping_interval"]
        period: float = interval[1] if isinstance(interval, tuple) and len(interval) > 1 else 0
        return period

    def is_asyncio_based(self) -> bool:
        """Returns whether the server is an `AsyncServer`."""
        return bool(self._server.is_asyncio_based())

    def create_queue(self, *args: Any, **kwargs: Any) -> Any:
        """Returns a queue for what handlers run on: threads, greenlets or tasks."""
        if self.is_asyncio_based():
            return asyncio.Queue(*args, **kwargs)
        return self._server._mode.queue(*args, **kwargs)

    def get_queue_empty_exception(self) -> type[Exception]:
        """Returns what such a queue raises when it is empty."""
        return asyncio.QueueEmpty if self.is_asyncio_based() else queue.Empty

    def create_event(self, *args: Any, **kwargs: Any) -> Any:
        """Returns an event for what handlers run on."""
        return asyncio.Event() if self.is_asyncio_based() else self._server._mode.event()

    def _get_socket(self, eio_sid: str) -> Connection:
        return self.sockets[eio_sid]

    def start_background_task(self, target: Any, *args: Any, **kwargs: Any) -> Any:
        """Starts a background task; see the server."""
        return self._server.start_background_task(target, *args, **kwargs)

    def sleep(self, seconds: float = 0) -> Any:
        """Sleeps; see the server."""
        return self._server.sleep(seconds)

    def _clients(self, eio_sid: str | None) -> list[tuple[str, base_manager.Client]]:
        clients = list(self._server.manager.clients.items())
        if eio_sid is None:
            return clients
        return [(sid, client) for sid, client in clients if client.eio_sid == eio_sid]
