"""What happens to engines when their process forks, and when it ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from typing import Any

from . import _engine, _workers

#: How long sessions are given to end, and handlers to return, at the end of the process.
CLOSE_SECONDS = 1.0
JOIN_SECONDS = 1.0

#: The engines that this process has started, and where their handlers run.
_running: list[tuple[Any, Any]] = []
_ended = False
_registered = False


def install() -> None:
    """Registers what runs at a fork and at the end of the process. Nothing else happens at import."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)
    atexit.register(_at_exit)


def started(engine: Any, mode: Any = None) -> None:
    """Takes note of an engine, to close it at the end of the process."""
    global _registered
    if (engine, mode) not in _running:
        _running.append((engine, mode))
    if not _registered:
        _registered = True
        # Threads of a host may wait for the engine, and are joined before what `atexit` knows is called. What is registered
        # last is called first.
        register = getattr(threading, "_register_atexit", None)
        if register is not None:
            with contextlib.suppress(RuntimeError):
                register(_at_exit)


def stopped(engine: Any) -> None:
    """Forgets an engine that has ended."""
    _running[:] = [(each, mode) for each, mode in _running if each is not engine]


def end_quietly() -> None:
    """Does not return if the interpreter ends and this is a daemon thread: its code has no use for an error any more."""
    if _ended and threading.current_thread().daemon:
        threading.Event().wait()


def is_running() -> bool:
    """Returns whether this process has started an engine."""
    return bool(_running)


def close_all(seconds: float, others: list[Any]) -> None:
    """Ends the sessions of all engines except some, as their polls would wait for longer."""
    for engine, _ in list(_running):
        if engine not in others:
            engine.close(seconds)


def _after_fork() -> None:
    for server in list(_workers.servers):
        for descriptor in server._engine.group_descriptors():
            # Other workers would take this child for its parent.
            with contextlib.suppress(OSError):
                os.close(descriptor)
    _running.clear()
    _engine.after_fork()


def _at_exit() -> None:
    """Ends all sessions, so that clients connect again at once, then the threads: none may outlive the interpreter."""
    global _ended
    if _ended:
        return
    _ended = True
    for engine, _ in _running:
        engine.close(CLOSE_SECONDS)
    for _, mode in _running:
        if mode is not None:
            mode.join(JOIN_SECONDS)
    for engine, _ in _running:
        engine.leave_group(JOIN_SECONDS)
    _engine.shutdown()


install()
