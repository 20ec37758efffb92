"""`SocketView`: the handlers of a namespace as methods of a class, as `View` has those of a page."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction

from .._handlers import Handler
from .._steps import settle

if TYPE_CHECKING:
    from ._registry import Namespace, Sockets
    from ._socket import Socket

_PREFIX = "on_"


class SocketView:
    """Handles the events of a namespace: the method `on_say` gets `(socket, *arguments)` of the event `say`.

    `@sockets.register("/chat")` registers a class. As with views of pages, each event has an object of its own, and attributes of
    the class are options: `sockets.register("/chat", Chat, room="lobby")`. Methods are functions or coroutine functions.
    """

    #: The client whose event is handled.
    socket: Socket
    #: What sends to the clients of the namespace.
    namespace: Namespace
    #: The name of the event.
    event: str

    def __init__(self, **options: Any) -> None:
        for name, value in options.items():
            setattr(self, name, value)

    def setup(self, sockets: Sockets, socket: Socket, event: str) -> None:
        """Prepares the object for an event, before `dispatch`."""
        self.socket = socket
        self.namespace = sockets.namespace(socket.namespace)
        self.event = event

    def dispatch(self, *args: Any) -> Any:
        """Calls the method of the event with the socket and the arguments. A class may do something around all methods here.

        It runs where the method does, and returns a coroutine if that is a coroutine function.
        """
        return getattr(self, _PREFIX + self.event)(*args)


def handlers(sockets: Sockets, view: type[SocketView], options: dict[str, Any]) -> Iterator[tuple[str, Handler]]:
    """Yields the events that a class handles, each with a function for it. Raises `TypeError` if it can never be made."""
    if not (isinstance(view, type) and issubclass(view, SocketView)):
        raise TypeError(f"{view!r} is not a class that is made of SocketView")
    for name in options:
        if not hasattr(view, name) or name.startswith(_PREFIX):
            raise TypeError(f"{view.__name__} has no option {name!r}: options are attributes of the class")
    names = [name for name in dir(view) if name.startswith(_PREFIX) and callable(getattr(view, name))]
    if not names:
        raise TypeError(f"{view.__name__} has no method such as on_connect or on_message")
    for name in names:
        yield name.removeprefix(_PREFIX), _handler(sockets, view, options, name)


def _handler(sockets: Sockets, view: type[SocketView], options: dict[str, Any], name: str) -> Handler:
    event = name.removeprefix(_PREFIX)
    method: Callable[..., Any] = getattr(view, name)

    def dispatch(socket: Socket, *args: Any) -> Any:
        made = view(**options)
        made.setup(sockets, socket, event)
        return made.dispatch(socket, *args)

    async def adispatch(socket: Socket, *args: Any) -> Any:
        return await settle(dispatch(socket, *args))

    handler: Any = functools.wraps(method)(adispatch if iscoroutinefunction(method) else dispatch)
    # What is said of its parameters is about those of the method, except the object.
    handler.__signature__ = inspect.signature(getattr(view(**options), name))
    return handler  # type: ignore[no-any-return]
