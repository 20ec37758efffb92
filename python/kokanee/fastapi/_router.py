"""`SocketRouter`: handlers and events of one namespace, in a module of their own; `SocketIO` includes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from fastapi import params
from typing_extensions import TypeVarTuple, Unpack

from .._connections import RESERVED
from ..async_server import AsyncServer
from ._entrance import Entrance, entrance_of
from ._events import Declared, Event, Question
from ._operation import Handler, Operation, Site

H = TypeVar("H", bound=Callable[..., Any])
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

#: Events that clients cannot emit, but that have handlers.
LIFECYCLE = ("connect", "disconnect")
NOTHING: Any = inspect.Signature.empty


class SocketRouter:
    """Groups the handlers and the events of a namespace.

    ```python
    router = SocketRouter("/chat", dependencies=[Depends(current_user)])

    @router.on("message")
    async def message(socket: Socket, data: Message) -> Receipt: ...

    sio.include_router(router)
    ```

    `dependencies` are run for each event and when a client joins, which they can refuse; not when it has left.
    """

    def __init__(self, namespace: str = "/", *, dependencies: Sequence[params.Depends] = ()) -> None:
        self.namespace = _checked(namespace)
        self.dependencies = tuple(dependencies)
        self.handlers: dict[str, Handler] = {}
        #: What its handlers are on the server that includes it, except that of `connect`.
        self.operations: dict[str, Operation] = {}
        self.events: dict[str, Declared] = {}
        self._routers: list[tuple[SocketRouter, str, tuple[params.Depends, ...]]] = []
        #: Where it is included: the site, the namespace there, and the dependencies from above.
        self._at: tuple[Site, str, tuple[params.Depends, ...]] | None = None

    # Handlers.

    def on(
        self,
        event: str,
        *,
        response_model: Any = NOTHING,
        dependencies: Sequence[params.Depends] = (),
        summary: str | None = None,
        description: str | None = None,
    ) -> Callable[[H], H]:
        """Registers the handler of an event, as a decorator.

        Parameters that FastAPI provides to a route are provided here: `Depends`, `Header`, `Cookie`, `Query`, `Socket` (or
        `Request`), `BackgroundTasks`. All others are the arguments of the event, in their order, validated by Pydantic.
        What the handler returns is the acknowledgement, of the type that it is annotated with or of `response_model`.
        Raises `TypeError` if a parameter can never be filled.
        """
        if event in RESERVED and event not in LIFECYCLE:
            raise ValueError(f"the event {event!r} is reserved: clients cannot emit it")

        def register(function: H) -> H:
            handler = Handler(event, function, dependencies, response_model, summary, description)
            self.handlers[event] = handler
            self._register(handler)
            return function

        return register

    @overload
    def event(self, function: H, /) -> H: ...

    @overload
    def event(self, /, **options: Any) -> Callable[[H], H]: ...

    def event(self, function: Any = None, /, **options: Any) -> Any:
        """Registers a function as the handler of the event of its name: `@sio.event` or `@sio.event(…)`."""
        if function is not None:
            return self.on(function.__name__)(function)
        return lambda named: self.on(named.__name__, **options)(named)

    # Events of the server.

    @overload
    def emits(self, name: str, /, *, description: str = "") -> Event[()]: ...

    @overload
    def emits(self, name: str, first: type[A], /, *, description: str = "") -> Event[A]: ...

    @overload
    def emits(self, name: str, first: type[A], second: type[B], /, *, description: str = "") -> Event[A, B]: ...

    @overload
    def emits(
        self, name: str, first: type[A], second: type[B], third: type[C], /, *, description: str = ""
    ) -> Event[A, B, C]: ...

    @overload
    def emits(self, name: str, /, *types: Any, description: str = "") -> Any: ...

    def emits(self, name: str, /, *types: Any, description: str = "") -> Any:
        """Declares an event that the server emits, with the types of its arguments, and returns it.

        It is part of the AsyncAPI document and of the TypeScript declaration.
        """
        made: Event[Unpack[tuple[Any, ...]]] = Event(self, name, types, description)
        return self._declare(made)

    @overload
    def asks(self, name: str, /, *, answer: type[R], description: str = "") -> Question[R]: ...

    @overload
    def asks(self, name: str, first: type[A], /, *, answer: type[R], description: str = "") -> Question[R, A]: ...

    @overload
    def asks(
        self, name: str, first: type[A], second: type[B], /, *, answer: type[R], description: str = ""
    ) -> Question[R, A, B]: ...

    @overload
    def asks(self, name: str, /, *types: Any, answer: Any, description: str = "") -> Any: ...

    def asks(self, name: str, /, *types: Any, answer: Any, description: str = "") -> Any:
        """Declares an event that a client answers, with the types of its arguments and of the answer, and returns it."""
        made: Question[Any, Unpack[tuple[Any, ...]]] = Question(self, name, types, answer, description)
        return self._declare(made)

    def _declare(self, event: Declared) -> Declared:
        if event.name in RESERVED:
            raise ValueError(f"the event {event.name!r} is reserved: a server cannot emit it")
        if event.name in self.events:
            raise ValueError(f"the event {event.name!r} of {self.namespace!r} is declared already")
        self.events[event.name] = event
        return event

    # Including.

    def include_router(
        self, router: SocketRouter, *, prefix: str = "", dependencies: Sequence[params.Depends] = ()
    ) -> None:
        """Includes the handlers and events of a router: its namespace comes below this one's and the prefix.

        What is registered there later is included, too. A router is included once.
        """
        if router is self or router._at is not None or any(each is router for each, _, _ in self._routers):
            raise ValueError(f"the router of {router.namespace!r} is included already")
        entry = (router, _checked(prefix) if prefix else "", tuple(dependencies))
        self._routers.append(entry)
        if self._at is not None:
            self._include(entry)

    def _include(self, entry: tuple[SocketRouter, str, tuple[params.Depends, ...]]) -> None:
        assert self._at is not None
        router, prefix, dependencies = entry
        site, namespace, above = self._at
        below = _joined(namespace, prefix, router.namespace)
        router._attach(site, below, (*above, *self.dependencies, *dependencies))

    def _attach(self, site: Site, namespace: str, dependencies: tuple[params.Depends, ...]) -> None:
        if self._at is not None:
            raise ValueError(f"the router of {self.namespace!r} is included already")
        self._at = site, namespace, dependencies
        entrance_of(site, namespace).guard((*dependencies, *self.dependencies))
        for handler in self.handlers.values():
            self._register(handler)
        for entry in self._routers:
            self._include(entry)

    def _register(self, handler: Handler) -> None:
        if self._at is None:
            return
        site, namespace, dependencies = self._at
        if handler.event == "connect":
            entrance_of(site, namespace).use(handler)
            return
        # A client that has left is told nothing any more, and its handler has to run.
        everywhere = () if handler.event == "disconnect" else (*dependencies, *self.dependencies)
        operation = Operation(site, namespace, handler, everywhere)
        self.operations[handler.event] = operation
        site.server.on(handler.event, operation, namespace=namespace)

    @property
    def server(self) -> AsyncServer:
        """The server that it is included in. Raises `RuntimeError` if there is none yet."""
        if self._at is None:
            raise RuntimeError(f"the router of {self.namespace!r} is not included: sio.include_router(router)")
        return self._at[0].server

    @property
    def full_namespace(self) -> str:
        """The name of its namespace on that server."""
        return self._at[1] if self._at is not None else self.namespace

    @property
    def entrance(self) -> Entrance | None:
        """What decides who may join its namespace on that server."""
        return entrance_of(self._at[0], self._at[1]) if self._at is not None else None

    def all_routers(self) -> list[SocketRouter]:
        """Returns this router and those that it includes, and so on."""
        found = [self]
        for router, _, _ in self._routers:
            found.extend(router.all_routers())
        return found


def _checked(namespace: str) -> str:
    if namespace not in ("/", "*") and (not namespace.startswith("/") or namespace.endswith("/")):
        raise ValueError(f"a namespace begins with '/' and does not end with it: {namespace!r}")
    return namespace


def _joined(*names: str) -> str:
    if "*" in names:
        return "*"
    return "".join(name for name in names if name != "/") or "/"
