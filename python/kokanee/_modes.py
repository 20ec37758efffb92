"""Where the handlers of a `Server` run: on threads, or on the greenlets of eventlet or gevent.

Each mode takes events out of the engine and calls `handle(event)` for each, so that a handler that blocks holds up no
other. The engine's threads never run Python: a mode waits for events on threads of Python or, with greenlets, on the
engine's descriptor.
"""

from __future__ import annotations

import importlib.util
import queue
import threading
import time
from typing import Any, Callable

#: Events that are taken out of the engine at once.
BATCH = 256


class Threading:
    """Runs handlers on a pool of threads, which grows while all of them are busy and events wait."""

    name = "threading"
    most_threads = 256
    idle_seconds = 30.0
    #: How long an event waits before one more thread is started.
    patience_seconds = 0.005

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0

    def start(self, engine: Any, handle: Callable[[tuple], None]) -> None:
        """Begins to handle the events of an engine."""
        self._add_thread(engine, handle)
        supervisor = threading.Thread(
            target=self._supervise, args=(engine, handle), name="kokanee-supervisor", daemon=True
        )
        supervisor.start()

    def _add_thread(self, engine: Any, handle: Callable[[tuple], None]) -> None:
        with self._lock:
            self._threads += 1
            number = self._threads
        thread = threading.Thread(
            target=self._work, args=(engine, handle), name=f"kokanee-{number}", daemon=True
        )
        thread.start()

    def _work(self, engine: Any, handle: Callable[[tuple], None]) -> None:
        wait_event = engine.wait_event
        while True:
            event = wait_event(self.idle_seconds)
            if event is not None:
                handle(event)
                continue
            with self._lock:
                if self._threads > 1 or engine.is_closed():
                    self._threads -= 1
                    return

    def _supervise(self, engine: Any, handle: Callable[[tuple], None]) -> None:
        while engine.wait_busy(self.patience_seconds):
            if self._threads < self.most_threads:
                self._add_thread(engine, handle)
        # The engine was closed: the threads end by themselves.

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

    def reply(self, engine: Any, pending: Any) -> Any:
        """Waits for the response of a request."""
        return pending.wait()

    notifies = False


class _Green:
    """What the modes with greenlets have in common: one greenlet waits for the engine's descriptor."""

    notifies = True

    def __init__(self) -> None:
        self._replies: dict[int, Any] = {}

    def start(self, engine: Any, handle: Callable[[tuple], None]) -> None:
        """Begins to handle the events of an engine."""
        self.spawn(self._pump, engine, handle)

    def _pump(self, engine: Any, handle: Callable[[tuple], None]) -> None:
        from . import _engine

        descriptor = engine.fileno()
        while not engine.is_closed():
            self._wait_readable(descriptor)
            for event in engine.drain(BATCH):
                if event[0] == _engine.DONE:
                    waiting = self._replies.pop(event[1], None)
                    if waiting is not None:
                        waiting.set()
                else:
                    self.spawn(handle, event)

    def reply(self, engine: Any, pending: Any) -> Any:
        """Waits for the response of a request."""
        waiting = self.event()
        self._replies[pending.id] = waiting
        # It may have come before anybody waited.
        reply = pending.wait(0)
        if reply is None:
            waiting.wait()
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
    import sys

    if "eventlet" in sys.modules:
        return "eventlet"
    monkey = sys.modules.get("gevent.monkey")
    if "gevent" in sys.modules and monkey is not None and monkey.is_module_patched("socket"):
        return "gevent"
    return "gevent" if "gevent" in sys.modules else None
