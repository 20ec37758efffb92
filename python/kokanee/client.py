"""`Client`: a Socket.IO client for threads and greenlets."""

from __future__ import annotations

from typing import Any, Callable

from . import _client_hub, _engine, _lifecycle, exceptions
from ._client_answer import Answer, answer_value, no_answer
from ._client_handlers import Handler, check_namespace, check_plain, handler_args
from ._recovery import fitted, marked
from ._registering import H
from ._steps import drive
from .base_client import WAIT_TIMEOUT, BaseClient, Watch
from .base_namespace import BaseClientNamespace


class Client(BaseClient):
    """Is a Socket.IO client whose handlers are functions, on threads or greenlets.

    All clients of a process share a pool of threads for their handlers: an idle client has no thread of its own.
    """

    #: Set when the connection has ended for good.
    _end: Any = None

    def _prepare_hub(self) -> None:
        self._hub = _client_hub.current()

    def _create_event(self) -> Any:
        return self._hub.mode.event()

    def _wait_event(self, event: Any, seconds: float | None = None) -> Any:
        return event.wait(seconds)

    # Handlers are functions.

    def _check_handler(self, event: str, handler: Handler, namespace: str) -> None:
        check_plain(event, handler)
        super()._check_handler(event, handler, namespace)

    def _listen(self, kind: str, handler: H) -> H:
        check_plain(kind, handler)
        return super()._listen(kind, handler)

    def register_namespace(self, namespace_handler: Any) -> None:
        """Registers an object whose methods, which are functions, handle the events of its namespace."""
        if isinstance(namespace_handler, BaseClientNamespace) and not namespace_handler.is_asyncio_based():
            check_namespace(namespace_handler)
        super().register_namespace(namespace_handler)

    # Connecting.

    def connect(
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

        `url`, `headers` and `auth` may be functions, which are called for each connection. `namespaces` are those with
        handlers if none are given. With `retry`, a server that cannot be reached is tried again. Raises `ConnectionError`,
        which says why in its text and in `reason`.
        """
        self._begin(url, headers, auth, transports, namespaces, socketio_path)
        self._stop()
        self._wanted = set(self.connection_namespaces)
        seconds = self._wait_seconds(wait_timeout)
        watch = Watch(self)
        try:
            values = (_value(url), _value(headers), _value(auth))
            self._make_engine(self._hub, values, seconds, retry)
            drive(self._wait_for_answers(watch, seconds, wait, retry))
            error = self._connection_error() if wait else self._first_failure()
            if error is not None:
                raise error
            drive(self._wait_for_upgrade())
        except BaseException:
            self._stop()
            raise
        finally:
            watch.end()
        if not self._wanted:
            # All namespaces are refused, for which it was not to wait.
            self._stop()
        # The server may have ended it already.
        self.connected = self._engine is not None and (bool(self.namespaces) or not wait)

    def join(self, namespace: str, wait: bool = True, wait_timeout: float = WAIT_TIMEOUT) -> None:
        """Joins one more namespace of the server, and stays in it over reconnections.

        Raises `ConnectionError` if the server refuses, and `BadNamespaceError` if the client is not connected.
        """
        drive(self._join(namespace, wait, wait_timeout))

    def leave(self, namespace: str) -> None:
        """Leaves a namespace. Its disconnect handler is called; the others stay connected."""
        drive(self._leave(namespace))

    def wait(self) -> None:
        """Waits until the connection has ended for good: over reconnections, until one of the sides disconnects."""
        while self._engine is not None and self._wanted:
            if self._end is None:
                self._end = self._create_event()
            end = self._end
            # It may have ended before anybody waited.
            if self._engine is None or not self._wanted:
                return
            end.wait()

    def disconnect(self) -> None:
        """Disconnects from the server. The disconnect handlers have run when this returns."""
        if self._engine is None:
            return
        self._disconnect(_client_hub.CLOSE_SECONDS)

    def _disconnect(self, seconds: float, interrupted: bool = False) -> None:
        drive(self._say_goodbye())
        self._stop(seconds, interrupted)

    def shutdown(self) -> None:
        """Disconnects, or gives up the attempt to connect again."""
        drive(self._shut_down())

    def _interrupt(self, seconds: float) -> None:
        """Ends the connection within a signal handler, where no greenlet can wait."""
        if self.handle_sigint:
            self._disconnect(seconds, interrupted=True)

    def _stop(self, seconds: float = _client_hub.CLOSE_SECONDS, interrupted: bool = False) -> None:
        """Ends the connection, if there is one, and waits until the server knows."""
        engine, self._wanted = self._engine, set()
        if engine is not None:
            number = self._number
            if interrupted or not self._hub.mode.notifies:
                engine.close(seconds)
            else:
                done = self._create_event()
                call = self._call_number("", lambda: done.set())
                engine.disconnect(call)
                done.wait(seconds)
            if self._engine is engine:
                self._reset(self._hub)
            else:
                self._hub.remove(number)
        if self._end is not None:
            self._end.set()
            self._end = None

    def _over(self) -> None:
        self._stop()

    # Sending.

    def emit(
        self,
        event: str,
        data: Any = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
    ) -> None:
        """Emits an event to the server.

        A tuple as `data` is spread over several arguments, `None` is none, everything else is one. `callback` is called with
        the arguments of the acknowledgement. It may be called on any thread. If the server reads too slowly, this waits.
        Raises `BadNamespaceError` if the namespace is not connected, and `TypeError` if `callback` is a coroutine function.
        """
        namespace = namespace or "/"
        if callback is not None:
            check_plain(event, callback, "callback")
        self._outgoing(event, data, namespace)
        engine = self._engine
        if engine is None:
            self._emitted(-1, namespace)
            return
        if (callback is not None or self._raw is not None) and not engine.has_room(namespace):
            drive(self._wait_for_room(engine, namespace))
        if callback is None:
            sent = engine.emit(namespace, event, data)
            if sent == -3:
                drive(self._emit_later(engine, namespace, event, data))
            elif sent:
                self._emitted(sent, namespace)
        else:
            number = self._call_number(namespace, callback)
            sent = engine.emit_with_ack(namespace, event, data, number)
            if sent:
                self._callbacks.pop(number, None)
                self._emitted(sent, namespace)

    def send(
        self,
        data: Any,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
    ) -> None:
        """Emits the event `message`."""
        self.emit("message", data=data, namespace=namespace, callback=callback)

    def call(
        self, event: str, data: Any = None, namespace: str | None = None, timeout: float | None = 60
    ) -> Any:
        """Emits an event and waits for its acknowledgement: its only argument, a tuple of several, or `None`.

        Raises `TimeoutError` after `timeout` seconds, or when no answer can come any more, and says why.
        """
        namespace = namespace or "/"
        self._outgoing(event, data, namespace)
        engine = self._engine
        if not self._hub.mode.notifies and self._raw is None:
            # A thread waits in the engine, so that no other is needed for the answer.
            got: Any = engine.call(namespace, event, data, timeout) if engine is not None else -1
            if got == -1:
                raise exceptions.BadNamespaceError(f"{namespace} is not a connected namespace.")
            if isinstance(got, (str, BaseException)):
                _lifecycle.end_quietly()
                raise no_answer(got)
            self.logger.info("Received ack [%s]", namespace)
            return answer_value(got)
        answered = self._create_event()
        answer = Answer(answered)
        number = self._call_number(namespace, answer)
        try:
            sent = engine.emit_with_ack(namespace, event, data, number, timeout) if engine is not None else -1
            if sent:
                raise exceptions.BadNamespaceError(f"{namespace} is not a connected namespace.")
            answered.wait(timeout)
        finally:
            self._callbacks.pop(number, None)
        return answer.value()

    # Background tasks.

    def start_background_task(
        self, target: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Starts a function as handlers are run, and returns what has `join()`."""
        return self._hub.mode.spawn(target, *args, **kwargs)

    def sleep(self, seconds: float = 0) -> None:
        """Sleeps as handlers do: other greenlets go on."""
        self._hub.mode.sleep(seconds)

    # What the engine says.

    def _handle_own(self, event: tuple[Any, ...]) -> None:
        kind = event[0]
        if kind == _engine.CLIENT_RECEIVED:
            self._handle_event(event)
        elif kind == _engine.CLIENT_ANSWERED:
            self._handle_answer(event[2], event[3], event[4])
        elif kind == _engine.CLIENT_DONE:
            self._handle_done(event[2], event[3])
        elif kind == _engine.CLIENT_PREPARE:
            self._prepare(event[2])
        elif kind == _engine.CLIENT_AUTH:
            self._give_auth(event[2])
        elif self._engine is not None:
            drive(self._life(event))

    def _handle_event(self, event: tuple[Any, ...]) -> None:
        _, _, namespace, name, args, answer, may_have_offset = event
        if may_have_offset:
            args = marked(args)
        self.logger.info('Received event "%s" [%s]', name, namespace)
        try:
            if self._listeners:
                for listener in self._listening("any"):
                    listener(*fitted(listener, (name, *args)))
            result = self._trigger_event(name, namespace, *args)
            if answer is not None:
                answer.send_result(result)
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
        callback(*args)

    def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any:
        """Calls the handler of an event, and returns what it returns."""
        handler, arguments = self._get_event_handler(event, namespace, args)
        if handler is not None:
            return handler(*handler_args(event, handler, arguments))
        handler, arguments = self._get_namespace_handler(namespace, args)
        if handler is not None:
            return handler.trigger_event(event, *arguments)
        return None

    def _prepare(self, prepare: Any) -> None:
        """Asks the application's functions for what the next connection is made with."""
        from . import _client_options

        try:
            url, headers = _value(self.connection_url), _value(self.connection_headers)
            url, pairs, _ = _client_options.connection(self, url, headers)
        except Exception:
            self.logger.exception("a function for the URL or headers of a connection failed")
            prepare.fail()
        else:
            prepare.go(url, pairs)

    def _give_auth(self, request: Any) -> None:
        """Asks the application's function for what is sent with CONNECT."""
        try:
            request.give(_value(self.connection_auth) or {})
        except Exception:
            self.logger.exception("the function for the auth of a connection failed")
            request.fail()


def _value(given: Any) -> Any:
    """Returns what was given, or what it returns if it is a function."""
    return given() if callable(given) else given
