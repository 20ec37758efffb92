"""How a WSGI host's connections come to the engine: what is the same for every host.

A WebSocket, and a request that has to wait, need the connection itself: the engine answers on a duplicate of its descriptor,
and the host gets an end of a socket pair in its place, so that whatever it still writes goes nowhere. Each module here
knows one host: where its socket is, and how its part of the request ends. Requests that are answered at once are answered
by the host, and so are all requests of a host whose socket cannot be found: it has no WebSocket.
"""

from __future__ import annotations

from typing import Any, Callable

from .._environ import of_wsgi
from . import cheroot, eventlet, gevent, gunicorn, kokanee, uwsgi, waitress, werkzeug, wsgiref
from ._pump import pump
from ._request import BadRequest, address_of, body_of, headers_of, target_of
from ._taking import Connection, nothing

Environ = dict[str, Any]

#: The hosts, each with `find(environ)` and `end(environ, start_response)`. The first that finds a connection is the one.
HOSTS = (werkzeug, gunicorn, eventlet, uwsgi, waitress, gevent, cheroot, wsgiref)

#: How long a request waits for its response before its connection is taken over.
PATIENCE_SECONDS = 0.002


def handle_wsgi(
    engine: Any,
    mode: Any,
    options: dict[str, Any],
    environ: Environ,
    start_response: Callable[..., Any],
) -> Any:
    """Answers a request, or takes over its connection."""
    if kokanee.KEY in environ and kokanee.give(engine, environ, lambda: of_wsgi(environ)):
        return nothing(environ, start_response)
    host, connection = find(environ)
    try:
        if connection is not None and environ.get("HTTP_UPGRADE", "").lower() == "websocket":
            _adopt(engine, mode, options, environ, connection)
            return host.end(environ, start_response)
        reply = _answer(engine, mode, options, environ, connection)
    except (BadRequest, ValueError):
        start_response("400 Bad Request", [("Content-Type", "text/plain")])
        return [b"Bad Request"]
    if reply is None:
        return host.end(environ, start_response)
    status, reason, headers, body = reply
    # The connection is the host's (PEP 3333, "Other HTTP Features").
    headers = [(name, value) for name, value in headers if name != "connection"]
    if uwsgi.closes(environ):
        headers.append(("connection", "close"))
    if not any(name == "content-length" for name, _ in headers):
        headers.append(("content-length", str(len(body))))
    start_response(f"{status} {reason}", headers)
    return [body]


def find(environ: Environ) -> tuple[Any, Connection | None]:
    """Returns the host of a request, and its connection if that can be taken over."""
    for host in HOSTS:
        try:
            connection = host.find(environ)
        except Exception:
            # A host that has changed what it keeps where: its requests are answered in the ordinary way.
            connection = None
        if connection is not None:
            return host, connection
    return None, None


def _answer(
    engine: Any,
    mode: Any,
    options: dict[str, Any],
    environ: Environ,
    connection: Connection | None,
) -> Any:
    """Returns the response of a request; `None` if the engine writes it to the connection."""
    headers = headers_of(environ)
    if connection is None:
        # Nothing can come of an upgrade.
        headers = [pair for pair in headers if pair[0] not in ("connection", "upgrade")]
    body = body_of(environ, options["max_http_buffer_size"])
    pending = engine.request(
        environ["REQUEST_METHOD"],
        target_of(environ, options),
        headers,
        body,
        address_of(environ),
        environ.get("wsgi.url_scheme") == "https",
        of_wsgi(environ),
        mode.notifies,
        connection is not None,
    )
    if connection is None or connection.is_tls or pending.opens or not options["poll_takeover"]:
        return mode.reply(pending)
    reply = mode.reply(pending, PATIENCE_SECONDS)
    if reply is None:
        if not connection.unread() and pending.take_over(connection.fileno()):
            connection.replace()
            return None
        reply = mode.reply(pending)
    return reply


def _adopt(
    engine: Any, mode: Any, options: dict[str, Any], environ: Environ, connection: Connection
) -> None:
    """Gives the connection of a WebSocket to the engine."""
    head = ("GET", target_of(environ, options), headers_of(environ))
    if environ["REQUEST_METHOD"] != "GET":
        raise BadRequest
    secure = environ.get("wsgi.url_scheme") == "https"
    kept = of_wsgi(environ)
    rest = (connection.unread(), address_of(environ), kept, secure, connection.is_answered)
    if connection.is_tls:
        pump(mode, connection.socket, lambda fd: engine.adopt(fd, *head, *rest))
    else:
        engine.adopt(connection.fileno(), *head, *rest)
        connection.replace()
