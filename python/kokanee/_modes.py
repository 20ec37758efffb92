"""Where the handlers of a `Server` run: on threads, or on the greenlets of eventlet or gevent.

Each mode takes events out of the engine and calls `handle(event)` for each, so that a handler that blocks holds up no
other. The engine's threads never run Python: a mode waits for events on threads of Python or, with greenlets, on the
engine's descriptor.
"""

from __future__ import annotations

import collections
import contextvars
import importlib.util
import os
import queue
import select
import sys
import threading
import time
from typing import Any, Callable

from ._pool import Pool

#: Events that are taken out of the engine at once.
BATCH = 256

#: Waits so many seconds for the next event; `None`: none has come, or the engine is closed.
Wait = Callable[[float], "tuple[Any, ...] | None"]


class _Events:
    """Has the events of an engine, and those that it still had when it was closed."""

    def __init__(
        self,
        engine: Any,
        handle: Callable[[tuple[Any, ...]], None],
        wait: Wait,
    ) -> None:
        self.engine = engine
        self.handle = handle
        self.wait_busy = engine.wait_busy
        self.is_closed = engine.is_closed
        self._wait = wait
        #: Events of an engine that was closed.
        self._rest: collections.deque[tuple[Any, ...]] = collections.deque()

    def keep(self, events: list[tuple[Any, ...]]) -> None:
        """Takes the events that a closed engine still had."""
        self._rest.extend(events)

    def take(self, seconds: float) -> tuple[Any, ...] | None:
        """Returns the next event; see `Source`."""
        while self._rest:
            try:
                return self._rest.popleft()
            except IndexError:
                # Another thread was faster.
                continue
        return self._wait(seconds)


class Threading:
    """Runs handlers on a pool of threads, which grows while all of them are busy and events wait."""

    name = "threading"
    most_threads = 256
    idle_seconds = 30.0

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._pool = Pool("kokanee", self.most_threads)
        self._events: _Events | None = None

    @property
    def thread_count(self) -> int:
        """How many threads handle events."""
        return len(self._pool)

    def _events_of(
        self, engine: Any, handle: Callable[[tuple[Any, ...]], None], wait: Wait | None = None
    ) -> _Events:
        """Returns the events of the engine that this mode is for now."""
        if self._events is None or self._events.engine is not engine:
            self._events = _Events(engine, handle, wait or self._wait_of(engine))
            self._pool.idle_seconds = self.idle_seconds
        return self._events

    def _wait_of(self, engine: Any) -> Wait:
        """Returns what waits for the next event."""
        wait: Wait = engine.wait_event
        return wait

    def start(
        self, engine: Any, handle: Callable[[tuple[Any, ...]], None], wait: Wait | None = None
    ) -> None:
        """Begins to handle the events of an engine: those that `wait` returns, which handles others by itself; without it, all."""
        # After a fork, the threads are those of the parent; after a shutdown, some may still run.
        if self._process != os.getpid():
            self._reset()
        self._pool.start(self._events_of(engine, handle, wait))

    def take_rest(
        self, events: list[tuple[Any, ...]], handle: Callable[[tuple[Any, ...]], None], engine: Any
    ) -> None:
        """Handles the events that a closed engine still had."""
        source = self._events_of(engine, handle)
        source.keep(events)
        self._pool.grow(len(events), source)

    def join(self, seconds: float) -> None:
        """Waits until the threads have ended, after their engine was closed; not for those whose handler does not return."""
        self._pool.join(seconds)

    def sleep(self, seconds: float = 0) -> None:
        """Sleeps."""
        time.sleep(seconds)

    def spawn(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Starts a background task."""
        thread = threading.Thread(target=target, args=args, kwargs=kwargs, daemon=True)
        thread.start()
        return thread

    def event(self) -> Any:
        """Returns an event to wait for."""
        return threading.Event()

    def queue(self, *args: Any, **kwargs: Any) -> Any:
        """Returns a queue."""
        return queue.Queue(*args, **kwargs)

    def reply(self, pending: Any, timeout: float | None = None) -> Any:
        """Waits for the response of a request. Returns `None` after the timeout in seconds."""
        return pending.wait(timeout)

    def select(self, readers: list[Any], writers: list[Any]) -> None:
        """Waits until one of the sockets can be read or written."""
        poll = select.poll()
        flags: dict[int, int] = {}
        for sockets, flag in ((readers, select.POLLIN), (writers, select.POLLOUT)):
            for one in sockets:
                flags[one.fileno()] = flags.get(one.fileno(), 0) | flag
        for fd, events in flags.items():
            poll.register(fd, events)
        poll.poll()

    notifies = False


class _Green:
    """What the modes with greenlets have in common: one greenlet waits for the engine's descriptor.

    A greenlet for each event would cost more than most handlers. So one handles all that wait, and before it begins it makes
    the next one, whose turn comes when a handler of the first waits.
    """

    notifies = True

    def __init__(self) -> None:
        self._replies: dict[int, Any] = {}
        #: Changes when the engine is started.
        self._run: object = None
        self._waiting: collections.deque[tuple[Any, ...]] = collections.deque()

    def start(
        self, engine: Any, handle: Callable[[tuple[Any, ...]], None], wait: Wait | None = None
    ) -> None:
        """Begins to handle the events of an engine: all of them, as none is waited for on a thread."""
        # One of its own, which stays when a closed engine is started again.
        self._run = run = object()
        self.spawn(self._pump, engine, handle, os.dup(engine.fileno()), run)

    def _pump(
        self, engine: Any, handle: Callable[[tuple[Any, ...]], None], descriptor: int, run: object
    ) -> None:
        """Takes events until the engine is closed and none is left, or it was started again."""
        try:
            while run is self._run:
                # What comes before the end is there when the end is seen.
                is_closed = engine.is_closed()
                if not is_closed:
                    self._wait_readable(descriptor)
                events = engine.drain(BATCH)
                self._take(events, handle)
                if is_closed and not events:
                    return
        finally:
            os.close(descriptor)

    def take_rest(
        self, events: list[tuple[Any, ...]], handle: Callable[[tuple[Any, ...]], None], engine: Any
    ) -> None:
        """Handles the events that a closed engine still had."""
        self._take(events, handle)

    def _take(self, events: list[tuple[Any, ...]], handle: Callable[[tuple[Any, ...]], None]) -> None:
        """Puts events to those that wait for a greenlet, and wakes the requests that are answered."""
        from . import _engine

        for event in events:
            if event[0] == _engine.DONE:
                waiting = self._replies.pop(event[1], None)
                if waiting is not None:
                    waiting.set()
            else:
                self._waiting.append(event)
        if self._waiting:
            self.spawn(self._handle_waiting, handle)

    def _handle_waiting(self, handle: Callable[[tuple[Any, ...]], None]) -> None:
        """Handles the events that wait, each in a context of its own."""
        waiting = self._waiting
        if not waiting:
            return
        self.spawn(self._handle_waiting, handle)
        while waiting:
            contextvars.copy_context().run(handle, waiting.popleft())

    def join(self, seconds: float) -> None:
        """Does nothing: greenlets end with their thread."""

    def select(self, readers: list[Any], writers: list[Any]) -> None:
        """Waits until one of the sockets can be read or written."""
        raise NotImplementedError

    def reply(self, pending: Any, timeout: float | None = None) -> Any:
        """Waits for the response of a request. Returns `None` after the timeout in seconds."""
        waiting = self.event()
        self._replies[pending.id] = waiting
        # It may have come before anybody waited.
        reply = pending.wait(0)
        if reply is None:
            waiting.wait(timeout)
            reply = pending.wait(0)
        self._replies.pop(pending.id, None)
        return reply

    def _wait_readable(self, descriptor: int) -> None:
        raise NotImplementedError

    def spawn(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Starts a background task."""
        raise NotImplementedError

    def event(self) -> Any:
        """Returns an event to wait for."""
        raise NotImplementedError


class Eventlet(_Green):
    """Runs each handler on a greenlet of eventlet."""

    name = "eventlet"

    def __init__(self) -> None:
        super().__init__()
        # Programs that only `import eventlet` find its host as `eventlet.wsgi`.
        import eventlet.wsgi  # noqa: F401

    def _wait_readable(self, descriptor: int) -> None:
        from eventlet import hubs

        hubs.trampoline(descriptor, read=True)

    def select(self, readers: list[Any], writers: list[Any]) -> None:
        """Waits until one of the sockets can be read or written."""
        from eventlet.green import select as green

        green.select(readers, writers, [])

    def sleep(self, seconds: float = 0) -> None:
        """Sleeps."""
        import eventlet

        eventlet.sleep(seconds)

    def spawn(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Starts a background task."""
        import eventlet

        return _EventletTask(eventlet.spawn(target, *args, **kwargs))

    def event(self) -> Any:
        """Returns an event to wait for."""
        return _EventletEvent()

    def queue(self, *args: Any, **kwargs: Any) -> Any:
        """Returns a queue."""
        import eventlet.queue

        return eventlet.queue.Queue(*args, **kwargs)


class _EventletTask:
    """Gives a greenlet of eventlet the `join` of a thread."""

    def __init__(self, greenlet: Any) -> None:
        self._greenlet = greenlet

    def join(self) -> Any:
        return self._greenlet.wait()


class _EventletEvent:
    """Gives eventlet the event of `threading`."""

    def __init__(self) -> None:
        from eventlet import event

        self._event = event.Event()

    def set(self) -> None:
        if not self._event.ready():
            self._event.send()

    def is_set(self) -> bool:
        return bool(self._event.ready())

    def wait(self, timeout: float | None = None) -> bool:
        self._event.wait(timeout)
        return self.is_set()


class Gevent(_Green):
    """Runs each handler on a greenlet of gevent."""

    name = "gevent"

    def _wait_readable(self, descriptor: int) -> None:
        from gevent.socket import wait_read

        wait_read(descriptor)

    def select(self, readers: list[Any], writers: list[Any]) -> None:
        """Waits until one of the sockets can be read or written."""
        from gevent import select as green

        green.select(readers, writers, [])

    def sleep(self, seconds: float = 0) -> None:
        """Sleeps."""
        import gevent

        gevent.sleep(seconds)

    def spawn(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Starts a background task."""
        import gevent

        return gevent.spawn(target, *args, **kwargs)

    def event(self) -> Any:
        """Returns an event to wait for."""
        from gevent.event import Event

        return Event()

    def queue(self, *args: Any, **kwargs: Any) -> Any:
        """Returns a queue."""
        from gevent.queue import Queue

        return Queue(*args, **kwargs)


MODES: dict[str, type] = {
    "eventlet": Eventlet,
    "gevent_uwsgi": Gevent,
    "gevent": Gevent,
    "threading": Threading,
}


def choose(name: str | None) -> tuple[str, Any]:
    """Returns the name and the mode of `async_mode`; without one, that of the green threads that patched this process.

    Raises `ValueError` for a name that is unknown or whose package is missing, with the reason.
    """
    if name is None:
        name = _patched() or "threading"
    kind = MODES.get(name)
    if kind is None:
        raise ValueError(
            f"Invalid async_mode specified: {name!r} is not one of {', '.join(map(repr, MODES))}"
        )
    package = kind.name  # type: ignore[attr-defined]
    if package != "threading" and importlib.util.find_spec(package) is None:
        raise ValueError(f"Invalid async_mode specified: {name!r} needs the package {package}")
    return name, kind()


def _patched() -> str | None:
    if "eventlet" in sys.modules:
        return "eventlet"
    monkey = sys.modules.get("gevent.monkey")
    if "gevent" in sys.modules and monkey is not None and monkey.is_module_patched("socket"):
        return "gevent"
    return "gevent" if "gevent" in sys.modules else None
