"""`AsyncServer`: Socket.IO for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from collections.abc import Mapping
from types import CoroutineType, MappingProxyType
from typing import Any, AsyncIterator, Callable, Coroutine

from . import _asgi, _engine, async_manager, base_manager, base_server
from ._handlers import Handler, call_lifecycle
from ._loop import Loop
from ._steps import is_awaitable, settle


class _Waiter(base_manager.Waiter):
    """Waits for an answer in `call`."""

    def __init__(self, answered: asyncio.Future[tuple[Any, ...] | None]) -> None:
        self.answered = answered

    def __call__(self, *args: Any) -> None:
        if not self.answered.done():
            self.answered.set_result(args)

    def gone(self) -> None:
        if not self.answered.done():
            self.answered.set_result(None)


class AsyncServer(base_server.BaseServer):
    """Is a Socket.IO server whose handlers are functions or coroutines, on an asyncio event loop.

    It serves the loop of its requests: one at a time, and another one after that has ended. `emit`, `send` and the methods for
    rooms never wait, and may be awaited on any thread, in a loop of its own (`asyncio.run(sio.emit(…))`).
    """

    def __init__(
        self,
        client_manager: Any = None,
        logger: Any = False,
        json: Any = None,
        async_handlers: bool = True,
        namespaces: Any = None,
        **kwargs: Any,
    ) -> None:
        self.async_mode = kwargs.get("async_mode") or "asgi"
        if self.async_mode not in ("asgi", "aiohttp", "sanic", "tornado"):
            raise ValueError(f"Invalid async_mode specified: {self.async_mode!r}")
        super().__init__(
            client_manager=client_manager,
            logger=logger,
            json=json,
            async_handlers=async_handlers,
            namespaces=namespaces,
            **kwargs,
        )
        self._loop = Loop(self)
        self.logger.info("Server initialized for %s.", self.async_mode)

    def is_asyncio_based(self) -> bool:
        """Returns `True`."""
        return True

    def _default_manager(self) -> Any:
        return async_manager.AsyncManager()

    # Sending.

    async def emit(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        room: Any = None,
        skip_sid: Any = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        ignore_queue: bool = False,
    ) -> None:
        """Emits an event: to one client or room (`to`), to several (a list of them), or to all clients of the namespace.

        A tuple as `data` is spread over several arguments, `None` is none, everything else is one. `callback`, a function
        or a coroutine function, is called with the arguments of each client's acknowledgement. It never waits.
        """
        namespace = namespace or "/"
        try:
            target = self._target(event, to, room, namespace)
        except base_server.Nobody:
            return
        await self.manager.emit(
            event,
            data,
            namespace,
            room=target,
            skip_sid=skip_sid,
            callback=callback,
            ignore_queue=ignore_queue,
        )

    async def send(
        self,
        data: Any,
        to: Any = None,
        room: Any = None,
        skip_sid: Any = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        ignore_queue: bool = False,
    ) -> None:
        """Emits the event `message`."""
        await self.emit(
            "message",
            data=data,
            to=to,
            room=room,
            skip_sid=skip_sid,
            namespace=namespace,
            callback=callback,
            ignore_queue=ignore_queue,
        )

    async def call(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        sid: Any = None,
        namespace: str | None = None,
        timeout: float | None = 60,
        ignore_queue: bool = False,
    ) -> Any:
        """Emits an event to one client and waits for its answer: its only argument, a tuple of several, or `None`.

        Raises `TimeoutError` after `timeout` seconds, or when the client leaves.
        """
        target = self._call_target(to, sid)
        answer = _Waiter(asyncio.get_running_loop().create_future())
        await self.emit(
            event,
            data=data,
            room=target,
            namespace=namespace,
            callback=answer,
            ignore_queue=ignore_queue,
        )
        try:
            args = await asyncio.wait_for(answer.answered, timeout)
        except asyncio.TimeoutError:
            args = None
        return base_server.answer_value(args)

    # Rooms, sessions, clients.

    async def enter_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        """Puts a client into a room."""
        namespace = namespace or "/"
        self.logger.info("%s is entering room %s [%s]", sid, room, namespace)
        await self.manager.enter_room(sid, namespace, room)

    async def leave_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        """Takes a client out of a room."""
        namespace = namespace or "/"
        self.logger.info("%s is leaving room %s [%s]", sid, room, namespace)
        await self.manager.leave_room(sid, namespace, room)

    async def close_room(self, room: Any, namespace: str | None = None) -> None:
        """Takes all clients out of a room."""
        namespace = namespace or "/"
        self.logger.info("room %s is closing [%s]", room, namespace)
        await self.manager.close_room(room, namespace)

    async def get_session(self, sid: str, namespace: str | None = None) -> dict[str, Any]:
        """Returns the session of a client: a dict that lives as long as its connection."""
        session: dict[str, Any] = self._session_of(sid, namespace).setdefault(
            namespace or "/", {}
        )
        self._keep_session(sid, namespace, session)
        return session

    async def save_session(
        self, sid: str, session: dict[str, Any], namespace: str | None = None
    ) -> None:
        """Replaces the session of a client."""
        self._session_of(sid, namespace)[namespace or "/"] = session
        self._keep_session(sid, namespace, session)

    @contextlib.asynccontextmanager
    async def session(
        self, sid: str, namespace: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Gives the session of a client to an `async with` block, and stores it at the end."""
        session = await self.get_session(sid, namespace=namespace)
        try:
            yield session
        finally:
            await self.save_session(sid, session, namespace=namespace)

    async def disconnect(
        self, sid: str, namespace: str | None = None, ignore_queue: bool = False
    ) -> None:
        """Disconnects a client from a namespace, after its disconnect handler has run; its connection stays open.

        Within the connect handler of the client, it is refused when that ends.
        """
        await self._disconnect(sid, namespace or "/", ignore_queue)

    async def shutdown(self) -> None:
        """Disconnects all clients and stops the server of this process. The next request starts it again, and nothing else does."""
        self.logger.info("Socket.IO is shutting down")
        await self._loop.stop()

    # Background tasks.

    def start_background_task(
        self, target: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any
    ) -> asyncio.Task[Any]:
        """Starts a coroutine function as a task, and returns the task."""
        return self._loop.spawn(target(*args, **kwargs))

    async def sleep(self, seconds: float = 0) -> None:
        """Sleeps."""
        await asyncio.sleep(seconds)

    def instrument(
        self,
        auth: Any = None,
        mode: str = "development",
        read_only: bool = False,
        server_id: str | None = None,
        namespace: str = "/admin",
        server_stats_interval: float = 2,
    ) -> Any:
        """Opens a namespace for the official admin UI, and returns the object that serves it.

        `auth` is what an administrator must send: a dict, one of a list of them, what a function accepts, or anything
        (`False`). In `mode` `"production"` administrators see only statistics.
        """
        from .async_admin import InstrumentedAsyncServer

        return InstrumentedAsyncServer(
            self, auth, mode, read_only, server_id, namespace, server_stats_interval
        )

    # Requests.

    async def handle_request(self, *args: Any, **kwargs: Any) -> Any:
        """Answers a request of the host: for ASGI `(scope, receive, send)`, for aiohttp and Sanic `(request)`."""
        self._loop.start()
        if len(args) == 1 and not kwargs:
            return await _host_of(args[0]).handle(self, args[0])
        return await _asgi.handle(self, *args, **kwargs)

    def attach(self, app: Any, socketio_path: str = "socket.io") -> None:
        """Adds the server to an application of aiohttp or Sanic. It ends with that."""
        host = _host_of(app)
        host.create_route(app, self, f"/{socketio_path.strip('/')}/")
        self.async_mode = host.__name__.rsplit("._", 1)[-1]

    def _begin(self, again: bool) -> None:
        self._loop.start()

    # What the engine says.

    async def _handle_event(
        self,
        event: tuple[Any, ...],
        handlers: Mapping[str, Mapping[str, Handler]] = MappingProxyType({}),
        is_logged: bool = True,
        on_error: Callable[..., None] = base_server.report,
    ) -> None:
        """Calls the handler of an event and answers it. All of it is one coroutine, as each costs something for each event."""
        _, sid, namespace, name, args, answer = event
        if is_logged:
            self.logger.info('received event "%s" from %s [%s]', name, sid, namespace)
        try:
            try:
                own = handlers.get(namespace)
                handler = own.get(name) if own is not None else None
                if handler is not None:
                    result = handler(sid, *args)
                else:
                    result = self._trigger_event(name, namespace, sid, *args)
                if type(result) is CoroutineType or is_awaitable(result):
                    result = await result
            except asyncio.CancelledError:
                if is_cancelled():
                    raise
                # What the handler waited for was cancelled, not the handler.
                result = None
            if answer is not None:
                sent = self._answer(event, result, handler is not None)
                if sent is not None:
                    await settle(sent)
        except BaseException as error:
            self._event_failed(event, error, on_error)

    def _start_event(self, event: tuple[Any, ...]) -> Any:
        return self._loop.spawn(self._handle_event(event))

    # Connections that are not the engine's.

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        await self._open_connection(eio_sid, environ)

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        await self._take_message(eio_sid, data)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: Any = None) -> None:
        await self._close_connection(eio_sid, reason)

    _own_eio_handlers = {
        "_handle_eio_connect": _handle_eio_connect,
        "_handle_eio_message": _handle_eio_message,
        "_handle_eio_disconnect": _handle_eio_disconnect,
    }

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        await self._take_connect(eio_sid, namespace or "/", data)

    async def _nothing(self) -> None:
        return None

    async def _given(self, value: Any) -> Any:
        return value

    async def _all_of(self, sent: list[Any]) -> None:
        for each in sent:
            await settle(each)

    async def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any:
        """Calls the handler of an event, and returns what it returns."""
        handler, handler_args = self._get_event_handler(event, namespace, args)
        if handler is not None:
            return await self._call_handler(handler, event, handler_args)
        handler, handler_args = self._get_namespace_handler(namespace, args)
        if handler is not None:
            return await handler.trigger_event(event, *handler_args)
        return self.not_handled

    _own_trigger_event = _trigger_event

    async def _call_handler(self, handler: Handler, event: str, args: tuple[Any, ...]) -> Any:
        if event in self.reserved_events:
            return await call_lifecycle(event, handler, args)
        return await settle(handler(*args))


def is_cancelled() -> bool:
    """Returns whether the running task is cancelled, and not only what it waits for."""
    task = asyncio.current_task()
    return task is None or (sys.version_info >= (3, 11) and task.cancelling() > 0)


def _host_of(thing: Any) -> Any:
    """Returns the module for the host that a request or an application is of."""
    for kind in type(thing).__mro__:
        package = kind.__module__.split(".", 1)[0]
        if package in ("aiohttp", "sanic"):
            return importlib.import_module(f"{__package__}._{package}")
    raise TypeError(f"this is neither of aiohttp nor of Sanic: {thing!r}")
