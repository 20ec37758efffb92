"""Virtual time: a clock for servers under test that moves when a test says so.

The engine's timers are those of the runtime in Rust (`test_runtime.rs`), whose paused clock is the one clock there is. Handlers and
background tasks of a `Server` wait for it in `_threads.py`; for an `AsyncServer`, its event loop has the time of this clock
(`_tasks.py`). Time moves from one timer to the next, and after each, everything settles: so what happens has the order and the times that
it would have in real time.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from collections.abc import Callable
from types import TracebackType

from .. import _engine
from .._steps import drive
from . import _stage

#: How long a wait of a test without a timeout lets the clock run.
FOREVER_SECONDS = 1e6


class Ended(BaseException):
    """Ends what has waited for a clock that is no more."""


class Clock:
    """Is a virtual clock, which begins at 0 and has milliseconds. Servers that get their first client within it are ruled by it."""

    def __init__(self) -> None:
        self.runtime = _engine.TestRuntime(True)
        self._now = 0
        self._lock = threading.Lock()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._owner = threading.current_thread()
        self._is_open = True
        self._stages: list[_stage.Stage] = []

    # For tests.

    def time(self) -> float:
        """Returns the seconds since the clock was made."""
        return self._now / 1000

    def advance(self, seconds: float) -> None:
        """Lets time pass. When this returns, all that happens until then has happened: pings, timeouts, sleeping handlers and tasks.

        In a test that is a coroutine, use `advance_async`.
        """
        self.run(seconds)

    async def advance_async(self, seconds: float) -> None:
        """Lets time pass, in a test that is a coroutine."""
        await self.run_async(seconds)

    # For the stages.

    def run(self, seconds: float | None, until: Callable[[], bool] | None = None) -> None:
        """Lets time pass, or less of it if something is there before."""
        if any(stage.is_here for stage in self._stages):
            raise RuntimeError("the event loop of this test has to run while time passes: await clock.advance_async(…)")
        drive(self.run_async(seconds, until))

    async def run_async(self, seconds: float | None, until: Callable[[], bool] | None = None) -> None:
        """Lets time pass, or less of it if something is there before."""
        target = self._now + _millis(FOREVER_SECONDS if seconds is None else seconds)
        await self._settle()
        while self._now < target and not (until is not None and until()):
            self._step(target)
            await self._settle()

    def _step(self, target: float) -> None:
        """Moves to the next timer."""
        timers: list[float] = [target]
        with self._lock:
            if self._timers:
                timers.append(self._timers[0][0])
        for stage in self._stages:
            at = stage.next_timer()
            if at is not None:
                timers.append(_millis(at))
        most = min(timers) - self._now
        if most > 0 and not self.runtime.step(most / 1000, _stage.PATIENCE_SECONDS):
            raise RuntimeError("the engine did not follow the clock")
        self._now = max(round(self.runtime.time() * 1000), self._now)
        for callback in self._due():
            callback()

    def _due(self) -> list[Callable[[], None]]:
        due = []
        with self._lock:
            while self._timers and self._timers[0][0] <= self._now:
                due.append(heapq.heappop(self._timers)[2])
        return due

    async def _settle(self) -> None:
        for stage in self._stages:
            await stage.settle()
        if len(self._stages) > 1:
            # Handlers of one server may have used another one.
            for stage in self._stages:
                await stage.settle()

    def call_at(self, at: float, callback: Callable[[], None]) -> None:
        """Calls a function at a time of the clock, and at its end if that comes first."""
        with self._lock:
            if self._is_open:
                heapq.heappush(self._timers, (_millis(at), next(self._numbers), callback))
                return
        callback()

    def is_owner(self) -> bool:
        """Returns whether this is the thread of the test."""
        return threading.current_thread() is self._owner

    def check_open(self) -> None:
        """Ends a handler or background task that has waited for a clock which is no more."""
        if not self._is_open:
            raise Ended

    def add(self, stage: _stage.Stage) -> None:
        """Takes a server under its rule."""
        self._stages.append(stage)

    def remove(self, stage: _stage.Stage) -> None:
        """Forgets a server."""
        if stage in self._stages:
            self._stages.remove(stage)

    def close(self) -> None:
        """Ends the servers that it rules, and those that wait for it."""
        # What ends after a time ends now.
        self.runtime.let_go()
        with self._lock:
            self._is_open = False
            waiting = [timer[2] for timer in self._timers]
            self._timers = []
        for callback in waiting:
            callback()
        for stage in list(self._stages):
            stage.abandon()
        self.runtime.stop()


class virtual_time:
    """Puts a virtual clock in force for the block: `with virtual_time() as clock`, also in tests that are coroutines.

    Servers whose first client comes within the block are ruled by it, and end with it.
    """

    def __init__(self) -> None:
        self._clock: Clock | None = None

    def __enter__(self) -> Clock:
        if _stage.clock() is not None:
            raise RuntimeError("a virtual clock is in force already")
        self._clock = Clock()
        _stage.set_clock(self._clock)
        return self._clock

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        clock, self._clock = self._clock, None
        _stage.set_clock(None)
        if clock is not None:
            clock.close()


def _millis(seconds: float) -> float:
    # A little less is as good as exact: 0.1 + 0.2 is not 301 ms.
    return math.ceil(seconds * 1000 - 1e-6) if math.isfinite(seconds) else seconds
