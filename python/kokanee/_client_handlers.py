"""Handlers of a client's events: with how many arguments each can be called, found out when it is registered."""

from __future__ import annotations

from typing import Any, Callable

from ._handlers import accepts

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


def _unfit(event: str, handler: Handler, form: str) -> TypeError:
    name = getattr(handler, "__qualname__", handler)
    return TypeError(f"a handler of {event!r} of a client is called as {form}, which {name} is not made for")


def lifecycle_args(event: str, handler: Handler, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns the arguments for a handler: one of `disconnect` may leave out the reason."""
    if event != "disconnect" or accepts(handler, len(args)):
        return args
    return args[:-1]
