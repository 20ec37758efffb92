"""`TestClient`: a client for tests that are functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar, overload

from ._core import ANY, TIMEOUT_SECONDS, Core
from ._events import Event
from ._protocol import Handler
from ._running import Runner

H = TypeVar("H", bound=Handler)


class TestClient:
    """Is a client of a server in the same process, without a port.

    `target` is a `Server` or `AsyncServer`, a `WSGIApp` or `ASGIApp`, or an application around one of these, whose server is then given as
    `server`. `headers` and `query` are those of its request. `emit` and the other methods return when the server's handlers have
    run; an exception of a handler is raised by the method that has caused it, unless `raise_exceptions` is `False`.
    Handlers may take `patience` seconds of the system, 5 if it is not given.
    """

    #: Not a class of tests.
    __test__ = False

    def __init__(
        self,
        target: Any,
        *,
        server: Any = None,
        path: str | None = None,
        auth: Any = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        namespaces: tuple[str, ...] | list[str] = ("/",),
        raise_exceptions: bool = True,
        patience: float | None = None,
    ) -> None:
        self._core = Core(target, server, path, headers, query, raise_exceptions, patience)
        self._auth = auth
        self._namespaces = tuple(namespaces)
        self._runner = Runner(self._core.server)

    # The connection.

    def connect(
        self,
        namespace: str | None = None,
        *,
        auth: Any = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> None:
        """Joins a namespace, or those that the client was made for, over a new connection if there is none.

        `headers` and `query` are added to those that the client was made with. With no namespaces at all (`namespaces=()`), this only
        opens the connection.
        Raises `ConnectionRefused` if the server refuses the client.
        """
        stage = self._runner.stage()
        self._core.use(stage)
        try:
            if namespace is None and not self._namespaces:
                self._runner.run(self._core.open(headers, query))
            for each in [namespace] if namespace is not None else self._namespaces:
                joining = self._core.connect(each, self._auth if auth is None else auth, headers, query)
                self._runner.run(joining)
        finally:
            self._runner.release(stage)

    def disconnect(self, namespace: str | None = None) -> None:
        """Leaves a namespace; without one, leaves all and ends the connection."""
        self._runner.run(self._core.disconnect(namespace))

    def drop(self) -> None:
        """Loses the connection, as if a cable was cut: the server sees `transport close`."""
        self._runner.run(self._core.drop())

    def __enter__(self) -> TestClient:
        if not self.is_connected():
            self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.disconnect()

    def is_connected(self, namespace: str | None = None) -> bool:
        """Returns whether the client is in a namespace; without one, whether it is in any."""
        return is_connected(self._core, namespace)

    def is_open(self) -> bool:
        """Returns whether the client has a connection, with or without namespaces."""
        return self._core.is_open()

    def sid(self, namespace: str = "/") -> str:
        """Returns the id of the client in a namespace."""
        return str(self._core.joined(namespace).sid)

    # Events.

    def emit(self, event: str, data: Any = None, namespace: str = "/") -> None:
        """Emits an event, and returns when the server's handler has run. A tuple as `data` is several arguments."""
        self._runner.run(self._core.emit(event, data, namespace))

    def send(self, data: Any, namespace: str = "/") -> None:
        """Emits the event `message`."""
        self.emit("message", data, namespace)

    def call(self, event: str, data: Any = None, namespace: str = "/", timeout: float = 60) -> Any:
        """Emits an event and returns what the server answers. Raises `TimeoutError` of `kokanee.exceptions` without an answer."""
        return self._runner.run(self._core.call(event, data, namespace, timeout))

    def settle(self) -> None:
        """Waits until all has happened that can happen by itself: after something that the test did with the server."""
        self._runner.run(self._core.settle())

    @property
    def received(self) -> list[Event]:
        """The events that were received, and not taken by `receive` or `expect`. A test may empty it."""
        return self._core.protocol.received

    def receive(self, timeout: float = TIMEOUT_SECONDS, namespace: str | None = None) -> Event:
        """Takes the next event. Raises `TimeoutError` of `kokanee.exceptions` if none comes."""
        return self._runner.run(self._core.receive(timeout, namespace))

    def expect(
        self, event: str, data: Any = ANY, namespace: str = "/", timeout: float = TIMEOUT_SECONDS
    ) -> Event:
        """Takes the next event of that name; others stay. Fails if none comes, or if it comes with other data."""
        return self._runner.run(self._core.expect(event, data, namespace, timeout))

    def expect_none(self, event: str | None = None, namespace: str | None = None) -> None:
        """Fails if there is an event of that name, or any."""
        self._runner.run(self._core.expect_none(event, namespace))

    @overload
    def on(self, event: str, handler: None = None, namespace: str = "/") -> Callable[[H], H]: ...

    @overload
    def on(self, event: str, handler: Handler, namespace: str = "/") -> None: ...

    def on(self, event: str, handler: Handler | None = None, namespace: str = "/") -> Any:
        """Handles an event of the server, which is then not in `received`; what the handler returns is the acknowledgement."""
        if handler is not None:
            self._core.on(event, handler, namespace)
            return None

        def register(function: H) -> H:
            self._core.on(event, function, namespace)
            return function

        return register

    # The heartbeat.

    @property
    def answers_pings(self) -> bool:
        """Whether the client answers the server's pings. One that does not is gone for the server after `ping_timeout`."""
        return self._core.protocol.answers_pings

    @answers_pings.setter
    def answers_pings(self, value: bool) -> None:
        self._core.protocol.answers_pings = value

    @property
    def ping_count(self) -> int:
        """How many pings of the server the client has got on its connection."""
        return self._core.protocol.ping_count


def is_connected(core: Core, namespace: str | None) -> bool:
    """Returns whether a client is in a namespace, or in any."""
    joined = core.protocol.namespaces
    if namespace is not None:
        return namespace in joined and joined[namespace].is_connected
    return any(each.is_connected for each in joined.values())


