"""The application for an ASGI host: `get_asgi_application()` in the place of Django's, or `kokanee.django.asgi:application` itself."""

from __future__ import annotations

from typing import Any


def get_asgi_application() -> Any:
    """Sets Django up, and returns its application with Socket.IO beside it."""
    from django.core.asgi import get_asgi_application

    application = get_asgi_application()
    from . import _servers

    return _servers.asgi(application, starts=True)


def __getattr__(name: str) -> Any:
    if name == "application":
        globals()[name] = get_asgi_application()
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
