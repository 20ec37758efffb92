"""What `SimpleClient` and `AsyncSimpleClient` have in common: the client below, and the events that it has received."""

from __future__ import annotations

import collections
import os
import time
from typing import Any, Callable, ClassVar

from . import exceptions
from .base_client import BaseClient


class BaseSimpleClient:
    """Is the base of `SimpleClient` and `AsyncSimpleClient`."""

    client_class: ClassVar[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.client_args = args
        self.client_kwargs = kwargs
        self.client: Any = None
        self.namespace = "/"
        self.connected_event = self._create_event()
        self.connected = False
        self.input_event = self._create_event()
        self.input_buffer: Any = []
        self._process = os.getpid()

    def _create_event(self) -> Any:
        """Returns what methods of this client wait for."""
        raise NotImplementedError

    def _begin(self, namespace: str) -> Any:
        """Returns a client that is about to connect, with handlers that keep its events."""
        if self.connected:
            raise RuntimeError("Already connected")
        self.namespace = namespace
        self.input_buffer = collections.deque()
        self.input_event.clear()
        self._process = os.getpid()
        # Events are received in the order in which they were sent.
        is_ours = isinstance(self.client_class, type) and issubclass(self.client_class, BaseClient)
        own = {"async_handlers": False} if is_ours else {}
        self.client = client = self.client_class(*self.client_args, **{**own, **self.client_kwargs})

        def connect() -> None:
            self.connected = True
            self.connected_event.set()

        def disconnect(reason: Any = None) -> None:
            self.connected_event.clear()

        def __disconnect_final() -> None:
            self.connected = False
            self._wake()

        def on_event(event: str, *args: Any) -> None:
            self.input_buffer.append([event, *args])
            self.input_event.set()

        for handler in (connect, disconnect, __disconnect_final):
            client.event(namespace=namespace)(handler)
        client.on("*", namespace=namespace)(on_event)
        return client

    def _wake(self) -> None:
        """Wakes those who wait while it reconnects: no connection will come."""
        self.connected_event.set()
        self.input_event.set()

    def _end(self) -> None:
        """Forgets the client, which is disconnected."""
        self.connected = False
        self.client = None
        self._wake()

    def _check_connected(self) -> None:
        """Raises `DisconnectedError` if no connection will come, as in a child of the process that has connected."""
        if not self.connected or self._process != os.getpid():
            raise exceptions.DisconnectedError()

    @staticmethod
    def _clock(timeout: float | None) -> Callable[[], float | None]:
        """Returns what tells how much is left of a time."""
        if timeout is None:
            return lambda: None
        end = time.monotonic() + timeout
        return lambda: max(end - time.monotonic(), 0.0)

    def _next_event(self) -> list[Any]:
        # Applications replace the buffer by a list.
        event: list[Any] = self.input_buffer.popleft() if hasattr(self.input_buffer, "popleft") else self.input_buffer.pop(0)
        return event

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
