"""`Socket`: a client in a namespace, as the handler of one event sees it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

from . import _request

if TYPE_CHECKING:
    from ._bridge import Bridge

logger = logging.getLogger("kokanee.django")

#: Where sessions are that handlers can only read.
_COOKIES = "django.contrib.sessions.backends.signed_cookies"


class Socket:
    """Is the first argument of handlers: who the client is, and what is sent to it.

    Each event has its own, as each request has in Django: `user` and `session` are loaded at most once for an event, and are
    those of now. What a client has for longer is in `data`, and in rooms.
    """

    __slots__ = ("_bridge", "_environ", "_request", "namespace", "sid")

    def __init__(self, bridge: Bridge, sid: str, namespace: str) -> None:
        self._bridge = bridge
        self._environ = bridge.server.get_environ(sid, namespace)
        self._request: Any = None
        #: Names the client, also as a room of its own.
        self.sid = sid
        self.namespace = namespace

    def __repr__(self) -> str:
        return f"<Socket {self.sid} {self.namespace}>"

    # Who it is.

    @property
    def request(self) -> Any:
        """The request that opened the connection, an `HttpRequest`."""
        if self._request is None:
            self._request = _request.request_of(self._environ)
        return self._request

    @property
    def user(self) -> Any:
        """The user of the session, or an anonymous one; in coroutines after `await socket.auser()`."""
        request = self.request
        if not hasattr(request, "user"):
            raise _request.missing("user")
        if not hasattr(request, "_cached_user"):
            refuse_in_coroutine("user", "auser()", " first")
        return request.user

    async def auser(self) -> Any:
        """Returns the user of the session, or an anonymous one; from then on `user` is there, too."""
        return await sync_to_async(self._load_user)()

    def _load_user(self) -> Any:
        user = self.user
        # It is made when somebody looks at it.
        user.is_authenticated  # noqa: B018
        return user

    @property
    def session(self) -> Any:
        """The session whose cookie the client has; in coroutines after `await socket.asession()`.

        What is changed in it is saved after the handler, for HTTP routes as well. A client without a session gets none, as a
        WebSocket cannot set a cookie.
        """
        request = self.request
        if not hasattr(request, "session"):
            raise _request.missing("session")
        if not hasattr(request.session, "_session_cache"):
            refuse_in_coroutine("session", "asession()", " first")
        return request.session

    async def asession(self) -> Any:
        """Returns the session whose cookie the client has; from then on `session` is there, too."""
        return await sync_to_async(self._load_session)()

    def _load_session(self) -> Any:
        session = self.session
        session.keys()
        return session

    @property
    def data(self) -> dict[str, Any]:
        """What handlers keep of the client: a dict that lives as long as its connection, in the memory of this process."""
        return self._bridge.data_of(self.sid, self.namespace)

    # What is done with it. None of these waits for the client.

    def emit(
        self, event: str, data: Any = None, *, callback: Callable[..., Any] | None = None
    ) -> None:
        """Emits an event to the client."""
        self._bridge.emit(event, data, self, None, self.namespace, callback)

    def call(self, event: str, data: Any = None, *, timeout: float | None = 60) -> Any:
        """Emits an event to the client, and waits for its answer; not in coroutines: see `acall`."""
        return self._bridge.call(event, data, self, self.namespace, timeout)

    async def acall(self, event: str, data: Any = None, *, timeout: float | None = 60) -> Any:
        """Emits an event to the client, and waits for its answer."""
        return await self._bridge.acall(event, data, self, self.namespace, timeout)

    def join(self, room: Any) -> None:
        """Puts the client into a room."""
        self._bridge.join(self, room, self.namespace)

    def leave(self, room: Any) -> None:
        """Takes the client out of a room."""
        self._bridge.leave(self, room, self.namespace)

    @property
    def rooms(self) -> set[Any]:
        """The rooms of the client, without its own."""
        return set(self._bridge.server.rooms(self.sid, self.namespace)) - {self.sid}

    def disconnect(self) -> None:
        """Disconnects the client from its namespace; in `connect` it is refused."""
        self._bridge.disconnect(self, self.namespace)

    # Around a handler.

    def save_session(self) -> None:
        """Saves the session if the handler has changed it."""
        session = getattr(self._request, "session", None)
        if session is None or not session.modified or session.session_key is None:
            return
        from django.contrib.sessions.backends.base import UpdateError

        if type(session).__module__ == _COOKIES:
            logger.warning("a handler has changed a session that is kept in a cookie, which it cannot set: the change is lost")
            return
        try:
            session.save()
        except UpdateError:
            logger.warning("the session of a client was deleted before a handler has changed it: the change is lost")

    def has_changed_session(self) -> bool:
        """Returns whether there is something to save."""
        session = getattr(self._request, "session", None)
        return session is not None and bool(session.modified)


def refuse_in_coroutine(name: str, instead: str, when: str = "") -> None:
    """Raises `SynchronousOnlyOperation` where an event loop runs, which would stop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise SynchronousOnlyOperation(f"socket.{name} in a coroutine: use `await socket.{instead}`{when}")
