"""Handlers of a client's events: with how many arguments each can be called, found out when it is registered."""

from __future__ import annotations

import inspect
from typing import Any, Callable

from ._handlers import accepts
from ._recovery import fitted

Handler = Callable[..., Any]

#: Events of the life cycle, which only the client itself raises, and which `*` does not take.
RESERVED = ("connect", "connect_error", "disconnect", "__disconnect_final")


def check(event: str, handler: Handler, namespace: str) -> None:
    """Raises `TypeError` if a handler of the life cycle can never be called."""
    extra = 1 if namespace == "*" else 0
    if event == "connect" and not accepts(handler, extra):
        raise _unfit(event, handler, "connect(namespace)" if extra else "connect()")
    if event == "disconnect" and not (accepts(handler, extra + 1) or accepts(handler, extra)):
        raise _unfit(event, handler, "disconnect(namespace, reason)" if extra else "disconnect(reason)")


def check_plain(
    event: str, handler: Handler, role: str = "handler", why: str = "a Client does not await: use AsyncClient"
) -> None:
    """Raises `TypeError` if a handler or a callback is a coroutine function: nothing awaits it."""
    call = getattr(handler, "__call__", None)  # noqa: B004
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call):
        name = getattr(handler, "__qualname__", handler)
        raise TypeError(f"the {role} {name} of {event!r} is a coroutine function, which {why}")


def check_namespace(namespace_handler: Any) -> None:
    """Raises `TypeError` if a method for an event is a coroutine function."""
    for name in dir(namespace_handler):
        if name.startswith("on_") and callable(method := getattr(namespace_handler, name)):
            check_plain(name.removeprefix("on_"), method)


def _unfit(event: str, handler: Handler, form: str) -> TypeError:
    name = getattr(handler, "__qualname__", handler)
    return TypeError(f"a handler of {event!r} of a client is called as {form}, which {name} is not made for")


def handler_args(event: str, handler: Handler, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns the arguments for a handler: one of `disconnect` may leave out the reason, others the offset of a recovery."""
    if event != "disconnect":
        return fitted(handler, args)
    return args if accepts(handler, len(args)) else args[:-1]
