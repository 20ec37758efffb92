"""`SimpleClient`: a client without handlers, which asks for one event after the other."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

from . import exceptions
from .base_simple_client import BaseSimpleClient
from .client import Client


class SimpleClient(BaseSimpleClient):
    """Is a client that waits for the next event with `receive`. What the constructor takes is for its `Client`."""

    client_class: ClassVar[Any] = Client

    def _create_event(self) -> Any:
        return threading.Event()

    def connect(
        self,
        url: Any,
        headers: Any = {},  # noqa: B006
        auth: Any = None,
        transports: Any = None,
        namespace: str = "/",
        socketio_path: str = "socket.io",
        wait_timeout: float = 5,
    ) -> None:
        """Connects to a server, in one namespace; see `Client.connect`."""
        client = self._begin(namespace)
        client.connect(
            url,
            headers=headers,
            auth=auth,
            transports=transports,
            namespaces=[namespace],
            socketio_path=socketio_path,
            wait_timeout=wait_timeout,
        )

    def _wait_connected(self) -> None:
        self.connected_event.wait()
        self._check_connected()

    def emit(self, event: str, data: Any = None) -> None:
        """Emits an event; while the client connects again, this waits. Raises `DisconnectedError` if it does not."""
        while True:
            self._wait_connected()
            try:
                return self.client.emit(event, data, namespace=self.namespace)  # type: ignore[no-any-return]
            except exceptions.SocketIOError:
                pass

    def call(self, event: str, data: Any = None, timeout: float | None = 60) -> Any:
        """Emits an event and waits for its acknowledgement; see `Client.call`."""
        while True:
            self._wait_connected()
            try:
                return self.client.call(event, data, namespace=self.namespace, timeout=timeout)
            except exceptions.TimeoutError:
                raise
            except exceptions.SocketIOError:
                pass

    def receive(self, timeout: float | None = None) -> list[Any]:
        """Waits for the next event, and returns its name and its arguments.

        Raises `TimeoutError` after `timeout` seconds, and `DisconnectedError` if no event can come any more.
        """
        left = self._clock(timeout)
        while not self.input_buffer:
            if not self.connected_event.wait(timeout=left()):
                raise exceptions.TimeoutError()
            self._check_connected()
            if not self.input_event.wait(timeout=left()):
                raise exceptions.TimeoutError()
            self.input_event.clear()
        return self._next_event()

    def disconnect(self) -> None:
        """Disconnects from the server."""
        if self.connected:
            self.client.disconnect()
            self._end()

    def __enter__(self) -> SimpleClient:
        return self

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        self.disconnect()
