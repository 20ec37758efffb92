"""`SocketBlueprint`: handlers that are written in one file and registered in another."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._handlers import H, Handler, Handlers, Hook, call_hooked

if TYPE_CHECKING:
    from ._extension import SocketIO
    from .namespace import Namespace

#: What puts hooks around a handler.
Around = Callable[[Handler], Handler]
#: Registers something of a blueprint, below a namespace.
Step = Callable[["SocketIO", str, Around], None]


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
        self._steps: list[Step] = []
        self._is_registered = False

    def _check_open(self) -> None:
        if self._is_registered:
            raise RuntimeError(f"the blueprint {self.name!r} is registered already: complete it first")

    def before_event(self, hook: H) -> H:
        """Registers a function that is called before each handler of the blueprint; see `SocketIO.before_event`."""
        self._check_open()
        return super().before_event(hook)

    def after_event(self, hook: H) -> H:
        """Registers a function that gets the result of each handler of the blueprint; see `SocketIO.after_event`."""
        self._check_open()
        return super().after_event(hook)

    def on_namespace(self, namespace_handler: Namespace) -> None:
        """Registers an object whose methods handle the events of its namespace, which is below that of the blueprint."""

        def step(socketio: SocketIO, prefix: str, around: Around) -> None:
            # The blueprint may be registered below several namespaces.
            own = copy.copy(namespace_handler)
            own.namespace = joined(prefix, namespace_handler.namespace)
            own._around = around
            socketio.on_namespace(own)

        self._defer(step)

    def register_blueprint(self, blueprint: SocketBlueprint, namespace: str = "/") -> None:
        """Registers another blueprint below this one, whose hooks are then around its handlers, too."""

        def step(socketio: SocketIO, prefix: str, around: Around) -> None:
            blueprint._register(socketio, joined(prefix, namespace), around)

        self._defer(step)

    def _add_handler(self, message: str, handler: Handler, namespace: str | None) -> None:
        def step(socketio: SocketIO, prefix: str, around: Around) -> None:
            socketio.on_event(message, around(handler), joined(prefix, namespace))

        self._defer(step)

    def _add_error_handler(self, handler: Handler, namespace: str) -> None:
        def step(socketio: SocketIO, prefix: str, around: Around) -> None:
            socketio.on_error(joined(prefix, namespace))(handler)

        self._defer(step)

    def _defer(self, step: Step) -> None:
        self._check_open()
        self._steps.append(step)

    def _register(self, socketio: SocketIO, prefix: str, outer: Around) -> None:
        self._is_registered = True

        def around(handler: Handler) -> Handler:
            return outer(self._between_hooks(socketio, handler))

        for step in self._steps:
            step(socketio, joined(prefix, self.namespace), around)

    def _between_hooks(self, socketio: SocketIO, handler: Handler) -> Handler:
        if not self._before and not self._after:
            return handler

        @functools.wraps(handler)
        def call(*args: Any) -> Any:
            return call_hooked(lambda: handler(*args), self._before, self._after, socketio._settle)

        return call


def joined(prefix: str, namespace: str | None) -> str:
    """Returns a namespace below another one."""
    if namespace == "*" and prefix.strip("/"):
        raise ValueError(f"namespace '*' in a blueprint below {prefix!r}: it is for all namespaces, so register it directly")
    if namespace == "*" or (prefix == "*" and namespace in (None, "/")):
        return "*"
    parts = [part.strip("/") for part in (prefix, namespace or "/")]
    return "/" + "/".join(part for part in parts if part)
