"""`SocketIO`: the extension."""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Callable
from typing import Any

import flask
from flask import json as flask_json

from .. import kafka_manager, kombu_manager, redis_manager, zmq_manager
from .._steps import PLAIN, is_awaitable
from ..base_server import Reason
from ..exceptions import ConnectionRefusedError
from ..middleware import WSGIApp
from . import _coroutines, _hosting, _sessions
from ._blueprint import SocketBlueprint
from ._context import EventContext
from ._handlers import Handler, Handlers, Hook, call_hooked, check, for_arguments
from ._server import SERVER, FlaskServer, current_server, server_of
from .namespace import Namespace
from .test_client import SocketIOTestClient

#: Managers by the beginning of the URL of their message queue.
_QUEUES = {
    "redis://": redis_manager.RedisManager,
    "rediss://": redis_manager.RedisManager,
    "kafka://": kafka_manager.KafkaManager,
    "zmq": zmq_manager.ZmqManager,
}


class SocketIO(Handlers):
    """Adds Socket.IO to a Flask application, with the API of Flask-SocketIO.

    `SocketIO(app)`, or `SocketIO()` and `init_app(app)` later, also for several applications: each has a server, with its own
    clients, and all have the same handlers. Methods are about the current application; where there is none, about the last one.

    The options are those of `kokanee.Server`, and

    * `manage_session`: whether each connection has a copy of the session. By default it has one if the session lives in a cookie;
      one on the server's side is shared with HTTP routes.
    * `path` (or `resource`): where clients connect, by default `socket.io`.
    * `message_queue`, `channel`: what connects several servers.
    """

    reason = Reason

    def __init__(self, app: flask.Flask | None = None, **kwargs: Any) -> None:
        #: The server of the last application.
        self.server: FlaskServer | None = None
        #: Its options.
        self.server_options: dict[str, Any] = dict(kwargs)
        self.async_mode: str | None = None
        #: The host of gevent that `run` has started.
        self.wsgi_server: Any = None
        #: Ends the host of greenlets that `run` has started.
        self._end: Callable[[], Any] | None = None
        self.sockio_mw: WSGIApp | None = None
        self.handlers: list[tuple[str, Handler, str]] = []
        self.namespace_handlers: list[Namespace] = []
        self.exception_handlers: dict[str, Handler] = {}
        self.default_exception_handler: Handler | None = None
        self._before: list[Hook] = []
        self._after: list[Hook] = []
        #: The options for all applications.
        self._given = kwargs
        #: What `manage_session` was set to before there was a server.
        self._manage_session: bool | None = kwargs.get("manage_session")
        self._servers: weakref.WeakSet[FlaskServer] = weakref.WeakSet()
        #: Whether there has been a second application.
        self._has_several = False
        if app is not None or "message_queue" in kwargs:
            self.init_app(app)

    def init_app(self, app: flask.Flask | None, **kwargs: Any) -> None:
        """Adds Socket.IO to an application; without one, makes what only emits through a message queue.

        The options are for this application, besides those of the constructor.
        """
        options = self.server_options = {**self._given, **kwargs}
        options["manage_session"] = options.get("manage_session", self._manage_session)
        channel = options.pop("channel", "flask-socketio")
        url = options.get("message_queue")
        if url and "client_manager" not in (kwargs if "message_queue" in kwargs else options):
            kind = next((kind for begin, kind in _QUEUES.items() if url.startswith(begin)), kombu_manager.KombuManager)
            options["client_manager"] = kind(url, channel=channel, write_only=app is None)
        if options.get("json") is flask_json:
            options["json"] = _AppJson(app)
        path = options.pop("path", None) or options.pop("resource", None) or "socket.io"
        options.pop("resource", None)
        if os.environ.get("FLASK_RUN_FROM_CLI") and options.get("async_mode") is None:
            options["async_mode"] = "threading"
        server = FlaskServer(self, app, **{name: value for name, value in options.items() if name != "message_queue"})
        previous = server_of(app)
        if previous is not None and previous.socketio is self:
            self._servers.discard(previous)
        elif self.server is not None and self.server.app is not None:
            self._has_several = True
        self._servers.add(server)
        self.server = server
        self.async_mode = server.async_mode
        for message, handler, namespace in self.handlers:
            self._register(server, message, handler, namespace)
        for namespace_handler in self.namespace_handlers:
            server.register_namespace(namespace_handler)
        if app is not None:
            app.extensions["socketio"] = self
            app.extensions[SERVER] = server
            self.sockio_mw = server.middleware = WSGIApp(server, app.wsgi_app, socketio_path=path.lstrip("/"))
            app.wsgi_app = self.sockio_mw  # type: ignore[method-assign]

    @property
    def manage_session(self) -> bool:
        """Whether each connection has a copy of the session; by default it has one if the session lives in a cookie."""
        if self.server is None:
            return self._manage_session is not False
        return self._server.copies_session

    @manage_session.setter
    def manage_session(self, value: bool) -> None:
        if self.server is None:
            self._manage_session = value
        else:
            self._server.manage_session = value

    @property
    def _server(self) -> FlaskServer:
        """The server of the current application; where there is none, of the last one."""
        if self.server is None:
            raise RuntimeError("the extension has no application yet: call init_app(app) first")
        return (current_server(self) or self.server) if self._has_several else self.server

    def _server_for(self, app: flask.Flask) -> FlaskServer:
        """Returns the server of an application."""
        found = server_of(app)
        return found if found is not None and found.socketio is self else self._server

    # Registering handlers.

    def _add_handler(self, message: str, handler: Handler, namespace: str | None) -> None:
        namespace = namespace or "/"
        self.handlers.append((message, handler, namespace))
        for server in self._servers:
            self._register(server, message, handler, namespace)

    def _register(self, server: FlaskServer, message: str, handler: Handler, namespace: str) -> None:
        server.on(message, self._entry(server, message, handler, namespace), namespace=namespace)

    def _entry(self, server: FlaskServer, message: str, handler: Handler, namespace: str) -> Handler:
        """Returns what a server calls for an event."""
        handle: Callable[..., Any]
        if type(self)._handle_event is SocketIO._handle_event:
            handle = functools.partial(self._dispatch, server)
            handler = for_arguments(message, handler)
        else:
            # Of a class of an application's own, it sees all events.
            own = functools.partial(server.run_within, self._handle_event)

            def handle(handler: Handler, message: str, namespace: str, sid: str, args: Any) -> Any:
                return own(handler, message, namespace, sid, *args)

        if namespace != "*" and message != "*":

            def entry(sid: str, *args: Any) -> Any:
                return handle(handler, message, namespace, sid, args)

        elif namespace != "*":

            def entry(event: str, sid: str, *args: Any) -> Any:  # type: ignore[misc]
                return handle(handler, message, namespace, sid, (event, *args))

        elif message != "*":

            def entry(real: str, sid: str, *args: Any) -> Any:  # type: ignore[misc]
                return handle(handler, message, real, sid, args)

        else:

            def entry(event: str, real: str, sid: str, *args: Any) -> Any:  # type: ignore[misc]
                return handle(handler, message, real, sid, (event, *args))

        entry.__name__ = getattr(handler, "__name__", message)
        return entry

    def _add_error_handler(self, handler: Handler, namespace: str) -> None:
        self.exception_handlers[namespace] = handler

    def on_error_default(self, exception_handler: Callable[[Exception], Any]) -> Callable[[Exception], Any]:
        """Registers the decorated function for the exceptions of namespaces that have no error handler of their own."""
        if not callable(exception_handler):
            raise ValueError("exception_handler must be callable")
        self.default_exception_handler = exception_handler
        return exception_handler

    def on_namespace(self, namespace_handler: Namespace) -> None:
        """Registers an object whose methods handle the events of its namespace."""
        if not isinstance(namespace_handler, Namespace):
            raise ValueError("Not a namespace instance.")
        if type(namespace_handler).trigger_event is Namespace.trigger_event:
            for name in dir(type(namespace_handler)):
                method = getattr(namespace_handler, name, None) if name.startswith("on_") else None
                if callable(method):
                    check(name.removeprefix("on_"), method)
        namespace_handler._set_socketio(self)
        self.namespace_handlers.append(namespace_handler)
        for server in self._servers:
            server.register_namespace(namespace_handler)

    def register_blueprint(self, blueprint: SocketBlueprint, namespace: str = "/") -> None:
        """Registers the handlers of a blueprint, below a namespace."""
        blueprint._register(self, namespace, lambda handler: handler)

    # Emitting.

    def emit(
        self,
        event: str,
        *args: Any,
        namespace: str | None = "/",
        to: Any = None,
        room: Any = None,
        broadcast: bool = True,
        include_self: bool = True,
        skip_sid: str | list[str] | None = None,
        callback: Callable[..., Any] | None = None,
        ignore_queue: bool = False,
    ) -> None:
        """Emits an event, from anywhere in the process: to `to` (a room, a client, or a list), otherwise to all clients.

        All arguments after the event's name are its arguments. `include_self=False` leaves out the client whose event is handled,
        `skip_sid` others. `callback` gets what a client answers, in a context as that of the event that is handled now.
        `broadcast` has no effect, as without a target the event is for all.
        """
        self._server.emit(
            event,
            _data_of(args),
            to=to,
            room=room,
            namespace=namespace,
            skip_sid=skip_sid if include_self else self._skipped(skip_sid),
            callback=callback if callback is None else self._in_context(callback),
            ignore_queue=ignore_queue,
        )

    def _skipped(self, others: str | list[str] | None) -> str | list[str]:
        """Returns whom an event is not for: the client whose event is handled, and others."""
        own: str = flask.request.sid  # type: ignore[attr-defined]
        if not others:
            return own
        return [own, *([others] if isinstance(others, str) else others)]

    def _in_context(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a callback that is called in a context as that of the current event, if there is one."""
        request = flask.request if flask.has_request_context() else None
        sid: str | None = getattr(request, "sid", None)
        if sid is None:
            return callback
        namespace: str = getattr(request, "namespace", "/")
        return functools.partial(self._server.run_within, self._handle_event, callback, None, namespace, sid)

    def send(
        self,
        data: Any,
        json: bool = False,
        namespace: str | None = None,
        to: Any = None,
        callback: Callable[..., Any] | None = None,
        include_self: bool = True,
        skip_sid: str | list[str] | None = None,
        **options: Any,
    ) -> None:
        """Emits the event `message`, or `json`; see `emit`."""
        self.emit(
            "json" if json else "message",
            data,
            namespace=namespace,
            to=to,
            callback=callback,
            include_self=include_self,
            skip_sid=skip_sid,
            **options,
        )

    def call(
        self,
        event: str,
        *args: Any,
        namespace: str | None = "/",
        to: str | None = None,
        room: str | None = None,
        timeout: float | None = 60,
        ignore_queue: bool = False,
    ) -> Any:
        """Emits an event to one client, and waits for its answer: its only argument, a tuple of several, or `None`.

        Raises `TimeoutError` after `timeout` seconds, or when the client leaves.
        """
        return self._server.call(
            event,
            _data_of(args),
            to=to or room,
            namespace=namespace,
            timeout=timeout,
            ignore_queue=ignore_queue,
        )

    # Clients and rooms.

    def close_room(self, room: Any, namespace: str | None = None) -> None:
        """Takes all clients out of a room."""
        self._server.close_room(room, namespace)

    def participants(self, room: Any = None, namespace: str | None = None) -> list[str]:
        """Returns the clients that are in a room, or in one of several (a list); without one, all of the namespace.

        Of several workers it knows only this one's clients.
        """
        return [sid for sid, _ in self._server.manager.get_participants(namespace or "/", room)]

    # Running.

    def run(self, app: flask.Flask, host: str | None = None, port: int | None = None, **options: Any) -> None:
        """Serves an application until a signal, or `stop`: under Kokanee's own host, or the one of `async_mode`.

        `debug`, `use_reloader`, `reloader_options`, `use_debugger` and `log_output` are as in Flask-SocketIO, the others are those
        of the host: of `kokanee.run`, of eventlet's `wsgi.server`, of gevent's `WSGIServer`.
        """
        _hosting.run(self, app, host, port, options)

    def stop(self) -> None:
        """Ends the host that serves this process, whichever it is: as a signal does, after requests that run now."""
        _hosting.stop(self)

    def start_background_task(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Starts a function as handlers are run, and returns what has `join()`. It belongs to the same application."""
        server = self._server
        if self._has_several:
            target = functools.partial(server.run_within, target)
        return server.start_background_task(target, *args, **kwargs)

    def sleep(self, seconds: float = 0) -> None:
        """Sleeps as handlers do: other greenlets go on."""
        self._server.sleep(seconds)

    def test_client(
        self,
        app: flask.Flask,
        namespace: str | None = None,
        query_string: str | None = None,
        headers: Any = None,
        auth: Any = None,
        flask_test_client: Any = None,
    ) -> SocketIOTestClient:
        """Returns a client for tests, which needs no port. Given Flask's test client, it has its cookies."""
        return SocketIOTestClient(
            app,
            self,
            namespace=namespace,
            query_string=query_string,
            headers=headers,
            auth=auth,
            flask_test_client=flask_test_client,
        )

    # Handling events.

    def _handle_event(
        self, handler: Handler, message: str | None, namespace: str, sid: str, *args: Any
    ) -> Any:
        """Calls a handler in a context of its own, and returns the result. `message` is `None` for a callback of `emit`."""
        return self._dispatch(self._server, for_arguments(message, handler), message, namespace, sid, args)

    def _dispatch(
        self,
        server: FlaskServer,
        handler: Handler,
        message: str | None,
        namespace: str,
        sid: str,
        args: tuple[Any, ...],
    ) -> Any:
        """Does what `_handle_event` does, for a handler that takes all arguments of the server's."""
        eio_sid = server.manager.eio_sid_from_sid(sid, namespace)
        environ = server.environ.get(eio_sid) if eio_sid is not None else None
        app = server.app
        if type(environ) is dict:
            app = environ.get("flask.app", app)
        if environ is None or app is None or eio_sid is None:
            # Nothing is known of this client, who has left.
            return "", 400
        contexts = server.contexts_of(app)
        event = sid, namespace, message, args
        context = EventContext(contexts, environ, event) if contexts.are_own else contexts.plain(environ, event)
        context.push()
        try:
            kept = server._sessions.get(eio_sid)
            copy = kept.get(_sessions.COPY) if kept is not None else None
            if copy is None and server.copies_session:
                opened = getattr(context, contexts.session_name)
                copy = _sessions.make_copy(server, eio_sid, environ, context, opened)
            if copy is not None:
                setattr(context, contexts.session_name, copy)
            try:
                if (self._before or self._after) and message is not None:
                    result = call_hooked(lambda: handler(*args), self._before, self._after, self._settle)
                else:
                    result = handler(*args)
                if type(result) not in PLAIN:
                    result = self._settle(result)
            except ConnectionRefusedError:
                raise
            except Exception as error:
                result = self._failed(error, namespace)
            if copy is None:
                opened = getattr(context, contexts.session_name)
                if not _sessions.save(context, opened) and server.manage_session is None:
                    # It lives in a cookie after all.
                    _sessions.keep_copy(server, eio_sid, environ, opened)
        except BaseException as error:
            context.pop(error)
            raise
        context.pop(None)
        return result

    def _failed(self, error: Exception, namespace: str) -> Any:
        """Returns what the error handler does with the exception that is handled; without one, raises it."""
        on_error = self.exception_handlers.get(namespace, self.default_exception_handler)
        if on_error is None:
            raise error
        return self._settle(on_error(error))

    def _settle(self, value: Any) -> Any:
        """Returns a value, or what a coroutine gives."""
        if not is_awaitable(value):
            return value
        return _coroutines.run(value, self.async_mode or "threading")


def _data_of(args: tuple[Any, ...]) -> Any:
    """Returns the arguments of an event in the form of the server: a tuple is several, `None` is none."""
    return args[0] if len(args) == 1 else (args or None)


class _AppJson:
    """Is `flask.json` where there may be no context of an application."""

    def __init__(self, app: flask.Flask | None) -> None:
        self._app = app

    def dumps(self, *args: Any, **kwargs: Any) -> str:
        """Returns a value as JSON."""
        if self._app is None:
            return flask_json.dumps(*args, **kwargs)
        with self._app.app_context():
            return flask_json.dumps(*args, **kwargs)

    def loads(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the value of JSON."""
        if self._app is None:
            return flask_json.loads(*args, **kwargs)
        with self._app.app_context():
            return flask_json.loads(*args, **kwargs)
