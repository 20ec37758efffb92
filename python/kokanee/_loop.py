"""The event loop of an `AsyncServer`: what the engine says is taken out there, and each event gets a task of its own.

The engine's threads never run Python: they make a descriptor readable, which the loop watches. A server serves one loop at a
time, that of the requests it gets. Tests may make a loop each, one after the other; two that run at once are refused.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import sys
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from . import _engine, base_manager, base_server

#: Events that are taken out of the engine in one turn of the loop.
BATCH = 64

EVENT = _engine.EVENT


#: Those that serve an event loop.
_serving: weakref.WeakSet[Loop] = weakref.WeakSet()


async def stop_all() -> None:
    """Stops all servers of the running event loop."""
    for loop in list(_serving):
        await loop.stop()


class Loop:
    """Takes events out of the engine of a server on the event loop that serves it."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._loop: asyncio.AbstractEventLoop | None = None
        self._descriptor = -1
        #: Tasks that have begun and not ended.
        self._tasks: set[asyncio.Task[Any]] = set()
        #: Changes whenever a loop begins to be served.
        self._turn: object = None
        self._end: AsyncGenerator[None, None] | None = None
        #: Who waits for the response of a request.
        self.replies: dict[int, asyncio.Future[Any]] = {}
        #: WebSockets that the host feeds.
        self.channels: dict[int, Any] = {}
        #: Whether the engine will be woken for them.
        self.flushes = False
        #: What handlers of a client inherit: the context of the request that opened its connection, if anything is in it.
        self.contexts: dict[str, contextvars.Context] = {}

    def start(self) -> None:
        """Begins to serve the running loop, if it is not served yet."""
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        if self._loop is not None:
            if self._loop.is_running():
                raise RuntimeError(
                    "this AsyncServer serves clients on another event loop, which is running: use one server for each"
                )
            self._leave()
        self._server.manager.check()
        self._server._prepare()
        if self._server._engine.is_closed():
            self._server.logger.info("a request starts Socket.IO again")
        self._loop = loop
        _serving.add(self)
        self._descriptor = self._server._engine.fileno()
        # The first request's context is not that of the events.
        no_context = contextvars.Context()
        no_context.run(lambda: loop.add_reader(self._descriptor, self._readable))
        self._turn = object()
        self._end = self._at_end(self._turn)
        try:
            self._end.__anext__().send(None)
        except StopIteration:
            pass

    async def _at_end(self, turn: object) -> AsyncGenerator[None, None]:
        """Stops the server when the loop ends: `asyncio.run` and the hosts close the generators that are left."""
        try:
            yield
        finally:
            # One that was dropped is closed later, when the server may serve the loop again.
            if self._turn is turn:
                await self.stop()

    async def stop(self, seconds: float = 1.0) -> None:
        """Disconnects all clients, lets the handlers of that end, and leaves the loop. The next request starts it again."""
        loop = self._loop
        if loop is None or loop is not asyncio.get_running_loop():
            return
        engine = self._server._engine
        await loop.run_in_executor(None, engine.close, seconds)
        if self._loop is not loop:
            return
        self._keep(self._take(sys.maxsize))
        handlers = self._tasks - {asyncio.current_task()}
        if handlers:
            await asyncio.wait(handlers, timeout=seconds)
        if engine.other_workers():
            await loop.run_in_executor(None, engine.leave_group, seconds)
        if self._loop is loop:
            self._server._all_sessions_ended()
            self._leave()

    def _leave(self) -> None:
        """Forgets the loop, and what waits there."""
        loop, self._loop, self._turn, self._end = self._loop, None, None, None
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._descriptor)
        for channel in self.channels.values():
            channel.end()
        self.channels.clear()
        self.replies.clear()
        self.contexts.clear()
        self._tasks.clear()
        self.flushes = False

    def flush_soon(self) -> None:
        """Wakes the engine after this turn of the loop, once for all WebSockets that are fed until then."""
        if self._loop is not None:
            self.flushes = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self.flushes = False
        self._server._engine.flush_fed()

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Starts a task that is kept until it ends."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._keep([task])
        return task

    def _keep(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Keeps tasks until they end, as the event loop does not."""
        for task in tasks:
            if not task.done():
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _readable(self) -> None:
        tasks = self._take(BATCH)
        if not tasks:
            return
        if EAGER:
            self._keep(tasks)
        elif self._loop is not None:
            # Most will have ended when each has had a turn of the loop; a callback for each would cost one more.
            self._loop.call_soon(self._keep, tasks)

    def _take(self, most: int) -> list[asyncio.Task[Any]]:
        """Takes events out of the engine, and begins to handle them; returns the tasks of those that are of clients."""
        server = self._server
        loop = self._loop
        assert loop is not None
        handle, is_raw = server._handle_event, server._raw
        # Found out once for all events that are here.
        handlers, is_logged = server._direct_handlers(), server._is_logged()
        new_task = tasks_of(loop)
        contexts = self.contexts
        tasks: list[asyncio.Task[Any]] = []
        for event in server._engine.drain(most):
            kind = event[0]
            if kind == EVENT:
                context = contexts.get(event[1]) if contexts else None
                coroutine = server._handle_raw(event) if is_raw else handle(event, handlers, is_logged)
                if context is None:
                    # A name that is given need not be made.
                    tasks.append(new_task(coroutine, name=event[3]))
                else:
                    tasks.append(begin(loop, coroutine, context))
            elif kind == _engine.CHANNEL:
                channel = self.channels.get(event[1])
                if channel is not None:
                    channel.ready(self._begin)
            elif kind == _engine.DONE:
                reply = self.replies.pop(event[1], None)
                if reply is not None and not reply.done():
                    reply.set_result(None)
            elif kind == _engine.CONNECT:
                context = getattr(event[4], "context", None)
                if context is not None:
                    self.contexts[event[1]] = context
                asked = server._handle_raw if server._raw else server._asked
                self._begin(asked(event), context)
            elif kind == _engine.DISCONNECT:
                left = server._handle_raw if server._raw else server._left
                self._begin(left(event), self.contexts.pop(event[1], None))
            elif kind in base_server.ANSWER_KINDS:
                callback = server._answered_by(*event)
                if kind == _engine.LAST_ANSWER:
                    server._callbacks.pop(event[1], None)
                    self._answered(callback, None)
                else:
                    self._answered(callback, event[2])
            elif kind == _engine.SESSION_END:
                server._session_ended(event[1])
            elif kind == _engine.LOG:
                server._log(event)
            elif kind == _engine.NOTICE:
                base_server.notice(event[1], event[2])
            elif kind == _engine.TROUBLE:
                server.logger.error("%s", event[1])
        return tasks

    def _answered(self, callback: Callable[..., Any] | None, args: Any) -> None:
        if callback is None:
            return
        if args is None:
            if isinstance(callback, base_manager.Waiter):
                callback.gone()
            return
        try:
            result = callback(*args)
        except Exception:
            self._server.logger.exception("a callback failed")
            return
        if inspect.isawaitable(result):
            self._begin(_finish(result))

    def _begin(
        self, coroutine: Coroutine[Any, Any, Any], context: contextvars.Context | None = None
    ) -> None:
        """Runs a coroutine as a task of its own, at once up to where it waits for the first time."""
        loop = self._loop
        assert loop is not None
        self._keep([begin(loop, coroutine, context)])


async def _finish(awaitable: Any) -> Any:
    return await awaitable


#: Whether a task runs up to where it waits before `begin` returns.
EAGER = sys.version_info >= (3, 12)
_OPTIONS: dict[str, Any] = {"eager_start": True} if EAGER else {}


def tasks_of(loop: asyncio.AbstractEventLoop) -> Callable[..., asyncio.Task[Any]]:
    """Returns what makes tasks of an event loop: the loop itself only if an application has given it a factory."""
    if loop.get_task_factory() is not None:
        return loop.create_task
    return functools.partial(asyncio.Task, loop=loop, **_OPTIONS)


if sys.version_info >= (3, 12):

    def begin(
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any],
        context: contextvars.Context | None,
    ) -> asyncio.Task[Any]:
        """Returns a task that has run up to where it waits for the first time."""
        if context is not None:
            context = context.copy()
        return asyncio.Task(coroutine, loop=loop, eager_start=True, context=context)

else:

    def begin(
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any],
        context: contextvars.Context | None,
    ) -> asyncio.Task[Any]:
        """Returns a task for a coroutine, in a copy of a context."""
        if context is not None:
            return context.copy().run(loop.create_task, coroutine)
        return loop.create_task(coroutine)
