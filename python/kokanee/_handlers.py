"""Handlers of events: with how many arguments each can be called, found out once, when it is registered."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from types import FunctionType, MethodType
from typing import Any, Callable

from ._steps import settle

Handler = Callable[..., Any]

#: For each event of the life cycle: the arguments that it may be called with, the fullest first.
LIFECYCLE: dict[str, list[tuple[str, ...]]] = {
    "connect": [("sid", "environ", "auth"), ("sid", "environ")],
    "disconnect": [("sid", "reason"), ("sid",)],
}


def accepts(handler: Handler, count: int) -> bool:
    """Returns whether a handler can be called with so many positional arguments; if that is unknown, `True`."""
    function = handler.__func__ if type(handler) is MethodType else handler
    if type(function) is FunctionType and not function.__code__.co_kwonlyargcount and not hasattr(function, "__wrapped__"):
        # As most are: events of some servers ask for each, and `inspect` is slow.
        code = function.__code__
        given = count + (function is not handler)
        takes_all = bool(code.co_flags & inspect.CO_VARARGS)
        return given >= code.co_argcount - len(function.__defaults__ or ()) and (takes_all or given <= code.co_argcount)
    signature = _signature(handler)
    if signature is None:
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True


def _signature(handler: Handler) -> inspect.Signature | None:
    """Returns the signature of a handler; of a wrapper that passes all arguments on, that of what it wraps."""
    while True:
        try:
            signature = inspect.signature(handler, follow_wrapped=False)
        except (TypeError, ValueError):
            return None
        wrapped = getattr(handler, "__wrapped__", None)
        kinds = {parameter.kind for parameter in signature.parameters.values()}
        passes_on = inspect.Parameter.VAR_POSITIONAL in kinds and kinds <= {
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        }
        if not passes_on or not callable(wrapped):
            return signature
        handler = wrapped


def arity_of(event: str, handler: Handler, forms: Sequence[tuple[str, ...]]) -> int:
    """Returns with how many arguments a handler is called: those of the first form that fits. Raises `TypeError` if none does."""
    for form in forms:
        if accepts(handler, len(form)):
            return len(form)
    raise unfit(event, handler, forms)


def unfit(event: str, handler: Handler, forms: Sequence[tuple[str, ...]]) -> TypeError:
    """Returns the exception for a handler that can never be called."""
    shapes = " or ".join(f"{event}({', '.join(form)})" for form in forms)
    own = f"{getattr(handler, '__qualname__', handler)}{_signature(handler)}"
    return TypeError(f"a handler of {event!r} is called as {shapes}, but this one is {own}")


@functools.lru_cache(maxsize=1024)
def lifecycle_arity(event: str, handler: Handler, extra: int = 0) -> int:
    """Returns with how many arguments a handler of `connect` or `disconnect` is called.

    `extra` arguments come first for catch-all namespaces. Raises `TypeError` if the handler fits none of the forms.
    """
    first = ("namespace",) if extra else ()
    return arity_of(event, handler, [(*first, *form) for form in LIFECYCLE[event]])


def check(event: str, handler: Handler, namespace: str) -> None:
    """Raises `TypeError` if a handler of an event in a namespace can never be called: with whatever arguments of a client."""
    if event in LIFECYCLE:
        lifecycle_arity(event, handler, 1 if namespace == "*" else 0)
        return
    first = ["event"] if event == "*" else []
    if namespace == "*":
        first.append("namespace")
    _check_event(event, handler, [*first, "sid"])


def _check_event(event: str, handler: Handler, first: list[str]) -> None:
    signature = _signature(handler)
    if signature is None:
        return
    most, fits = 0, True
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            most += len(first)
        elif parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            fits = fits and parameter.default is not inspect.Parameter.empty
        elif parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            most += 1
    if not fits or most < len(first):
        raise unfit(event, handler, [(*first, "…")])


def check_namespace(namespace: Any) -> None:
    """Raises `TypeError` if a method of a class for a namespace can never be called."""
    trigger = getattr(type(namespace), "trigger_event", None)
    if getattr(trigger, "__module__", "") not in (f"{__package__}.namespace", f"{__package__}.async_namespace"):
        # It calls its methods in a way of its own.
        return
    extra = 1 if namespace.namespace == "*" else 0
    for name in dir(type(namespace)):
        handler = getattr(namespace, name, None) if name.startswith("on_") else None
        if not callable(handler):
            continue
        event = name.removeprefix("on_")
        if event in LIFECYCLE:
            lifecycle_arity(event, handler, extra)
        else:
            _check_event(event, handler, ["namespace", "sid"][1 - extra :])


def attempts(event: str, handler: Handler, args: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Returns the arguments for a handler of the life cycle: as many as it takes.

    Two forms if only calling it can tell, as it is a wrapper that changes the arguments for what it wraps.
    """
    forms = LIFECYCLE[event]
    extra = max(len(args) - len(forms[0]), 0)
    first = args[: lifecycle_arity(event, handler, extra)]
    shortest = len(forms[-1]) + extra
    if len(first) > shortest and hasattr(handler, "__wrapped__") and _changes_arguments(handler):
        return [first, first[:shortest]]
    return [first]


async def call_lifecycle(event: str, handler: Handler, args: tuple[Any, ...]) -> Any:
    """Calls a handler of the life cycle with as many arguments as it takes. What it wraps runs once."""
    first, *others = attempts(event, handler, args)
    try:
        return await settle(handler(*first))
    except TypeError as error:
        if not others or was_entered(handler, error):
            raise
    return await settle(handler(*others[0]))


def _changes_arguments(handler: Handler) -> bool:
    signature = _signature(handler)
    if signature is None:
        return False
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    return inspect.Parameter.VAR_POSITIONAL in kinds[1:]


def was_entered(handler: Handler, error: BaseException) -> bool:
    """Returns whether an exception comes from within what a handler wraps, or from a call of that which failed."""
    code = getattr(inspect.unwrap(handler), "__code__", None)
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code is code:
            return True
        traceback = traceback.tb_next
    return False
