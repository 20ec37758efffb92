"""Where a server runs under test: a runtime that says when nothing is left to do, and the clients of tests that it has.

A stage settles when the engine, the server's handlers and the clients have nothing left to do but wait. A server has one stage at a
time; one for another clock takes its place.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import _engine, exceptions

if TYPE_CHECKING:
    from ._clock import Clock
    from ._link import Link

#: How long handlers may take that a client waits for, and the engine, in seconds of the system.
PATIENCE_SECONDS = 5.0

# The stages of servers.
_stages: weakref.WeakKeyDictionary[Any, Stage] = weakref.WeakKeyDictionary()
#: Servers that have a port in this test.
live: weakref.WeakSet[Any] = weakref.WeakSet()
_clock: Clock | None = None
_real: _engine.TestRuntime | None = None
_real_generation = -1
_lock = threading.Lock()


def clock() -> Clock | None:
    """Returns the virtual clock that is in force."""
    return _clock


def set_clock(new: Clock | None) -> None:
    """Puts a virtual clock in force; `None`: the system's."""
    global _clock
    _clock = new


def runtime() -> _engine.TestRuntime:
    """Returns the runtime of servers under test: that of the virtual clock, or the one of the process."""
    global _real, _real_generation
    if _clock is not None:
        return _clock.runtime
    with _lock:
        if _real is None or _real_generation != _engine.generation():
            _real, _real_generation = _engine.TestRuntime(), _engine.generation()
            # What is registered later is called earlier: the servers end before.
            atexit.register(_real.stop)
        return _real


def known(server: Any) -> Stage | None:
    """Returns the stage of a server."""
    return _stages.get(server)


def put(server: Any, stage: Stage) -> None:
    """Notes the stage of a server."""
    _stages[server] = stage


def forget(server: Any) -> None:
    """Drops the stage of a server."""
    _stages.pop(server, None)


class _Log:
    """Is the logger of a server. It keeps the exceptions that it logs."""

    def __init__(self, logger: Any, failures: list[BaseException]) -> None:
        self._logger = logger
        self._failures = failures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)

    def error(self, message: str, *args: Any, **kwargs: Any) -> None:
        """Logs an error."""
        if kwargs.get("exc_info"):
            error = sys.exc_info()[1]
            if error is not None:
                self._failures.append(error)
        self._logger.error(message, *args, **kwargs)

    def exception(self, message: str, *args: Any, **kwargs: Any) -> None:
        """Logs an exception."""
        self.error(message, *args, **{"exc_info": True, **kwargs})


class Stage:
    """Is where a server runs under test."""

    #: Held while a stage begins and ends, if several threads may do that.
    lock: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()

    def __init__(self, server: Any) -> None:
        self.server = server
        self.clock = clock()
        self.runtime = runtime()
        self.links: dict[int, Link] = {}
        #: How many messages there were so far.
        self.moves = 0
        #: How many clients are connecting.
        self.connecting = 0
        self.has_ended = False
        #: Exceptions of handlers that no test has seen.
        self.failures: list[BaseException] = []
        self.patience = PATIENCE_SECONDS
        self._undo: list[Callable[[], None]] = []

    def replace(self, owner: Any, name: str, value: Any) -> None:
        """Sets an attribute until the stage ends."""
        before = owner.__dict__.get(name, self)

        def undo() -> None:
            if before is self:
                owner.__dict__.pop(name, None)
            else:
                setattr(owner, name, before)

        setattr(owner, name, value)
        self._undo.append(undo)

    def undo(self) -> None:
        """Sets attributes to what they were."""
        while self._undo:
            self._undo.pop()()

    def watch(self) -> None:
        """Keeps the exceptions of handlers, which the server logs, and knows which handlers run."""
        self.replace(self.server, "logger", _Log(self.server.logger, self.failures))
        self.replace(self.server, "_handle_event", self.watched(self.server._handle_event))

    def take_failures(self) -> list[BaseException]:
        """Takes the exceptions of handlers."""
        failures = list(self.failures)
        self.failures.clear()
        return failures

    def watched(self, handle: Callable[..., Any]) -> Callable[..., Any]:
        """Returns what handles an event so that `busy` knows it."""
        return handle

    def pump(self) -> int:
        """Gives clients what the engine has for them, and the engine what they answer. Returns how many messages there were."""
        count = sum(link.pump() for link in list(self.links.values()))
        if count:
            self.moves += count
            self.server._engine.flush_fed()
        return count

    def run_handler(self, handler: Any, args: tuple[Any, ...], answer: Callable[[Any], None]) -> None:
        """Calls a handler of a client, and passes on its result."""
        answer(handler(*args))

    def late(self) -> exceptions.TimeoutError:
        """Returns the error of a stage that does not settle."""
        return exceptions.TimeoutError(
            f"handlers have not returned after {self.patience:g} s: {', '.join(self.busy()) or 'events wait for a thread'}"
        )

    @staticmethod
    def name_of(event: tuple[Any, ...]) -> str:
        """Returns how messages name the handler of an event."""
        kind = event[0]
        if kind == _engine.EVENT:
            return f"the handler of {event[3]!r} [{event[2]}]"
        names = {_engine.CONNECT: "connect", _engine.DISCONNECT: "disconnect", _engine.ANSWER: "a callback"}
        return f"the handler of {names.get(kind, 'the engine')!r}"

    def busy(self) -> list[str]:
        """Returns what is still running, for messages."""
        raise NotImplementedError

    async def begin(self) -> None:
        """Takes the server over, if that is not done yet."""

    async def open(self, opening: Any) -> Any:
        """Opens a connection, and returns its channel."""
        raise NotImplementedError

    async def settle(self) -> None:
        """Waits until nothing is left to do but what waits for a client or for time."""
        if not self.has_ended:
            await self._settle()

    async def _settle(self) -> None:
        raise NotImplementedError

    async def wait(self, is_there: Callable[[], bool], timeout: float) -> None:
        """Waits until something that clients receive is there, or a timeout in seconds of the system is over."""
        raise NotImplementedError

    def next_timer(self) -> float | None:
        """Returns the virtual time at which Python code wants to go on first."""
        return None

    def add(self, link: Link) -> None:
        """Takes a client's connection."""
        self.links[link.channel.id] = link

    def remove(self, link: Link) -> None:
        """Forgets a client's connection. With the last one, the server ends, unless a clock rules it."""
        with self.lock:
            self.links.pop(link.channel.id, None)
            self._end_if_unused()

    def release(self) -> None:
        """A client is not connecting any more."""
        with self.lock:
            self.connecting -= 1
            self._end_if_unused()

    def _end_if_unused(self) -> None:
        if not self.links and not self.connecting and self.clock is None:
            self.abandon()

    def end_links(self) -> None:
        """Has clients know that their connections have ended."""
        for link in list(self.links.values()):
            link.pump()
            link.channel.end()
            link.protocol.end()
        self.links.clear()

    #: Whether its handlers run on the event loop of the test, so that this has to run while the test waits.
    is_here = False

    def abandon(self) -> None:
        """Ends the server and all its connections, and leaves it as it was before tests. A handler that still runs is not waited for."""
        if not self.has_ended:
            self.has_ended = True
            forget(self.server)
            self._abandon()

    def _abandon(self) -> None:
        raise NotImplementedError
