"""The request of an event: that which opened the client's connection, read when a handler looks at it.

Most handlers ask for no more than `request.sid`. So a request begins with what belongs to the event alone, and the rest of it is
made of the connection's environ when the first attribute that it lacks is read.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import flask
from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from werkzeug.routing import MapAdapter


class EventRequest(flask.Request):
    """Is `flask.request` within a handler, for type checkers: with the client, its namespace and its event."""

    #: The client: the name of its own room.
    sid: str
    namespace: str
    #: `{"message": name of the event, "args": its arguments}`.
    event: dict[str, Any]


#: Where a request keeps the application and the environ until it is read.
_SOURCE = "_kokanee_source"
_APP = "_kokanee_app"
_ADAPTER = "_kokanee_adapter"

#: Two threads may read the same request for the first time.
_reading = threading.RLock()


def new(kind: type[flask.Request], app: flask.Flask, environ: dict[str, Any], values: dict[str, Any]) -> flask.Request:
    """Returns a request that has some values, and reads others from an environ when they are asked for."""
    request = kind.__new__(kind)
    values[_SOURCE] = app, environ
    values[_APP] = app
    values["json_module"] = app.json
    request.__dict__ = values
    return request


def whole(app: flask.Flask, environ: dict[str, Any], values: dict[str, Any]) -> flask.Request:
    """Returns a request that has read its environ."""
    environ.setdefault("flask.app", app)
    request = app.request_class(environ)
    environ["werkzeug.request"] = None
    request.json_module = app.json
    for name, value in values.items():
        setattr(request, name, value)
    return request


def _read(request: flask.Request) -> None:
    """Makes the rest of a request, as Flask does when a request comes in."""
    values = request.__dict__
    app, environ = values.pop(_SOURCE)
    own = dict(values)
    environ.setdefault("flask.app", app)
    type(request).__init__(request, environ)
    # The environ lives as long as the connection: nothing of an event stays in it.
    environ["werkzeug.request"] = None
    if (trusted_hosts := app.config.get("TRUSTED_HOSTS")) is not None:
        request.trusted_hosts = trusted_hosts
    values.update(own)


def adapter(app: flask.Flask, request: flask.Request) -> MapAdapter | None:
    """Returns what builds URLs as the request's host sees them; `None` for a host that is not trusted."""
    values = request.__dict__
    if _ADAPTER not in values:
        try:
            values[_ADAPTER] = app.create_url_adapter(request)
        except HTTPException as error:
            values[_ADAPTER] = None
            values["routing_exception"] = error
    found: MapAdapter | None = values[_ADAPTER]
    return found


def _match(request: flask.Request) -> None:
    """Finds out which route the request would have had."""
    values = request.__dict__
    for name in _MATCHED:
        values.setdefault(name, None)
    found = adapter(values[_APP], request)
    if found is not None:
        try:
            values["url_rule"], values["view_args"] = found.match(return_rule=True)
        except HTTPException as error:
            values["routing_exception"] = error


def _matched(name: str) -> property:
    def get(request: flask.Request) -> Any:
        if name not in request.__dict__:
            _match(request)
        return request.__dict__[name]

    def put(request: flask.Request, value: Any) -> None:
        request.__dict__[name] = value

    return property(get, put)


_MATCHED = ("url_rule", "view_args", "routing_exception")


def _missing(request: flask.Request, name: str) -> Any:
    """Is `__getattr__` of a request: reads the rest of it."""
    with _reading:
        if _SOURCE in request.__dict__:
            _read(request)
            return getattr(request, name)
    try:
        # Another thread may have read it.
        return request.__dict__[name]
    except KeyError:
        raise AttributeError(f"{type(request).__name__!r} object has no attribute {name!r}") from None


def kind_of(base: type[flask.Request]) -> type[flask.Request] | None:
    """Returns the class of an application's requests that reads late; `None` if the application's class does not allow it."""
    has_slots = any("__slots__" in vars(each) for each in base.__mro__[:-1])
    if hasattr(base, "__getattr__") or has_slots or base.__new__ is not object.__new__ or base.__init__ is not flask.Request.__init__:
        return None
    body = {"__getattr__": _missing, "__module__": base.__module__, **{name: _matched(name) for name in _MATCHED}}
    return type(base.__name__, (base,), body)
