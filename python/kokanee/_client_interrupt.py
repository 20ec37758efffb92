"""What the first Ctrl-C does to a program whose event loop is blocked by a handler: it ends it, as without asyncio.

`asyncio.run` cancels the program's task, which has no effect before the handler returns, and interrupts the handler at the second Ctrl-C.
"""

from __future__ import annotations

import asyncio
import functools
import signal
import threading
from typing import Any

#: How long the loop may take to notice the first Ctrl-C.
PATIENCE_SECONDS = 0.5


class Interrupt:
    """Stands in the place of the handler of SIGINT that `asyncio.run` has, while the clients of a loop have connections."""

    def __init__(self, loop: asyncio.AbstractEventLoop, before: functools.partial[Any]) -> None:
        self._loop = loop
        self._before = before
        #: Whether the program's task was cancelled.
        self.is_pressed = False
        signal.signal(signal.SIGINT, self)

    def __call__(self, number: int, frame: Any) -> None:
        noticed, self.is_pressed = threading.Event(), True
        try:
            # The second one raises.
            self._before(number, frame)
        finally:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(noticed.set)
        threading.Thread(target=self._watch, args=(noticed,), name="kokanee-interrupt", daemon=True).start()

    def _watch(self, noticed: threading.Event) -> None:
        main = threading.main_thread().ident
        if not noticed.wait(PATIENCE_SECONDS) and main is not None and signal.getsignal(signal.SIGINT) is self:
            # A signal ends a sleep, which an exception alone does not.
            signal.pthread_kill(main, signal.SIGINT)

    def end(self) -> None:
        """Gives the place back."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is self:
            is_over = self._before.keywords["main_task"].done()
            signal.signal(signal.SIGINT, signal.default_int_handler if is_over else self._before)


def watch(loop: asyncio.AbstractEventLoop) -> Interrupt | None:
    """Watches for Ctrl-C, if `asyncio.run` does in this thread."""
    if threading.current_thread() is not threading.main_thread():
        return None
    before = signal.getsignal(signal.SIGINT)
    if isinstance(before, functools.partial) and "main_task" in before.keywords and _is_of_asyncio(before.func):
        return Interrupt(loop, before)
    return None


def _is_of_asyncio(function: Any) -> bool:
    # Python 3.10 has no such class: there, the first Ctrl-C interrupts whatever runs.
    return isinstance(getattr(function, "__self__", None), getattr(asyncio, "Runner", ()))
