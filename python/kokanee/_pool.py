"""Threads that handle what a queue of the engine has: events of a server, or requests of the package's own host."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any, Protocol


class Source(Protocol):
    """Has what the threads of a pool handle."""

    def take(self, seconds: float, /) -> Any:
        """Waits for the next item. Returns `None` after so many seconds, or if the source is closed and nothing is left."""

    def handle(self, item: Any, /) -> None:
        """Handles an item."""

    def wait_busy(self, seconds: float, /) -> int:
        """Waits until items have waited for so many seconds, and returns how many do. 0: the source is closed."""

    def is_closed(self) -> bool:
        """Returns whether there will be no more items."""


class Pool:
    """Begins with one thread, and has one more while all are busy and items wait; those that are idle end, except the last one."""

    #: How long a thread waits for an item before it ends.
    idle_seconds = 30.0
    #: How long an item waits before one more thread is started.
    patience_seconds = 0.005

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._supervisor: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._threads)

    def start(self, source: Source) -> None:
        """Begins to handle the items of a source; again, after that was closed and opened."""
        self._add(1, source)
        self._supervisor = threading.Thread(
            target=self._supervise, args=(source,), name=f"{self._name}-supervisor", daemon=True
        )
        self._supervisor.start()

    def grow(self, waiting: int, source: Source) -> None:
        """Starts threads for so many items, at most as many as there are."""
        room = self._most - len(self._threads)
        self._add(min(waiting, max(len(self._threads), 1), room), source)

    def join(self, seconds: float) -> None:
        """Waits until the threads have ended, after their source was closed; not for those whose handler does not return."""
        deadline = time.monotonic() + seconds
        with self._lock:
            threads = [*self._threads, self._supervisor]
        for thread in threads:
            # The system may not have started it.
            if thread is not None and thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(deadline - time.monotonic(), 0))

    def _add(self, count: int, source: Source) -> None:
        for _ in range(count):
            thread = threading.Thread(target=self._work, args=(source,), name=self._name, daemon=True)
            # Who has the lock finds none that has not started, and may join all.
            with self._lock:
                self._threads.add(thread)
                try:
                    thread.start()
                except RuntimeError:
                    # The system gives no more threads, or the interpreter ends.
                    self._threads.discard(thread)
                    return

    def _work(self, source: Source) -> None:
        take, handle = source.take, source.handle
        while True:
            item = take(self.idle_seconds)
            if item is not None:
                try:
                    handle(item)
                except SystemExit:
                    # As in any thread: it ends what runs here, which is the handler.
                    pass
                except BaseException:
                    threading.excepthook(
                        threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread()))
                    )
                # Nothing of an item is kept while the next one is waited for.
                del item
                continue
            with self._lock:
                if len(self._threads) > 1 or source.is_closed():
                    self._threads.discard(threading.current_thread())
                    return

    def _supervise(self, source: Source) -> None:
        # The threads end by themselves when the source is closed, and so does this.
        while waiting := source.wait_busy(self.patience_seconds):
            if self._supervisor is not threading.current_thread():
                # The source was opened again, with another one.
                return
            self.grow(waiting, source)
