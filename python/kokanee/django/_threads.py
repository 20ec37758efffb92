"""`Threads`: runs functions beside an event loop, for `def` handlers of an `AsyncServer`.

`sync_to_async` would do the same for three times as much CPU time. As with it, a function has the context variables of the
coroutine that waits, and `async_to_sync` in it goes on with the event loop of the host, while what that does with models runs on
the function's own thread. Each function runs on one thread from beginning to end, so that connections to databases are its own.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import contextvars
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

from asgiref.sync import SyncToAsync

#: The future of a function, its event loop, its context, and the function with its arguments.
_Item = tuple["asyncio.Future[tuple[Any, BaseException | None]]", "_Loop", contextvars.Context, Callable[..., Any], tuple[Any, ...]]


class Threads:
    """Runs functions on at most so many threads. A thread starts when a function would have to wait for one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._loop: _Loop | None = None
        self._process = os.getpid()
        self._count = 0

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Returns what a function returns; other functions and coroutines run meanwhile."""
        loop = asyncio.get_running_loop()
        if self._loop is None or self._loop.loop is not loop:
            self._begin(loop)
        own = self._loop
        assert own is not None
        if self._count < min(own.pending + 1, self._most):
            self._add()
        future: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
        own.pending += 1
        self._items.put((future, own, contextvars.copy_context(), function, args))
        result, error = await future
        if error is not None:
            try:
                raise error
            finally:
                # It refers to this frame.
                del error
        return result

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = _Loop(loop)
        if self._process != os.getpid():
            # A process that was forked has none of the threads.
            self._process, self._count, self._items = os.getpid(), 0, queue.SimpleQueue()

    def _add(self) -> None:
        thread = threading.Thread(target=self._work, args=(self._items,), name="kokanee-django", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The system gives no more threads: the others do it.
            if not self._count:
                raise
        else:
            self._count += 1

    def _work(self, items: queue.SimpleQueue[_Item]) -> None:
        take, known = items.get, SyncToAsync.threadlocal
        while True:
            future, loop, context, function, args = take()
            # For `async_to_sync`.
            known.main_event_loop, known.main_event_loop_pid = loop.loop, os.getpid()
            try:
                result: tuple[Any, BaseException | None] = context.run(function, *args), None
            except BaseException as error:
                result = None, error
            loop.end(future, result)
            # Nothing is kept while this waits.
            del future, loop, context, function, args, result


class _Loop:
    """Gives an event loop the results of functions: many at once, as waking it is what costs most."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        #: The functions that have not ended, or whose result the event loop has not taken.
        self.pending = 0
        self._ended: collections.deque[tuple[asyncio.Future[Any], Any]] = collections.deque()
        self._is_woken = False

    def end(self, future: asyncio.Future[Any], result: Any) -> None:
        """Keeps a result, on any thread, and wakes the event loop if that is not done yet."""
        self._ended.append((future, result))
        # Invariant: it is cleared before the results are taken, so that one that finds it set is taken.
        if not self._is_woken:
            self._is_woken = True
            # A loop that is closed has nobody who waits.
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self._is_woken = False
        while self._ended:
            future, result = self._ended.popleft()
            self.pending -= 1
            if not future.cancelled():
                future.set_result(result)
