"""What `Client` and `AsyncClient` have in common: options, handlers, and what happens to a connection."""

from __future__ import annotations

import contextlib
import itertools
import logging
import signal
import sys
import threading
from collections.abc import Iterable
from typing import Any, Callable, ClassVar

from . import _client_options, _engine, _options, base_namespace, exceptions, packet
from ._client_answer import Answer
from ._client_eio import ClientEIO
from ._client_handlers import RESERVED, Handler, check, check_plain, handler_args
from ._registering import H, Registering
from ._steps import settle
from .engineio import packet as eio_packet


default_logger = logging.getLogger("socketio.client")
engine_logger = logging.getLogger("engineio.client")

_calls = itertools.count(1)


class Reason:
    """Names why a client is not connected any more."""

    CLIENT_DISCONNECT = "client disconnect"
    SERVER_DISCONNECT = "server disconnect"
    TRANSPORT_ERROR = "transport error"


class DisconnectReason(str):
    """Is the reason of a disconnection: one of `Client.reason`, and in `detail` what the engine says of it.

    `code` and `text` are those with which the server has closed the WebSocket, if it has.
    """

    detail: str
    code: int | None
    text: str

    @classmethod
    def of(cls, detail: str, code: int | None = None, text: str = "") -> DisconnectReason:
        """Returns the reason in python-socketio's words."""
        words = {
            "io server disconnect": Reason.SERVER_DISCONNECT,
            "io client disconnect": Reason.CLIENT_DISCONNECT,
        }
        reason = cls(words.get(detail, Reason.TRANSPORT_ERROR))
        reason.detail, reason.code, reason.text = detail, code, text
        return reason


class _DefaultSeconds(int):
    """Is the default of a wait: the number that is documented, which is distinguished from the same number that an application gives."""


#: The default of `wait_timeout`: then the client waits as long as `request_timeout` says.
WAIT_TIMEOUT: Any = _DefaultSeconds(1)


class Watch:
    """Watches a client's answers to CONNECT, while somebody waits for them: `event` is set at the next one, and at the end."""

    def __init__(self, client: BaseClient) -> None:
        self._client = client
        self.renew()
        client._watches.append(self)

    def renew(self) -> None:
        """Watches for one more answer. Those that have come must be looked at after it."""
        self.event: Any = self._client._create_event()

    def end(self) -> None:
        """Keeps nothing of it, nor of answers for which nobody waits: an idle client is small."""
        with contextlib.suppress(ValueError):
            # In a child of the process it is forgotten already.
            self._client._watches.remove(self)
        if not self._client._watches:
            self._client._answers = {}


class BaseClient(Registering):
    """Is the base of `Client` and `AsyncClient`."""

    reserved_events: ClassVar[list[str]] = list(RESERVED)
    reason = Reason

    # What most clients never change costs nothing.
    connection_url: Any = None
    connection_headers: Any = None
    connection_auth: Any = None
    connection_transports: Any = None
    connection_namespaces: Any = ()
    socketio_path: Any = None
    #: The id of the connection.
    sid: str | None = None
    #: Whether the client is connected.
    connected: bool = False
    #: The namespaces that the server has refused.
    failed_namespaces: Any = ()
    namespace_handlers: dict[str, Any]
    _engine: Any = None
    _number: int = 0
    _attempt: int = 0
    _failed_attempt: int = 0
    _listeners: dict[str, list[Handler]] | None = None
    #: The namespaces whose state the server has restored when they were joined last.
    _restored: frozenset[str] = frozenset()
    #: The namespaces that the server has accepted since they were asked for, connected still or not.
    _accepted: frozenset[str] = frozenset()
    #: The connection, if its packets are read in Python.
    _raw: Any = None
    #: Where handlers run.
    _hub: Any = None
    _end: Any = None

    def __init__(
        self,
        reconnection: bool = True,
        reconnection_attempts: int = 0,
        reconnection_delay: float = 1,
        reconnection_delay_max: float = 5,
        randomization_factor: float = 0.5,
        logger: Any = False,
        serializer: Any = "default",
        json: Any = None,
        handle_sigint: bool = True,
        **kwargs: Any,
    ) -> None:
        self._options = _client_options.merged(kwargs)
        own = {"reconnection_attempts": reconnection_attempts, "reconnection_delay": reconnection_delay}
        for name, value in {**own, "reconnection_delay_max": reconnection_delay_max}.items():
            _client_options.check(name, value)
        self.reconnection = reconnection
        self.reconnection_attempts = reconnection_attempts
        self.reconnection_delay = reconnection_delay
        self.reconnection_delay_max = reconnection_delay_max
        self.randomization_factor = randomization_factor
        self.handle_sigint = handle_sigint
        if handle_sigint and not self.is_asyncio_based():
            # An event loop has an end of its own, at which its clients are disconnected.
            _watch_sigint()
        self.packet_class = _options.packet_class(serializer)
        if json is not None:
            # For the process, as applications make packets themselves.
            self.packet_class.json = json
            eio_packet.Packet.json = json
        self.logger = _options.make_logger(logger, default_logger)
        engineio_logger = self._options.get("engineio_logger")
        if engineio_logger is not None:
            self._eio_logger = _options.make_logger(engineio_logger, engine_logger)
        self.handlers: dict[str, dict[str, Handler]] = {}
        self.namespace_handlers = {}
        #: The connected namespaces, and the client's id in each.
        self.namespaces: dict[str, str | None] = {}
        #: Those of which the answer to CONNECT has come, and why it was not a good one.
        self._answers: dict[str, exceptions.ConnectionError | None] = {}
        self._watches: list[Watch] = []
        #: The namespaces in which the client is, or will be again.
        self._wanted: set[str] = set()
        #: The namespaces that are connected, and whose end no handler knows.
        self._live: set[str] = set()
        self._callbacks: dict[int, tuple[str, Callable[..., Any]]] = {}
        self._prepare_hub()

    def _prepare_hub(self) -> None:
        """Finds where handlers run."""

    def is_asyncio_based(self) -> bool:
        """Returns whether this is an `AsyncClient`."""
        return False

    def _option(self, name: str) -> Any:
        value = self._options.get(name)
        return _client_options.OPTIONS[name] if value is None else value

    def _http_session(self) -> Any:
        """Returns the session whose headers, cookies and certificates are used, if there is one."""
        session = self._options.get("http_session")
        if callable(session) and not hasattr(session, "headers"):
            session = self._options["http_session"] = session()
        return session

    @property
    def eio(self) -> ClientEIO:
        """Shows the connection below the namespaces."""
        return ClientEIO(self)

    # Registering handlers.

    def _check_handler(self, event: str, handler: Handler, namespace: str) -> None:
        check(event, handler, namespace)

    def once(self, event: str, handler: Handler | None = None, namespace: str | None = None) -> Any:
        """Registers a handler as `on` does, which is called for one event only."""
        namespace = namespace or "/"

        def register(function: H) -> H:
            self._check_handler(event, function, namespace)
            self._put_handler(event, _Once(self, event, namespace, function), namespace)
            return function

        if handler is None:
            return register
        register(handler)
        return None

    def off(self, event: str, handler: Handler | None = None, namespace: str | None = None) -> bool:
        """Removes the handler of an event, if it is this one or none is given. Returns whether there was one."""
        own = self.handlers.get(namespace or "/", {})
        known = own.get(event)
        registered = known.__wrapped__ if isinstance(known, _Once) else known
        if known is None or (handler is not None and handler not in (known, registered)):
            return False
        return own.pop(event, None) is not None

    def register_namespace(self, namespace_handler: Any) -> None:
        """Registers an object whose methods handle the events of its namespace."""
        if not isinstance(namespace_handler, base_namespace.BaseClientNamespace):
            raise ValueError("Not a namespace instance")
        if self.is_asyncio_based() != namespace_handler.is_asyncio_based():
            raise ValueError("Not a valid namespace class for this client")
        namespace_handler._set_client(self)
        self.namespace_handlers[namespace_handler.namespace] = namespace_handler

    # Listeners.

    def _listen(self, kind: str, handler: H) -> H:
        if self._listeners is None:
            self._listeners = {}
        self._listeners.setdefault(kind, []).append(handler)
        return handler

    def _listening(self, kind: str) -> Iterable[Handler]:
        return tuple(self._listeners.get(kind, ())) if self._listeners else ()

    def on_any(self, handler: H) -> H:
        """Registers a listener that is called with each event that comes, before its handler: `listener(event, *args)`."""
        return self._listen("any", handler)

    def off_any(self, handler: Handler | None = None) -> None:
        """Removes a listener of `on_any`, or all of them."""
        self._unlisten("any", handler)

    def on_any_outgoing(self, handler: H) -> H:
        """Registers a listener that is called with each event that is emitted: `listener(event, *args)`.

        It is called where `emit` is, and is a plain function for an `AsyncClient`, too: raises `TypeError` for a coroutine function.
        """
        check_plain("outgoing", handler, "listener", "emit does not await")
        return self._listen("outgoing", handler)

    def off_any_outgoing(self, handler: Handler | None = None) -> None:
        """Removes a listener of `on_any_outgoing`, or all of them."""
        self._unlisten("outgoing", handler)

    def _unlisten(self, kind: str, handler: Handler | None) -> None:
        if self._listeners:
            kept = [] if handler is None else [each for each in self._listeners.get(kind, []) if each != handler]
            self._listeners[kind] = kept

    def on_reconnect_attempt(self, handler: H) -> H:
        """Registers a listener that is called when the client tries to connect again: `listener(attempt)`."""
        return self._listen("reconnect_attempt", handler)

    def on_reconnect(self, handler: H) -> H:
        """Registers a listener that is called when the client is connected again: `listener(attempt)`."""
        return self._listen("reconnect", handler)

    def on_reconnect_error(self, handler: H) -> H:
        """Registers a listener that is called when an attempt to connect again has failed, with a `ConnectionError`."""
        return self._listen("reconnect_error", handler)

    def on_reconnect_failed(self, handler: H) -> H:
        """Registers a listener that is called without arguments when all attempts to connect again are used up."""
        return self._listen("reconnect_failed", handler)

    # Facts.

    def get_sid(self, namespace: str | None = None) -> str | None:
        """Returns the client's id in a namespace, or `None` if that is not connected."""
        return self.namespaces.get(namespace or "/")

    @property
    def recovered(self) -> bool:
        """Returns whether the server has restored the state of the last connection in all namespaces."""
        return bool(self.namespaces) and all(map(self.is_recovered, self.namespaces))

    def is_recovered(self, namespace: str | None = None) -> bool:
        """Returns whether the server has restored the state of the last connection in a namespace: missed events come, and the
        id and the rooms are as before."""
        return (namespace or "/") in self._restored

    def transport(self) -> str | None:
        """Returns `"polling"` or `"websocket"`, or `None` without a connection."""
        engine = self._engine
        transport: str | None = engine.transport() if engine is not None else None
        return transport

    # Connecting.

    def _begin(
        self, url: Any, headers: Any, auth: Any, transports: Any, namespaces: Any, socketio_path: Any
    ) -> None:
        """Takes note of what the application asks for."""
        if self.connected:
            raise exceptions.ConnectionError("Already connected")
        _client_options.transports(transports)
        if namespaces is None:
            namespaces = [*{*self.handlers, *self.namespace_handlers} - {"*"}] or ["/"]
        elif isinstance(namespaces, str):
            namespaces = [namespaces]
        self.connection_url = url
        self.connection_headers = headers
        self.connection_auth = auth
        self.connection_transports = transports
        self.connection_namespaces = list(namespaces)
        self.socketio_path = socketio_path
        self.namespaces = {}
        self.failed_namespaces = []
        self._answers = {}
        self._accepted = frozenset()
        self._wanted = set(self.connection_namespaces)
        self._attempt = self._failed_attempt = 0

    def _make_engine(self, hub: Any, values: tuple[Any, Any, Any], wait: float, retry: bool) -> None:
        """Makes the connection from a URL, headers and an auth, and asks for its namespaces."""
        url, headers, auth = values
        url, pairs, facts = _client_options.connection(self, url, headers)
        options = _client_options.for_engine(self, pairs, facts, wait, retry)
        options["auth"] = auth or {}
        options["prepares"] = callable(self.connection_url) or callable(self.connection_headers)
        options["asks_auth"] = callable(self.connection_auth)
        number, queue = hub.add(self)
        try:
            if options["parser"] == "python":
                from . import _client_raw

                self._engine = self._raw = _client_raw.RawEngine(self, queue, number, url, options)
            else:
                self._engine = _engine.ClientEngine(queue, number, url, options)
        except BaseException as error:
            hub.remove(number)
            if not isinstance(error, ValueError):
                raise
            if len(error.args) == 2 and error.args[1] != "option":
                raise _client_options.failure(*error.args) from None
            raise ValueError(error.args[0]) from None
        self._number = number
        for namespace in self.connection_namespaces:
            self._engine.join(namespace)

    def _wait_seconds(self, wait_timeout: Any) -> float:
        """Returns for how long the answer of a namespace is waited for."""
        if isinstance(wait_timeout, _DefaultSeconds) or wait_timeout is None:
            wait_timeout = self._option("request_timeout")
        return float(wait_timeout)

    def _connection_error(self) -> Exception | None:
        """Returns why not all namespaces were connected, if they were not."""
        # One that the server has accepted may be disconnected already, of which its handler has learned.
        known = self._accepted.union(self.namespaces)
        missing = [name for name in self.connection_namespaces if name not in known]
        if not missing:
            return None
        failures = {name: failure for name, failure in self._answers.items() if failure is not None}
        for failure in failures.values():
            if failure.reason != "refused":
                return failure
        if not failures:
            return _client_options.failure("Unexpected connection error", "timeout")
        text = "One or more namespaces failed to connect: " + ", ".join(self.failed_namespaces)
        first = failures[self.failed_namespaces[0]]
        error = _client_options.failure(text, "refused", first.data)
        if sys.version_info >= (3, 11):
            for name, failure in failures.items():
                error.add_note(f"{name}: {failure}")
        return error

    def _first_failure(self) -> Exception | None:
        """Returns why there is no connection, whatever becomes of the namespaces."""
        failures = [failure for failure in self._answers.values() if failure is not None]
        return next((failure for failure in failures if failure.reason != "refused"), None)

    # Those who wait for the answers of namespaces.

    def _create_event(self) -> Any:
        """Returns an event of the kind that handlers of this client wait for."""
        raise NotImplementedError

    def _wait_event(self, event: Any, seconds: float | None = None) -> Any:
        """Waits for such an event. Returns whether it is set, or what gives that when it is awaited."""
        raise NotImplementedError

    async def _wait_for_answers(self, watch: Watch, seconds: float, wait: bool, retry: bool) -> None:
        """Waits for the answers of the namespaces; unless `wait`, until there is a connection."""
        expected = len(self.connection_namespaces)
        # The engine ends an attempt in time; the first answer comes after the connection.
        left: float | None = None if retry else seconds + self._option("request_timeout") + 1
        while len(self._answers) < expected and (wait or not (self._answers or self.namespaces)):
            if not await settle(self._wait_event(watch.event, left)) or self._engine is None:
                return
            watch.renew()
            if not retry:
                left = seconds

    async def _wait_for_upgrade(self) -> None:
        """Waits until the upgrade to a WebSocket has an end, as a client of python-socketio does."""
        done = self._create_event()
        # It ends with the connection, too.
        number = self._call_number("", Answer(done))
        engine = self._engine
        if engine is not None and engine.awaits_upgrade(number):
            await settle(self._wait_event(done, self._option("request_timeout")))
        self._callbacks.pop(number, None)

    async def _join(self, namespace: str, wait: bool, wait_timeout: Any) -> None:
        """Joins one more namespace, and raises an exception that says why it is not joined."""
        if self._engine is not None:
            self._hub.check_loop()
        if not self._begin_join(namespace):
            return
        watch = Watch(self)
        try:
            self._engine.join(namespace, True)
            while wait and namespace not in self._answers and self._engine is not None:
                if not await settle(self._wait_event(watch.event, self._wait_seconds(wait_timeout) + 1)):
                    break
                watch.renew()
            error = self._end_join(namespace) if wait and namespace not in self.namespaces else None
        finally:
            watch.end()
        if error is not None:
            raise error

    def _wake(self) -> None:
        for watch in tuple(self._watches):
            watch.event.set()

    def _begin_join(self, namespace: str) -> bool:
        """Takes note of one more namespace. Returns whether it must be joined."""
        if self._engine is None:
            raise exceptions.BadNamespaceError("the client is not connected")
        if namespace in self.namespaces:
            return False
        self._answers.pop(namespace, None)
        self._accepted -= {namespace}
        if namespace in self.failed_namespaces:
            self.failed_namespaces.remove(namespace)
        self._wanted.add(namespace)
        if namespace not in self.connection_namespaces:
            self.connection_namespaces.append(namespace)
        return True

    def _end_join(self, namespace: str) -> Exception | None:
        """Forgets a namespace that could not be joined, and returns why; nothing of one that was joined and left since."""
        if namespace in self._accepted:
            return None
        failure = self._answers.get(namespace)
        self._drop_namespace(namespace)
        return failure or _client_options.failure("Unexpected connection error", "timeout")

    def _begin_leave(self, namespace: str) -> bool:
        """Returns whether the handlers must learn that a namespace is left."""
        if self._engine is None or namespace not in self._wanted:
            raise exceptions.BadNamespaceError(f"{namespace} is not a connected namespace.")
        return self._claim(namespace)

    def _drop_namespace(self, namespace: str) -> None:
        self.namespaces.pop(namespace, None)
        self._wanted.discard(namespace)
        with contextlib.suppress(ValueError):
            self.connection_namespaces.remove(namespace)
        if self._engine is not None:
            self._engine.leave(namespace, 0)

    def _forget(self, wakes: bool) -> None:
        """Forgets the connection of the parent process. Who waits for it is woken, if greenlets live on in this one."""
        self._engine = self._raw = None
        self.connected, self.sid, self.namespaces = False, None, {}
        self._wanted, self._live = set(), set()
        if wakes:
            self._end_waits("this client belongs to the parent process: connect it after the fork")
            if self._end is not None:
                self._end.set()
        # Threads of the parent do not exist, and may have left the locks of what they waited for locked.
        self._callbacks, self._watches, self._end = {}, [], None
        self._prepare_hub()

    def _reset(self, hub: Any) -> None:
        """Forgets the connection."""
        if self._engine is not None:
            self._engine = self._raw = None
            hub.remove(self._number)
            self._number = 0
        self.connected = False
        self.namespaces = {}
        self.sid = None
        self._wanted = set()
        self._live = set()
        self._end_waits("the client is closed")

    def _end_waits(self, why: str) -> None:
        """Says to those who wait for an answer, for room or for a namespace that it will not come."""
        callbacks, self._callbacks = self._callbacks, {}
        for _, callback in list(callbacks.values()):
            if isinstance(callback, Answer):
                callback.failed(why)
        self._wake()

    def _claim(self, namespace: str) -> bool:
        """Returns whether nobody else tells the handlers that a namespace is not connected any more."""
        try:
            self._live.remove(namespace)
        except KeyError:
            return False
        return True

    def _claim_all(self) -> list[str]:
        return [namespace for namespace in list(self._live) if self._claim(namespace)]

    # Sending.

    def _outgoing(self, event: str, data: Any, namespace: str) -> None:
        """Checks that an event can be emitted, and shows it to the listeners."""
        if namespace not in self.namespaces and not (self._engine is not None and self._buffers(namespace)):
            raise exceptions.BadNamespaceError(f"{namespace} is not a connected namespace.")
        self.logger.info('Emitting event "%s" [%s]', event, namespace)
        if self._listeners:
            args = data if isinstance(data, tuple) else () if data is None else (data,)
            for listener in self._listening("outgoing"):
                listener(event, *args)

    def _buffers(self, namespace: str) -> bool:
        """Returns whether events of a namespace wait for it while it is not connected."""
        return namespace in self._wanted and (
            self._option("buffer_offline") or self._option("retries") is not None
        )

    def _emitted(self, sent: int, namespace: str) -> None:
        """Raises what says why an event could not be emitted."""
        if sent == -1:
            if namespace in self.namespaces:
                # Within its disconnect handler.
                self.logger.info("The event is dropped, as the connection is lost [%s]", namespace)
                return
            raise exceptions.BadNamespaceError(f"{namespace} is not a connected namespace.")
        if sent == -2:
            raise exceptions.SocketIOError(
                f"more than {self._option('send_buffer_bytes')} bytes wait for the connection (send_buffer_bytes)"
            )

    def _call_number(self, namespace: str, callback: Callable[..., Any]) -> int:
        number = next(_calls)
        self._callbacks[number] = (namespace, callback)
        return number

    async def _wait_for_room(self, engine: Any, namespace: str) -> None:
        """Waits until the server has read what was sent before, or the connection has ended."""
        self._hub.check_loop()
        room = self._create_event()
        waiting = Answer(room)
        number = self._call_number(namespace, waiting)
        try:
            engine.when_room(namespace, number)
            await settle(self._wait_event(room))
        finally:
            self._callbacks.pop(number, None)
        waiting.check()

    async def _emit_later(self, engine: Any, namespace: str, event: str, data: Any) -> None:
        """Emits an event when the server has read what was sent before."""
        self._hub.check_loop()
        left = self._create_event()
        waiting = Answer(left)
        number = self._call_number(namespace, waiting)
        try:
            sent = engine.emit(namespace, event, data, number)
            if sent:
                self._emitted(sent, namespace)
                return
            await settle(self._wait_event(left))
        finally:
            self._callbacks.pop(number, None)
        waiting.check()

    def _is_waited_for(self, number: int) -> bool:
        """Returns whether somebody waits for an answer, and not a callback of the application."""
        return isinstance(self._callbacks.get(number, ("", None))[1], Answer)

    def _handle_done(self, number: int, error: str | None) -> None:
        """Handles the end of what a method waits for."""
        _, waiting = self._callbacks.pop(number, ("", None))
        if isinstance(waiting, Answer) and error is not None:
            waiting.failed(error)
        elif waiting is not None:
            waiting()

    def _unanswered(self, namespace: str, callback: Callable[..., Any], error: str | BaseException | None) -> None:
        """Handles an event of which no answer comes, or one that cannot be read."""
        if isinstance(callback, Answer):
            callback.failed(error)
        elif isinstance(error, BaseException):
            self.logger.error("an acknowledgement cannot be read [%s]", namespace, exc_info=error)

    # What the engine says.

    def _handle(self, event: tuple[Any, ...]) -> None:
        if self._raw is not None:
            self._raw.take(event)
        else:
            self._handle_own(event)

    def _handle_own(self, event: tuple[Any, ...]) -> None:
        raise NotImplementedError

    # Finding handlers.

    def _get_event_handler(
        self, event: str, namespace: str, args: tuple[Any, ...]
    ) -> tuple[Handler | None, tuple[Any, ...]]:
        """Returns the function that handles an event, and its arguments."""
        own = self.handlers.get(namespace)
        if own:
            # One that has handlers of its own does not ask those of all namespaces.
            if event in own:
                return own[event], args
            if "*" in own and event not in self.reserved_events:
                return own["*"], (event, *args)
            return None, args
        every = self.handlers.get("*")
        if every is not None:
            if event in every:
                return every[event], (namespace, *args)
            if "*" in every and event not in self.reserved_events:
                return every["*"], (event, namespace, *args)
        return None, args

    def _get_namespace_handler(
        self, namespace: str, args: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Returns the object that handles a namespace, and the arguments for its methods."""
        handler = self.namespace_handlers.get(namespace)
        if handler is not None:
            return handler, args
        handler = self.namespace_handlers.get("*")
        return handler, (namespace, *args) if handler is not None else args

    # What the engine says, as coroutines: a `Client` runs them to their end.

    def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any:
        raise NotImplementedError

    async def _trigger(self, event: str, namespace: str, *args: Any) -> None:
        """Calls the handler of the life cycle. One that fails is reported, and changes nothing."""
        try:
            await settle(self._trigger_event(event, namespace, *args))
        except Exception:
            self.logger.exception('the handler of "%s" failed [%s]', event, namespace)

    async def _notify(self, kind: str, *args: Any) -> None:
        """Calls the listeners of a reconnection."""
        for listener in self._listening(kind):
            try:
                await settle(listener(*args))
            except Exception:
                self.logger.exception('a listener of "%s" failed', kind)

    def _answered(self, namespace: str, failure: exceptions.ConnectionError | None) -> None:
        """Takes note of the answer to CONNECT."""
        self._answers[namespace] = failure
        self._wake()

    def _stop(self) -> Any:
        """Ends the connection, if there is one, and waits until the server knows."""
        raise NotImplementedError

    def disconnect(self) -> Any:
        """Disconnects from the server."""
        raise NotImplementedError

    async def _leave(self, namespace: str) -> None:
        """Leaves a namespace, and with the last one the server."""
        was_connected = self._begin_leave(namespace)
        if was_connected:
            await self._trigger("disconnect", namespace, DisconnectReason.of("io client disconnect"))
        self._drop_namespace(namespace)
        if was_connected:
            await self._trigger("__disconnect_final", namespace)
        if not self._wanted:
            await settle(self._stop())

    async def _say_goodbye(self) -> None:
        """Calls the handlers of all namespaces that are connected, as the client is about to disconnect."""
        reason = DisconnectReason.of("io client disconnect")
        for namespace in self._claim_all():
            await self._trigger("disconnect", namespace, reason)
            await self._trigger("__disconnect_final", namespace)

    async def _shut_down(self) -> None:
        """Disconnects, or gives up the attempt to connect again."""
        if self.connected:
            await settle(self.disconnect())
        elif self._engine is not None:
            wanted = list(self._wanted)
            self.logger.info("Reconnect task aborted")
            # Who waits learns it after the handlers.
            end, self._end = self._end, None
            await settle(self._stop())
            for namespace in wanted:
                await self._trigger("__disconnect_final", namespace)
            if end is not None:
                end.set()

    def _over(self) -> None:
        """Takes note that no namespace is left."""
        raise NotImplementedError

    async def _life(self, event: tuple[Any, ...]) -> None:
        """Handles what happens to the connection."""
        kind, namespace = event[0], event[2]
        if event[1] != self._number:
            # Of a connection that has ended since: there may be another one.
            return
        if kind == _engine.CLIENT_CONNECTED:
            await self._joined(namespace, *event[3:])
        elif kind == _engine.CLIENT_DISCONNECTED:
            await self._lost(event[1], namespace, *event[3:])
        elif kind == _engine.CLIENT_CONNECT_ERROR:
            await self._failed(namespace, *event[3:])
        elif kind == _engine.CLIENT_NOT_JOINED:
            reason, text, data = event[3:]
            if reason == "refused":
                self.logger.info("Connection to namespace %s was rejected", namespace)
                if namespace not in self.failed_namespaces:
                    self.failed_namespaces.append(namespace)
            self._wanted.discard(namespace)
            self._answered(namespace, _client_options.failure(text, reason, data))
            if not self._wanted and not self._watches:
                # Who connects ends a connection that is of no use. Nobody does any more.
                self._over()
        elif kind == _engine.CLIENT_RECONNECT_ATTEMPT:
            if event[3] != self._attempt:
                self._attempt = event[3]
                await self._notify("reconnect_attempt", event[3])
        elif kind == _engine.CLIENT_RECONNECT_FAILED:
            await self._gave_up(event[1], namespace)

    async def _joined(self, namespace: str, sid: str | None, recovered: bool, attempt: int) -> None:
        """Handles a namespace that is connected; the second time with the attempts that a reconnection took."""
        if attempt:
            if self._attempt:
                self._attempt = self._failed_attempt = 0
                self.logger.info("Reconnection successful")
                await self._notify("reconnect", attempt)
            return
        if namespace in self._live:
            return
        self.logger.info("Namespace %s is connected", namespace)
        self.namespaces[namespace] = sid
        self._accepted |= {namespace}
        self._live.add(namespace)
        self.sid = self._engine.session_id() if self._engine is not None else None
        if recovered != (namespace in self._restored):
            self._restored ^= {namespace}
        self.connected = True
        self._wake()
        await self._trigger("connect", namespace)
        self._answered(namespace, None)

    async def _lost(
        self, number: int, namespace: str, detail: str, is_final: bool, code: int | None, text: str
    ) -> None:
        """Handles a namespace that is not connected any more. The number is that of the connection."""
        # When the client itself leaves, that is said where it does.
        if detail == "io client disconnect" or not self._claim(namespace):
            return
        reason = DisconnectReason.of(detail, code, text)
        if reason == Reason.TRANSPORT_ERROR:
            self.logger.info("Engine.IO connection dropped")
        await self._trigger("disconnect", namespace, reason)
        if namespace not in self._live:
            # It is not connected again already.
            self.namespaces.pop(namespace, None)
        if not self.namespaces:
            self.connected = False
            self.sid = None
        if is_final:
            await self._final(number, namespace)

    async def _failed(self, namespace: str, reason: str, text: str, data: Any) -> None:
        """Handles an attempt to connect a namespace that has failed."""
        await self._trigger("connect_error", namespace, *_error_args(text, data))
        if self._attempt and self._attempt != self._failed_attempt:
            self._failed_attempt = self._attempt
            await self._notify("reconnect_error", _client_options.failure(text, reason, data))

    async def _gave_up(self, number: int, namespace: str) -> None:
        if self._attempt:
            self._attempt = 0
            self.logger.info("Maximum reconnection attempts reached, giving up")
            await self._notify("reconnect_failed")
        await self._final(number, namespace)

    async def _final(self, number: int, namespace: str) -> None:
        """Handles a namespace that will not be connected again by itself."""
        await self._trigger("__disconnect_final", namespace)
        if number != self._number:
            # The application has connected again already.
            return
        self._wanted.discard(namespace)
        if not self._wanted:
            self._over()


class _Once:
    """Is a handler that removes itself when it is called first."""

    def __init__(self, client: BaseClient, event: str, namespace: str, handler: Handler) -> None:
        self._client, self._event, self._namespace = client, event, namespace
        self.__wrapped__ = handler

    def __call__(self, *args: Any) -> Any:
        own = self._client.handlers.get(self._namespace, {})
        if own.get(self._event) is not self or own.pop(self._event, None) is not self:
            # Another thread was faster.
            return None
        return self.__wrapped__(*handler_args(self._event, self.__wrapped__, args))


def _error_args(text: str, data: Any) -> tuple[Any, ...]:
    """Returns the arguments for a handler of `connect_error`: what the server has said, or why it could not be asked."""
    if data is None:
        return (text,)
    return tuple(data) if isinstance(data, (list, tuple)) else (data,)


#: The handler of SIGINT that there was before the first client.
_before_sigint: Any = None
_watching = False


def _watch_sigint() -> None:
    """Has Ctrl-C disconnect the clients of the process, if this is its main thread."""
    global _before_sigint, _watching
    if _watching or threading.current_thread() is not threading.main_thread():
        return
    _watching = True
    _before_sigint = signal.signal(signal.SIGINT, _on_sigint)


def _on_sigint(number: int, frame: Any) -> Any:
    from . import _client_hub

    _client_hub.interrupt()
    if callable(_before_sigint):
        return _before_sigint(number, frame)
    return signal.default_int_handler(number, frame)
