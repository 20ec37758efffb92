"""The handshake as a request of Django: what the client's first request says of its session and its user."""

from __future__ import annotations

import contextlib
import functools
import io
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.module_loading import import_string

from .._environ import Environ

SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
USERS = "django.contrib.auth.middleware.AuthenticationMiddleware"


def request_of(environ: dict[str, Any] | None) -> Any:
    """Returns the request that opened a connection, with `session` and `user` if the middleware of the project sets them.

    Both are loaded when somebody looks at them.
    """
    # It is packed as long as nobody keeps it, for each connection.
    environ = environ.read() if isinstance(environ, Environ) else dict(environ or {})
    environ["wsgi.input"] = io.BytesIO()
    environ.setdefault("REQUEST_METHOD", "GET")
    environ.setdefault("SERVER_NAME", "localhost")
    environ.setdefault("SERVER_PORT", "80")
    environ.setdefault("wsgi.url_scheme", "http")
    request = WSGIRequest(environ)
    for middleware in _middleware():
        middleware.process_request(request)
    return request


def missing(what: str) -> ImproperlyConfigured:
    """Returns the exception for a socket that has no `session` or `user`, as the project has no middleware for it."""
    path = SESSIONS if what == "session" else USERS
    return ImproperlyConfigured(f"socket.{what} needs {path!r} in MIDDLEWARE")


@functools.cache
def _middleware() -> list[Any]:
    """Returns the project's middleware for sessions and users: that of Django, or classes that are made of it."""
    return [
        import_string(path)(_never)
        for path in settings.MIDDLEWARE
        if isinstance(path, str) and _kinds(path) & {SESSIONS, USERS}
    ]


def has_middleware(kind: str) -> bool:
    """Returns whether the project has the middleware, or a class that is made of it."""
    for path in settings.MIDDLEWARE:
        # One that cannot be imported is for Django to report.
        with contextlib.suppress(ImportError):
            if isinstance(path, str) and kind in _kinds(path):
                return True
    return False


def _kinds(path: str) -> set[str]:
    kind = import_string(path)
    return {f"{base.__module__}.{base.__qualname__}" for base in getattr(kind, "__mro__", ())}


def _never(request: Any) -> Any:
    raise AssertionError("a handshake has no response")


@receiver(setting_changed)
def _changed(*, setting: str, **_: Any) -> None:
    if setting in ("MIDDLEWARE", "SESSION_ENGINE"):
        _middleware.cache_clear()
