"""`sockets`: the handlers of a project, declared before it is known which server will run them, and what is sent from anywhere."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from asgiref.sync import iscoroutinefunction

from .._handlers import Handler, accepts, arity_of, unfit

from ._view import SocketView, handlers

if TYPE_CHECKING:
    from ._bridge import Bridge

#: A handler, whose type a decorator keeps.
H = TypeVar("H", bound=Handler)
V = TypeVar("V", bound=type[SocketView])

#: For each event of the life cycle: the arguments that its handler may take, the fullest first.
_LIFECYCLE: dict[str, tuple[tuple[str, ...], ...]] = {
    "connect": (("socket", "auth"), ("socket",)),
    "disconnect": (("socket", "reason"), ("socket",)),
}


class Declared:
    """Is a handler, and what was found out about it."""

    __slots__ = ("arity", "function", "is_async")

    def __init__(self, event: str, function: Handler) -> None:
        self.function = function
        self.is_async = iscoroutinefunction(function)
        #: With how many arguments a handler of the life cycle is called.
        self.arity = _arity(event, function)

    def with_function(self, function: Handler) -> Declared:
        """Returns the same with another function."""
        other = copy.copy(self)
        other.function = function
        return other


class Sockets:
    """Holds the handlers of a project, and sends to its clients."""

    def __init__(self) -> None:
        #: By namespace and event.
        self.handlers: dict[str, dict[str, Declared]] = {}
        self._bridges: list[Bridge] = []

    # Handlers.

    @overload
    def on(self, event: str, handler: None = None, *, namespace: str = "/") -> Callable[[H], H]: ...

    @overload
    def on(self, event: str, handler: H, *, namespace: str = "/") -> H: ...

    def on(self, event: str, handler: Any = None, *, namespace: str = "/") -> Any:
        """Registers the handler of an event: a function or a coroutine function of `(socket, *arguments)`.

        `connect` gets `(socket)` or `(socket, auth)`, `disconnect` `(socket)` or `(socket, reason)`. The event `*` is any other
        that has no handler: `(event, socket, *arguments)`. The namespace `*` is any that has none: see `socket.namespace`.
        """
        if handler is None:
            return functools.partial(self._add, event, namespace)
        return self._add(event, namespace, handler)

    @overload
    def event(self, handler: H, /) -> H: ...

    @overload
    def event(self, *, namespace: str = "/") -> Callable[[H], H]: ...

    def event(self, handler: Any = None, *, namespace: str = "/") -> Any:
        """Registers a function as the handler of the event of its name: `@sockets.event` or `@sockets.event(namespace=…)`."""
        if handler is None:
            return lambda function: self._add(function.__name__, namespace, function)
        return self._add(handler.__name__, namespace, handler)

    @overload
    def register(self, namespace: str, view: None = None, **options: Any) -> Callable[[V], V]: ...

    @overload
    def register(self, namespace: str, view: V, **options: Any) -> V: ...

    def register(self, namespace: str, view: Any = None, **options: Any) -> Any:
        """Registers a class whose methods handle the events of a namespace: `@sockets.register("/chat")` above a `SocketView`.

        `options` set attributes of its objects. Raises `TypeError` if a method can never be called.
        """
        if view is None:
            return lambda decorated: self.register(namespace, decorated, **options)
        for event, handler in list(handlers(self, view, options)):
            self._add(event, namespace, handler)
        return view

    def namespace(self, name: str) -> Namespace:
        """Returns what declares the handlers of one namespace, and sends to its clients."""
        return Namespace(self, _checked(name))

    def _add(self, event: str, namespace: str, function: Any) -> Any:
        declared = Declared(event, function)
        self.handlers.setdefault(_checked(namespace), {})[event] = declared
        for bridge in self._bridges:
            bridge.add(namespace, event, declared)
        return function

    def attach(self, bridge: Bridge) -> None:
        """Gives a server all handlers, also those that are declared later. The last one sends what this process emits."""
        self._bridges.append(bridge)
        for namespace, events in self.handlers.items():
            for event, declared in events.items():
                bridge.add(namespace, event, declared)

    def detach(self, bridge: Bridge) -> None:
        """Takes a server out, as its tests have ended."""
        self._bridges.remove(bridge)

    @property
    def bridges(self) -> tuple[Bridge, ...]:
        """The servers of this process."""
        return tuple(self._bridges)

    @property
    def server(self) -> Any:
        """The `Server` or `AsyncServer` that sends what this process emits. Raises `NotServing` if there is none."""
        return self._sender("server").server

    def _sender(self, what: str) -> Bridge:
        from ._sending import sender

        return sender(self, what)

    # Sending. None of these waits for clients, so that functions and coroutines call them in the same way.

    def emit(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        *,
        skip: Any = None,
        namespace: str = "/",
        callback: Callable[..., Any] | None = None,
    ) -> None:
        """Emits an event: to a room, a client, several of both (a list), or all clients of the namespace.

        A tuple as `data` is spread over several arguments, `None` is none. Dates, times, decimals, UUIDs and translated texts are
        sent as Django's JSON has them. It may be called anywhere: in handlers, views, signals, commands, functions and coroutines,
        on any thread. It never waits.

        Raises `NotServing` if this process cannot reach clients.
        """
        self._sender(f"emit({event!r})").emit(event, data, to, skip, namespace, callback)

    def emit_on_commit(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        *,
        skip: Any = None,
        namespace: str = "/",
        using: str | None = None,
        robust: bool = False,
    ) -> None:
        """Emits an event when the current transaction is committed, and not at all if it is rolled back.

        Without a transaction, it is emitted at once. `using` and `robust` are those of `transaction.on_commit`.
        """
        from django.db import transaction

        emit = functools.partial(self.emit, event, data, to, skip=skip, namespace=namespace)
        transaction.on_commit(emit, using=using, robust=robust)

    def call(
        self, event: str, data: Any = None, *, to: Any, namespace: str = "/", timeout: float | None = 60
    ) -> Any:
        """Emits an event to one client, and waits for its answer; not in coroutines: see `acall`.

        Raises `TimeoutError` after `timeout` seconds, or when the client leaves.
        """
        return self._sender(f"call({event!r})").call(event, data, to, namespace, timeout)

    async def acall(
        self, event: str, data: Any = None, *, to: Any, namespace: str = "/", timeout: float | None = 60
    ) -> Any:
        """Emits an event to one client, and waits for its answer."""
        return await self._sender(f"call({event!r})").acall(event, data, to, namespace, timeout)

    def join(self, socket: Any, room: Any, *, namespace: str = "/") -> None:
        """Puts a client, a `Socket` or its `sid`, into a room."""
        self._sender("join").join(socket, room, namespace)

    def leave(self, socket: Any, room: Any, *, namespace: str = "/") -> None:
        """Takes a client out of a room."""
        self._sender("leave").leave(socket, room, namespace)

    def close_room(self, room: Any, *, namespace: str = "/") -> None:
        """Takes all clients out of a room."""
        self._sender("close_room").close_room(room, namespace)

    def disconnect(self, socket: Any, *, namespace: str = "/") -> None:
        """Disconnects a client, a `Socket` or its `sid`, from a namespace."""
        self._sender("disconnect").disconnect(socket, namespace)


class Namespace:
    """Declares the handlers of one namespace, and sends to its clients: `chat = sockets.namespace("/chat")`."""

    def __init__(self, sockets: Sockets, name: str) -> None:
        self._sockets = sockets
        self.name = name

    @overload
    def on(self, event: str, handler: None = None) -> Callable[[H], H]: ...

    @overload
    def on(self, event: str, handler: H) -> H: ...

    def on(self, event: str, handler: Any = None) -> Any:
        """Registers the handler of an event, as `Sockets.on` does."""
        return self._sockets.on(event, handler, namespace=self.name)

    def event(self, handler: H) -> H:
        """Registers a function as the handler of the event of its name."""
        return self._sockets.on(handler.__name__, handler, namespace=self.name)

    def register(self, view: V) -> V:
        """Registers a class whose methods handle the events of the namespace, as `Sockets.register` does."""
        return self._sockets.register(self.name, view)

    def emit(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        *,
        skip: Any = None,
        callback: Callable[..., Any] | None = None,
    ) -> None:
        """Emits an event, as `Sockets.emit` does."""
        self._sockets.emit(event, data, to, skip=skip, namespace=self.name, callback=callback)

    def emit_on_commit(
        self,
        event: str,
        data: Any = None,
        to: Any = None,
        *,
        skip: Any = None,
        using: str | None = None,
        robust: bool = False,
    ) -> None:
        """Emits an event when the current transaction is committed."""
        self._sockets.emit_on_commit(
            event, data, to, skip=skip, namespace=self.name, using=using, robust=robust
        )

    def call(self, event: str, data: Any = None, *, to: Any, timeout: float | None = 60) -> Any:
        """Emits an event to one client, and waits for its answer."""
        return self._sockets.call(event, data, to=to, namespace=self.name, timeout=timeout)

    async def acall(self, event: str, data: Any = None, *, to: Any, timeout: float | None = 60) -> Any:
        """Emits an event to one client, and waits for its answer."""
        return await self._sockets.acall(event, data, to=to, namespace=self.name, timeout=timeout)

    def join(self, socket: Any, room: Any) -> None:
        """Puts a client into a room."""
        self._sockets.join(socket, room, namespace=self.name)

    def leave(self, socket: Any, room: Any) -> None:
        """Takes a client out of a room."""
        self._sockets.leave(socket, room, namespace=self.name)

    def close_room(self, room: Any) -> None:
        """Takes all clients out of a room."""
        self._sockets.close_room(room, namespace=self.name)

    def disconnect(self, socket: Any) -> None:
        """Disconnects a client from the namespace."""
        self._sockets.disconnect(socket, namespace=self.name)


def _checked(namespace: str) -> str:
    if namespace != "*" and not namespace.startswith("/"):
        raise ValueError(f"a namespace begins with '/': {namespace!r}")
    return namespace


def _arity(event: str, function: Handler) -> int:
    """Returns with how many arguments a handler of the life cycle is called; 0 for others.

    Raises `TypeError` if the handler can never be called, as its parameters do not fit.
    """
    if event in _LIFECYCLE:
        return arity_of(event, function, _LIFECYCLE[event])
    first = ("event", "socket") if event == "*" else ("socket",)
    if not any(accepts(function, count) for count in range(len(first), 40)):
        raise unfit(event, function, [(*first, "…")])
    return 0


#: The handlers of the project, and what sends to its clients.
sockets = Sockets()
