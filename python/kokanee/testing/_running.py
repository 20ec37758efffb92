"""Where the steps of clients run: on the test's thread, on an event loop of another thread, or on that of the test.

| client | `Server` | `AsyncServer` |
|---|---|---|
| `TestClient` | at once | on a loop of its own, which all such clients share |
| `AsyncTestClient` | on a thread | on the test's loop |
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from .._steps import drive
from . import _stage
from ._tasks import TaskStage
from ._threads import ThreadStage

T = TypeVar("T")


def thread_stage(server: Any) -> _stage.Stage:
    """Returns the stage of a `Server` for a client that connects: a new one if it has none for the clock that is in force."""
    with ThreadStage.lock:
        stage = _current(server)
        if stage is None:
            stage = ThreadStage(server)
            _stage.put(server, stage)
            if stage.clock is not None:
                stage.clock.add(stage)
        stage.connecting += 1
        return stage


async def task_stage(server: Any, portal: Portal | None = None) -> _stage.Stage:
    """Returns the stage of an `AsyncServer` on the running loop for a client that connects."""
    stage = _current(server, asyncio.get_running_loop())
    if stage is None:
        stage = TaskStage(server, portal.run if portal is not None else None)
        _stage.put(server, stage)
    stage.connecting += 1
    try:
        await stage.begin()
    except BaseException:
        stage.release()
        raise
    return stage


def _current(server: Any, loop: Any = None) -> _stage.Stage | None:
    if server in _stage.live:
        raise RuntimeError("this server has a port in this test: connect a client to that")
    stage = _stage.known(server)
    if stage is None:
        return None
    if stage.runtime is _stage.runtime() and getattr(stage, "loop", None) is loop:
        return stage
    stage.abandon()
    return None


class Portal:
    """Is an event loop on a thread of its own, for tests that are functions."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._serve, name="kokanee-test-loop", daemon=True)
        self.thread.start()
        # Servers that end use the pool of threads. That ends before what `atexit` knows is called, and after what was registered
        # with the threads later than its module.
        assert concurrent.futures.thread
        register = getattr(threading, "_register_atexit", atexit.register)
        register(self._stop)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def _stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(1)

    def run(self, steps: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine to its end."""
        return asyncio.run_coroutine_threadsafe(steps, self.loop).result()


_portal: Portal | None = None
_lock = threading.Lock()


def portal() -> Portal:
    """Returns the loop for clients of `AsyncServer` in tests that are functions."""
    global _portal
    with _lock:
        if _portal is None or not _portal.thread.is_alive():
            _portal = Portal()
        return _portal


async def _release(stage: _stage.Stage) -> None:
    stage.release()


class Runner:
    """Runs steps of `TestClient`."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._is_async = server.is_asyncio_based()

    def stage(self) -> _stage.Stage:
        """Returns the stage of the server."""
        if self._is_async:
            return portal().run(task_stage(self._server, portal()))
        return thread_stage(self._server)

    def release(self, stage: _stage.Stage) -> None:
        """The client is connected, or cannot be."""
        self.run(_release(stage))

    def run(self, steps: Coroutine[Any, Any, T]) -> T:
        """Runs steps to their end."""
        return portal().run(steps) if self._is_async else drive(steps)


class AsyncRunner:
    """Runs steps of `AsyncTestClient`."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._is_async = server.is_asyncio_based()

    async def stage(self) -> _stage.Stage:
        """Returns the stage of the server."""
        if self._is_async:
            return await task_stage(self._server)
        return await asyncio.to_thread(thread_stage, self._server)

    async def release(self, stage: _stage.Stage) -> None:
        """The client is connected, or cannot be."""
        await self.run(_release(stage))

    async def run(self, steps: Coroutine[Any, Any, T]) -> T:
        """Runs steps to their end."""
        if self._is_async:
            return await steps
        return await asyncio.to_thread(drive, steps)
