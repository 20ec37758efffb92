"""`Socket`: what a handler and its dependencies know of the client, and of the request that opened its connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request

from .. import _target
from ._middleware import ADDED
from ._payload import sendable

if TYPE_CHECKING:
    from ..async_server import AsyncServer

#: Who gets an event: a client by its socket or `sid`, a room, or several of them.
Target = Any


def target_of(to: Target) -> Any:
    """Returns a target as `AsyncServer` takes it."""
    return _target.target_of(to, Socket)


def arguments_of(data: Any) -> Any:
    """Returns the data of an event as it is sent: a tuple is several arguments, each of which may be a model."""
    return tuple(map(sendable, data)) if isinstance(data, tuple) else sendable(data)


class Socket(Request):
    """Is one client in one namespace, during one event.

    It is also the `Request` that opened the client's connection: dependencies that were written for routes read its headers,
    cookies and query, and FastAPI's security classes work. It has no body.
    """

    def __init__(
        self, server: AsyncServer, sid: str, namespace: str, event: str, app: Any, auth: Any, environ: Any = None
    ) -> None:
        self._scope: MutableMapping[str, Any] = {}
        self._is_made = False
        super().__init__({"type": "http"})
        self._server = server
        self._environ = environ
        self._app = app
        #: The client's id in its namespace.
        self.sid = sid
        self.namespace = namespace
        #: The name of the event.
        self.event = event
        self._auth = auth

    @property
    def auth(self) -> Any:
        """What the client sent when it joined the namespace, or `None`."""
        return self._auth

    @property
    def scope(self) -> MutableMapping[str, Any]:
        """The ASGI scope of the request, a copy for this event."""
        # Made when somebody looks, as most handlers do not.
        if not self._is_made:
            self._is_made = True
            eio_sid = self._server.manager.eio_sid_from_sid(self.sid, self.namespace)
            added = self._server._sessions.get(eio_sid, {}).get(ADDED, {})
            self._scope = {**scope_of(self.environ, self._app), **added, **self._scope}
            self._scope["state"] = dict(self._scope.get("state") or {})
        return self._scope

    @scope.setter
    def scope(self, scope: MutableMapping[str, Any]) -> None:
        self._scope = scope
        self._is_made = False

    @property
    def environ(self) -> Any:
        """The request in the form of WSGI, as handlers of `AsyncServer` get it."""
        if self._environ is None:
            self._environ = self._server.get_environ(self.sid, self.namespace) or {}
        return self._environ

    @property
    def data(self) -> dict[str, Any]:
        """A dict for the application, which lives as long as the client's connection: the session of `AsyncServer`.

        Raises `KeyError` if the client has left.
        """
        session: dict[str, Any] = self._server._session_of(self.sid, self.namespace).setdefault(self.namespace, {})
        return session

    @property
    def rooms(self) -> list[Any]:
        """The rooms of the client, its own included."""
        return self._server.rooms(self.sid, namespace=self.namespace)

    @property
    def transport(self) -> str:
        """`"polling"` or `"websocket"`."""
        return self._server.transport(self.sid, self.namespace)

    async def emit(self, event: str, data: Any = None, *, callback: Any = None) -> None:
        """Emits an event to this client; see `AsyncServer.emit`. Models in the data are serialized."""
        await self._server.emit(
            event, arguments_of(data), to=self.sid, namespace=self.namespace, callback=callback
        )

    async def call(self, event: str, data: Any = None, *, timeout: float | None = 60) -> Any:
        """Emits an event to this client and waits for its answer; see `AsyncServer.call`."""
        return await self._server.call(
            event, arguments_of(data), to=self.sid, namespace=self.namespace, timeout=timeout
        )

    async def broadcast(self, event: str, data: Any = None, *, to: Target = None) -> None:
        """Emits an event to all others in the namespace, or in a room of it."""
        await self._server.emit(
            event, arguments_of(data), to=target_of(to), namespace=self.namespace, skip_sid=self.sid
        )

    async def enter_room(self, room: Any) -> None:
        """Puts the client into a room."""
        await self._server.enter_room(self.sid, room, namespace=self.namespace)

    async def leave_room(self, room: Any) -> None:
        """Takes the client out of a room."""
        await self._server.leave_room(self.sid, room, namespace=self.namespace)

    async def disconnect(self) -> None:
        """Disconnects the client from the namespace; within its connect handler, it is refused when that ends."""
        await self._server.disconnect(self.sid, namespace=self.namespace)

    def __repr__(self) -> str:
        return f"<Socket {self.sid} [{self.namespace}] {self.event!r}>"


async def _sid_of(socket: Socket) -> str:
    return socket.sid


#: The type of a parameter that gets the client's id, in handlers and in dependencies.
Sid = Annotated[str, Depends(_sid_of)]


def scope_of(environ: Mapping[str, Any], app: Any) -> dict[str, Any]:
    """Returns the ASGI scope of the request that has opened a connection, as that of a page."""
    scope = environ.get("asgi.scope")
    found = scope if isinstance(scope, dict) else _scope_of_wsgi(environ)
    return {"method": "GET", **found, "type": "http", "app": app}


def _scope_of_wsgi(environ: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the scope of a request that came in the form of WSGI alone, as in tests."""
    query = str(environ.get("QUERY_STRING", ""))
    return {
        "method": environ.get("REQUEST_METHOD", "GET"),
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "path": environ.get("PATH_INFO", "/"),
        "root_path": environ.get("SCRIPT_NAME", ""),
        "query_string": query.encode("latin-1"),
        "headers": list(_headers_of(environ)),
        "client": (environ.get("REMOTE_ADDR", "127.0.0.1"), int(environ.get("REMOTE_PORT") or 0)),
        "server": (environ.get("SERVER_NAME", "localhost"), int(environ.get("SERVER_PORT") or 0)),
    }


def _headers_of(environ: Mapping[str, Any]) -> Iterable[tuple[bytes, bytes]]:
    for key, value in environ.items():
        if key.startswith("HTTP_") and isinstance(value, str):
            yield key[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1")
