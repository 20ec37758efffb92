"""Class-based handlers of an extension."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..exceptions import ConnectionRefusedError
from ..namespace import Namespace as _Namespace
from ._functions import current_request

if TYPE_CHECKING:
    from ._extension import SocketIO


class Namespace(_Namespace):
    """Receives the events of one namespace: `my_event` goes to the method `on_my_event`, without the client as an argument.

    A method `error` gets the exceptions of the others. The namespace `*` takes those that have no handler.
    """

    def __init__(self, namespace: str | None = None) -> None:
        super().__init__(namespace)
        self.socketio: SocketIO | None = None
        #: What a blueprint puts around methods.
        self._around: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None

    @property
    def server(self) -> Any:
        """The server of the current application; see `SocketIO`."""
        return self._extension._server

    @server.setter
    def server(self, server: Any) -> None:
        """Does nothing: each application of the extension has one."""

    def _set_socketio(self, socketio: SocketIO) -> None:
        self.socketio = socketio

    def handles(self, event: str) -> bool:
        """Returns whether there is a method for an event; a class with a `trigger_event` of its own takes all."""
        return hasattr(self, "on_" + event) or type(self).trigger_event is not Namespace.trigger_event

    def trigger_event(self, event: str, *args: Any) -> Any:
        """Calls the method of an event; `None` if there is none."""
        handler = getattr(self, "on_" + (event or ""), None)
        if handler is None:
            return None
        namespace = self.namespace
        if namespace == "*":
            namespace, *args = args  # type: ignore[assignment]
        if self._around is not None:
            handler = self._around(handler)
        try:
            return self._extension._handle_event(handler, event, namespace, *args)
        except ConnectionRefusedError:
            # It is an answer to the client, and not a failure.
            raise
        except Exception as error:
            on_error = getattr(self, "error", None)
            if on_error is None:
                raise
            return self._extension._settle(on_error(error))

    @property
    def _extension(self) -> SocketIO:
        if self.socketio is None:
            raise RuntimeError(f"register it first: socketio.on_namespace({type(self).__name__}({self.namespace!r}))")
        return self.socketio

    def emit(  # type: ignore[override]
        self,
        event: str,
        data: Any = None,
        room: Any = None,
        include_self: bool = True,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        **options: Any,
    ) -> None:
        """Emits an event, to all clients of the namespace unless there is a target.

        A tuple as `data` is spread over several arguments. The other options are those of `SocketIO.emit`.
        """
        args = data if isinstance(data, tuple) else () if data is None else (data,)
        self._extension.emit(
            event,
            *args,
            to=options.pop("to", None),
            room=room,
            include_self=include_self,
            namespace=namespace or self._own(),
            callback=callback,
            **options,
        )

    def send(  # type: ignore[override]
        self,
        data: Any,
        room: Any = None,
        include_self: bool = True,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        **options: Any,
    ) -> None:
        """Emits the event `message`, or with `json=True` the event `json`; see `emit`."""
        name = "json" if options.pop("json", False) else "message"
        self.emit(name, data, room, include_self, namespace, callback, **options)

    def close_room(self, room: Any, namespace: str | None = None) -> None:
        """Takes all clients out of a room."""
        self._extension.close_room(room, namespace=namespace or self._own())

    def _own(self) -> str:
        """Returns the namespace to emit in: of one for all, that of the event."""
        if self.namespace != "*":
            return self.namespace
        return current_request().namespace
