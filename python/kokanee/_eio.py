"""`server.eio`: what applications read and set of Engine.IO, as a view of the server."""

from __future__ import annotations

import base64
import itertools
import os
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


class EngineIO:
    """Shows the Engine.IO part of a server. Options that are set before the first client have an effect; those of the heartbeat also later, on new sessions."""

    start_service_task = True

    def __init__(self, server: Any) -> None:
        self._server = server
        self._numbers = itertools.count()
        self.async_mode = server.async_mode
        self.async_handlers = False
        self.logger = server.eio_logger
        self.sockets = Connections(server)
        self.handlers: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name in _OPTIONS:
            return self._server._options[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OPTIONS:
            self._server._set_option(name, value)
        else:
            super().__setattr__(name, value)

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
        return self._server._send_eio_packet(eio_sid, packet.Packet(packet.MESSAGE, data))

    def send_packet(self, eio_sid: str, pkt: Any) -> Any:
        """Sends a packet on a connection."""
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
