"""`Bridge`: runs the handlers of a project on a `Server` or an `AsyncServer`, each within what a request has in Django."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, async_to_sync, sync_to_async
from django.core.cache import close_caches
from django.core.exceptions import DisallowedHost, ImproperlyConfigured, PermissionDenied
from django.db import close_old_connections, connections, reset_queries

from .._handlers import Handler
from .._steps import drive, is_awaitable, settle
from .._target import target_of
from ..exceptions import ConnectionRefusedError
from ._plain import plain
from ._socket import Socket, refuse_in_coroutine
from ._threads import Threads

if TYPE_CHECKING:
    from ._registry import Declared

logger = logging.getLogger("kokanee.django")
security = logging.getLogger("django.security.DisallowedHost")

#: What is known of the thread, or greenlet, that runs handlers.
_thread = threading.local()


class Bridge:
    """Connects the handlers of a project with a server.

    A function runs on a thread under both servers: that of the event, or one of a pool beside the event loop. A coroutine runs
    on the event loop of an `AsyncServer`, or on one of its own under a `Server`.
    """

    def __init__(self, server: Any, threads: int = 1, in_test: bool = False) -> None:
        self.server = server
        #: All of it runs in the thread of a test, whose database connections stay open.
        self.in_test = in_test
        self.is_async: bool = server.is_asyncio_based()
        self._threads = Threads(threads)
        #: The namespaces in which clients are met, whether or not they have a handler of `connect`.
        self._namespaces: set[str] = set()
        self._declared: dict[tuple[str, str], Declared] = {}
        for namespace in {"/", *(server.namespaces if server.namespaces != "*" else "*")}:
            self._meet(namespace)

    # Handlers.

    def add(self, namespace: str, event: str, declared: Declared) -> None:
        """Gives the server a handler. Raises `ImproperlyConfigured` if it cannot run there."""
        mode = self.server.async_mode
        if declared.is_async and not self.is_async and mode != "threading":
            raise ImproperlyConfigured(
                f"the handler of {event!r} in {namespace!r} is a coroutine, and with async_mode={mode!r} greenlets run functions only: "
                "make it a function, or use a host with threads or an ASGI host"
            )
        self._meet(namespace)
        if event == "connect":
            declared = declared.with_function(_refusing(declared))
        self._declared[namespace, event] = declared
        if event not in self.server.reserved_events:
            self._register(event, namespace)

    def _meet(self, namespace: str) -> None:
        """Has the server ask here about clients of a namespace."""
        if namespace in self._namespaces:
            return
        self._namespaces.add(namespace)
        for event in self.server.reserved_events:
            self._register(event, namespace)

    def _register(self, event: str, namespace: str) -> None:
        handle = self._ahandle if self.is_async else self._handle

        def run(*args: Any) -> Any:
            # Catch-alls get the event and the namespace before `sid`, and `connect` the request after it.
            name, args = (args[0], args[1:]) if event == "*" else (event, args)
            where, args = (args[0], args[1:]) if namespace == "*" else (namespace, args)
            first = 2 if event == "connect" else 1
            return handle((namespace, event), name, Socket(self, args[0], where), args[first:])

        self.server.on(event, run, namespace=namespace)

    def _found(
        self, key: tuple[str, str], name: str, socket: Socket, args: tuple[Any, ...]
    ) -> tuple[Declared | None, tuple[Any, ...]]:
        """Returns a handler with its arguments. Raises an exception for a client that may not even ask."""
        if name == "connect":
            _check_host(socket)
        declared = self._declared.get(key)
        if declared is None and name in self.server.reserved_events:
            # A namespace without one has that of the others.
            declared = self._declared.get(("*", name))
        if declared is not None and declared.arity:
            return declared, (socket, *args)[: declared.arity]
        return declared, (name, socket, *args) if key[1] == "*" else (socket, *args)

    def _handle(self, key: tuple[str, str], name: str, socket: Socket, args: tuple[Any, ...]) -> Any:
        """Runs a handler, which may be a coroutine function, on this thread."""
        declared, args = self._found(key, name, socket, args)
        if declared is None:
            return None
        function = async_to_sync(declared.function) if declared.is_async else declared.function
        return self._run(function, socket, args)

    async def _ahandle(
        self, key: tuple[str, str], name: str, socket: Socket, args: tuple[Any, ...]
    ) -> Any:
        """Runs a handler on this event loop, or on a thread if it is a function."""
        declared, args = self._found(key, name, socket, args)
        if declared is None:
            return None
        if declared.is_async:
            return await self._arun(declared.function, socket, args)
        return await self._threads.run(self._run, declared.function, socket, args)

    def _run(self, function: Callable[..., Any], socket: Socket, args: tuple[Any, ...]) -> Any:
        with self._like_a_request():
            result = function(*args)
            if is_awaitable(result):
                # Of a decorator that does not say that it returns a coroutine.
                result = async_to_sync(settle)(result)
            socket.save_session()
            return plain(result)

    @contextmanager
    def _like_a_request(self) -> Iterator[None]:
        """Looks after what Django keeps for each thread, as at the beginning and the end of a request."""
        if not self.in_test and getattr(_thread, "has_connections", False):
            reset_queries()
            close_old_connections()
        try:
            yield
        finally:
            if not self.in_test:
                close_caches()
                _close_old_connections()

    async def _arun(
        self, function: Callable[..., Any], socket: Socket, args: tuple[Any, ...]
    ) -> Any:
        # What it does with models runs on a thread of its own, as that of a request does.
        async with ThreadSensitiveContext() as context:
            try:
                result = await function(*args)
                if socket.has_changed_session():
                    await sync_to_async(socket.save_session)()
                return plain(result)
            finally:
                if context in SyncToAsync.context_to_thread_executor:
                    # The thread ends, so its connections do.
                    await sync_to_async(_end_thread)()

    # What is kept of clients.

    def data_of(self, sid: str, namespace: str) -> dict[str, Any]:
        """Returns the dict of a client; an empty one if it has left."""
        try:
            data: dict[str, Any] = self.server._session_of(sid, namespace).setdefault(namespace, {})
        except KeyError:
            return {}
        return data

    # Sending. The methods of the server never suspend.

    def _do(self, result: Any) -> None:
        if self.is_async:
            drive(result)

    def emit(
        self,
        event: str,
        data: Any,
        to: Any,
        skip: Any,
        namespace: str,
        callback: Callable[..., Any] | None,
    ) -> None:
        """Emits an event."""
        send = functools.partial(
            self.server.emit, event, room=_sids(to), skip_sid=_sids(skip), namespace=namespace, callback=callback
        )
        if to is not None and not to:
            # An empty list of clients is nobody.
            return
        self._do(send(data=plain(data)))

    def call(self, event: str, data: Any, to: Any, namespace: str, timeout: float | None) -> Any:
        """Emits an event to a client, and waits for its answer."""
        refuse_in_coroutine("call", "acall()")
        arguments = {"data": plain(data), "to": _sids(to), "namespace": namespace, "timeout": timeout}
        if not self.is_async:
            if not self.in_test:
                # It may have had no clients yet, but other workers have.
                self.server._start()
            return self.server.call(event, **arguments)
        return asyncio.run_coroutine_threadsafe(self.server.call(event, **arguments), self._loop()).result()

    async def acall(self, event: str, data: Any, to: Any, namespace: str, timeout: float | None) -> Any:
        """Emits an event to a client, and waits for its answer."""
        if self.is_async and self.server._loop._loop is None:
            # It has had no clients yet, but other workers may.
            self.server._loop.start()
        if self.is_async and asyncio.get_running_loop() is self._loop():
            return await self.server.call(
                event, data=plain(data), to=_sids(to), namespace=namespace, timeout=timeout
            )
        wait = sync_to_async(self.call, thread_sensitive=False)
        return await wait(event, data, to, namespace, timeout)

    def _loop(self) -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop | None = self.server._loop._loop
        if loop is None:
            raise RuntimeError("the server has had no client, whom it could call")
        return loop

    def join(self, socket: Any, room: Any, namespace: str) -> None:
        """Puts a client into a room."""
        self._do(self.server.enter_room(_sids(socket), room, namespace=namespace))

    def leave(self, socket: Any, room: Any, namespace: str) -> None:
        """Takes a client out of a room."""
        self._do(self.server.leave_room(_sids(socket), room, namespace=namespace))

    def close_room(self, room: Any, namespace: str) -> None:
        """Takes all clients out of a room."""
        self._do(self.server.close_room(room, namespace=namespace))

    def disconnect(self, socket: Any, namespace: str) -> None:
        """Disconnects a client."""
        sid, server = _sids(socket), self.server
        if server.manager.is_pre_connected(sid, namespace):
            # By its own connect handler: it is refused when that ends.
            self._do(server.disconnect(sid, namespace=namespace))
        elif not self.is_async:
            # Its handler is not part of what calls this, which may be in the middle of a query.
            run = server.disconnect if self.in_test else functools.partial(server.start_background_task, server.disconnect)
            run(sid, namespace=namespace)
        elif (loop := server._loop._loop) is None:
            self._do(server.disconnect(sid, namespace=namespace))
        else:
            asyncio.run_coroutine_threadsafe(_logged(server.disconnect(sid, namespace=namespace)), loop)


async def _logged(disconnecting: Coroutine[Any, Any, None]) -> None:
    try:
        await disconnecting
    except Exception:
        logger.exception("the handler of a client that was disconnected failed")


def _sids(target: Any) -> Any:
    """Returns clients and rooms with the name of the client in the place of a `Socket`."""
    return target_of(target, Socket)


def _close_old_connections() -> None:
    """Does what the function of Django does, and remembers whether there is something to do before the next handler."""
    found = connections.all(initialized_only=True)
    for connection in found:
        connection.close_if_unusable_or_obsolete()
    _thread.has_connections = bool(found)


def _end_thread() -> None:
    close_caches()
    connections.close_all()


def _check_host(socket: Socket) -> None:
    """Refuses a client that has used another name of this host than those of `ALLOWED_HOSTS`."""
    try:
        socket.request.get_host()
    except DisallowedHost as error:
        security.error("%s", error)
        raise ConnectionRefusedError("this host is not in ALLOWED_HOSTS") from None


def _refusing(declared: Declared) -> Handler:
    """Returns a handler of `connect` that also refuses clients with Django's own exception."""
    function = declared.function

    def refuse(error: PermissionDenied) -> NoReturn:
        raise ConnectionRefusedError(str(error) or "permission denied") from error

    def run(*args: Any) -> Any:
        try:
            return function(*args)
        except PermissionDenied as error:
            refuse(error)

    async def run_coroutine(*args: Any) -> Any:
        try:
            return await function(*args)
        except PermissionDenied as error:
            refuse(error)

    return run_coroutine if declared.is_async else run
