"""What programs import from `engineio`. The engine speaks Engine.IO itself; this is what applications touch of it."""

from __future__ import annotations

from typing import Any

_HOME = {
    "ASGIApp": "async_drivers.asgi",
    "AsyncServer": "async_server",
    "Middleware": "middleware",
    "Server": "server",
    "WSGIApp": "middleware",
}
#: Submodules that are attributes of the package without an import of their own.
_MODULES = (
    "async_drivers",
    "async_server",
    "async_socket",
    "exceptions",
    "json",
    "middleware",
    "packet",
    "payload",
    "server",
    "socket",
    "static_files",
)
_MISSING = ("AsyncClient", "Client", "get_tornado_handler")
__all__ = ["ASGIApp", "Middleware", "WSGIApp"]


def __getattr__(name: str) -> Any:
    # On demand: `..packet` needs `json` from here, and `..middleware` is needed by what is here.
    import importlib

    if name in _HOME:
        module = importlib.import_module(f"{__name__}.{_HOME[name]}")
        return getattr(module, name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _MISSING:
        raise AttributeError(
            f"{name!r}: Kokanee has no clients of Engine.IO alone; use those of Socket.IO"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
