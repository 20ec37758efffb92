"""Registering functions as the handlers of events, for servers and clients."""

from __future__ import annotations

from typing import Any, Callable, TypeVar, overload

from ._handlers import Handler

#: A handler, whose type a decorator keeps.
H = TypeVar("H", bound=Handler)


class Registering:
    """Has the functions that handle events, by namespace and event."""

    handlers: dict[str, dict[str, Handler]]

    def _check_handler(self, event: str, handler: Handler, namespace: str) -> None:
        """Raises `TypeError` if a handler can never be called."""

    def _put_handler(self, event: str, handler: Handler, namespace: str) -> None:
        self.handlers.setdefault(namespace, {})[event] = handler

    @overload
    def on(self, event: str, handler: None = None, namespace: str | None = None) -> Callable[[H], H]: ...

    @overload
    def on(self, event: str, handler: Handler, namespace: str | None = None) -> None: ...

    def on(self, event: str, handler: Handler | None = None, namespace: str | None = None) -> Any:
        """Registers the handler of an event; as a decorator without `handler`.

        The last handler of an event in a namespace counts. `*` as event or as namespace takes those that have no handler.
        Raises `TypeError` if the handler can never be called, as its parameters do not fit.
        """
        namespace = namespace or "/"

        def register(function: H) -> H:
            self._check_handler(event, function, namespace)
            self._put_handler(event, function, namespace)
            return function

        if handler is None:
            return register
        register(handler)
        return None

    @overload
    def event(self, handler: H, /) -> H: ...

    @overload
    def event(self, *, namespace: str | None = None) -> Callable[[H], H]: ...

    def event(self, *args: Any, **kwargs: Any) -> Any:
        """Registers a function as the handler of the event of its name: `@sio.event` or `@sio.event(namespace=…)`."""
        if len(args) == 1 and not kwargs and callable(args[0]):
            return self.on(args[0].__name__)(args[0])

        def register(function: Any) -> Any:
            on: Callable[..., Any] = self.on
            return on(function.__name__, *args, **kwargs)(function)

        return register
