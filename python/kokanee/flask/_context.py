"""The context that a handler runs in: `flask.request`, `session`, `g` and `current_app`, for each event anew.

Flask's own context of a request routes its URL, reads its session and sends four signals, which costs more than Socket.IO
itself. This one does the same when somebody asks for it or listens. Where an application has replaced parts of Flask that it
relies on, Flask's own context takes its place.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

import flask
from flask import ctx as flask_ctx
from flask.globals import _cv_app, _cv_request
from flask.sessions import SessionMixin
from flask.signals import appcontext_popped, appcontext_pushed, appcontext_tearing_down, request_tearing_down

from . import _request

if TYPE_CHECKING:
    from werkzeug.routing import MapAdapter

_NOT_GIVEN: Any = object()

#: An event: the client, the namespace, the name under which its handler is registered, its arguments.
Event = tuple[str, str, "str | None", tuple[Any, ...]]

if TYPE_CHECKING:
    _Base = flask_ctx.RequestContext
else:

    class _Base(flask_ctx.RequestContext, flask_ctx.AppContext):
        """Is both contexts, so that an event needs one object."""


class EventContext(_Base):
    """Is the context of one event, as that of a request and as that of the application."""

    #: Handlers of events have no response, so that it stays as it is.
    flashes = None
    _session: SessionMixin | None = None
    _request: flask.Request | None = None
    _g: Any = None
    _cv_tokens: Any = ()

    def __init__(self, contexts: Contexts, environ: dict[str, Any], event: Event) -> None:
        self.app = contexts.app
        self._contexts = contexts
        self._environ = environ
        self.event = event

    @property
    def request(self) -> flask.Request:  # type: ignore[override]
        """The request, which reads its environ when something is asked that is not of the event."""
        request = self._request
        if request is None:
            request = self._request = self._contexts.request(self._environ, values_of(self.event))
        return request

    @property
    def g(self) -> Any:
        """What handlers keep for the event."""
        found = self._g
        if found is None:
            found = self._g = self.app.app_ctx_globals_class()
        return found

    @property
    def url_adapter(self) -> MapAdapter | None:  # type: ignore[override]
        """What builds URLs, as `flask.url_for` does."""
        return _request.adapter(self.app, self.request)

    @property
    def session(self) -> SessionMixin:
        """The session, opened at the first access."""
        session = self._session
        if session is None:
            session = self._session = open_session(self.app, self.request)
        session.accessed = True
        return session

    @property
    def _after_request_functions(self) -> list[Any]:  # type: ignore[override]
        """What `after_this_request` registers, which is for a response that an event does not have."""
        return []

    def copy(self) -> EventContext:
        """Returns a context with the same request and session, for another thread."""
        copy = EventContext(self._contexts, self._environ, self.event)
        copy._request = self.request
        copy._session = self._session
        return copy

    def match_request(self) -> None:
        """Does nothing: the request does it when its route is asked for."""

    def push(self) -> None:
        """Makes this the current context, and that of the application, if it is not."""
        app = self.app
        current = _cv_app.get(None)
        is_outer = current is None or current.app is not app
        tokens = _cv_request.set(self), _cv_app.set(self) if is_outer else None  # type: ignore[arg-type]
        if self._cv_tokens:
            self._cv_tokens.append(tokens)
        else:
            self._cv_tokens = [tokens]
        if is_outer and appcontext_pushed.receivers:
            appcontext_pushed.send(app, _async_wrapper=app.ensure_sync)

    def pop(self, exc: BaseException | None = _NOT_GIVEN) -> None:
        """Ends the context, after what an application has registered for that."""
        if exc is _NOT_GIVEN:
            exc = sys.exc_info()[1]
        app = self.app
        tokens = self._cv_tokens
        is_last = len(tokens) == 1
        try:
            if is_last:
                if app.teardown_request_funcs or request_tearing_down.receivers:
                    app.do_teardown_request(exc)
                if self._request is not None and "files" in self._request.__dict__:
                    self._request.close()
        finally:
            current = _cv_request.get()
            token, app_token = tokens.pop()
            _cv_request.reset(token)
            if app_token is not None:
                self._pop_app(app_token, exc if is_last else None)
        if current is not self:
            raise AssertionError(f"popped the wrong context: {current!r}, not {self!r}")

    def _pop_app(self, token: Any, exc: BaseException | None) -> None:
        app = self.app
        try:
            if app.teardown_appcontext_funcs or appcontext_tearing_down.receivers:
                app.do_teardown_appcontext(exc)
        finally:
            _cv_app.reset(token)
        if appcontext_popped.receivers:
            appcontext_popped.send(app, _async_wrapper=app.ensure_sync)

    def __enter__(self) -> EventContext:
        self.push()
        return self

    def __exit__(self, kind: type | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        self.pop(exc)


def open_session(app: flask.Flask, request: flask.Request) -> SessionMixin:
    """Returns the session of a request, as Flask opens it."""
    interface = app.session_interface
    session = interface.open_session(app, request)
    return session if session is not None else interface.make_null_session(app)


#: Where a context of Flask's has the session: before Flask 3.1.3, no property was around it.
_SESSION = "_session" if isinstance(vars(flask_ctx.RequestContext).get("session"), property) else "session"

#: What an application must not have replaced.
_REPLACED = (
    *("request_context", "app_context", "create_url_adapter"),
    *("do_teardown_request", "do_teardown_appcontext"),
)


class Contexts:
    """Makes the contexts of one application's events."""

    def __init__(self, app: flask.Flask) -> None:
        self.app = app
        self._base = app.request_class
        #: The class of requests; `None` if Flask has to make contexts itself.
        self._kind = _request.kind_of(self._base)
        own = type(app)
        if any(getattr(own, name) is not getattr(flask.Flask, name) or name in vars(app) for name in _REPLACED):
            self._kind = None
        if self._base.close is not flask.Request.close:
            self._kind = None
        #: Whether they are `EventContext`s.
        self.are_own = self._kind is not None
        #: Where they have the session.
        self.session_name = "_session" if self.are_own else _SESSION

    def request(self, environ: dict[str, Any], values: dict[str, Any]) -> flask.Request:
        """Returns a request of an event."""
        app = self.app
        if app.request_class is not self._base:
            self._base = app.request_class
            self._kind = _request.kind_of(self._base)
        if self._kind is None:
            return _request.whole(app, environ, values)
        return _request.new(self._kind, app, environ, values)

    def plain(self, environ: dict[str, Any], event: Event) -> flask_ctx.RequestContext:
        """Returns a context of Flask's."""
        environ.setdefault("flask.app", self.app)
        context = self.app.request_context(environ)
        for name, value in values_of(event).items():
            setattr(context.request, name, value)
        return context


def values_of(event: Event) -> dict[str, Any]:
    """Returns what the request of an event has, and others do not."""
    sid, namespace, message, args = event
    return {"sid": sid, "namespace": namespace, "event": {"message": message, "args": args}}
