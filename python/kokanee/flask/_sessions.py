"""`flask.session` in handlers: shared with HTTP routes if it lives on the server, otherwise a copy for each connection.

A cookie cannot change on an open WebSocket. So of a session in a cookie each connection has a copy, made with its first event,
that all its events share and no route sees. What lives on the server, under an id in the cookie, is opened for each event that
asks for it, and saved when it was changed.
"""

from __future__ import annotations

from typing import Any

import flask
from flask.ctx import RequestContext
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from werkzeug.http import parse_cookie

from ._context import open_session

#: Where the copy is among what a server keeps of a connection.
COPY = "flask"


class ManagedSession(dict[str, Any], SessionMixin):
    """Is the copy of a session that the events of one connection share."""


def make_copy(
    server: Any, eio_sid: str, environ: dict[str, Any], context: RequestContext, opened: SessionMixin | None
) -> ManagedSession:
    """Returns a new connection's copy of the session, within its context; of the one that is opened, if it is."""
    if opened is None:
        opened = open_session(context.app, context.request)
    return keep_copy(server, eio_sid, environ, opened)


def keep_copy(server: Any, eio_sid: str, environ: dict[str, Any], session: Any) -> ManagedSession:
    """Keeps a copy of a session as long as a connection is open."""
    # Two events of a new connection may begin at the same time.
    copy: ManagedSession = server._sessions.setdefault(eio_sid, {}).setdefault(COPY, ManagedSession(session))
    if type(environ) is dict:
        # Where Flask-SocketIO has it. An environ that nobody has read yet stays unread.
        environ["saved_session"] = copy
    if eio_sid not in server.environ:
        # The connection has ended meanwhile.
        server._sessions.pop(eio_sid, None)
    return copy


def is_in_cookie(app: flask.Flask) -> bool:
    """Returns whether the application's sessions are known to live in cookies."""
    return isinstance(app.session_interface, SecureCookieSessionInterface)


def save(context: RequestContext, session: Any) -> bool:
    """Saves the session of a context, if it was opened and changed. Returns whether the client's cookie still stands for it."""
    if session is None or not getattr(session, "modified", True):
        return True
    app = context.app
    response = app.response_class()
    app.session_interface.save_session(app, session, response)
    name = app.session_interface.get_cookie_name(app)
    for line in response.headers.getlist("Set-Cookie"):
        cookies = parse_cookie(line.partition(";")[0])
        if name in cookies and cookies[name] != context.request.cookies.get(name):
            return False
    return True

