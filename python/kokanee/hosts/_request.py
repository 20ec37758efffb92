"""A WSGI request in the form that the engine takes."""

from __future__ import annotations

import urllib.parse
from typing import Any

Environ = dict[str, Any]

#: What may stay in a query as it is: everything that a URL may contain there, escapes included.
_QUERY_SAFE = "!$%&'()*+,-./:;=?@_~"

#: How much is read and dropped of a body that is too large, so that the client can read why.
_MOST_DROPPED = 16 * 1024 * 1024

_PIECE = 64 * 1024


class BadRequest(Exception):
    """Says that a request cannot be understood."""


def target_of(environ: Environ, options: dict[str, Any]) -> str:
    """Returns the engine's path with the query of a request.

    Which paths are for the engine was decided before: wherever the application is mounted, it is the same engine.
    """
    path = "/" + (options.get("path") or "socket.io").strip("/") + "/"
    query = environ.get("QUERY_STRING") or ""
    # The texts of WSGI are Latin-1; hosts pass on what the client sent, allowed or not.
    query = urllib.parse.quote(query.encode("latin-1", "replace"), safe=_QUERY_SAFE)
    return f"{path}?{query}" if query else path


def headers_of(environ: Environ) -> list[tuple[str, str]]:
    """Returns the headers of a request, without those about its body, which the host has read."""
    headers = [
        (name[5:].replace("_", "-").lower(), value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
        and isinstance(value, str)
        and name not in ("HTTP_TRANSFER_ENCODING", "HTTP_TE", "HTTP_CONTENT_LENGTH")
    ]
    if environ.get("CONTENT_TYPE"):
        headers.append(("content-type", environ["CONTENT_TYPE"]))
    return headers


def address_of(environ: Environ) -> tuple[str, int] | None:
    """Returns the address of the connection's other end; `None` for a Unix socket."""
    host = environ.get("REMOTE_ADDR")
    if not isinstance(host, str) or not host or host.startswith(("/", "unix")):
        return None
    try:
        port = int(environ.get("REMOTE_PORT") or 0)
    except ValueError:
        port = 0
    return host.partition("%")[0], port if 0 <= port < 65536 else 0


def body_of(environ: Environ, limit: int) -> bytes:
    """Returns the body of a request; of one that is larger than `limit`, a little more than that."""
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    if length:
        try:
            left = int(length)
        except ValueError:
            raise BadRequest from None
        return _read(stream, limit, left) if left > 0 else b""
    if "chunked" not in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        return b""
    if environ.get("wsgi.input_terminated") or "eventlet.input" in environ:
        return _read(stream, limit, None)
    return _dechunk(stream, limit)


def _read(stream: Any, limit: int, left: int | None) -> bytes:
    """Reads so many bytes, or to the end."""
    body = bytearray()
    dropped = 0
    while left is None or left > 0:
        piece = stream.read(_PIECE if left is None else min(left, _PIECE))
        if not piece:
            if left is not None:
                raise BadRequest
            break
        if left is not None:
            left -= len(piece)
        if len(body) <= limit:
            body += piece
        else:
            dropped += len(piece)
            if dropped > _MOST_DROPPED:
                break
    return bytes(body)


def _dechunk(stream: Any, limit: int) -> bytes:
    """Reads a chunked body of a host that does not."""
    body = bytearray()
    while True:
        line = stream.readline(1024)
        try:
            size = int(line.partition(b";")[0].strip(), 16)
        except ValueError:
            raise BadRequest from None
        if size < 0 or size > _MOST_DROPPED or len(body) > limit + _MOST_DROPPED:
            raise BadRequest
        if size == 0:
            break
        body += _read(stream, size, size)
        if stream.readline(3).strip():
            raise BadRequest
    # Trailers.
    for _ in range(100):
        if stream.readline(8192) in (b"\r\n", b"\n", b""):
            break
    return bytes(body)
