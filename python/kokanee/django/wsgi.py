"""The application for a WSGI host: `get_wsgi_application()` in the place of Django's, or `kokanee.django.wsgi:application` itself."""

from __future__ import annotations

from typing import Any


def get_wsgi_application() -> Any:
    """Sets Django up, and returns its application with Socket.IO beside it."""
    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
    from . import _servers

    return _servers.wsgi(application)


def __getattr__(name: str) -> Any:
    if name == "application":
        globals()[name] = get_wsgi_application()
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
