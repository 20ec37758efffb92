"""Where the handlers of clients for asyncio run: on the event loop on which the client connects, each in a task of its own.

The clients of a loop share one queue of events, whose descriptor the loop watches while any of them has a connection.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import os
import time
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from . import _client_interrupt, _engine, _lifecycle
from ._client_hub import INTERRUPT_SECONDS, close_engines
from ._loop import EAGER, begin, tasks_of

#: Events that are taken out of the queue in one turn of the loop.
BATCH = 64

RECEIVED = _engine.CLIENT_RECEIVED

_numbers = itertools.count(1)


class LoopHub:
    """Takes the events of the clients of an event loop out of their queue, and gives each to its client."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # The clients that are connected, or try to be.
        self.clients: dict[int, Any] = {}
        self._queue: Any = None
        self._descriptor = -1
        self._tasks: set[asyncio.Task[Any]] = set()
        self._end: AsyncGenerator[None, None] | None = None
        self._interrupt: _client_interrupt.Interrupt | None = None

    def add(self, client: Any) -> tuple[int, Any]:
        """Returns a number for a client that is about to connect, and the queue for its events."""
        number = next(_numbers)
        if self._queue is None:
            self._queue = _engine.ClientQueue()
            self._descriptor = self._queue.fileno()
            _lifecycle.started(self)
            # The context of who connects is not that of the events.
            no_context = contextvars.Context()
            no_context.run(lambda: self._loop.add_reader(self._descriptor, self._readable))
            if self._end is None:
                self._end = self._at_end()
                try:
                    self._end.__anext__().send(None)
                except StopIteration:
                    pass
            _hubs[self._loop] = self
        if client.handle_sigint and self._interrupt is None:
            self._interrupt = _client_interrupt.watch(self._loop)
        self.clients[number] = client
        return number, self._queue

    def packet_queue(self, queue: Any) -> Any:
        """Returns where the engine's own events of a client go whose packets are read in Python: handlers hold up none of them."""
        return queue

    def check_loop(self) -> None:
        """Raises `RuntimeError` on another event loop, which would never be woken."""
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("this client is connected on another event loop, and can wait there only")

    def remove(self, number: int) -> None:
        """Forgets a client; with the last one, the loop watches nothing any more."""
        self.clients.pop(number, None)
        if not self.clients:
            self._leave()

    def _leave(self) -> None:
        queue, self._queue = self._queue, None
        _hubs.pop(self._loop, None)
        if self._interrupt is not None:
            self._interrupt.end()
            self._interrupt = None
        _lifecycle.stopped(self)
        if queue is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._descriptor)
            queue.close()

    async def _at_end(self) -> AsyncGenerator[None, None]:
        """Disconnects the clients when the loop ends: `asyncio.run` closes the generators that are left."""
        try:
            yield
        finally:
            # At the same time, however many of their servers do not read.
            leaving = [client._disconnect(INTERRUPT_SECONDS) for client in list(self.clients.values())]
            await asyncio.gather(*leaving, return_exceptions=True)

    def is_interrupted(self) -> bool:
        """Returns whether Ctrl-C has cancelled the program's task."""
        return self._interrupt is not None and self._interrupt.is_pressed

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Starts a task that is kept until it ends."""
        task = begin(self._loop, coroutine, None)
        self._keep([task])
        return task

    def _keep(self, tasks: list[asyncio.Task[Any]]) -> None:
        for task in tasks:
            if not task.done():
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _readable(self) -> None:
        if self._queue is None:
            return
        new_task = tasks_of(self._loop)
        clients = self.clients
        tasks: list[asyncio.Task[Any]] = []
        for event in self._queue.drain(BATCH):
            client = clients.get(event[1])
            if client is None:
                continue
            if event[0] == RECEIVED and client._raw is None:
                coroutine = client._handle_event(event)
                # A name that is given need not be made.
                tasks.append(new_task(coroutine, name=event[3]))
                continue
            try:
                client._handle(event)
            except Exception:
                # Those of the other clients are handled all the same.
                client.logger.exception("an event could not be handled")
        if EAGER:
            self._keep(tasks)
        elif tasks:
            # Most will have ended when each has had a turn of the loop; a callback for each would cost one more.
            self._loop.call_soon(self._keep, tasks)

    # At the end of the process, and in a child.

    def close(self, seconds: float) -> None:
        """Ends the connections of all clients, within a time, and calls no handlers any more."""
        deadline = time.monotonic() + seconds
        clients = list(self.clients.values())
        self.clients.clear()
        self._leave_quietly()
        close_engines([client._engine for client in clients], deadline)

    def _leave_quietly(self) -> None:
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.close()

    def leave_group(self, seconds: float) -> None:
        """Does nothing: clients are in no group of workers."""

    def forget(self) -> None:
        """Forgets the clients of the parent process, after a fork."""
        for client in self.clients.values():
            # The loop does not run here any more, nor do its tasks.
            client._forget(False)
        self.clients.clear()
        self._queue = None


#: The hubs of this process that have clients, by their loops.
_hubs: dict[asyncio.AbstractEventLoop, LoopHub] = {}


def current() -> LoopHub:
    """Returns the hub of the running event loop."""
    loop = asyncio.get_running_loop()
    return _hubs.get(loop) or LoopHub(loop)


def _after_fork() -> None:
    for hub in _hubs.values():
        hub.forget()
    _hubs.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
