"""What a client of a test does, for functions and for coroutines: see `_steps.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import exceptions
from . import _stage
from ._events import ConnectionRefused, Event, RequestRefused, data_of
from ._link import Link
from ._opening import Opening, path_of, server_of
from ._protocol import Handler, Joined, Protocol

#: The data of an event that `expect` does not compare.
ANY: Any = type("Any", (), {"__repr__": lambda self: "ANY", "__eq__": lambda self, other: True, "__hash__": None})()

#: How long a client waits for what the server sends by itself, if a test does not say.
TIMEOUT_SECONDS = 1.0


class Core:
    """Is a client of a test."""

    def __init__(
        self,
        target: Any,
        server: Any,
        path: str | None,
        headers: Mapping[str, str] | None,
        query: Mapping[str, str] | None,
        raise_exceptions: bool,
        patience: float | None,
    ) -> None:
        if server is None:
            self.server, self.app = server_of(target)
        else:
            self.server, self.app = server, target
        self.path = path or path_of(target, self.app)
        self.headers = headers
        self.query = query
        self.raise_exceptions = raise_exceptions
        self.patience = patience
        self.protocol = Protocol(self.server.packet_class)
        self.link: Link | None = None
        self._stage: _stage.Stage | None = None

    # The connection.

    def use(self, stage: _stage.Stage) -> None:
        """Takes the stage that the server is on."""
        self._stage = stage
        self.protocol.run = stage.run_handler
        if self.patience is not None:
            stage.patience = self.patience

    @property
    def stage(self) -> _stage.Stage:
        """The stage of the server."""
        if self._stage is None:
            raise exceptions.DisconnectedError("the client is not connected")
        return self._stage

    async def connect(
        self,
        namespace: str,
        auth: Any,
        headers: Mapping[str, str] | None,
        query: Mapping[str, str] | None,
    ) -> None:
        """Joins a namespace, over a new connection if there is none."""
        if auth is not None and not isinstance(auth, dict):
            raise TypeError(f"auth must be a dict, as servers accept nothing else: {auth!r}")
        await self.open(headers, query)
        self.protocol.join(namespace, auth)
        await self._go()
        joined = self.protocol.namespaces[namespace]

        def is_decided() -> bool:
            return joined.is_connected or joined.refusal is not None or self.protocol.is_closed

        if not is_decided():
            await self.stage.wait(is_decided, self.stage.patience)
        refusal = joined.refusal
        if refusal is not None and not any(each.is_connected for each in self.protocol.namespaces.values()):
            # This raises what has failed in the connect handler.
            await self.drop()
        self._raise_failures()
        if refusal is not None:
            raise ConnectionRefused(namespace, refusal.get("message", ""), refusal.get("data"))
        if joined.sid is None:
            how = "closed the connection" if self.protocol.is_closed else "not answered"
            raise exceptions.ConnectionError(f"the server has {how}, and not let the client into {namespace}")

    async def open(self, headers: Mapping[str, str] | None, query: Mapping[str, str] | None) -> None:
        """Opens a connection if there is none."""
        if self.is_open():
            return
        if self.link is not None:
            # The server has ended it.
            self.stage.links.pop(self.link.channel.id, None)
        handlers, answers_pings = self.protocol.handlers, self.protocol.answers_pings
        run = self.protocol.run
        self.protocol = Protocol(self.server.packet_class)
        self.protocol.handlers, self.protocol.answers_pings, self.protocol.run = handlers, answers_pings, run
        headers = {**(self.headers or {}), **(headers or {})}
        query = {**(self.query or {}), **(query or {})}
        opening = Opening(self.server, self.app, self.path, headers, query)
        channel = await self.stage.open(opening)
        self.link = Link(channel, self.protocol)
        self.stage.add(self.link)
        await self.stage.settle()
        if self.protocol.handshake is None:
            refused = RequestRefused(self.link.status, self.link.body)
            await self.drop()
            raise refused

    def is_open(self) -> bool:
        """Returns whether there is a connection."""
        return self.link is not None and not self.protocol.is_closed

    def joined(self, namespace: str) -> Joined:
        """Returns what is known of a namespace that the client is in."""
        joined = self.protocol.namespaces.get(namespace)
        if joined is None or not joined.is_connected:
            raise exceptions.BadNamespaceError(f"{namespace} is not a connected namespace.")
        return joined

    async def disconnect(self, namespace: str | None) -> None:
        """Leaves a namespace, or all of them and ends the connection."""
        if not self.is_open():
            await self.drop()
            return
        leaving = [namespace] if namespace is not None else list(self.protocol.namespaces)
        for each in leaving:
            if each in self.protocol.namespaces:
                self.protocol.leave(each)
        try:
            await self._go()
            if namespace is None:
                self.protocol.close()
                await self._go()
                await self.drop()
        except BaseException:
            if namespace is None:
                # Nothing of it is in the way of the next test.
                self.abandon()
            raise
        self._raise_failures()

    async def drop(self) -> None:
        """Loses the connection."""
        link, self.link = self.link, None
        if link is None:
            return
        link.channel.end()
        self.protocol.end()
        await self.stage.settle()
        failures = self.stage.take_failures()
        self.stage.remove(link)
        self._raise(failures)

    def abandon(self) -> None:
        """Loses the connection, and waits for nothing."""
        link, self.link = self.link, None
        if link is not None:
            link.channel.end()
            self.protocol.end()
            self.stage.remove(link)

    # Events.

    async def _go(self) -> None:
        """Sends what there is, and waits until all has happened that it causes."""
        if self.link is None or self.protocol.is_closed:
            raise exceptions.DisconnectedError("the client is not connected")
        self.link.send()
        self.server._engine.flush_fed()
        await self.stage.settle()

    def _raise_failures(self) -> None:
        self._raise(self.stage.take_failures())

    def _raise(self, failures: list[BaseException]) -> None:
        if self.raise_exceptions and failures:
            raise failures[0]

    async def emit(self, event: str, data: Any, namespace: str) -> None:
        """Emits an event."""
        self.joined(namespace)
        self.protocol.emit(event, data, namespace)
        await self._go()
        self._raise_failures()

    async def call(self, event: str, data: Any, namespace: str, timeout: float) -> Any:
        """Emits an event and waits for its acknowledgement."""
        self.joined(namespace)
        number = self.protocol.emit(event, data, namespace, asks=True)
        assert number is not None

        def is_over() -> bool:
            return self.protocol.is_answered(number) or self.protocol.is_closed

        try:
            await self._go()
            if not is_over() and not self.stage.failures:
                await self.stage.wait(is_over, timeout)
        finally:
            answer = self.protocol.take_answer(number)
        self._raise_failures()
        if answer is None:
            raise exceptions.TimeoutError(f"the server has not answered {event!r}")
        return data_of(answer)

    async def settle(self) -> None:
        """Waits until all has happened that can happen by itself."""
        await self.stage.settle()
        self._raise_failures()

    async def _find(self, matches: Callable[[Event], bool], timeout: float) -> Event | None:
        """Takes the first event that matches out of those that were received; waits for one."""
        received = self.protocol.received

        def is_there() -> bool:
            return any(matches(event) for event in received)

        await self.stage.settle()
        if not is_there() and not self.stage.failures and timeout > 0:
            await self.stage.wait(is_there, timeout)
        self._raise_failures()
        for index, event in enumerate(received):
            if matches(event):
                return received.pop(index)
        return None

    async def receive(self, timeout: float, namespace: str | None) -> Event:
        """Takes the next event."""
        found = await self._find(lambda event: namespace in (None, event.namespace), timeout)
        if found is None:
            raise exceptions.TimeoutError("nothing was received")
        return found

    async def expect(self, name: str, data: Any, namespace: str, timeout: float) -> Event:
        """Takes the next event of a name, and compares its data."""
        found = await self._find(lambda event: (event.name, event.namespace) == (name, namespace), timeout)
        if found is None:
            raise AssertionError(f"{name!r} was not received in {namespace}; received: {self.protocol.received!r}")
        if data is not ANY and found.data != data:
            raise AssertionError(f"{name!r} was received with {found.data!r} instead of {data!r}")
        return found

    async def expect_none(self, name: str | None, namespace: str | None) -> None:
        """Fails if an event was received."""
        await self.settle()
        found = [
            event
            for event in self.protocol.received
            if name in (None, event.name) and namespace in (None, event.namespace)
        ]
        if found:
            raise AssertionError(f"received: {found!r}")

    def on(self, event: str, handler: Handler, namespace: str) -> None:
        """Handles an event of the server."""
        self.protocol.handlers[(namespace, event)] = handler
