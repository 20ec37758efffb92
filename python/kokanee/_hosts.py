"""How a WSGI host's connections come to the engine.

A WebSocket, and a GET that waits for events, need the connection itself: the engine answers on a duplicate of its
descriptor, and the host gets an end of a socket pair in its place, so that whatever it still writes goes nowhere. A host
whose socket cannot be found has its requests answered in the ordinary way, and no WebSocket.
"""

from __future__ import annotations

import os
import socket
from typing import Any, Callable

Environ = dict[str, Any]


def handle_wsgi(
    engine: Any, mode: Any, environ: Environ, start_response: Callable[..., Any]
) -> Any:
    """Answers a request, or takes over its connection."""
    method = environ["REQUEST_METHOD"]
    head = (method, target_of(environ), headers_of(environ))
    address = address_of(environ)
    if environ.get("HTTP_UPGRADE", "").lower() == "websocket":
        taken = find_socket(environ)
        if taken is not None:
            engine.adopt(taken.fileno(), *head, b"", address, environ)
            _replace(taken)
            return _nothing(environ, start_response)
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length) if length else b""
    secure = environ.get("wsgi.url_scheme") == "https"
    pending = engine.request(*head, body, address, secure, environ, mode.notifies)
    status, reason, headers, body = mode.reply(engine, pending)
    start_response(f"{status} {reason}", headers)
    return [body]


def target_of(environ: Environ) -> str:
    """Returns path and query of a request."""
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    query = environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


def headers_of(environ: Environ) -> list[tuple[str, str]]:
    """Returns the headers of a request."""
    headers = [
        (name[5:].replace("_", "-").lower(), value)
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    ]
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers.append((name.replace("_", "-").lower(), environ[name]))
    return headers


def address_of(environ: Environ) -> tuple[str, int] | None:
    """Returns the address of the connection's other end."""
    host = environ.get("REMOTE_ADDR")
    if not host:
        return None
    try:
        return host, int(environ.get("REMOTE_PORT") or 0)
    except ValueError:
        return host, 0


def find_socket(environ: Environ) -> Any:
    """Returns the socket of a request's connection, if the host has one that can be taken over."""
    for find in (_werkzeug, _gunicorn, _eventlet, _buffered):
        found = find(environ)
        if found is not None:
            return None if hasattr(found, "_sslobj") or _is_tls(found) else found
    return None


def _is_tls(found: Any) -> bool:
    import ssl

    return isinstance(found, ssl.SSLSocket) or "ssl" in type(found).__module__


def _werkzeug(environ: Environ) -> Any:
    return environ.get("werkzeug.socket")


def _gunicorn(environ: Environ) -> Any:
    return environ.get("gunicorn.socket") or environ.get("gunicorn.sock")


def _eventlet(environ: Environ) -> Any:
    stream = environ.get("eventlet.input")
    return stream.get_socket() if stream is not None else None


def _buffered(environ: Environ) -> Any:
    """Finds the socket below the streams of gevent and cheroot."""
    stream = environ.get("wsgi.input")
    for _ in range(5):
        if stream is None:
            return None
        for name in ("raw", "rfile"):
            inner = getattr(stream, name, None)
            if inner is not None:
                break
        found = getattr(inner, "_sock", None)
        if found is not None:
            return found
        stream = inner
    return None


def _replace(taken: Any) -> None:
    """Puts an end of a socket pair in the place of the host's descriptor."""
    ours, dummy = socket.socketpair()
    try:
        os.dup2(dummy.fileno(), taken.fileno())
    finally:
        dummy.close()
        ours.close()


def _nothing(environ: Environ, start_response: Callable[..., Any]) -> Any:
    """Ends the host's part of a request whose connection was taken over."""
    if "eventlet.input" in environ:
        try:
            from eventlet.wsgi import WSGI_LOCAL

            WSGI_LOCAL.already_handled = True
            return [b""]
        except ImportError:
            pass
    if "werkzeug.socket" in environ:
        # Werkzeug ends the request without a line in its log.
        raise ConnectionError
    start_response("200 OK", [("Content-Length", "0")])
    return []
