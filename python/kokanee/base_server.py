"""What `Server` and `AsyncServer` have in common: options, handlers, and how an event finds its handler."""

from __future__ import annotations

import difflib
import logging
import sys
import warnings
from typing import Any, Callable, ClassVar

from . import _engine, base_namespace, packet
from ._handlers import Handler, lifecycle_arity

default_logger = logging.getLogger("socketio.server")
engine_logger = logging.getLogger("engineio.server")

#: Options of Engine.IO, with their defaults.
ENGINE_OPTIONS: dict[str, Any] = {
    "async_mode": None,
    "ping_interval": 25,
    "ping_timeout": 20,
    "max_http_buffer_size": 1_000_000,
    "allow_upgrades": True,
    "http_compression": True,
    "compression_threshold": 1024,
    "cookie": None,
    "cors_allowed_origins": None,
    "cors_credentials": True,
    "monitor_clients": None,
    "transports": None,
    "engineio_logger": False,
    # Ours:
    "allow_eio3": False,
    "connect_timeout": 45,
    "path": None,
}


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


class Client:
    """Keeps what the server knows of one client in one namespace."""

    __slots__ = ("eio_sid", "namespace", "connected")

    def __init__(self, eio_sid: str, namespace: str) -> None:
        self.eio_sid = eio_sid
        self.namespace = namespace
        self.connected = False


def make_logger(logger: Any, default: logging.Logger) -> logging.Logger:
    """Returns the logger of an option: itself, or the default one at the level that the option says."""
    if not isinstance(logger, bool):
        return logger  # type: ignore[no-any-return]
    if default.level == logging.NOTSET:
        default.setLevel(logging.INFO if logger else logging.ERROR)
        default.addHandler(logging.StreamHandler())
    return default


class BaseServer:
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
        options = dict(ENGINE_OPTIONS)
        for name, value in kwargs.items():
            if name not in options:
                self._warn_of_unknown(name)
            options[name] = value
        self.packet_class = self._packet_class(serializer)
        if json is not None:
            self.packet_class.json = json
        self.logger = make_logger(logger, default_logger)
        self.eio_logger = make_logger(options["engineio_logger"], engine_logger)
        self.async_handlers = async_handlers
        self.always_connect = always_connect
        self.namespaces = namespaces or ["/"]
        self.handlers: dict[str, dict[str, Handler]] = {}
        self.namespace_handlers: dict[str, base_namespace.BaseServerNamespace] = {}
        self.environ: dict[str, Any] = {}
        self.manager_initialized = False
        self._arity: dict[tuple[str, str], int] = {}
        self._clients: dict[str, Client] = {}
        self._sessions: dict[str, dict[str, Any]] = {}
        self._callbacks: dict[int, Callable[..., Any]] = {}
        self._options = options
        self._engine = _engine.Engine(self._engine_options(options), serial=not async_handlers)
        for name in self.namespaces if self.namespaces != "*" else ["/"]:
            self._engine.open_namespace(name)
        self.manager = client_manager if client_manager is not None else self._default_manager()
        self.manager.set_server(self)

    # What differs between the two servers.

    def _default_manager(self) -> Any:
        raise NotImplementedError

    def is_asyncio_based(self) -> bool:
        """Returns whether this is an `AsyncServer`."""
        return False

    # Options.

    def _warn_of_unknown(self, name: str) -> None:
        known = [*ENGINE_OPTIONS, "client_manager", "logger", "serializer", "json"]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        warnings.warn(f"unknown option {name!r} has no effect{hint}", stacklevel=4)

    @staticmethod
    def _packet_class(serializer: Any) -> Any:
        if serializer == "default":
            return packet.Packet
        if serializer == "msgpack":
            from . import msgpack_packet

            return msgpack_packet.MsgPackPacket
        if isinstance(serializer, str):
            raise ValueError(
                f"serializer is 'default', 'msgpack' or a packet class, not {serializer!r}"
            )
        return serializer

    def _engine_options(self, options: dict[str, Any]) -> dict[str, Any]:
        interval = options["ping_interval"]
        if isinstance(interval, tuple):
            interval = interval[0]
        transports = options["transports"]
        if transports is not None:
            names = [transports] if isinstance(transports, str) else list(transports)
            transports = [name for name in names if name in ("polling", "websocket")]
            if not transports:
                raise ValueError("No valid transports provided")
        origins = options["cors_allowed_origins"]
        if isinstance(origins, str):
            origins = [origins]
        return {
            "ping_interval": float(interval),
            "ping_timeout": float(options["ping_timeout"]),
            "max_http_buffer_size": int(options["max_http_buffer_size"]),
            "connect_timeout": float(options["connect_timeout"]),
            "allow_upgrades": bool(options["allow_upgrades"]),
            "allow_eio3": bool(options["allow_eio3"]),
            "http_compression": bool(options["http_compression"]),
            "compression_threshold": int(options["compression_threshold"]),
            "transports": transports,
            "cors_origins": list(origins) if origins else None,
            "cors_credentials": bool(options["cors_credentials"]),
            "path": options["path"],
        }

    # Registering handlers.

    def on(
        self, event: str, handler: Handler | None = None, namespace: str | None = None
    ) -> Any:
        """Registers the handler of an event; as a decorator without `handler`.

        The last handler of an event in a namespace counts. `*` as event or as namespace takes those that have no handler.
        Raises `TypeError` if a handler of `connect` or `disconnect` cannot take their arguments.
        """
        namespace = namespace or "/"

        def register(function: Handler) -> Handler:
            if event in self.reserved_events:
                extra = 1 if namespace == "*" else 0
                self._arity[namespace, event] = lifecycle_arity(event, function, extra)
            self.handlers.setdefault(namespace, {})[event] = function
            if namespace != "*":
                self._engine.open_namespace(namespace)
            return function

        if handler is None:
            return register
        register(handler)
        return None

    def event(self, *args: Any, **kwargs: Any) -> Any:
        """Registers a function as the handler of the event of its name: `@sio.event` or `@sio.event(namespace=…)`."""
        if len(args) == 1 and not kwargs and callable(args[0]):
            return self.on(args[0].__name__)(args[0])

        def register(function: Handler) -> Any:
            return self.on(function.__name__, *args, **kwargs)(function)

        return register

    def register_namespace(self, namespace_handler: Any) -> None:
        """Registers an object whose methods handle the events of its namespace."""
        if not isinstance(namespace_handler, base_namespace.BaseServerNamespace):
            raise ValueError("Not a namespace instance")
        if self.is_asyncio_based() != namespace_handler.is_asyncio_based():
            raise ValueError("Not a valid namespace class for this server")
        namespace_handler._set_server(self)
        self.namespace_handlers[namespace_handler.namespace] = namespace_handler
        if namespace_handler.namespace != "*":
            self._engine.open_namespace(namespace_handler.namespace)

    # Finding handlers.

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

    def _get_namespace_handler(
        self, namespace: str, args: tuple[Any, ...]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Returns the object that handles a namespace, and the arguments for its methods."""
        handler = self.namespace_handlers.get(namespace)
        if handler is not None:
            return handler, args
        handler = self.namespace_handlers.get("*")
        return handler, (namespace, *args) if handler is not None else args

    def _fit(self, handler: Handler, event: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns the arguments that a handler of the life cycle takes."""
        if event in self.reserved_events:
            extra = len(args) - (3 if event == "connect" else 2)
            return args[: lifecycle_arity(event, handler, max(extra, 0))]
        return args

    # Facts about clients.

    def rooms(self, sid: str, namespace: str | None = None) -> list[Any]:
        """Returns the rooms of a client, its own included; `[]` for an unknown one."""
        return self.manager.get_rooms(sid, namespace or "/")

    def transport(self, sid: str, namespace: str | None = None) -> str:
        """Returns `"polling"` or `"websocket"`. Raises `KeyError` for an unknown client."""
        transport = self._engine.transport(sid, namespace or "/")
        if transport is None:
            raise KeyError("Session not found")
        return transport

    def get_environ(self, sid: str, namespace: str | None = None) -> Any:
        """Returns the environ of the request that opened a client's connection, or `None`."""
        client = self._clients.get(sid)
        return self.environ.get(client.eio_sid) if client is not None else None

    def _session_of(self, sid: str, namespace: str | None) -> dict[str, Any]:
        client = self._clients.get(sid)
        if client is None:
            raise KeyError("Session not found")
        return self._sessions.setdefault(client.eio_sid, {})

    # What the engine says.

    def _joined(self, event: tuple[Any, ...]) -> Client:
        _, sid, namespace, eio_sid, environ, _, _ = event
        if eio_sid not in self.environ:
            self.environ[eio_sid] = environ
        client = self._clients[sid] = Client(eio_sid, namespace)
        if not self.manager_initialized:
            self.manager_initialized = True
            self.manager.initialize()
        return client

    def _session_ended(self, eio_sid: str) -> None:
        self.environ.pop(eio_sid, None)
        self._sessions.pop(eio_sid, None)

    def _targets(self, to: Any, room: Any) -> list[str] | None:
        """Returns the rooms of an emit; `None` for everybody."""
        target = to or room
        if not target:
            return None
        if isinstance(target, (list, tuple)):
            return [self.manager.room_name(room) for room in target]
        return [self.manager.room_name(target)]

    @staticmethod
    def _skipped(skip_sid: Any) -> list[str] | None:
        if not skip_sid:
            return None
        return list(skip_sid) if isinstance(skip_sid, (list, tuple)) else [skip_sid]


def report(logger: logging.Logger, event: str, sid: str, namespace: str) -> None:
    """Logs the exception of a handler, with its event, client and namespace."""
    logger.error(
        'the handler of "%s" failed for %s [%s]', event, sid, namespace, exc_info=sys.exc_info()
    )
