"""`environ` of connections: what a connect handler gets, a dict that is filled when somebody looks into it.

Until then it costs little, however long the connection lasts: where the engine has the connection, what is text is packed, and
what belonged to the host's connection is gone.
"""

from __future__ import annotations

import contextvars
import io
import marshal
import sys
import threading
from collections.abc import MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]

#: What in an environ of WSGI is of no use any more when the engine has the request, and holds on to much of the host.
_OF_THE_REQUEST = frozenset(
    (
        *("wsgi.early_hints", "wsgi.websocket", "waitress.client_disconnected"),
        *("eventlet.input", "eventlet.posthooks", "eventlet.set_idle"),
        *("gunicorn.sock", "gunicorn.socket", "werkzeug.socket"),
    )
)
#: What in an environ of WSGI is plain values although it is no text.
_PLAIN_IN_WSGI = frozenset(("headers_raw", "wsgi.version"))
#: What in a scope of ASGI is plain values.
_PLAIN = frozenset(
    (
        *("type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string"),
        *("root_path", "headers", "client", "server", "subprotocols", "extensions"),
    )
)
#: Sets of names that environs have: most of a server's have the same.
_shapes: dict[tuple[str, ...], tuple[str, ...]] = {}
_MOST_SHAPES = 256

_filling = threading.Lock()


class Environ(dict[str, Any]):
    """Is the request that opened a connection in the form of WSGI. It is filled at the first access."""

    __slots__ = ("_source", "context")

    def __init__(self, method: str, *source: Any) -> None:
        # A function and its arguments.
        self._source: tuple[Any, ...] | None = source
        # An empty dict is taken for one by functions in C, whatever its methods say.
        super().__init__(REQUEST_METHOD=method)
        #: What handlers of the connection inherit, if anything was set in the request's context.
        self.context: contextvars.Context | None = None

    def leave_host(self) -> None:
        """Drops the host of an ASGI connection that the engine has taken over."""
        if self._source is not None:
            _, scope, _, _, extra = self._source
            self._source = (_unpack_scope, *_pack_scope(scope), extra)

    def _fill(self) -> None:
        # Two threads may look at the same time.
        with _filling:
            if self._source is not None:
                function, *args = self._source
                values = function(*args)
                dict.clear(self)
                dict.update(self, values)
                self._source = None

    def read(self) -> dict[str, Any]:
        """Returns what it is filled with at the first access, without filling it."""
        with _filling:
            source = self._source
        if source is None:
            return dict(self)
        function, *args = source
        values: dict[str, Any] = function(*args)
        return values

    def __reduce__(self) -> Any:
        if self._source is not None:
            self._fill()
        return dict, (dict(self),)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()


def opens_session(query: str) -> bool:
    """Returns whether a request with this query opens a session, as it names none."""
    return not any(pair.startswith("sid=") for pair in query.split("&"))


def of_scope(scope: Scope, receive: Any, send: Any, extra: dict[str, Any] | None) -> Environ:
    """Returns the environ of a request of ASGI."""
    environ = Environ(scope.get("method", "GET"), fill, scope, receive, send, extra)
    environ.context = contextvars.copy_context() or None
    return environ


def of_wsgi(environ: dict[str, Any]) -> Environ | None:
    """Returns the environ to keep of a request of WSGI whose body has been read; `None` if it opens no session."""
    if not opens_session(environ.get("QUERY_STRING") or ""):
        return None
    plain: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in environ.items():
        if type(value) is str or name in _PLAIN_IN_WSGI:
            plain[name] = value
        elif name not in _OF_THE_REQUEST:
            others[name] = value
    others["wsgi.input"] = _empty
    return Environ(
        environ["REQUEST_METHOD"],
        _unpack_wsgi,
        _shape_of(plain),
        marshal.dumps(tuple(plain.values())),
        _shape_of(others),
        *others.values(),
    )


def of_opening(opening: Any, base: dict[str, Any], is_asgi: bool) -> Environ:
    """Returns the environ of a connection of the package's own host, whose request the engine has read."""
    return Environ("GET", _unpack_opening, opening, base, is_asgi)


def _unpack_opening(opening: Any, base: dict[str, Any], is_asgi: bool) -> dict[str, Any]:
    if is_asgi:
        scope = opening.scope(base)
        scope.update(extensions={}, state=dict(base.get("state") or {}))
        return fill(scope, taken, taken, None)
    environ: dict[str, Any] = opening.environ(base)
    environ["wsgi.input"] = io.BytesIO()
    return environ


def _unpack_wsgi(names: tuple[str, ...], packed: bytes, others: tuple[str, ...], *values: Any) -> dict[str, Any]:
    environ = dict(zip(names, marshal.loads(packed)))
    environ.update(zip(others, values))
    if environ["wsgi.input"] is _empty:
        environ["wsgi.input"] = io.BytesIO()
    return environ


def _shape_of(values: dict[str, Any]) -> tuple[str, ...]:
    """Returns the names, as one object for all environs that have the same ones."""
    names = tuple(values)
    known = _shapes.get(names)
    if known is None:
        known = names
        if len(_shapes) < _MOST_SHAPES:
            _shapes[names] = names
    return known


def _pack_scope(scope: Scope) -> tuple[bytes, Scope | None]:
    """Returns the plain values of a scope, packed, and its other ones."""
    plain: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in scope.items():
        if name == "extensions":
            # Those of ours are functions of the host's connection.
            value = {key: each for key, each in value.items() if not key.startswith("kokanee.")}
        is_plain = name in _PLAIN or (name == "state" and not value)
        (plain if is_plain else others)[name] = value
    try:
        return marshal.dumps(plain), others or None
    except ValueError:
        return marshal.dumps({}), {**plain, **others}


def _unpack_scope(packed: bytes, others: Scope | None, extra: dict[str, Any] | None) -> dict[str, Any]:
    return fill({**marshal.loads(packed), **(others or {})}, taken, taken, extra)


def _first_fill(name: str) -> Any:
    method = getattr(dict, name)

    def access(self: Environ, *args: Any, **kwargs: Any) -> Any:
        if self._source is not None:
            self._fill()
        return method(self, *args, **kwargs)

    access.__name__ = name
    access.__qualname__ = f"Environ.{name}"
    access.__doc__ = method.__doc__
    return access


for _name in (
    *("__contains__", "__delitem__", "__eq__", "__getitem__", "__ior__", "__iter__", "__len__"),
    *("__ne__", "__or__", "__repr__", "__reversed__", "__ror__", "__setitem__", "clear", "copy"),
    *("get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"),
):
    setattr(Environ, _name, _first_fill(_name))


async def taken(*args: Any) -> None:
    """Stands for `receive` and `send` of a connection that the engine has taken over."""
    raise RuntimeError("the connection is the engine's")


class _Input:
    """Stands for the body of a request: it has been read."""

    async def read(self, length: int | None = None) -> bytes:
        return b""


#: Stands for the body of a request of WSGI until somebody looks.
_empty = object()


def fill(scope: Scope, receive: Any, send: Any, extra: dict[str, Any] | None) -> dict[str, Any]:
    """Returns a request in the form of WSGI, with what a host adds."""
    path = scope["path"]
    query = scope.get("query_string", b"").decode("latin-1")
    client = scope.get("client") or ("127.0.0.1", 0)
    server = scope.get("server") or ("asgi", 0)
    scheme = scope.get("scheme") or "http"
    environ: dict[str, Any] = {
        "wsgi.input": _Input(),
        "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0),
        "wsgi.async": True,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "SERVER_SOFTWARE": "asgi",
        "REQUEST_METHOD": scope.get("method", "GET"),
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "RAW_URI": f"{path}?{query}" if query else path,
        "SCRIPT_NAME": "",
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "REMOTE_ADDR": str(client[0]),
        "REMOTE_PORT": str(client[1] or 0),
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": str(server[1] or 0),
    }
    for name, value in scope["headers"]:
        if b"_" in name:
            # It could be mistaken for one with a hyphen, which a proxy sets.
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        text = value.decode("latin-1")
        if key in environ:
            # HTTP/2 may divide cookies.
            text = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
        environ[key] = text
    scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    environ["wsgi.url_scheme"] = environ.get("HTTP_X_FORWARDED_PROTO", scheme)
    if extra is not None:
        environ.update(extra)
    else:
        environ.update({"asgi.scope": scope, "asgi.receive": receive, "asgi.send": send})
    return environ
