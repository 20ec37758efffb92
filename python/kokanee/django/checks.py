"""Checks for `manage.py check`: what one can see of a project before a client comes.

`kokanee.E001`: an option is wrong. `W001`: another `runserver` is used. `W002`: middleware is missing. `W003`: other sites may act as
visitors. `W004`, `W005`: origins that fit no page. `W006`: a coroutine blocks. `W007`: no handlers. `W008`: namespaces that nobody can
enter. `W009`, with `--deploy`: an application without Socket.IO.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import Error, Tags, Warning, register
from django.core.management import get_commands
from django.http.request import validate_host
from django.utils.module_loading import import_string

from . import _conf, _coroutines, _request
from ._registry import sockets


@register
def check_options(app_configs: Any, **kwargs: Any) -> list[Any]:
    """Finds options that there are not, and wrong values."""
    given = getattr(settings, "KOKANEE", {})
    return [Error(text, hint=hint, id="kokanee.E001") for text, hint in _conf.problems(given)]


@register
def check_runserver(app_configs: Any, **kwargs: Any) -> list[Any]:
    """Finds an application whose `runserver` is used in the place of the one that serves clients."""
    owner = get_commands().get("runserver")
    if owner == "kokanee.django":
        return []
    return [
        Warning(
            f"manage.py runserver is that of {owner!r}, which serves no Socket.IO",
            hint=f"put 'kokanee.django' before {owner!r} in INSTALLED_APPS",
            id="kokanee.W001",
        )
    ]


@register
def check_middleware(app_configs: Any, **kwargs: Any) -> list[Any]:
    """Finds out whether sockets have users and sessions."""
    wanted = {"django.contrib.sessions": _request.SESSIONS, "django.contrib.auth": _request.USERS}
    return [
        Warning(
            f"sockets have no {'user' if kind == _request.USERS else 'session'}: MIDDLEWARE has no {kind!r}",
            hint="add it, as for pages",
            id="kokanee.W002",
        )
        for application, kind in wanted.items()
        if application in settings.INSTALLED_APPS and not _request.has_middleware(kind)
    ]


@register(Tags.security)
def check_origins(app_configs: Any, **kwargs: Any) -> list[Any]:
    """Finds origins of other sites that are too many, or none."""
    given = getattr(settings, "KOKANEE", {})
    if _conf.problems(given):
        return []
    origins = given.get("cors_allowed_origins")
    if origins is None or callable(origins):
        return []
    return list(_about_origins([origins] if isinstance(origins, str) else list(origins), given))


def _about_origins(origins: list[str], given: Any) -> Iterator[Any]:
    if "*" in origins:
        if given.get("cors_credentials", True):
            yield Warning(
                "KOKANEE['cors_allowed_origins'] lets the pages of all sites connect with the cookies of their visitors",
                hint="name the sites, or set 'cors_credentials' to False",
                id="kokanee.W003",
            )
        return
    for origin in origins:
        if not re.fullmatch(r"https?://[^/?#]+", origin):
            yield Warning(
                f"KOKANEE['cors_allowed_origins'] has {origin!r}, which is the origin of no page",
                hint="an origin is scheme and host, with a port if it is not the usual one: 'https://app.example'",
                id="kokanee.W004",
            )
    hosts = [urlsplit(origin).hostname or "" for origin in origins]
    own = settings.ALLOWED_HOSTS or [".localhost", "127.0.0.1", "[::1]"]
    if origins and not any(validate_host(host, own) for host in hosts):
        yield Warning(
            "KOKANEE['cors_allowed_origins'] has only other sites, so that the project's own pages cannot connect",
            hint=f"add the project's own origin, such as 'https://{own[0].lstrip('.')}'",
            id="kokanee.W005",
        )


@register
def check_handlers(app_configs: Any, **kwargs: Any) -> list[Any]:
    """Finds handlers that are missing, that nobody can reach, and coroutines that Django will refuse."""
    found: list[Any] = []
    if not sockets.handlers:
        hint = "declare them in the sockets.py of an application that is in INSTALLED_APPS"
        found.append(Warning("there are no handlers of Socket.IO", hint=hint, id="kokanee.W007"))
    given = getattr(settings, "KOKANEE", {})
    # Those of the life cycle are for all namespaces without one.
    if set(sockets.handlers.get("*", ())) - {"connect", "disconnect"} and isinstance(given, dict) and given.get("namespaces") != "*":
        hint = "set KOKANEE['namespaces'] to '*' to open all"
        found.append(Warning("handlers of the namespace '*' are called in those that are open", hint=hint, id="kokanee.W008"))
    for namespace, events in sockets.handlers.items():
        for event, declared in events.items():
            if not declared.is_async:
                continue
            for fault in _coroutines.faults(declared.function):
                where = f"the handler of {event!r} in {namespace!r}"
                found.append(Warning(f"{where} is a coroutine: {fault}", obj=_name(declared.function), id="kokanee.W006"))
    return found


def _name(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"


@register(deploy=True)
def check_applications(app_configs: Any, **kwargs: Any) -> list[Any]:
    """Finds applications for hosts that serve no clients."""
    found = []
    for setting, is_async in (("WSGI_APPLICATION", False), ("ASGI_APPLICATION", True)):
        path = getattr(settings, setting, None)
        if not path:
            continue
        import_string(path)
        if not any(bridge.is_async == is_async for bridge in sockets.bridges):
            kind = setting[:4].lower()
            hint = f"use get_{kind}_application of kokanee.django.{kind} there"
            found.append(Warning(f"{setting} {path!r} serves no Socket.IO", hint=hint, id="kokanee.W009"))
    return found
