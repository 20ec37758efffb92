"""`SocketBlueprint`: handlers that are written in one file and registered in another."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._handlers import Handler, Handlers, Hook, call_hooked

if TYPE_CHECKING:
    from ._extension import SocketIO
    from .namespace import Namespace


class SocketBlueprint(Handlers):
    """Groups handlers, below a namespace, until an extension registers them: `socketio.register_blueprint(chat)`.

    A handler of `namespace="/admin"` in a blueprint of `/chat` is one of `/chat/admin`, and one without is of `/chat`. Its hooks
    are called for its own handlers, after those of the extension.
    """

    def __init__(self, name: str, namespace: str = "/") -> None:
        self.name = name
        self.namespace = namespace
        self._before: list[Hook] = []
        self._after: list[Hook] = []
        self._settle: Callable[[Any], Any] = lambda value: value
        self._steps: list[Callable[[SocketIO, str], None]] = []

    def _defer(self, step: Callable[[SocketIO, str], None]) -> None:
        self._steps.append(step)

    def on_namespace(self, namespace_handler: Namespace) -> None:
        """Registers an object whose methods handle the events of its namespace, which is below that of the blueprint."""
        own = namespace_handler.namespace

        def step(socketio: SocketIO, prefix: str) -> None:
            namespace_handler.namespace = joined(prefix, own)
            namespace_handler._around = functools.partial(self._wrapped, socketio)
            socketio.on_namespace(namespace_handler)

        self._defer(step)

    def register_blueprint(self, blueprint: SocketBlueprint, namespace: str = "/") -> None:
        """Registers another blueprint below this one, whose hooks then are around it."""
        self._defer(lambda socketio, prefix: blueprint._register(socketio, joined(prefix, namespace)))

    def _add_handler(self, message: str, handler: Handler, namespace: str | None) -> None:
        self._defer(
            lambda socketio, prefix: socketio.on_event(
                message, self._wrapped(socketio, handler), joined(prefix, namespace)
            )
        )

    def _add_error_handler(self, handler: Handler, namespace: str) -> None:
        def step(socketio: SocketIO, prefix: str) -> None:
            socketio.on_error(joined(prefix, namespace))(handler)

        self._defer(step)

    def _wrapped(self, socketio: SocketIO, handler: Handler) -> Handler:
        """Returns a handler between the blueprint's hooks."""
        if not self._before and not self._after:
            return handler

        @functools.wraps(handler)
        def call(*args: Any) -> Any:
            return call_hooked(lambda: handler(*args), self._before, self._after, socketio._settle)

        return call

    def _register(self, socketio: SocketIO, prefix: str) -> None:
        for step in self._steps:
            step(socketio, joined(prefix, self.namespace))


def joined(prefix: str, namespace: str | None) -> str:
    """Returns a namespace below another one."""
    if namespace == "*" and prefix.strip("/"):
        raise ValueError(f"namespace '*' in a blueprint below {prefix!r}: it is for all namespaces, so register it directly")
    if namespace == "*":
        return namespace
    parts = [part.strip("/") for part in (prefix, namespace or "/")]
    return "/" + "/".join(part for part in parts if part)
