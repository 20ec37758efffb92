"""`SimpleClient`: a client without handlers, which asks for one event after the other."""

from __future__ import annotations

import collections
import threading
from typing import Any, ClassVar

from . import exceptions
from .base_client import BaseClient
from .client import Client


class SimpleClient:
    """Is a client that waits for the next event with `receive`. What the constructor takes is for its `Client`."""

    client_class: ClassVar[Any] = Client

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.client_args = args
        self.client_kwargs = kwargs
        self.client: Any = None
        self.namespace = "/"
        self.connected_event = threading.Event()
        self.connected = False
        self.input_event = threading.Event()
        self.input_buffer: Any = []

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
        if self.connected:
            raise RuntimeError("Already connected")
        self.namespace = namespace
        self.input_buffer = collections.deque()
        self.input_event.clear()
        # Events are received in the order in which they were sent.
        is_ours = isinstance(self.client_class, type) and issubclass(self.client_class, BaseClient)
        own = {"async_handlers": False} if is_ours else {}
        self.client = self.client_class(*self.client_args, **{**own, **self.client_kwargs})
        client = self.client

        def connect() -> None:
            self.connected = True
            self.connected_event.set()

        def disconnect(reason: Any = None) -> None:
            self.connected_event.clear()

        def __disconnect_final() -> None:
            self.connected = False
            # Who waits learns that no connection will come.
            self.connected_event.set()
            self.input_event.set()

        def on_event(event: str, *args: Any) -> None:
            self.input_buffer.append([event, *args])
            self.input_event.set()

        for handler in (connect, disconnect, __disconnect_final):
            client.event(namespace=namespace)(handler)
        client.on("*", namespace=namespace)(on_event)
        client.connect(
            url,
            headers=headers,
            auth=auth,
            transports=transports,
            namespaces=[namespace],
            socketio_path=socketio_path,
            wait_timeout=wait_timeout,
        )

    @property
    def sid(self) -> str | None:
        """Returns the client's id, which changes with each connection."""
        sid: str | None = self.client.get_sid(self.namespace) if self.client else None
        return sid

    @property
    def transport(self) -> str:
        """Returns `"polling"` or `"websocket"`; before a connection, nothing."""
        transport: str = self.client.transport() if self.client else ""
        return transport

    def _wait_connected(self) -> None:
        self.connected_event.wait()
        if not self.connected:
            raise exceptions.DisconnectedError()

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
        while not self.input_buffer:
            if not self.connected_event.wait(timeout=timeout):
                raise exceptions.TimeoutError()
            if not self.connected:
                raise exceptions.DisconnectedError()
            if not self.input_event.wait(timeout=timeout):
                raise exceptions.TimeoutError()
            self.input_event.clear()
        event: list[Any] = self.input_buffer.popleft() if hasattr(self.input_buffer, "popleft") else self.input_buffer.pop(0)
        return event

    def disconnect(self) -> None:
        """Disconnects from the server."""
        if self.connected:
            self.client.disconnect()
            self.connected = False
            self.client = None
            # Who waits while it reconnects learns that no connection will come.
            self.connected_event.set()
            self.input_event.set()

    def __enter__(self) -> SimpleClient:
        return self

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        self.disconnect()
