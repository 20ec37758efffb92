"""`AsyncClient`: a Socket.IO client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from typing import Any, Callable

from . import _client_hub, _client_loop, _client_options, _engine, exceptions
from ._client_answer import Answer
from ._client_handlers import handler_args
from ._recovery import fitted, marked
from ._steps import is_awaitable, settle
from .base_client import WAIT_TIMEOUT, BaseClient, Watch


class AsyncClient(BaseClient):
    """Is a Socket.IO client whose handlers are coroutines or functions, on an event loop.

    All clients of a loop share one queue of events: an idle client has no task of its own.
    """

    #: Set when the connection has ended for good.
    _end: Any = None
    _session_factory: Any = None

    def is_asyncio_based(self) -> bool:
        """Returns whether this is an `AsyncClient`."""
        return True

    def _create_event(self) -> Any:
        return asyncio.Event()

    def _wait_event(self, event: Any, seconds: float | None = None) -> Any:
        return _wait(event, seconds)

    # Connecting.

    async def connect(
        self,
        url: Any,
        headers: Any = {},  # noqa: B006
        auth: Any = None,
        transports: Any = None,
        namespaces: Any = None,
        socketio_path: str = "socket.io",
        wait: bool = True,
        wait_timeout: float = WAIT_TIMEOUT,
        retry: bool = False,
    ) -> None:
        """Connects to a server, and waits until it has accepted the client in all namespaces.

        `url`, `headers` and `auth` may be functions or coroutine functions, which are called for each connection.
        `namespaces` are those with handlers if none are given. With `retry`, a server that cannot be reached is tried again.
        Raises `ConnectionError`, which says why in its text and in `reason`.
        """
        self._begin(url, headers, auth, transports, namespaces, socketio_path)
        await self._stop()
        self._wanted = set(self.connection_namespaces)
        self._hub = _client_loop.current()
        seconds = self._wait_seconds(wait_timeout)
        watch = Watch(self)
        try:
            await self._open_session()
            values = (await _value(url), await _value(headers), await _value(auth))
            self._make_engine(self._hub, values, seconds, retry)
            await self._wait_for_answers(watch, seconds, wait, retry)
            error = self._connection_error() if wait else self._first_failure()
            if error is not None:
                raise error
            await self._wait_for_upgrade()
        except BaseException:
            await self._stop()
            raise
        finally:
            watch.end()
        if not self._wanted:
            # All namespaces are refused, for which it was not to wait.
            await self._stop()
        # The server may have ended it already.
        self.connected = self._engine is not None and (bool(self.namespaces) or not wait)

    async def _open_session(self) -> None:
        """Makes the session whose headers and cookies are used, if `http_session` is a function or a coroutine function."""
        make = self._options.get("http_session")
        if callable(make) and not hasattr(make, "headers"):
            self._options["http_session"] = await settle(make())
            self._session_factory = make

    async def _close_session(self) -> None:
        """Closes the session that was made for the connection."""
        if self._session_factory is not None:
            session = self._options["http_session"]
            self._options["http_session"], self._session_factory = self._session_factory, None
            await settle(session.close())

    async def join(self, namespace: str, wait: bool = True, wait_timeout: float = WAIT_TIMEOUT) -> None:
        """Joins one more namespace of the server, and stays in it over reconnections.

        Raises `ConnectionError` if the server refuses, and `BadNamespaceError` if the client is not connected.
        """
        await self._join(namespace, wait, wait_timeout)

    async def leave(self, namespace: str) -> None:
        """Leaves a namespace. Its disconnect handler is called; the others stay connected."""
        await self._leave(namespace)

    async def wait(self) -> None:
        """Waits until the connection has ended for good: over reconnections, until one of the sides disconnects."""
        while self._engine is not None and self._wanted:
            self._hub.check_loop()
            if self._end is None:
                self._end = asyncio.Event()
            await self._end.wait()

    async def disconnect(self) -> None:
        """Disconnects from the server. The disconnect handlers have run when this returns."""
        if self._engine is not None:
            await self._disconnect(_client_hub.CLOSE_SECONDS)

    async def _disconnect(self, seconds: float) -> None:
        await self._say_goodbye()
        await self._stop(seconds)

    async def shutdown(self) -> None:
        """Disconnects, or gives up the attempt to connect again."""
        await self._shut_down()

    async def _stop(self, seconds: float = _client_hub.CLOSE_SECONDS) -> None:
        """Ends the connection, if there is one, and waits until the server knows."""
        engine, hub, number, self._wanted = self._engine, self._hub, self._number, set()
        if engine is not None:
            done = asyncio.Event()
            engine.disconnect(self._call_number("", done.set))
            try:
                await _wait(done, seconds)
            finally:
                if self._engine is engine:
                    self._reset(hub)
                else:
                    hub.remove(number)
        await self._close_session()
        self._ended()

    def _ended(self) -> None:
        if self._end is not None:
            self._end.set()
            self._end = None

    def _over(self) -> None:
        self._hub.spawn(self._stop())

    # Sending.

    async def emit(
        self,
        event: str,
        data: Any = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
    ) -> None:
        """Emits an event to the server.

        A tuple as `data` is spread over several arguments, `None` is none, everything else is one. `callback`, a function or
        a coroutine function, is called with the arguments of the acknowledgement. If the server reads too slowly, this
        waits. Raises `BadNamespaceError` if the namespace is not connected.
        """
        namespace = namespace or "/"
        self._outgoing(event, data, namespace)
        engine = self._engine
        if engine is None:
            self._emitted(-1, namespace)
            return
        if (callback is not None or self._raw is not None) and not engine.has_room(namespace):
            await self._wait_for_room(engine, namespace)
        if callback is None:
            sent = engine.emit(namespace, event, data)
            if sent == -3:
                await self._emit_later(engine, namespace, event, data)
            elif sent:
                self._emitted(sent, namespace)
        else:
            number = self._call_number(namespace, callback)
            sent = engine.emit_with_ack(namespace, event, data, number)
            if sent:
                self._callbacks.pop(number, None)
                self._emitted(sent, namespace)

    async def send(
        self,
        data: Any,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
    ) -> None:
        """Emits the event `message`."""
        await self.emit("message", data=data, namespace=namespace, callback=callback)

    async def call(
        self, event: str, data: Any = None, namespace: str | None = None, timeout: float | None = 60
    ) -> Any:
        """Emits an event and waits for its acknowledgement: its only argument, a tuple of several, or `None`.

        Raises `TimeoutError` after `timeout` seconds, or when no answer can come any more, and says why.
        """
        namespace = namespace or "/"
        self._outgoing(event, data, namespace)
        self._hub.check_loop()
        engine, answered = self._engine, asyncio.Event()
        answer = Answer(answered)
        number = self._call_number(namespace, answer)
        try:
            sent = engine.emit_with_ack(namespace, event, data, number, timeout) if engine is not None else -1
            if sent:
                raise exceptions.BadNamespaceError(f"{namespace} is not a connected namespace.")
            if self._raw is None:
                # The engine keeps the time.
                await answered.wait()
            else:
                await _wait(answered, timeout)
        finally:
            self._callbacks.pop(number, None)
        return answer.value()

    # Background tasks.

    def start_background_task(
        self, target: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> asyncio.Task[Any]:
        """Starts a coroutine function as a task, and returns that."""
        task: asyncio.Task[Any] = asyncio.ensure_future(target(*args, **kwargs))
        return task

    async def sleep(self, seconds: float = 0) -> None:
        """Sleeps: other tasks go on."""
        await asyncio.sleep(seconds)

    # What the engine says.

    def _handle_own(self, event: tuple[Any, ...]) -> None:
        kind = event[0]
        if kind == _engine.CLIENT_RECEIVED:
            self._hub.spawn(self._handle_event(event))
        elif kind == _engine.CLIENT_ANSWERED:
            self._handle_answer(event[2], event[3], event[4])
        elif kind == _engine.CLIENT_DONE:
            self._handle_done(event[2], event[3])
        elif kind == _engine.CLIENT_PREPARE:
            self._hub.spawn(self._prepare(event[2]))
        elif kind == _engine.CLIENT_AUTH:
            self._hub.spawn(self._give_auth(event[2]))
        elif self._engine is not None:
            self._hub.spawn(self._life(event))

    async def _handle_event(self, event: tuple[Any, ...]) -> None:
        _, _, namespace, name, args, answer, may_have_offset = event
        if may_have_offset:
            args = marked(args)
        self.logger.info('Received event "%s" [%s]', name, namespace)
        try:
            if self._listeners:
                for listener in self._listening("any"):
                    await settle(listener(*fitted(listener, (name, *args))))
            result = await self._trigger_event(name, namespace, *args)
            if answer is not None:
                answer.send_result(result)
        except KeyboardInterrupt:
            # The program's task is cancelled already, which ends it: this has only stopped the handler that blocked the loop.
            if not self._hub.is_interrupted():
                raise
        finally:
            if answer is not None:
                answer.done()

    def _handle_answer(self, number: int, args: Any, error: str | BaseException | None) -> None:
        namespace, callback = self._callbacks.pop(number, ("", None))
        if callback is None:
            return
        if args is None:
            self._unanswered(namespace, callback, error)
            return
        self.logger.info("Received ack [%s]", namespace)
        if isinstance(callback, Answer):
            callback(*args)
            return
        try:
            result = callback(*args)
        except Exception:
            self.logger.exception("a callback failed")
            return
        if inspect.isawaitable(result):
            self._hub.spawn(settle(result))

    async def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any:
        """Calls the handler of an event, and returns what it returns."""
        handler, arguments = self._get_event_handler(event, namespace, args)
        if handler is not None:
            result = handler(*handler_args(event, handler, arguments))
            return await result if is_awaitable(result) else result
        handler, arguments = self._get_namespace_handler(namespace, args)
        if handler is not None:
            return await handler.trigger_event(event, *arguments)
        return None

    async def _prepare(self, prepare: Any) -> None:
        """Asks the application's functions for what the next connection is made with."""
        try:
            url, headers = await _value(self.connection_url), await _value(self.connection_headers)
            url, pairs, _ = _client_options.connection(self, url, headers)
        except Exception:
            self.logger.exception("a function for the URL or headers of a connection failed")
            prepare.fail()
        else:
            prepare.go(url, pairs)

    async def _give_auth(self, request: Any) -> None:
        """Asks the application's function for what is sent with CONNECT."""
        try:
            request.give(await _value(self.connection_auth) or {})
        except Exception:
            self.logger.exception("the function for the auth of a connection failed")
            request.fail()


async def _value(given: Any) -> Any:
    """Returns what was given, or what it returns if it is a function."""
    return await settle(given()) if callable(given) else given


async def _wait(event: asyncio.Event, seconds: float | None) -> bool:
    """Waits for an event. Returns `False` after the time."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
