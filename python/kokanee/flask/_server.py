"""The `Server` of an extension for one of its applications, and which of them is the current one."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flask.globals import _cv_app

from ..base_server import own_origins
from ..server import Server
from . import _sessions
from ._context import Contexts

if TYPE_CHECKING:
    import flask

    from ..middleware import WSGIApp
    from ._extension import SocketIO

#: Where an application has its server among `app.extensions`.
SERVER = "kokanee.flask"

#: The server for which something runs, with the application's context that it began in.
_running: contextvars.ContextVar[tuple[FlaskServer, Any] | None] = contextvars.ContextVar("running", default=None)


class FlaskServer(Server):
    """Serves the clients of one application."""

    #: Whether the response to a page of another origin lists the accepted origins, which the log always has.
    shows_origins = False
    #: What serves the application beside it.
    middleware: WSGIApp | None = None

    def __init__(
        self, socketio: SocketIO, app: flask.Flask | None, manage_session: bool | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.socketio = socketio
        self.app = app
        #: Whether connections have copies of the session; `None` if that depends on where it lives.
        self.manage_session = manage_session
        self._contexts: dict[flask.Flask, Contexts] = {}

    @property
    def copies_session(self) -> bool:
        """Whether each connection has a copy of the session."""
        if self.manage_session is not None:
            return self.manage_session
        return self.app is None or _sessions.is_in_cookie(self.app)

    def contexts_of(self, app: flask.Flask) -> Contexts:
        """Returns what makes the contexts of events: of the server's application, or another one that a test has chosen."""
        contexts = self._contexts.get(app)
        if contexts is None:
            contexts = self._contexts[app] = Contexts(app)
        return contexts

    def run_within(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Calls a function, for which this is the current server until it pushes a context of another application."""
        token = _running.set((self, _cv_app.get(None)))
        try:
            return function(*args, **kwargs)
        finally:
            _running.reset(token)

    def _get_event_handler(
        self, event: str, namespace: str, args: tuple[Any, ...]
    ) -> tuple[Callable[..., Any] | None, tuple[Any, ...]]:
        own: Any = self.namespace_handlers.get(namespace)
        if own is not None and own.handles(event) and not {event, "*"} & set(self.handlers.get(namespace, ())):
            # The functions of `namespace="*"` are for those that have no handler.
            return None, args
        return super()._get_event_handler(event, namespace, args)

    def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any:
        return self.run_within(super()._trigger_event, event, namespace, *args)

    _own_trigger_event = _trigger_event

    def _refusal_of_origin(self, environ: Mapping[str, Any]) -> str:
        accept = self._options["cors_allowed_origins"]
        if accept is None:
            rule = f"cors_allowed_origins is not set, so that only the server's own origin is accepted: {' or '.join(own_origins(environ))}"
        elif callable(accept):
            rule = "the function in cors_allowed_origins does not accept it"
        elif self.shows_origins:
            rule = f"it was compared with cors_allowed_origins={accept!r}"
        else:
            rule = "it was compared with cors_allowed_origins, which the server's log shows"
        return f"Not an accepted origin. {environ.get('HTTP_ORIGIN')!r}: {rule}."


def server_of(app: flask.Flask | None) -> FlaskServer | None:
    """Returns the server of an application, if it has one."""
    return None if app is None else app.extensions.get(SERVER)


def current_server(socketio: SocketIO) -> FlaskServer | None:
    """Returns the server of an extension for which this runs, or that of the current application."""
    context = _cv_app.get(None)
    running = _running.get()
    if running is not None and running[1] is context and running[0].socketio is socketio:
        return running[0]
    found = server_of(context.app) if context is not None else None
    return found if found is not None and found.socketio is socketio else None
