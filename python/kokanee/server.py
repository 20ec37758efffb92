"""`Server`: Socket.IO for threads and greenlets."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import threading
from collections.abc import Mapping
from typing import Any, Callable, Iterator

from . import (
    _engine,
    _lifecycle,
    _modes,
    base_manager,
    base_server,
    manager,
)
from ._handlers import Handler, call_lifecycle
from ._steps import drive, settle


class _Waiter(base_manager.Waiter):
    """Waits for an answer in `call`."""

    def __init__(self, answered: Any) -> None:
        self.answered = answered
        self.args: tuple[Any, ...] | None = None

    def __call__(self, *args: Any) -> None:
        self.args = args
        self.answered.set()

    def gone(self) -> None:
        self.answered.set()


class _Answers:
    """Counts the answers to events that several clients may answer, of which each is handled on a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: How many were handled, and how many there will be.
        self._counts: dict[int, tuple[int, int | None]] = {}

    def handled(self, call: int) -> bool:
        """Counts one, and returns whether it was the last."""
        with self._lock:
            handled, expected = self._counts.get(call, (0, None))
            return self._has_all(call, handled + 1, expected)

    def expect(self, call: int, count: int) -> bool:
        """Takes the number that there will be, and returns whether all of them were handled."""
        with self._lock:
            handled, _ = self._counts.get(call, (0, None))
            return self._has_all(call, handled, count)

    def _has_all(self, call: int, handled: int, expected: int | None) -> bool:
        if handled == expected:
            self._counts.pop(call, None)
            return True
        self._counts[call] = handled, expected
        return False


class Server(base_server.BaseServer):
    """Is a Socket.IO server whose handlers are functions, on threads or greenlets."""

    def __init__(
        self,
        client_manager: Any = None,
        logger: Any = False,
        serializer: Any = "default",
        json: Any = None,
        async_handlers: bool = True,
        always_connect: bool = False,
        namespaces: Any = None,
        **kwargs: Any,
    ) -> None:
        self.async_mode, self._mode = _modes.choose(kwargs.get("async_mode"))
        super().__init__(
            client_manager=client_manager,
            logger=logger,
            serializer=serializer,
            json=json,
            async_handlers=async_handlers,
            always_connect=always_connect,
            namespaces=namespaces,
            **kwargs,
        )
        self._started = -1
        self._answers = _Answers()
        #: Held while the engine is started or closed.
        self._starting = threading.RLock()
        self.logger.info("Server initialized for %s.", self.async_mode)

    def _default_manager(self) -> Any:
        return manager.Manager()

    # Sending.

    def emit(
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

        A tuple as `data` is spread over several arguments, `None` is none, everything else is one. `callback` is called
        with the arguments of each client's acknowledgement. It may be called on any thread, and never waits.
        """
        namespace = namespace or "/"
        try:
            target = self._target(event, to, room, namespace)
        except base_server.Nobody:
            return
        self.manager.emit(
            event,
            data,
            namespace,
            room=target,
            skip_sid=skip_sid,
            callback=callback,
            ignore_queue=ignore_queue,
        )

    def send(
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
        self.emit(
            "message",
            data=data,
            to=to,
            room=room,
            skip_sid=skip_sid,
            namespace=namespace,
            callback=callback,
            ignore_queue=ignore_queue,
        )

    def call(
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
        answer = _Waiter(self._mode.event())
        self.emit(
            event,
            data=data,
            room=target,
            namespace=namespace,
            callback=answer,
            ignore_queue=ignore_queue,
        )
        answer.answered.wait(timeout)
        return base_server.answer_value(answer.args)

    # Rooms, sessions, clients.

    def enter_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        """Puts a client into a room."""
        namespace = namespace or "/"
        self.logger.info("%s is entering room %s [%s]", sid, room, namespace)
        self.manager.enter_room(sid, namespace, room)

    def leave_room(self, sid: str, room: Any, namespace: str | None = None) -> None:
        """Takes a client out of a room."""
        namespace = namespace or "/"
        self.logger.info("%s is leaving room %s [%s]", sid, room, namespace)
        self.manager.leave_room(sid, namespace, room)

    def close_room(self, room: Any, namespace: str | None = None) -> None:
        """Takes all clients out of a room."""
        namespace = namespace or "/"
        self.logger.info("room %s is closing [%s]", room, namespace)
        self.manager.close_room(room, namespace)

    def get_session(self, sid: str, namespace: str | None = None) -> dict[str, Any]:
        """Returns the session of a client: a dict that lives as long as its connection."""
        session: dict[str, Any] = self._session_of(sid, namespace).setdefault(
            namespace or "/", {}
        )
        self._keep_session(sid, namespace, session)
        return session

    def save_session(
        self, sid: str, session: dict[str, Any], namespace: str | None = None
    ) -> None:
        """Replaces the session of a client."""
        self._session_of(sid, namespace)[namespace or "/"] = session
        self._keep_session(sid, namespace, session)

    @contextlib.contextmanager
    def session(self, sid: str, namespace: str | None = None) -> Iterator[dict[str, Any]]:
        """Gives the session of a client to a `with` block, and stores it at the end."""
        session = self.get_session(sid, namespace=namespace)
        try:
            yield session
        finally:
            self.save_session(sid, session, namespace=namespace)

    def disconnect(
        self, sid: str, namespace: str | None = None, ignore_queue: bool = False
    ) -> None:
        """Disconnects a client from a namespace, after its disconnect handler has run; its connection stays open.

        Within the connect handler of the client, it is refused when that ends.
        """
        drive(self._disconnect(sid, namespace or "/", ignore_queue))

    def shutdown(self) -> None:
        """Disconnects all clients and stops the server of this process. The next request starts it again, and nothing else does."""
        self.logger.info("Socket.IO is shutting down")
        with self._starting:
            self._engine.close()
            if self._started == _engine.generation():
                # What the engine starts anew does not know these.
                self._mode.take_rest(self._engine.drain(sys.maxsize), self._handle, self._engine)
                self._all_sessions_ended()
            self._started = -1

    # Background tasks.

    def start_background_task(
        self, target: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Starts a function as handlers are run, and returns what has `join()`."""
        return self._mode.spawn(target, *args, **kwargs)

    def sleep(self, seconds: float = 0) -> None:
        """Sleeps as handlers do: other greenlets go on."""
        self._mode.sleep(seconds)

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
        from .admin import InstrumentedServer

        return InstrumentedServer(
            self, auth, mode, read_only, server_id, namespace, server_stats_interval
        )

    # Requests.

    def handle_request(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Answers a request of a WSGI host, or takes over its connection."""
        # What is only needed under a host is not imported with the package.
        from . import hosts

        self._start()
        if not self._accepts_origin(environ):
            start_response("400 BAD REQUEST", [("Content-Type", "text/plain")])
            return [json.dumps(self._refusal_of_origin(environ)).encode()]
        return hosts.handle_wsgi(
            self._engine, self._mode, self._options, environ, start_response
        )

    def _refusal_of_origin(self, environ: Mapping[str, Any]) -> str:
        """Returns what a page of another origin is told."""
        return "Not an accepted origin."

    def _start(self) -> None:
        """Begins to handle what the engine says, unless that goes on already."""
        if self._is_started():
            return
        with self._starting:
            # Another thread may have been faster.
            if self._is_started():
                return
            self.manager.check()
            self._prepare()
            if self._engine.is_closed():
                self.logger.info("a request starts Socket.IO again")
                # This does it.
                self._engine.fileno()
            _lifecycle.started(self._engine, self._mode)
            wait = functools.partial(self._engine.handle_events, self._functions, self.not_handled)
            self._mode.start(self._engine, self._handle, wait)
            self._started = _engine.generation()

    def _is_started(self) -> bool:
        return self._started == _engine.generation() and not self._engine.is_closed()

    def _check_host(self) -> None:
        if self.async_mode != "threading":
            raise ValueError(
                f"Kokanee's own host runs handlers on threads, and not with async_mode={self.async_mode!r}"
            )

    def _begin(self, again: bool) -> None:
        if again:
            self._started = -1
        self._start()

    # What the engine says.

    def _handle(self, event: tuple[Any, ...]) -> None:
        kind = event[0]
        if self._raw and kind in base_server.RAW_KINDS:
            drive(self._handle_raw(event))
        elif kind == _engine.EVENT:
            self._handle_event(event)
        elif kind == _engine.CONNECT:
            drive(self._asked(event))
        elif kind == _engine.DISCONNECT:
            drive(self._left(event))
        elif kind in base_server.ANSWER_KINDS:
            self._take_answer(*event)
        elif kind == _engine.SESSION_END:
            self._session_ended(event[1])
        elif kind == _engine.LOG:
            self._log(event)
        elif kind == _engine.FAILED:
            self._function_failed(*event[1:])
        elif kind == _engine.NOTICE:
            base_server.notice(event[1], event[2])
        elif kind == _engine.TROUBLE:
            self.logger.error("%s", event[1])

    def _functions(self) -> dict[str, dict[str, Handler]]:
        """Returns the functions that the engine calls by itself for events, by namespace and event. It asks again now and then."""
        return {} if self._raw or self._is_logged() else self._direct_handlers()

    def _function_failed(self, event: tuple[Any, ...], error: BaseException) -> None:
        """Handles the exception of a function that the engine has called."""
        try:
            raise error
        except BaseException:
            self._event_failed(event, error, base_server.report)
            # Its frames have what has brought it here, and would live with it until the next collection.
            error.__traceback__ = None

    def _take_answer(self, kind: int, call: int, value: Any) -> None:
        """Handles an answer to an event, or that there will be none."""
        callback = self._answered_by(kind, call, value)
        if kind == _engine.LAST_ANSWER:
            # Answers that came before it may still be handled on other threads.
            is_last = self._answers.expect(call, value)
        else:
            try:
                if callback is not None and value is not None:
                    callback(*value)
            finally:
                is_last = kind == _engine.ANSWER or self._answers.handled(call)
        if is_last:
            self._callbacks.pop(call, None)
            if isinstance(callback, _Waiter):
                callback.gone()

    def _handle_event(
        self, event: tuple[Any, ...], on_error: Callable[..., None] = base_server.report
    ) -> None:
        """Calls the handler of an event and answers it."""
        _, sid, namespace, name, args, answer = event
        self.logger.info('received event "%s" from %s [%s]', name, sid, namespace)
        try:
            own = self._direct_handlers().get(namespace)
            handler = own.get(name) if own is not None else None
            if handler is not None:
                result = handler(sid, *args)
            else:
                result = self._trigger_event(name, namespace, sid, *args)
            if answer is not None:
                sent = self._answer(event, result, handler is not None)
                if sent is not None:
                    drive(settle(sent))
        except BaseException as error:
            self._event_failed(event, error, on_error)

    def _start_event(self, event: tuple[Any, ...]) -> Any:
        return self.start_background_task(self._handle_event, event)

    # Connections that are not the engine's.

    def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        drive(self._open_connection(eio_sid, environ))

    def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        drive(self._take_message(eio_sid, data))

    def _handle_eio_disconnect(self, eio_sid: str, reason: Any = None) -> None:
        drive(self._close_connection(eio_sid, reason))

    _own_eio_handlers = {
        "_handle_eio_connect": _handle_eio_connect,
        "_handle_eio_message": _handle_eio_message,
        "_handle_eio_disconnect": _handle_eio_disconnect,
    }

    def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        drive(self._take_connect(eio_sid, namespace or "/", data))

    def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any:
        """Calls the handler of an event, and returns what it returns."""
        handler, handler_args = self._get_event_handler(event, namespace, args)
        if handler is not None:
            return self._call_handler(handler, event, handler_args)
        handler, handler_args = self._get_namespace_handler(namespace, args)
        if handler is not None:
            return handler.trigger_event(event, *handler_args)
        return self.not_handled

    _own_trigger_event = _trigger_event

    def _call_handler(self, handler: Handler, event: str, args: tuple[Any, ...]) -> Any:
        if event not in self.reserved_events:
            return handler(*args)
        return drive(call_lifecycle(event, handler, args))
