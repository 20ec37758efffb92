"""Where the handlers of all clients that are not for asyncio run: on one pool of threads, or on the greenlets of a hub.

The clients of a process share the engine's threads and one queue of events, so that a client that waits costs no thread.
The queue and the pool end with the last connection, and begin again with the next.
"""

from __future__ import annotations

import _thread
import itertools
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from . import _engine, _lifecycle, _modes

#: How long the end of a connection is waited for.
CLOSE_SECONDS = 5.0
#: How long the end of idle threads is waited for.
JOIN_SECONDS = 0.1
#: How long when Ctrl-C ends the process.
INTERRUPT_SECONDS = 0.5

_numbers = itertools.count(1)


class ClientThreads(_modes.Threading):
    """Runs handlers on a pool of threads of which only one waits, so that handlers begin in the order of their events."""

    def _wait_of(self, engine: Any) -> _modes.Wait:
        wait_event, load = engine.wait_event, engine.load

        def wait(seconds: float) -> tuple[Any, ...] | None:
            event: tuple[Any, ...] | None = wait_event(0.0 if load()[1] else seconds)
            return event

        return wait


class Hub:
    """Takes the events of clients out of their queue, and gives each to its client."""

    def __init__(self, mode: Any) -> None:
        self.mode = mode
        #: The clients that have a connection, or try to.
        self.clients: dict[int, Any] = {}
        self._queue: Any = None
        #: Where packets that are read in Python wait, and the thread that reads them.
        self._packets: Any = None
        self._reader: threading.Thread | None = None
        # A signal handler may run while it is held.
        self._lock = threading.RLock()

    def add(self, client: Any) -> tuple[int, Any]:
        """Returns a number for a client that is about to connect, and the queue for its events."""
        number = next(_numbers)
        with self._lock:
            if self._queue is None or self._queue.is_closed():
                self._queue = _engine.ClientQueue()
                _lifecycle.started(self, self.mode)
                self.mode.start(self._queue, self._handle)
            self.clients[number] = client
            return number, self._queue

    def packet_queue(self, queue: Any) -> Any:
        """Returns where the engine's own events of a client go whose packets are read in Python.

        With threads, all of which may wait within handlers, one more reads packets, so that answers reach those who wait.
        """
        if not isinstance(self.mode, ClientThreads):
            return queue
        with self._lock:
            if self._packets is None or self._packets.is_closed():
                self._packets = _engine.ClientQueue()
                self._reader = threading.Thread(target=self._read, args=(self._packets,), name="kokanee-packets", daemon=True)
                self._reader.start()
            return self._packets

    def _read(self, packets: Any) -> None:
        while event := packets.wait_event():
            client = self.clients.get(event[1])
            if client is None:
                continue
            try:
                client._handle(event)
            except Exception:
                client.logger.exception("an event could not be handled")

    def check_loop(self) -> None:
        """Does nothing: any thread may wait."""

    def remove(self, number: int) -> None:
        """Forgets a client; with the last one, the threads end."""
        with self._lock:
            self.clients.pop(number, None)
            is_last = not self.clients and self._queue is not None
            if is_last:
                self._queue.close()
                self._close_packets()
                self._queue = None
        if is_last and isinstance(self.mode, ClientThreads):
            # They have nothing to do any more, unless a handler still runs.
            self.mode.join(JOIN_SECONDS)
            if self._reader is not None and self._reader is not threading.current_thread():
                self._reader.join(JOIN_SECONDS)

    def _close_packets(self) -> None:
        if self._packets is not None:
            self._packets.close()
            self._packets = None

    def _handle(self, event: tuple[Any, ...]) -> None:
        client = self.clients.get(event[1])
        if client is not None:
            client._handle(event)

    # At the end of the process.

    def close(self, seconds: float) -> None:
        """Ends the connections of all clients, within a time, and calls no handlers any more."""
        deadline = time.monotonic() + seconds
        with self._lock:
            clients, queue = list(self.clients.values()), self._queue
            self._queue = None
            self.clients.clear()
        if queue is not None:
            queue.close()
        self._close_packets()
        close_engines([client._engine for client in clients], deadline)

    def leave_group(self, seconds: float) -> None:
        """Does nothing: clients are in no group of workers."""

    def forget(self) -> None:
        """Forgets the clients of the parent process, after a fork."""
        for client in self.clients.values():
            client._forget(self.mode.notifies)
        self.clients.clear()
        self._queue = self._packets = self._reader = None
        self._lock = threading.RLock()


def close_engines(engines: list[Any], deadline: float) -> None:
    """Ends connections, and waits until that is on the wire or the time is over."""
    engines = [engine for engine in engines if engine is not None]
    for engine in engines:
        engine.close(0)
    for engine in engines:
        left = deadline - time.monotonic()
        if left > 0:
            engine.close(left)


class _Process:
    """Is what the handlers of clients share without greenlets."""


_PROCESS = _Process()
#: The hubs of this process, by what runs their handlers: the process, or the hub of a thread's greenlets, with which they go.
_hubs: weakref.WeakKeyDictionary[Any, Hub] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def current() -> Hub:
    """Returns the hub for clients that are made here: that of the process, or of the thread if greenlets have patched it."""
    name = _patched()
    key = _PROCESS if name is None else _hub_of_greenlets(name)
    hub = _hubs.get(key)
    if hub is None:
        with _making:
            hub = _hubs.get(key)
            if hub is None:
                hub = _hubs[key] = Hub(ClientThreads() if name is None else _modes.choose(name)[1])
    return hub


def _hub_of_greenlets(name: str) -> Any:
    """Returns what switches between the greenlets of this thread."""
    if name == "gevent":
        import gevent

        return gevent.get_hub()
    from eventlet import hubs

    return hubs.get_hub()


def interrupt() -> None:
    """Disconnects the clients of this process, as Ctrl-C ends it."""
    # However many of their servers do not read.
    deadline = time.monotonic() + INTERRUPT_SECONDS
    for hub in list(_hubs.values()):
        if hub.mode.notifies:
            _interrupt_clients(hub, deadline)
        elif hub.clients:
            # The thread that the signal has interrupted may hold a lock that is needed to wake those who wait.
            done = _thread.allocate_lock()
            done.acquire()
            _thread.start_new_thread(_interrupt_clients, (hub, deadline, done))
            done.acquire(timeout=2 * INTERRUPT_SECONDS)


def _interrupt_clients(hub: Hub, deadline: float, done: Any = None) -> None:
    try:
        for client in list(hub.clients.values()):
            client._interrupt(max(deadline - time.monotonic(), 0.0))
    finally:
        if done is not None:
            done.release()


def _patched() -> str | None:
    """Returns which greenlets have taken the place of threads in this process, if any have."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and (monkey.is_module_patched("threading") or monkey.is_module_patched("socket")):
        return "gevent"
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None and (patcher.is_monkey_patched("thread") or patcher.is_monkey_patched("socket")):
        return "eventlet"
    return None


def _after_fork() -> None:
    global _making
    _making = threading.Lock()
    for hub in list(_hubs.values()):
        hub.forget()
    _hubs.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
