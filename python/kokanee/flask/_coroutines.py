"""Handlers that are coroutine functions: all run on one event loop, on a thread of its own, and their event waits for them."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_process = 0


def run(coroutine: Coroutine[Any, Any, Any], async_mode: str) -> Any:
    """Runs a coroutine in the context of the caller, and returns its result."""
    if async_mode != "threading":
        coroutine.close()
        raise RuntimeError(
            f"a handler that is a coroutine function needs threads, and not async_mode={async_mode!r}: "
            "an event loop would hold up all greenlets"
        )
    loop = _running_loop()
    if threading.current_thread().name == _NAME:
        coroutine.close()
        raise RuntimeError("a coroutine cannot wait for another one in this way: await it")
    # The task inherits the caller's context variables, and so what Flask has in them.
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


_NAME = "kokanee-flask-loop"


def _running_loop() -> asyncio.AbstractEventLoop:
    """Returns the event loop of this process, which the first coroutine starts."""
    global _loop, _process
    with _lock:
        if _loop is None or _process != os.getpid():
            _loop = asyncio.new_event_loop()
            _process = os.getpid()
            threading.Thread(target=_loop.run_forever, name=_NAME, daemon=True).start()
        return _loop
