"""`environ` of asyncio hosts: what a connect handler gets, a dict that is filled when somebody looks into it."""

from __future__ import annotations

import contextvars
import sys
from collections.abc import MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]


class Environ(dict[str, Any]):
    """Is the request that opened a connection in the form of WSGI. It is filled at the first access."""

    __slots__ = ("_source", "context")

    def __init__(self, scope: Scope, receive: Any, send: Any, extra: dict[str, Any] | None) -> None:
        self._source: tuple[Any, ...] | None = (scope, receive, send, extra)
        # An empty dict is taken for one by functions in C, whatever its methods say.
        super().__init__(REQUEST_METHOD=scope.get("method", "GET"))
        #: What handlers of the connection inherit, if anything was set in the request's context.
        self.context: contextvars.Context | None = contextvars.copy_context() or None

    def forget_channel(self) -> None:
        """Lets go of the host's functions: they have no connection any more."""
        if self._source is not None:
            scope, _, _, extra = self._source
            self._source = (scope, taken, taken, extra)

    def _fill(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            dict.update(self, fill(*source))

    def __reduce__(self) -> Any:
        self._fill()
        return dict, (dict(self),)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()


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
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    environ["wsgi.url_scheme"] = environ.get("HTTP_X_FORWARDED_PROTO", scheme)
    if extra is not None:
        environ.update(extra)
    else:
        environ.update({"asgi.scope": scope, "asgi.receive": receive, "asgi.send": send})
    return environ
