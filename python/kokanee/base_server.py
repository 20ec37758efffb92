"""What `Server` and `AsyncServer` have in common: options, handlers, and how an event finds its handler."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any, Callable, ClassVar

from . import _connections, _engine, _options, _workers, base_namespace, exceptions, packet
from ._eio import EngineIO
from ._environ import of_opening
from ._handlers import Handler, accepts, check, check_namespace
from ._registering import Registering
from ._steps import settle
from .engineio import packet as eio_packet

default_logger = logging.getLogger("socketio.server")
engine_logger = logging.getLogger("engineio.server")

#: Events of the engine that are about a connection if packets are read in Python.
RAW_KINDS = (_engine.CONNECT, _engine.EVENT, _engine.DISCONNECT)
#: Events of the engine that are about answers of clients.
ANSWER_KINDS = (_engine.ANSWER, _engine.ONE_ANSWER, _engine.LAST_ANSWER)

class Reason:
    """Names why a client has left a namespace."""

    SERVER_DISCONNECT = "server disconnect"
    CLIENT_DISCONNECT = "client disconnect"
    PING_TIMEOUT = "ping timeout"
    TRANSPORT_CLOSE = "transport close"
    TRANSPORT_ERROR = "transport error"


#: The reasons of the engine, in this package's words.
REASONS = {
    "client namespace disconnect": Reason.CLIENT_DISCONNECT,
    "server namespace disconnect": Reason.SERVER_DISCONNECT,
    "server shutting down": Reason.SERVER_DISCONNECT,
    "forced server close": Reason.SERVER_DISCONNECT,
    "forced close": Reason.TRANSPORT_ERROR,
    "parse error": Reason.TRANSPORT_ERROR,
}


def own_origins(environ: Mapping[str, Any]) -> list[str]:
    """Returns the origins of a request's own host: as it came here, and as a proxy says that it was sent."""
    scheme, host = environ.get("wsgi.url_scheme", "http"), environ.get("HTTP_HOST", "")
    origins = [f"{scheme}://{host}"]
    if "HTTP_X_FORWARDED_PROTO" in environ or "HTTP_X_FORWARDED_HOST" in environ:
        scheme = environ.get("HTTP_X_FORWARDED_PROTO", scheme).split(",")[0].strip()
        host = environ.get("HTTP_X_FORWARDED_HOST", host).split(",")[0].strip()
        origins.append(f"{scheme}://{host}")
    return origins


class BaseServer(Registering, _connections.Connections):
    """Is the base of `Server` and `AsyncServer`."""

    reserved_events: ClassVar[list[str]] = ["connect", "disconnect"]
    reason = Reason

    class _NotHandled:
        def __repr__(self) -> str:
            return "not handled"

    not_handled = _NotHandled()

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
        own = {"client_manager": client_manager, "logger": logger, "json": json, "namespaces": namespaces}
        own |= {"async_handlers": async_handlers, "always_connect": always_connect}
        for name, value in own.items():
            _options.check(name, value)
        options = _options.merged(kwargs)
        self.packet_class = _options.packet_class(serializer)
        if json is not None:
            # For the process, as applications make packets themselves.
            self.packet_class.json = json
            eio_packet.Packet.json = json
        self.logger = _options.make_logger(logger, default_logger)
        self.eio_logger = _options.make_logger(options["engineio_logger"], engine_logger)
        self.async_handlers = async_handlers
        self.always_connect = always_connect
        self.namespaces: Any = _options.namespaces(namespaces)
        self.handlers: dict[str, dict[str, Handler]] = {}
        self.namespace_handlers: dict[str, base_namespace.BaseServerNamespace] = {}
        self.environ: dict[str, Any] = {}
        self.manager_initialized = False
        self._sessions: dict[str, dict[str, Any]] = {}
        self._callbacks: dict[int, tuple[Callable[..., Any], str, str]] = {}
        self._partial: dict[str, Any] = {}
        self._outgoing: dict[str, Any] = {}
        self._turns: dict[tuple[str, str, int | None], Any] = {}
        self._local: set[str] = set()
        self._ended: set[str] = set()
        #: Connections that their handler has refused, until they have ended.
        self._refused: set[str] = set()
        self._warned_of_empty_target = False
        self._options = options
        self._coding = packet.coding(self.packet_class)
        if any(getattr(type(self), name) is not own for name, own in self._own_eio_handlers.items()):
            # A subclass sees what connections do.
            self._coding = "python"
        #: Clients whose connection is lost may come back.
        self._recovers = options["connection_state_recovery"] not in (None, False)
        #: Packets are read and written in Python.
        self._raw = self._coding == "python"
        if self._raw and self._recovers:
            self.logger.warning("connection_state_recovery has no effect, as packets are read in Python")
        #: What the package's own host adds to the request of a connection.
        self._host_base: dict[str, Any] = {}
        self._engine_dict = self._engine_options(options)
        self._engine = self._new_engine()
        self.eio = EngineIO(self)
        self.manager = client_manager if client_manager is not None else self._default_manager()
        self.manager.set_server(self)
        self._engine_dict["meet"] = _workers.Meeting(options)
        _workers.servers.add(self)
        # A message queue connects the workers, too.
        self._engine_dict["shared"] = not getattr(self.manager, "has_queue", False)

    # What differs between the two servers.

    def _default_manager(self) -> Any:
        raise NotImplementedError

    def _check_host(self) -> None:
        """Raises `ValueError` if the package's own host cannot run the handlers."""

    def _begin(self, again: bool) -> None:
        """Begins to handle what the engine says, before there is a request; `again` after its end."""
        raise NotImplementedError

    def is_asyncio_based(self) -> bool:
        """Returns whether this is an `AsyncServer`."""
        return False

    # Options.

    def _engine_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Returns the options for the engine: those of Engine.IO, and how packets are read."""
        json = self.packet_class.json
        return {
            **_options.for_engine(options),
            "parser": self._coding,
            "raw_messages": self._raw,
            "open_namespaces": self.namespaces == "*" and not self._raw,
            "json": None if self._raw or packet.is_usual_json(json) else json,
        }

    def _new_engine(self) -> _engine.Engine:
        engine = _engine.Engine(self._engine_dict, serial=self._raw or not self.async_handlers)
        for name in ["/", *(self.namespaces if self.namespaces != "*" else ())]:
            engine.open_namespace(name)
        return engine

    def _read_in_python(self) -> None:
        """Has the messages of connections come to the handlers of `eio`, where the engine would read them."""
        if self._raw:
            return
        if self._engine.update_heartbeat():
            raise RuntimeError("handlers of sio.eio are for a server that is not in use yet: set them before the first request")
        self._raw, self._coding = True, "python"
        self._engine_dict.update(self._engine_options(self._options))
        self._engine = self._new_engine()

    def _set_option(self, name: str, value: Any) -> None:
        """Changes an option of a server that may have started. Sessions that are open stay as they are."""
        _options.check(name, value)
        options = {**self._options, name: value}
        self._engine_dict.update(self._engine_options(options))
        self._options[name] = value
        if self._engine.update_heartbeat() and name not in _options.LATER:
            self.eio_logger.warning(
                "%s was changed after the first request of a client, and has no effect until the server starts again", name
            )

    # Registering handlers.

    def _check_handler(self, event: str, handler: Handler, namespace: str) -> None:
        check(event, handler, namespace)

    def _put_handler(self, event: str, handler: Handler, namespace: str) -> None:
        super()._put_handler(event, handler, namespace)
        if namespace != "*":
            self._engine.open_namespace(namespace)

    def register_namespace(self, namespace_handler: Any) -> None:
        """Registers an object whose methods handle the events of its namespace."""
        if not isinstance(namespace_handler, base_namespace.BaseServerNamespace):
            raise ValueError("Not a namespace instance")
        if self.is_asyncio_based() != namespace_handler.is_asyncio_based():
            raise ValueError("Not a valid namespace class for this server")
        check_namespace(namespace_handler)
        namespace_handler._set_server(self)
        self.namespace_handlers[namespace_handler.namespace] = namespace_handler
        if namespace_handler.namespace != "*":
            self._engine.open_namespace(namespace_handler.namespace)

    # Finding handlers.

    #: The methods of this package for what connections do, which subclasses may override.
    _own_eio_handlers: ClassVar[dict[str, Any]]
    #: `_trigger_event` of this package.
    _own_trigger_event: ClassVar[Callable[..., Any]]

    def _get_event_handler(
        self, event: str, namespace: str, args: tuple[Any, ...]
    ) -> tuple[Handler | None, tuple[Any, ...]]:
        """Returns the function that handles an event, and its arguments."""
        own = self.handlers.get(namespace)
        if own is not None:
            if event in own:
                return own[event], args
            if "*" in own and event not in self.reserved_events:
                return own["*"], (event, *args)
        every = self.handlers.get("*")
        if every is not None:
            if event in every:
                return every[event], (namespace, *args)
            if "*" in every and event not in self.reserved_events:
                return every["*"], (event, namespace, *args)
        return None, args

    def _is_logged(self) -> bool:
        """Returns whether the log takes what is said of each event. A logger of an application's own may not say."""
        is_enabled = getattr(self.logger, "isEnabledFor", None)
        return is_enabled is None or bool(is_enabled(logging.INFO))

    def _direct_handlers(self) -> dict[str, dict[str, Handler]]:
        """Returns the functions that get `sid` and the arguments of an event, by namespace and event: none if an application has
        put something in the place of `_trigger_event` or `_send_packet`, which then get all events and answers."""
        own, kind = self.__dict__, type(self)
        if (
            "_trigger_event" in own
            or "_send_packet" in own
            or kind._trigger_event is not kind._own_trigger_event
            or kind._send_packet is not BaseServer._send_packet
        ):
            return {}
        return self.handlers

    def _answer(self, event: tuple[Any, ...], result: Any, is_direct: bool) -> Any:
        """Answers an event with what its handler has returned. Returns what must be awaited for that, or `None`."""
        answer = event[5]
        if result is self.not_handled:
            answer.done()
            return None
        if not is_direct:
            answer = self._answer_by(answer, event[1], event[2])
        sent = answer.send_result(result)
        return None if sent is True or sent is False else sent

    def _event_failed(self, event: tuple[Any, ...], error: BaseException, on_error: Callable[..., None]) -> None:
        """Ends an event whose handler has failed: `on_error` gets an exception, the caller what is more, and all of a test."""
        kind, sid, namespace, name, _, answer = event
        if answer is not None:
            answer.done()
        if kind is None or not isinstance(error, Exception):
            raise error
        on_error(self.logger, name, sid, namespace)

    def _get_namespace_handler(
        self, namespace: str, args: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Returns the object that handles a namespace, and the arguments for its methods."""
        handler = self.namespace_handlers.get(namespace)
        if handler is not None:
            return handler, args
        handler = self.namespace_handlers.get("*")
        return handler, (namespace, *args) if handler is not None else args

    def _call_target(self, to: Any, sid: Any) -> Any:
        """Returns the client of `call`, or raises what says why it cannot be called."""
        target = to or sid
        if target is None:
            raise ValueError("Cannot use call() to broadcast.")
        if not self.async_handlers:
            raise RuntimeError("Cannot use call() when async_handlers is False.")
        return target

    # Hosting.

    def run(self, app: Any = None, host: str = "127.0.0.1", port: int = 5000, **options: Any) -> None:
        """Serves clients, and beside them an application of WSGI or, for an `AsyncServer`, of ASGI; see `kokanee.run`."""
        from . import _run

        _run.run_server(self, app, host, port, options)

    # Facts about clients.

    def rooms(self, sid: str, namespace: str | None = None) -> list[Any]:
        """Returns the rooms of a client, its own included; `[]` for an unknown one."""
        rooms: list[Any] = self.manager.get_rooms(sid, namespace or "/")
        return rooms

    def transport(self, sid: str, namespace: str | None = None) -> str:
        """Returns `"polling"` or `"websocket"`. Raises `KeyError` for an unknown client."""
        transport: str | None = self._engine.transport(sid, namespace or "/")
        if transport is None:
            eio_sid = self.manager.eio_sid_from_sid(sid, namespace or "/")
            if eio_sid is None:
                raise KeyError("Session not found")
            transport = self.eio.transport(eio_sid)
        return transport

    def recovered(self, sid: str, namespace: str | None = None) -> bool:
        """Returns whether a client has come back after its connection was lost: with its sid, its rooms and its session.

        Always `False` without the option `connection_state_recovery`.
        """
        recovered: bool = self._engine.is_recovered(sid, namespace or "/")
        return recovered

    def _keep_session(self, sid: str, namespace: str | None, session: Any) -> None:
        """Has the session of a client return with it."""
        if self._recovers:
            self._engine.keep_session(sid, namespace or "/", session)

    def get_environ(self, sid: str, namespace: str | None = None) -> Any:
        """Returns the environ of the request that opened a client's connection, or `None`."""
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace or "/")
        return self.environ.get(eio_sid) if eio_sid is not None else None

    def _session_of(self, sid: str, namespace: str | None) -> dict[str, Any]:
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace or "/")
        if eio_sid is None:
            raise KeyError("Session not found")
        return self._sessions.setdefault(eio_sid, {})

    def _accepts_origin(self, environ: Mapping[str, Any]) -> bool:
        """Returns whether pages of a request's origin may use the server: by default those of its own host alone."""
        accept = self._options["cors_allowed_origins"]
        origin = environ.get("HTTP_ORIGIN")
        if origin is None or accept == []:
            return True
        if callable(accept):
            arguments = (origin, environ) if accepts(accept, 2) else (origin,)
            accepted = bool(accept(*arguments))
        else:
            allowed = own_origins(environ) if accept is None else accept
            allowed = [allowed] if isinstance(allowed, str) else allowed
            accepted = "*" in allowed or origin in allowed
        if not accepted:
            self.eio_logger.error(
                "%s is not an accepted origin; the server's own: %s, cors_allowed_origins: %r",
                origin, ", ".join(own_origins(environ)), accept,
            )  # fmt: skip
        return accepted

    # Joining and leaving, as the engine says it.

    def _is_open(self, namespace: str) -> bool:
        """Returns whether clients may ask for a namespace."""
        return (
            namespace in self.handlers
            or namespace in self.namespace_handlers
            or self.namespaces == "*"
            or namespace in self.namespaces
        )

    def _initialize_manager(self) -> None:
        if not self.manager_initialized:
            self.manager_initialized = True
            self.manager.initialize()

    def _opened(self, environ: Any) -> Any:
        """Returns the environ of a connection, also of one whose request was not shown to Python."""
        if type(environ) is not _engine.Opening:
            return environ
        return of_opening(environ, self._host_base, self.is_asyncio_based())

    async def _asked(self, event: tuple[Any, ...]) -> None:
        """Handles a client that asks for a namespace."""
        _, sid, namespace, eio_sid, environ, auth, connecting = event
        self._initialize_manager()
        environ = self.environ.setdefault(eio_sid, self._opened(environ))
        self.manager.add(sid, eio_sid, namespace)
        if self._recovers and self._engine.is_recovered(sid, namespace):
            session = self._engine.kept_session(sid, namespace)
            if session is not None:
                self._sessions.setdefault(eio_sid, {})[namespace] = session
        if self._sends_packets():
            connecting = _connections.TappedConnecting(self, eio_sid, namespace, sid, connecting)
        try:
            await self._join(sid, namespace, environ, auth, connecting)
        except Exception:
            report(self.logger, "connect", sid, namespace)
        finally:
            connecting.done()

    def _prepare(self) -> None:
        """Decides what the engine, which is about to start, has to tell: packets only if the log shows them."""
        self._engine_dict["log_packets"] = self.eio_logger.isEnabledFor(logging.INFO)

    def _log(self, event: tuple[Any, ...]) -> None:
        """Logs what a connection has done, in the words of python-engineio."""
        _, eio_sid, what, kind, data = event
        log = self.eio_logger.info
        if what == "upgrade":
            log("%s: Received request to upgrade to %s", eio_sid, "websocket")
        elif what == "upgraded":
            log("%s: Upgrade to websocket successful", eio_sid)
        else:
            if isinstance(data, bytes):
                data = "<binary>"
            elif kind == eio_packet.OPEN and data:
                # The session's id in it is a secret.
                data = {**eio_packet.Packet.json.loads(data), "sid": eio_sid}
            line = "%s: Received packet %s data %s" if what == "received" else "%s: Sending packet %s data %s"
            log(line, eio_sid, eio_packet.packet_names[kind], data)

    def _answered_by(self, kind: int, call: int, value: Any) -> Any:
        """Returns the callback of an event that a client has answered (`value` has its arguments), or nobody any more."""
        take = self._callbacks.pop if kind == _engine.ANSWER else self._callbacks.get
        callback, sid, namespace = take(call, (None, "", ""))
        if kind != _engine.LAST_ANSWER and value is not None and callback is not None:
            self.logger.info("received ack from %s [%s]", sid, namespace)
        return callback

    async def _left(self, event: tuple[Any, ...]) -> None:
        """Handles a client that has left."""
        _, sid, namespace, reason, rooms, ended = event
        try:
            await self._client_left(sid, namespace, reason, rooms)
        finally:
            if ended is not None:
                ended.done()

    async def _client_left(self, sid: str, namespace: str, reason: str, rooms: list[str]) -> None:
        if reason == Reason.PING_TIMEOUT:
            self.eio_logger.info("%s: Client is gone, closing socket", self.manager.eio_sid_from_sid(sid, namespace))
        client = self.manager.clients.get(sid)
        if client is None:
            return
        if client.rooms is None:
            client.rooms = dict.fromkeys(map(self.manager.room_key, rooms))
        try:
            await self._leave(sid, namespace, REASONS.get(reason, reason))
        except Exception:
            report(self.logger, "disconnect", sid, namespace)

    # Connections whose packets are read in Python: each is one client of the engine.

    async def _handle_raw(self, event: tuple[Any, ...]) -> None:
        kind, eio_sid = event[:2]
        try:
            if kind == _engine.CONNECT:
                await self._connection_opens(eio_sid, self._opened(event[4]), event[6])
            elif kind == _engine.EVENT:
                try:
                    if eio_sid not in self._refused:
                        await settle(self.eio.handlers["message"](eio_sid, event[4][0]))
                finally:
                    event[5].done()
            elif kind == _engine.DISCONNECT:
                await self._connection_ends(eio_sid, REASONS.get(event[3], event[3]))
        except Exception:
            self.logger.exception("a message of %s failed", eio_sid)

    async def _connection_opens(self, eio_sid: str, environ: Any, connecting: Any) -> None:
        """Asks the handler of connections whether one may stay. What that sends to it waits until then."""
        answer: Any = False
        try:
            answer = await settle(self.eio.handlers["connect"](eio_sid, environ))
        finally:
            # Also if the handler has failed.
            is_wanted = answer is None or answer is True
            is_there = connecting.accept()
            connecting.done()
            if not is_wanted:
                self.eio_logger.warning("Application rejected connection")
                self._session_ended(eio_sid)
                if is_there:
                    self._refused.add(eio_sid)
                    self._engine.close_connection(eio_sid, "/")
        if is_wanted and not is_there:
            await self._connection_ends(eio_sid, self.reason.TRANSPORT_CLOSE)

    async def _connection_ends(self, eio_sid: str, reason: str) -> None:
        if eio_sid in self._refused:
            self._refused.discard(eio_sid)
            return
        handler = self.eio.handlers["disconnect"]
        # Older ones do not take the reason.
        arguments = (eio_sid, reason) if accepts(handler, 2) else (eio_sid,)
        await settle(handler(*arguments))

    def _send_message(self, eio_sid: str, data: Any) -> None:
        if self._raw:
            self._engine.send_message(eio_sid, data)

    # Emitting.

    def _target(self, event: str, to: Any, room: Any, namespace: str) -> Any:
        """Returns the target of an emit: `None` for everybody. Raises `Nobody` for an empty one, if that is an option."""
        if not isinstance(event, str):
            raise TypeError(f"the name of an event is a text, not {event!r}")
        target = to or room
        if not target:
            for given in (to, room):
                if given is not None and given is not False:
                    self._empty_target(given)
            target = None
        self.logger.info('emitting event "%s" to %s [%s]', event, target or "all", namespace)
        return target

    def _empty_target(self, given: Any) -> None:
        if self._options["strict_targets"]:
            raise Nobody
        if not self._warned_of_empty_target:
            self._warned_of_empty_target = True
            self.logger.warning(
                "an event is emitted to all clients as its target is %r: with strict_targets=True it is for nobody", given
            )


class Nobody(Exception):
    """Says that an event is for nobody."""


def answer_value(args: tuple[Any, ...] | None) -> Any:
    """Returns the arguments of a client's acknowledgement as `call` does: the only one, a tuple of several, or `None`.

    Raises `TimeoutError` if there is no acknowledgement.
    """
    if args is None:
        raise exceptions.TimeoutError()
    return args if len(args) > 1 else args[0] if args else None


def notice(is_error: bool, text: str) -> None:
    """Logs what the engine has to say, a client that sent too much for example, with the logger `kokanee`."""
    # Python has one option for both.
    for limit in ("max_message_bytes", "max_attachment_bytes"):
        text = text.replace(limit, "max_http_buffer_size")
    logging.getLogger("kokanee").log(logging.ERROR if is_error else logging.WARNING, "%s", text)


def report(logger: logging.Logger, event: str, sid: str, namespace: str) -> None:
    """Logs the exception of a handler, with its event, client and namespace."""
    logger.error(
        'the handler of "%s" failed for %s [%s]', event, sid, namespace, exc_info=sys.exc_info()
    )
