"""`AsyncSimpleClient`: a client for asyncio without handlers, which asks for one event after the other."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from . import exceptions
from .async_client import AsyncClient
from .base_simple_client import BaseSimpleClient


class AsyncSimpleClient(BaseSimpleClient):
    """Is a client that waits for the next event with `receive`. What the constructor takes is for its `AsyncClient`."""

    client_class: ClassVar[Any] = AsyncClient

    def _create_event(self) -> Any:
        return asyncio.Event()

    async def connect(
        self,
        url: Any,
        headers: Any = {},  # noqa: B006
        auth: Any = None,
        transports: Any = None,
        namespace: str = "/",
        socketio_path: str = "socket.io",
        wait_timeout: float = 5,
    ) -> None:
        """Connects to a server, in one namespace; see `AsyncClient.connect`."""
        client = self._begin(namespace)
        await client.connect(
            url,
            headers=headers,
            auth=auth,
            transports=transports,
            namespaces=[namespace],
            socketio_path=socketio_path,
            wait_timeout=wait_timeout,
        )

    async def _wait_connected(self) -> None:
        await self.connected_event.wait()
        self._check_connected()

    async def emit(self, event: str, data: Any = None) -> None:
        """Emits an event; while the client connects again, this waits. Raises `DisconnectedError` if it does not."""
        while True:
            await self._wait_connected()
            try:
                return await self.client.emit(event, data, namespace=self.namespace)  # type: ignore[no-any-return]
            except exceptions.SocketIOError:
                pass

    async def call(self, event: str, data: Any = None, timeout: float | None = 60) -> Any:
        """Emits an event and waits for its acknowledgement; see `AsyncClient.call`."""
        while True:
            await self._wait_connected()
            try:
                return await self.client.call(event, data, namespace=self.namespace, timeout=timeout)
            except exceptions.TimeoutError:
                raise
            except exceptions.SocketIOError:
                pass

    async def receive(self, timeout: float | None = None) -> list[Any]:
        """Waits for the next event, and returns its name and its arguments.

        Raises `TimeoutError` after `timeout` seconds, and `DisconnectedError` if no event can come any more.
        """
        left = self._clock(timeout)
        while not self.input_buffer:
            await self._wait(self.connected_event, left())
            self._check_connected()
            await self._wait(self.input_event, left())
            self.input_event.clear()
        return self._next_event()

    async def _wait(self, event: asyncio.Event, timeout: float | None) -> None:
        # With no time left, `wait_for` does not look. Tests of applications put other objects here.
        if event.is_set() is True:
            return
        try:
            await asyncio.wait_for(event.wait(), timeout)
        except asyncio.TimeoutError:
            raise exceptions.TimeoutError() from None

    async def disconnect(self) -> None:
        """Disconnects from the server."""
        if self.connected:
            await self.client.disconnect()
            self._end()

    async def __aenter__(self) -> AsyncSimpleClient:
        return self

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        await self.disconnect()
