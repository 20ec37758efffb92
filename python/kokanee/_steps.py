"""How one text of code serves functions and coroutines: it is written as a coroutine that awaits `settle(value)`.

`AsyncServer` and `AsyncClient` await it. `Server` and `Client` run it with `drive`: there every value is a plain one, so that it never
suspends.
"""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from types import CoroutineType, NoneType
from typing import Any, TypeVar

T = TypeVar("T")

#: Types of most values, none of which can be awaited.
PLAIN = frozenset((NoneType, bool, int, float, str, bytes, list, tuple, dict))


def is_awaitable(value: Any) -> bool:
    """Returns whether a value can be awaited; faster than `inspect` for most."""
    kind = type(value)
    return kind is CoroutineType or (kind not in PLAIN and inspect.isawaitable(value))


async def settle(value: Any) -> Any:
    """Returns a value, or what an awaitable gives."""
    return await value if is_awaitable(value) else value


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine that never suspends, and returns its result."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("an awaitable where handlers are functions: use AsyncServer or AsyncClient")
