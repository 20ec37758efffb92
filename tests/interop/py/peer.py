"""One face for python-socketio's `Client` and `AsyncClient`, so that every case runs with both."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any

import requests
import socketio

LIMIT = 10.0
"""The longest that a test waits for anything, in seconds. Nothing is measured against it."""

_loop = asyncio.new_event_loop()
threading.Thread(target=_loop.run_forever, daemon=True, name="asyncio loop").start()


class Events:
    """The arguments of the events of one name, in the order in which their handler ran."""

    def __init__(self) -> None:
        self._queue: queue.Queue[list[Any]] = queue.Queue()

    def __call__(self, *args: Any) -> None:
        self._queue.put(list(args))

    def next(self, limit: float = LIMIT) -> list[Any]:
        """The arguments of the next event; fails if none comes within the limit."""
        return self._queue.get(timeout=limit)

    def take(self, count: int) -> list[list[Any]]:
        """The arguments of the next `count` events."""
        return [self.next() for _ in range(count)]

    def waiting(self) -> int:
        """How many events have come and were not taken."""
        return self._queue.qsize()


class Peer:
    """A client with blocking calls. `kind` is "sync" or "async"."""

    def __init__(self, kind: str, transports: list[str] | None = None, **options: Any) -> None:
        self.is_async = kind == "async"
        self.transports = transports
        self.client = (socketio.AsyncClient if self.is_async else socketio.Client)(**{"reconnection": False, **options})

    def _await(self, result: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(result, _loop).result(3 * LIMIT) if self.is_async else result

    def connect(self, url: str, namespaces: list[str] | None = None, auth: Any = None) -> "Peer":
        """Connects and waits until all namespaces have accepted."""
        self._await(
            self.client.connect(
                url, transports=self.transports, namespaces=namespaces or ["/"], auth=auth, wait_timeout=LIMIT
            )
        )
        return self

    def on(self, name: str, handler: Callable[..., Any], namespace: str = "/") -> None:
        """Sets the handler of an event; what it returns is the ack."""
        self.client.on(name, handler, namespace=namespace)

    def events(self, name: str, namespace: str = "/") -> Events:
        """Collects the events of a name from now on."""
        events = Events()
        self.on(name, events, namespace)
        return events

    def emit(self, name: str, *args: Any, namespace: str = "/", callback: Callable[..., None] | None = None) -> None:
        self._await(self.client.emit(name, args or None, namespace=namespace, callback=callback))

    def call(self, name: str, *args: Any, namespace: str = "/") -> list[Any]:
        """Emits and waits for the arguments of the acknowledgement."""
        answer = Events()
        self.emit(name, *args, namespace=namespace, callback=answer)
        return answer.next()

    @property
    def transport(self) -> str:
        return self.client.transport()

    def sid(self, namespace: str = "/") -> str:
        return self.client.get_sid(namespace)

    def close(self) -> None:
        # `shutdown` also ends a reconnection that is under way.
        self._await(self.client.shutdown())
        self._await(self.client.disconnect())
        self._say_goodbye()

    def _say_goodbye(self) -> None:
        """Ends the polling session if the client did not.

        Its write loop ends without a look at the queue if `disconnect` comes before the answer to the last POST, which
        happens in a few of a hundred cases with every server. The session would then live until its ping timeout.
        """
        if getattr(self.client.eio, "current_transport", None) != "polling":
            return
        try:
            requests.post(self.client.eio.base_url, data="1", timeout=LIMIT)
        except requests.ConnectionError:
            pass  # The server has ended.
