"""The stage of an `AsyncServer`: an event loop whose tasks are known, and whose time may be that of a virtual clock."""

from __future__ import annotations

import asyncio
import functools
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any

from .._steps import is_awaitable
from . import _stage

#: How often the tasks of an event loop are looked at, in seconds of the system.
LOOK_SECONDS = 0.001

#: Turns of an event loop after which what is ready is taken to be busy with itself.
MOST_TURNS = 100


class _Channel:
    """Is what the server's loop knows of a client's connection."""

    def __init__(self, stage: TaskStage, channel: Any) -> None:
        self._stage = stage
        self._channel = channel

    def ready(self, begin: Callable[[Any], Any]) -> None:
        """Gives the client what has come for it."""
        self._stage.pump()
        self._stage.arrived.set()

    def end(self) -> None:
        """Ends the connection, as its loop does."""
        self._channel.end()


class TaskStage(_stage.Stage):
    """Runs an `AsyncServer` under test, on the running event loop."""

    def __init__(self, server: Any, run: Callable[[Coroutine[Any, Any, None]], None] | None = None) -> None:
        super().__init__(server)
        #: Runs coroutines on the loop, from other threads. Without it, the loop is that of the test.
        self._run = run
        self.is_here = run is None
        self.loop = asyncio.get_running_loop()
        self.arrived = asyncio.Event()
        self._settling = asyncio.Lock()
        self._has_begun = False
        #: Tasks that are not handlers, and handlers that wait for the answer of a client.
        self._others: set[asyncio.Task[Any]] = set()
        self._calling: set[asyncio.Task[Any]] = set()
        #: What runs on threads for the loop.
        self._jobs = 0
        #: Handlers of clients.
        self._handlers: set[asyncio.Future[Any]] = set()
        self._on_executor = self.loop.run_in_executor

    async def begin(self) -> None:
        """Takes the server over. Returns when that is done, also by another client."""
        async with self._settling:
            if not self._has_begun:
                await self._begin_inside()
                self._has_begun = True

    async def _begin_inside(self) -> None:
        if self.clock is not None and not isinstance(self.loop, asyncio.BaseEventLoop):
            name = type(self.loop).__module__
            raise RuntimeError(f"virtual time needs an event loop of asyncio, and this is {name}'s")
        server = self.server
        if server._loop._loop is self.loop:
            await server.shutdown()
        await self._on_executor(None, server._engine.close)
        server._engine.run_on(self.runtime)
        self.watch()
        self._watch_tasks()
        if self.clock is not None:
            self._bend_time(self.clock)
            self.clock.add(self)
        server._loop.start()

    def _watch_tasks(self) -> None:
        server = self.server
        start, call = server.start_background_task, server.call

        @functools.wraps(start)
        def start_background_task(*args: Any, **kwargs: Any) -> Any:
            task = start(*args, **kwargs)
            self._others.add(task)
            task.add_done_callback(self._others.discard)
            return task

        @functools.wraps(call)
        async def watched_call(*args: Any, **kwargs: Any) -> Any:
            task = asyncio.current_task()
            assert task is not None
            self._calling.add(task)
            try:
                return await call(*args, **kwargs)
            finally:
                self._calling.discard(task)

        self.replace(server, "start_background_task", start_background_task)
        self.replace(server, "call", watched_call)

    def _bend_time(self, clock: Any) -> None:
        """Gives the loop the time of a clock, from the next full second on."""
        loop = self.loop
        begin = float(math.ceil(loop.time())) - clock.time()
        executor = self._on_executor

        def run_in_executor(*args: Any) -> Any:
            job = executor(*args)
            self._jobs += 1
            job.add_done_callback(self._job_done)
            return job

        self.replace(loop, "time", lambda: begin + clock.time())
        self.replace(loop, "run_in_executor", run_in_executor)
        self._begin = begin

    def _job_done(self, job: object) -> None:
        self._jobs -= 1

    def next_timer(self) -> float | None:
        """Returns when a timer of the loop is due."""
        timers: list[Any] = getattr(self.loop, "_scheduled", [])
        # Those that were cancelled stay for a while.
        times = [timer.when() for timer in timers if not timer.cancelled()]
        return float(min(times)) - self._begin if times else None

    # Handlers.

    def _running(self) -> set[Any]:
        current = asyncio.current_task() if self._is_inside() else None
        kept = self.server._loop._tasks - self._others - self._calling
        return {task for task in kept | self._handlers if task is not current and not task.done()}

    def watched(self, handle: Callable[..., Any]) -> Callable[..., Any]:
        """Returns what handles an event in a task with a name."""

        async def watched(event: tuple[Any, ...], *args: Any) -> None:
            task = asyncio.current_task()
            if task is not None:
                task.set_name(self.name_of(event))
            await handle(event, *args)

        return watched

    def busy(self) -> list[str]:
        """Returns what is still running."""
        return [getattr(task, "get_name", lambda: "a handler of the client")() for task in self._running()]

    def run_handler(self, handler: Any, args: tuple[Any, ...], answer: Callable[[Any], None]) -> None:
        """Calls a handler of a client, which may be a coroutine function."""
        result = handler(*args)
        if not is_awaitable(result):
            answer(result)
            return

        async def finish() -> None:
            answer(await result)
            self.flush()

        task = self.loop.create_task(finish())
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)

    def flush(self) -> None:
        """Sends what clients have to say."""
        for link in list(self.links.values()):
            link.send()
        self.server._engine.flush_fed()

    async def open(self, opening: Any) -> Any:
        """Opens a connection."""
        channel = await opening.through_asgi()
        self.server._loop.channels[channel.id] = _Channel(self, channel)
        return channel

    def remove(self, link: Any) -> None:
        """Forgets a client's connection."""
        self.server._loop.channels.pop(link.channel.id, None)
        super().remove(link)

    async def _settle(self) -> None:
        if self._is_inside():
            async with self._settling:
                await self._settle_inside()
        elif self._run is not None:
            self._run(self.settle())
        else:
            raise RuntimeError("the client is of another event loop")

    def _is_inside(self) -> bool:
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False

    async def _settle_inside(self) -> None:
        engine = self.server._engine
        begin = time.monotonic()
        quiet = 0
        while quiet < 2:
            if not self.runtime.settle(self.patience):
                raise self.late()
            before = self.moves
            self.pump()
            await self._turn()
            if self.moves != before or engine.load()[0]:
                quiet = 0
            elif self._waits():
                quiet = 0
                if time.monotonic() - begin > self.patience:
                    raise self.late()
                await self._on_executor(None, time.sleep, LOOK_SECONDS)
            else:
                quiet += 1

    def _waits(self) -> bool:
        """Returns whether a handler runs, or waits for something that comes by itself."""
        running = self._running()
        if not running and not self._jobs:
            return False
        # Under a virtual clock, handlers wait for it.
        return self.clock is None or self._jobs > 0 or self.next_timer() is None

    async def _turn(self) -> None:
        """Lets the loop run all that is ready."""
        for turn in range(MOST_TURNS):
            await asyncio.sleep(0)
            ready = getattr(self.loop, "_ready", None)
            if ready is None and turn >= 10:
                return
            if ready is not None and not ready and turn >= 2:
                return

    async def wait(self, is_there: Callable[[], bool], timeout: float) -> None:
        """Waits until something is there."""
        if self.clock is not None:
            await self.clock.run_async(timeout, is_there)
            return
        deadline = time.monotonic() + timeout
        while not is_there():
            self.arrived.clear()
            rest = deadline - time.monotonic()
            if rest <= 0:
                return
            try:
                await asyncio.wait_for(self.arrived.wait(), rest)
            except asyncio.TimeoutError:
                return

    def _abandon(self) -> None:
        if self._run is not None and not self._is_inside():
            self._run(self._abandon_from_outside())
        else:
            self._abandon_inside()

    async def _abandon_from_outside(self) -> None:
        self._abandon_inside()

    def _abandon_inside(self) -> None:
        server = self.server
        if self.clock is not None:
            self.clock.remove(self)
            for task in [*self._others, *self._running(), *self._calling]:
                # It waits for a clock that is no more.
                task.cancel()
        # The loop, which is what would see their ends, does not run here.
        self.end_links()
        server._engine.close(1.0)
        self.undo()
        if server._loop._loop is self.loop and not self.loop.is_closed():
            # The disconnect handlers run when the loop has its next turn.
            server._loop._readable()
            for task in server._loop._tasks:
                _ending.add(task)
                task.add_done_callback(_ending.discard)
            server._loop._leave()
        server._engine.run_on(None)


#: Tasks of servers that have ended.
_ending: set[asyncio.Task[Any]] = set()
