"""How handlers, error handlers and hooks are registered, by an extension or by a blueprint; and how a handler is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .._handlers import accepts, arity_of, unfit, was_entered

if TYPE_CHECKING:
    from .namespace import Namespace

Handler = Callable[..., Any]
#: A handler, whose type a decorator keeps.
H = TypeVar("H", bound=Handler)
Hook = Callable[..., Any]

#: For each event of the life cycle: the arguments that its handler may take.
LIFECYCLE: dict[str, list[tuple[str, ...]]] = {"connect": [("auth",), ()], "disconnect": [("reason",), ()]}


class Handlers:
    """Registers handlers: the part of the API that an extension and a blueprint have in common."""

    def on(self, message: str, namespace: str | None = None) -> Callable[[H], H]:
        """Registers the decorated function as the handler of an event.

        It gets the arguments of the event. The handler of `connect` gets what the client has sent as `auth`, or nothing, that of
        `disconnect` the reason, or nothing. `*` takes events, or namespaces, that have no handler; the handler of event `*`
        gets the event's name first.
        """

        def register(handler: H) -> H:
            check(message, handler)
            self._add_handler(message, handler, namespace)
            return handler

        return register

    def on_event(self, message: str, handler: Handler, namespace: str | None = None) -> None:
        """Registers the handler of an event, as `on` does."""
        self.on(message, namespace=namespace)(handler)

    @overload
    def event(self, handler: H, /) -> H: ...

    @overload
    def event(self, namespace: str | None = None) -> Callable[[H], H]: ...

    def event(self, *args: Any, **kwargs: Any) -> Any:
        """Registers the decorated function as the handler of the event of its name: `@event` or `@event(namespace=…)`."""
        if len(args) == 1 and not kwargs and callable(args[0]):
            return self.on(args[0].__name__)(args[0])

        def register(handler: Any) -> Any:
            return self.on(handler.__name__, *args, **kwargs)(handler)

        return register

    def on_error(self, namespace: str | None = None) -> Callable[[H], H]:
        """Registers the decorated function for the exceptions of a namespace's handlers.

        It gets the exception, and what it returns is the acknowledgement.
        """

        def register(handler: H) -> H:
            _check_error_handler(handler)
            self._add_error_handler(handler, namespace or "/")
            return handler

        return register

    def before_event(self, hook: H) -> H:
        """Registers a function that is called, without arguments, before each handler.

        If it returns something, this is the result and the handler is not called, as with `before_request`.
        """
        self._before.append(hook)
        return hook

    def after_event(self, hook: H) -> H:
        """Registers a function that gets the result of each handler and returns what is the result instead.

        The last one that was registered is called first, and none after an exception.
        """
        self._after.append(hook)
        return hook

    _before: list[Hook]
    _after: list[Hook]

    def on_namespace(self, namespace_handler: Namespace) -> None:
        """Registers an object whose methods handle the events of its namespace."""
        raise NotImplementedError

    def _add_handler(self, message: str, handler: Handler, namespace: str | None) -> None:
        raise NotImplementedError

    def _add_error_handler(self, handler: Handler, namespace: str) -> None:
        raise NotImplementedError


def _check_error_handler(handler: Any) -> None:
    if not callable(handler):
        raise ValueError("exception_handler must be callable")


def check(message: str, handler: Handler) -> None:
    """Raises `TypeError` if a handler can never be called."""
    if message in LIFECYCLE:
        arity_of(message, handler, LIFECYCLE[message])
    elif message == "*" and not any(accepts(handler, count) for count in range(1, 10)):
        raise unfit(message, handler, [("event", "…")])


def for_arguments(message: str | None, handler: Handler) -> Handler:
    """Returns a function that takes the arguments of the server's events, and gives a handler those that it is for."""
    if message == "connect":
        return lambda environ=None, auth=None: _call_lifecycle(handler, auth)
    if message == "disconnect":
        return lambda reason=None: _call_lifecycle(handler, reason)
    return handler


def _call_lifecycle(handler: Handler, value: Any) -> Any:
    """Calls a handler of `connect` or `disconnect` with `auth` or the reason, or without, as it takes it.

    Only a wrapper that changes the arguments for what it wraps is called a second time, if what it wraps was not reached.
    """
    if not accepts(handler, 1):
        return handler()
    try:
        return handler(value)
    except TypeError as error:
        if not hasattr(handler, "__wrapped__") or was_entered(handler, error):
            raise
    return handler()


def call_hooked(
    call: Callable[[], Any], before: list[Hook], after: list[Hook], settle: Callable[[Any], Any]
) -> Any:
    """Calls a handler between hooks, and returns the result."""
    for hook in before:
        result = settle(hook())
        if result is not None:
            return result
    result = settle(call())
    for hook in reversed(after):
        result = settle(hook(result))
    return result
