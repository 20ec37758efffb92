"""What the official admin UI shows and does, for both servers: a namespace for administrators with events about what happens.

The object puts functions around methods of the server and its manager while it is at work, so a server without it pays
nothing. Bytes are not counted: they do not pass here.
"""

from __future__ import annotations

import inspect
import os
import socket
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from . import exceptions
from ._steps import settle

#: How often, and after how many seconds each time, it is asked whether a new client has gone over to a WebSocket.
UPGRADE_QUESTIONS = 5
UPGRADE_SECONDS = 5


class Instrumentation:
    """Tells administrators what happens on a server, and does what they ask for."""

    def __init__(
        self,
        sio: Any,
        auth: Any = None,
        mode: str = "development",
        read_only: bool = False,
        server_id: str | None = None,
        namespace: str = "/admin",
        server_stats_interval: float = 2,
    ) -> None:
        if auth is None:
            raise ValueError("auth must be specified")
        self.sio = sio
        self.auth = auth
        self.mode = mode
        self.read_only = read_only
        self.admin_namespace = namespace
        self.server_stats_interval = server_stats_interval
        host_id = getattr(sio.manager, "host_id", None)
        self.server_id: str = server_id or host_id or socket.gethostname()
        self._started = time.time()
        self._counts: Counter[tuple[int, str]] = Counter()
        self._wrapped: list[tuple[Any, str]] = []
        self._stats_task: Any = None
        self.instrument()

    # Beginning and end.

    def instrument(self) -> None:
        """Begins."""
        commands: dict[str, Callable[..., Any]] = {"connect": self.admin_connect}
        if self.mode == "development" and not self.read_only:
            commands.update(
                {
                    "emit": self.admin_emit,
                    "join": self.admin_enter_room,
                    "leave": self.admin_leave_room,
                    "_disconnect": self.admin_disconnect,
                }
            )
        for event, handler in commands.items():
            self.sio.on(event, handler, namespace=self.admin_namespace)
        manager = self.sio.manager
        self._after(manager, "connect", self._on_connect)
        self._before(self.sio, "_trigger_event", self._on_event)
        self._after(manager, "emit", self._on_emit)
        if self.mode == "development":
            self._after(manager, "basic_enter_room", self._on_enter)
            self._after(manager, "basic_leave_room", self._on_leave)

    def uninstrument(self) -> None:
        """Puts the methods back that were there before."""
        for owner, name in self._wrapped:
            owner.__dict__.pop(name, None)
        self._wrapped.clear()

    def _before(self, owner: Any, name: str, tell: Callable[..., None]) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            tell(*args, **kwargs)
            return original(*args, **kwargs)

        self._put(owner, name, call)

    def _after(self, owner: Any, name: str, tell: Callable[..., None]) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            tell(*args, **kwargs)
            return result

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            result = await original(*args, **kwargs)
            tell(*args, **kwargs)
            return result

        self._put(owner, name, call_async if inspect.iscoroutinefunction(original) else call)

    def _put(self, owner: Any, name: str, function: Callable[..., Any]) -> None:
        setattr(owner, name, function)
        self._wrapped.append((owner, name))

    # What administrators ask for.

    def admin_connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> Any:
        """Handles an administrator that connects."""
        raise NotImplementedError

    def admin_emit(self, sid: str, namespace: str, room: Any, event: str, *data: Any) -> Any:
        """Emits an event for an administrator."""
        raise NotImplementedError

    def admin_enter_room(
        self, sid: str, namespace: str, room: Any, room_filter: Any = None
    ) -> Any:
        """Puts clients into a room for an administrator."""
        raise NotImplementedError

    def admin_leave_room(
        self, sid: str, namespace: str, room: Any, room_filter: Any = None
    ) -> Any:
        """Takes clients out of a room for an administrator."""
        raise NotImplementedError

    def admin_disconnect(
        self, sid: str, namespace: str, close: bool, room_filter: Any = None
    ) -> Any:
        """Disconnects clients for an administrator."""
        raise NotImplementedError

    async def _admin_connect(self, sid: str, auth: Any) -> None:
        if not await self._is_authorized(auth):
            raise exceptions.ConnectionRefusedError("authentication failed")
        self.sio.start_background_task(self._greet_task, sid)
        if self._stats_task is None:
            self._stats_task = self.sio.start_background_task(self._tell_stats)

    async def _is_authorized(self, auth: Any) -> bool:
        if not self.auth:
            return True
        if isinstance(self.auth, dict):
            return bool(auth == self.auth)
        if isinstance(self.auth, list):
            return auth in self.auth
        return bool(await settle(self.auth(auth)))

    def _greet_task(self, sid: str) -> Any:
        raise NotImplementedError

    def _tell_stats(self) -> Any:
        raise NotImplementedError

    async def _greet(self, sid: str) -> None:
        await settle(self.sio.sleep(0.1))
        features = ["AGGREGATED_EVENTS"]
        if not self.read_only:
            features += ["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT"]
        if self.mode == "development":
            features.append("ALL_EVENTS")
        await settle(
            self.sio.emit(
                "config",
                {"supportedFeatures": features},
                to=sid,
                namespace=self.admin_namespace,
            )
        )
        if self.mode == "development":
            clients = list(self.sio.manager.clients.items())
            sockets = [self._socket(each, client.namespace) for each, client in clients]
            await settle(
                self.sio.emit("all_sockets", sockets, to=sid, namespace=self.admin_namespace)
            )

    async def _emit_for_admin(
        self, namespace: str, room: Any, event: str, data: tuple[Any, ...]
    ) -> None:
        await settle(self.sio.emit(event, data, to=room or None, namespace=namespace))

    async def _for_each(
        self, method: str, namespace: str, room_filter: Any, *args: Any
    ) -> None:
        participants = list(self.sio.manager.get_participants(namespace, room_filter or None))
        for sid, _ in participants:
            await settle(getattr(self.sio, method)(sid, *args, namespace=namespace))

    # What happens.

    def _on_connect(self, sid: str, namespace: str) -> None:
        self._count("rawConnection")
        if self.mode != "development":
            return
        shown = self._socket(sid, namespace)
        self._tell("socket_connected", shown, _now())
        if shown["transport"] == "polling":
            self._check_for_upgrade(self._eio_sid(sid, namespace), sid, namespace)

    def _on_event(self, event: str, namespace: str, sid: str, *args: Any) -> None:
        if event == "disconnect":
            self._count("rawDisconnection")
            if self.mode == "development":
                reason = args[0] if args else None
                self._tell("socket_disconnected", namespace, sid, reason, _now())
        elif event != "connect":
            self._count("packetsIn")
            if self.mode == "development" and namespace != self.admin_namespace:
                self._tell("event_received", namespace, sid, [event, *args], _now())

    def _on_emit(
        self,
        event: str,
        data: Any,
        namespace: str | None = None,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        **kwargs: Any,
    ) -> None:
        namespace = namespace or "/"
        skipped = skip_sid if isinstance(skip_sid, (list, tuple)) else [skip_sid]
        participants = self.sio.manager.get_participants(namespace, to or room or None)
        sids = [sid for sid, _ in participants if sid not in skipped]
        self._count("packetsOut", len(sids))
        if self.mode == "development" and namespace != self.admin_namespace:
            args = data if isinstance(data, tuple) else () if data is None else (data,)
            for sid in sids:
                self._tell("event_sent", namespace, sid, [event, *args], _now())

    def _on_enter(self, sid: str, namespace: str, room: Any, eio_sid: Any = None) -> None:
        self._tell("room_joined", namespace, room, sid, _now())

    def _on_leave(self, sid: str, namespace: str, room: Any) -> None:
        self._tell("room_left", namespace, room, sid, _now())

    def _check_for_upgrade(self, eio_sid: str | None, sid: str, namespace: str) -> None:
        if eio_sid is not None:
            self.sio.start_background_task(self._upgrade_task, eio_sid, sid, namespace)

    def _upgrade_task(self, eio_sid: str, sid: str, namespace: str) -> Any:
        raise NotImplementedError

    async def _watch_upgrade(self, eio_sid: str, sid: str, namespace: str) -> None:
        for _ in range(UPGRADE_QUESTIONS):
            await settle(self.sio.sleep(UPGRADE_SECONDS))
            if self._eio_sid(sid, namespace) is None:
                return
            if self._transport(sid, namespace) == "websocket":
                change = {"id": sid, "nsp": namespace, "transport": "websocket"}
                self._tell("socket_updated", change)
                return

    def _tell(self, event: str, *args: Any) -> None:
        """Emits an event to all administrators, past what is put around the manager."""
        sends = self.sio.manager._emit(event, args, self.admin_namespace, None, None, None)
        for send in sends:
            self._send(send)

    def _send(self, send: Callable[[], Any]) -> None:
        raise NotImplementedError

    # Numbers.

    def _count(self, kind: str, count: int = 1) -> None:
        if count:
            self._counts[int(time.time()) * 1000, kind] += count

    def _stats(self) -> dict[str, Any]:
        sio = self.sio
        clients = list(sio.manager.clients.items())
        connections = {client.eio_sid: (sid, client.namespace) for sid, client in clients}
        polling = [at for at in connections.values() if self._transport(*at) == "polling"]
        names = {"/", *sio.handlers, *sio.namespace_handlers, *sio.manager.rooms} - {"*"}
        sockets = Counter(client.namespace for _, client in clients)
        counts, self._counts = self._counts, Counter()
        return {
            "serverId": self.server_id,
            "hostname": socket.gethostname(),
            "pid": os.getpid(),
            "uptime": time.time() - self._started,
            "clientsCount": len(connections),
            "pollingClientsCount": len(polling),
            "aggregatedEvents": [
                {"timestamp": at, "type": kind, "count": count}
                for (at, kind), count in counts.items()
            ],
            "namespaces": [
                {"name": name, "socketsCount": sockets[name]} for name in sorted(names)
            ],
        }

    # Clients as administrators see them.

    def _eio_sid(self, sid: str, namespace: str) -> str | None:
        found: str | None = self.sio.manager.eio_sid_from_sid(sid, namespace)
        return found

    def _transport(self, sid: str, namespace: str) -> str | None:
        try:
            transport: str = self.sio.transport(sid, namespace)
        except KeyError:
            return None
        return transport

    def _socket(self, sid: str, namespace: str) -> dict[str, Any]:
        environ = self.sio.get_environ(sid, namespace) or {}
        query = environ.get("QUERY_STRING", "")
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        headers = {
            name[5:].replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_") and isinstance(value, str)
        }
        return {
            "id": sid,
            "clientId": self._eio_sid(sid, namespace),
            "transport": self._transport(sid, namespace),
            "nsp": namespace,
            "data": {},
            "handshake": {
                "address": environ.get("REMOTE_ADDR", ""),
                "headers": headers,
                "query": dict(urllib.parse.parse_qsl(query)),
                "secure": environ.get("wsgi.url_scheme") == "https",
                "url": f"{path}?{query}" if query else path,
                "issued": int(time.time() * 1000),
                "time": _now(),
            },
            "rooms": self.sio.manager.get_rooms(sid, namespace),
        }


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()
