"""What a handler calls: `emit`, `join_room` and the others, about the client whose event it handles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import flask
from flask.globals import _cv_request

from ._context import EventContext
from ._request import EventRequest

if TYPE_CHECKING:
    from ._extension import SocketIO

#: `flask.request`, with the attributes that it has in a handler.
request = cast(EventRequest, flask.request)


def current_request() -> EventRequest:
    """Returns the request of the event that is handled."""
    found: Any = flask.request._get_current_object()  # type: ignore[attr-defined]
    return cast(EventRequest, found)


def _here() -> tuple[SocketIO, str | None, str]:
    """Returns the extension, and client and namespace of the event that is handled; in an HTTP route, `None` and `/`."""
    context: Any = _cv_request.get(None)
    if type(context) is EventContext:
        # Its request is made for handlers that ask for it.
        sid, namespace, _, _ = context.event
        return context.app.extensions["socketio"], sid, namespace
    extension: SocketIO = flask.current_app.extensions["socketio"]
    if context is None:
        return extension, None, "/"
    return extension, getattr(flask.request, "sid", None), getattr(flask.request, "namespace", None) or "/"


def _known(sid: str | None, function: str) -> str:
    if sid is None:
        raise RuntimeError(f"{function}() is called outside of an event, where there is no client: say which one, or broadcast")
    return sid


def emit(
    event: str,
    *args: Any,
    namespace: str | None = None,
    to: Any = None,
    room: Any = None,
    broadcast: bool = False,
    include_self: bool = True,
    skip_sid: str | list[str] | None = None,
    callback: Callable[..., Any] | None = None,
    ignore_queue: bool = False,
) -> None:
    """Emits an event: to the client whose event is handled, to `to` (a room, a client, or a list), or to all (`broadcast`).

    All arguments after the event's name are its arguments. The namespace is that of the handled event, unless another one is given.
    `include_self=False` leaves out the client itself, `skip_sid` others.
    """
    extension, sid, own = _here()
    if not (to or room or broadcast) and not (extension._server._options["strict_targets"] and (to is not None or room is not None)):
        to, room = _known(sid, "emit"), None
    extension.emit(
        event,
        *args,
        namespace=own if namespace is None else namespace,
        to=to,
        room=room,
        include_self=include_self,
        skip_sid=skip_sid,
        callback=callback,
        ignore_queue=ignore_queue,
    )


def send(message: Any, *, json: bool = False, **options: Any) -> None:
    """Emits the event `message`, or `json`. It has the options of `emit`."""
    emit("json" if json else "message", message, **options)


def call(
    event: str,
    *args: Any,
    namespace: str | None = None,
    to: str | None = None,
    room: str | None = None,
    timeout: float | None = 60,
    ignore_queue: bool = False,
) -> Any:
    """Emits an event to one client, by default that whose event is handled, and waits for its answer.

    Raises `TimeoutError` after `timeout` seconds, or when the client leaves.
    """
    extension, sid, own = _here()
    return extension.call(
        event,
        *args,
        namespace=namespace or own,
        to=to or room or _known(sid, "call"),
        timeout=timeout,
        ignore_queue=ignore_queue,
    )


def join_room(room: Any, sid: str | None = None, namespace: str | None = None) -> None:
    """Puts a client into a room."""
    extension, own_sid, own = _here()
    extension._server.enter_room(sid or _known(own_sid, "join_room"), room, namespace=namespace or own)


def leave_room(room: Any, sid: str | None = None, namespace: str | None = None) -> None:
    """Takes a client out of a room."""
    extension, own_sid, own = _here()
    extension._server.leave_room(sid or _known(own_sid, "leave_room"), room, namespace=namespace or own)


def close_room(room: Any, namespace: str | None = None) -> None:
    """Takes all clients out of a room."""
    extension, _, own = _here()
    extension.close_room(room, namespace=namespace or own)


def rooms(sid: str | None = None, namespace: str | None = None) -> list[Any]:
    """Returns the rooms of a client, its own included."""
    extension, own_sid, own = _here()
    return extension._server.rooms(sid or _known(own_sid, "rooms"), namespace=namespace or own)


def participants(room: Any = None, namespace: str | None = None) -> list[str]:
    """Returns the clients in a room; without one, all of the namespace. See `SocketIO.participants`."""
    extension, _, own = _here()
    return extension.participants(room, namespace=namespace or own)


def disconnect(sid: str | None = None, namespace: str | None = None, silent: bool = False) -> None:
    """Disconnects a client from the namespace. `silent` has no effect, as in Flask-SocketIO."""
    extension, own_sid, own = _here()
    extension._server.disconnect(sid or _known(own_sid, "disconnect"), namespace=namespace or own)
