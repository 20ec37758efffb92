"""What a handler calls: `emit`, `join_room` and the others, about the client whose event it handles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import flask

from ._request import EventRequest

if TYPE_CHECKING:
    from ._extension import SocketIO

#: `flask.request`, with the attributes that it has in a handler.
request = cast(EventRequest, flask.request)


def current_request() -> EventRequest:
    """Returns the request of the event that is handled."""
    found: Any = flask.request._get_current_object()  # type: ignore[attr-defined]
    return cast(EventRequest, found)


def _extension() -> SocketIO:
    found: SocketIO = flask.current_app.extensions["socketio"]
    return found


def _sid(function: str) -> str:
    sid: str | None = getattr(current_request(), "sid", None)
    if sid is None:
        raise RuntimeError(f"{function}() is called outside of an event, where there is no client: say which one, or broadcast")
    return sid


def _namespace(given: str | None) -> str:
    """Returns the namespace that is meant: that of the event, or `/` in an HTTP route."""
    if given is not None:
        return given
    if not flask.has_request_context():
        return "/"
    namespace: str = getattr(current_request(), "namespace", None) or "/"
    return namespace


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
    target = to or room
    if not target and not broadcast:
        target = _sid("emit")
    _extension().emit(
        event,
        *args,
        namespace=_namespace(namespace),
        to=target,
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
    return _extension().call(
        event,
        *args,
        namespace=_namespace(namespace),
        to=to or room or _sid("call"),
        timeout=timeout,
        ignore_queue=ignore_queue,
    )


def join_room(room: Any, sid: str | None = None, namespace: str | None = None) -> None:
    """Puts a client into a room."""
    _extension()._server.enter_room(sid or _sid("join_room"), room, namespace=_namespace(namespace))


def leave_room(room: Any, sid: str | None = None, namespace: str | None = None) -> None:
    """Takes a client out of a room."""
    _extension()._server.leave_room(sid or _sid("leave_room"), room, namespace=_namespace(namespace))


def close_room(room: Any, namespace: str | None = None) -> None:
    """Takes all clients out of a room."""
    _extension().close_room(room, namespace=_namespace(namespace))


def rooms(sid: str | None = None, namespace: str | None = None) -> list[Any]:
    """Returns the rooms of a client, its own included."""
    return _extension()._server.rooms(sid or _sid("rooms"), namespace=_namespace(namespace))


def participants(room: Any = None, namespace: str | None = None) -> list[str]:
    """Returns the clients in a room; without one, all of the namespace. See `SocketIO.participants`."""
    return _extension().participants(room, namespace=_namespace(namespace))


def disconnect(sid: str | None = None, namespace: str | None = None, silent: bool = False) -> None:
    """Disconnects a client from the namespace. `silent` has no effect, as in Flask-SocketIO."""
    _extension()._server.disconnect(sid or _sid("disconnect"), namespace=_namespace(namespace))
