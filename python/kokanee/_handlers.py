"""Handlers of events: with how many arguments each can be called, found out once, when it is registered."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable

Handler = Callable[..., Any]

#: For each event of the life cycle: the arguments that it may be called with, the fullest first.
LIFECYCLE: dict[str, list[tuple[str, ...]]] = {
    "connect": [("sid", "environ", "auth"), ("sid", "environ")],
    "disconnect": [("sid", "reason"), ("sid",)],
}


def accepts(handler: Handler, count: int) -> bool:
    """Returns whether a handler can be called with so many positional arguments; if that is unknown, `True`."""
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


@functools.lru_cache(maxsize=1024)
def lifecycle_arity(event: str, handler: Handler, extra: int = 0) -> int:
    """Returns with how many arguments a handler of `connect` or `disconnect` is called.

    `extra` arguments come first for catch-all namespaces. Raises `TypeError` if the handler fits none of the forms.
    """
    for form in LIFECYCLE[event]:
        if accepts(handler, len(form) + extra):
            return len(form) + extra
    forms = " or ".join(f"{event}({', '.join(form)})" for form in LIFECYCLE[event])
    try:
        own = f"{getattr(handler, '__qualname__', handler)}{inspect.signature(handler)}"
    except (TypeError, ValueError):
        own = repr(handler)
    raise TypeError(f"a handler of {event!r} is called as {forms}, but this one is {own}")
