"""The stage of a `Server`: its handlers run on threads that say when they wait."""

from __future__ import annotations

import functools
import math
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from .. import _engine, _modes
from . import _stage
from ._clock import Ended

#: How long the thread of a test sleeps before it looks again whether handlers have ended.
LOOK_SECONDS = 0.0002

#: How long handlers are waited for when their server ends.
JOIN_SECONDS = 1.0

#: How long a background task may wait for something else than the clock before virtual time goes on without it.
TASK_PATIENCE_SECONDS = 1.0


class Wait:
    """Is a thread that waits: for an event, for a client's answer, or for time."""

    def __init__(self, mode: WatchedThreads, group: set[Any]) -> None:
        self._mode = mode
        self._thread = threading.current_thread()
        self._group = group
        self._woken = threading.Event()

    def begin(self) -> None:
        """Counts the thread as one that waits, now that all is there which may wake it."""
        with self._mode.lock:
            if not self._woken.is_set():
                self._group.add(self._thread)

    def resume(self) -> None:
        """Has the thread go on. From now on it counts as running."""
        with self._mode.lock:
            self._group.discard(self._thread)
            self._woken.set()

    def block(self, seconds: float | None = None) -> None:
        """Waits."""
        self.begin()
        self._woken.wait(seconds)
        self.resume()


class WatchedThreads(_modes.Threading):
    """Runs handlers on threads, and knows which of them wait."""

    def __init__(self, stage: ThreadStage) -> None:
        super().__init__()
        self._stage = stage
        self.lock = threading.RLock()
        #: Threads of handlers that wait.
        self.waiting: set[Any] = set()
        #: Threads with a handler of their own, and background tasks.
        self.own: set[Any] = set()
        self.tasks: set[Any] = set()
        #: Those of both that wait, and tasks that virtual time does not wait for.
        self.waiting_tasks: set[Any] = set()
        self.other_tasks: set[Any] = set()
        #: Threads that are not the server's, and wait.
        self.strangers: set[Any] = set()
        #: Events that handlers were called for, by thread, and how many have ended.
        self.current: dict[Any, str] = {}
        self.handled = 0

    def start(
        self, engine: Any, handle: Callable[[tuple[Any, ...]], None], wait: _modes.Wait | None = None
    ) -> None:
        """Begins to handle the events of an engine: all of them, as each is watched."""
        super().start(engine, self._watched(handle))

    def take_rest(self, events: list[tuple[Any, ...]], handle: Callable[[tuple[Any, ...]], None], engine: Any) -> None:
        """Handles the events that a closed engine still had."""
        super().take_rest(events, self._watched(handle), engine)

    def _watched(self, handle: Callable[[tuple[Any, ...]], None]) -> Callable[[tuple[Any, ...]], None]:
        def watched(event: tuple[Any, ...]) -> None:
            if event[0] == _engine.CHANNEL:
                self._stage.arrived()
                with self.lock:
                    self.handled += 1
                return
            thread = threading.current_thread()
            self.current[thread] = self._stage.name_of(event)
            try:
                handle(event)
            except Ended:
                pass
            finally:
                del self.current[thread]
                with self.lock:
                    self.handled += 1

        return watched

    def is_idle(self, engine: Any) -> bool:
        """Returns whether no handler runs, except those that wait, and no event waits for one."""
        waiting_events, waiting_threads = engine.load()
        with self.lock:
            tasks = self.own if self._stage.clock is None else self.own | self.tasks
            busy_tasks = tasks - self.waiting_tasks - self.other_tasks
            return bool(
                waiting_events == 0
                and not (self._events is not None and self._events._rest)
                and waiting_threads == len(self._pool) - len(self.waiting)
                and not busy_tasks
            )

    def _wait(self) -> Wait | None:
        """Returns a wait of the current thread; `None` for that of the test, whose waits let the clock run."""
        thread = threading.current_thread()
        if thread in self._pool._threads:
            return Wait(self, self.waiting)
        if thread in self.tasks or thread in self.own:
            self.other_tasks.discard(thread)
            return Wait(self, self.waiting_tasks)
        clock = self._stage.clock
        return Wait(self, self.strangers) if clock is not None and not clock.is_owner() else None

    def sleep(self, seconds: float = 0) -> None:
        """Sleeps, on the clock of the test."""
        clock = self._stage.clock
        if clock is None:
            # A handler that sleeps is still running: a test waits for it.
            time.sleep(seconds)
            return
        wait = self._wait()
        if wait is None:
            clock.advance(seconds)
            return
        clock.call_at(clock.time() + seconds, wait.resume)
        wait.block()
        clock.check_open()

    def spawn(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Starts a background task."""
        name = f"task {getattr(target, '__name__', target)}"
        return self._start(name, self.tasks, functools.partial(target, *args, **kwargs))

    def start_event(self, event: tuple[Any, ...]) -> Any:
        """Handles an event on a thread of its own."""
        server = self._stage.server
        return self._start(self._stage.name_of(event), self.own, functools.partial(server._handle_event, event))

    def _start(self, name: str, group: set[Any], target: Callable[[], Any]) -> threading.Thread:
        def run() -> None:
            try:
                target()
            except Ended:
                pass
            finally:
                with self.lock:
                    group.discard(thread)
                    self.other_tasks.discard(thread)
                    self.handled += 1

        thread = threading.Thread(target=run, name=name, daemon=True)
        with self.lock:
            group.add(thread)
        thread.start()
        return thread

    def event(self) -> Any:
        """Returns an event to wait for."""
        return WatchedEvent(self, self._stage)


class WatchedEvent:
    """Is `threading.Event` for handlers and background tasks, on the clock of the test."""

    def __init__(self, mode: WatchedThreads, stage: ThreadStage) -> None:
        self._mode = mode
        self._stage = stage
        self._flag = False
        self._waits: list[Any] = []

    def is_set(self) -> bool:
        """Returns whether it is set."""
        return self._flag

    def set(self) -> None:
        """Sets it, and has those go on that wait for it."""
        with self._mode.lock:
            self._flag = True
            waits, self._waits = self._waits, []
            for wait in waits:
                wait.resume()
        self._stage.notify()

    def clear(self) -> None:
        """Has it wait again."""
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it is set, at most for a timeout, and returns whether it is."""
        clock = self._stage.clock
        with self._mode.lock:
            if self._flag:
                return True
            wait = self._mode._wait()
            if wait is not None:
                self._waits.append(wait)
        if wait is None:
            self._stage.wait_here(self.is_set, timeout)
            return self._flag
        if clock is None:
            wait.block(timeout)
        else:
            clock.call_at(math.inf if timeout is None else clock.time() + timeout, wait.resume)
            wait.block()
            clock.check_open()
        with self._mode.lock:
            if wait in self._waits:
                self._waits.remove(wait)
        return self._flag


class ThreadStage(_stage.Stage):
    """Runs a `Server` under test."""

    lock = threading.RLock()

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        _check_threads()
        self._arrived = threading.Condition()
        # It may run elsewhere, as something has used it.
        server.shutdown()
        self.mode = WatchedThreads(self)
        self.replace(server, "_mode", self.mode)
        self.replace(server, "_start_event", self.mode.start_event)
        self.watch()
        server._engine.run_on(self.runtime)

    def arrived(self) -> None:
        """Gives clients what has come for them, on a thread of the server."""
        self.pump()
        self.notify()

    def notify(self) -> None:
        """Has threads look again that wait for something."""
        with self._arrived:
            self._arrived.notify_all()

    def busy(self) -> list[str]:
        """Returns what is still running."""
        mode = self.mode
        with mode.lock:
            handlers = [name for thread, name in mode.current.items() if thread not in mode.waiting]
            tasks = mode.own if self.clock is None else mode.own | mode.tasks
            return handlers + [task.name for task in tasks - mode.waiting_tasks]

    async def open(self, opening: Any) -> Any:
        """Opens a connection."""
        return opening.through_wsgi()

    async def _settle(self) -> None:
        engine, mode = self.server._engine, self.mode
        begin = time.monotonic()
        before = -1
        while True:
            if not self.runtime.settle(self.patience):
                raise self.late()
            moved = self.pump()
            handled = mode.handled + self.moves
            if not moved and mode.is_idle(engine):
                # What the handlers have done before they were idle has now been seen by the engine, too.
                if handled == before:
                    return
                before = handled
                continue
            before = -1
            if not moved:
                self._look_again(begin)

    def _look_again(self, begin: float) -> None:
        passed = time.monotonic() - begin
        if passed > self.patience:
            raise self.late()
        if self.clock is not None and passed > TASK_PATIENCE_SECONDS:
            with self.mode.lock:
                self.mode.other_tasks |= self.mode.tasks - self.mode.waiting_tasks
        time.sleep(LOOK_SECONDS)

    async def wait(self, is_there: Callable[[], bool], timeout: float) -> None:
        """Waits until something is there."""
        self.wait_here(is_there, timeout)

    def wait_here(self, is_there: Callable[[], bool], timeout: float | None) -> None:
        """Waits on a thread that is not the server's: the test's own lets the virtual clock run."""
        if self.clock is not None:
            self.clock.run(timeout, is_there)
            return
        with self._arrived:
            self._arrived.wait_for(is_there, timeout)

    def _abandon(self) -> None:
        self.server.shutdown()
        self.mode.join(JOIN_SECONDS)
        self.end_links()
        self.undo()
        self.server._engine.run_on(None)


def _check_threads() -> None:
    """Refuses a process whose threads are greenlets: a test that waits would stop them all."""
    monkey = sys.modules.get("gevent.monkey")
    patcher = sys.modules.get("eventlet.patcher")
    if (monkey is not None and monkey.is_module_patched("threading")) or (
        patcher is not None and patcher.is_monkey_patched("thread")
    ):
        raise RuntimeError("tests need threads of the system: gevent or eventlet has patched this process")
