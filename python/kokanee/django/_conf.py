"""The setting `KOKANEE`: options of the server, and those of this application."""

from __future__ import annotations

import difflib
import hashlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from .. import _options, _workers

#: Options that are not the server's, with their defaults.
OWN: dict[str, Any] = {"path": "socket.io", "threads": 32}
_KNOWN = (*OWN, *_options.ENGINE_OPTIONS, *_options.OWN_OPTIONS)


def problems(given: Any) -> list[tuple[str, str | None]]:
    """Returns what is wrong with the value of the setting: for each problem a text, and perhaps a hint."""
    if not isinstance(given, Mapping):
        return [(f"KOKANEE is a dict of options, not {given!r}", None)]
    found: list[tuple[str, str | None]] = []
    for name, value in given.items():
        if name not in _KNOWN:
            near = difflib.get_close_matches(str(name).lower(), _KNOWN, n=1)
            found.append((f"KOKANEE has the unknown option {name!r}", f"did you mean {near[0]!r}?" if near else None))
            continue
        meant = _meant(name, value)
        if meant is not None:
            found.append((f"KOKANEE[{name!r}] is {meant}, not {value!r}", None))
    return found


def _meant(name: str, value: Any) -> str | None:
    """Returns what an option is, unless a value is such."""
    if name == "threads":
        fits = isinstance(value, int) and not isinstance(value, bool) and value > 0
        return None if fits else "a number of threads"
    if name == "path":
        return None if isinstance(value, str) and value.strip("/") else "a path such as 'socket.io'"
    if name == "namespaces" and isinstance(value, (list, tuple, set, frozenset)):
        wrong = [each for each in value if not isinstance(each, str) or not each.startswith("/")]
        return "a list of namespaces, each of which begins with '/'" if wrong else None
    try:
        _options.check(name, value)
    except TypeError as error:
        return str(error).removeprefix(f"{name} is ").rpartition(", not ")[0]
    return None


def options() -> dict[str, Any]:
    """Returns all options that are set, and the defaults of those of this application.

    Raises `ImproperlyConfigured` if one cannot be what it is.
    """
    given = getattr(settings, "KOKANEE", {})
    for text, hint in problems(given):
        raise ImproperlyConfigured(text if hint is None else f"{text}; {hint}")
    return {**OWN, "workers": "auto", **given}


def for_server(given: Mapping[str, Any], is_async: bool) -> dict[str, Any]:
    """Returns the arguments of `Server` or `AsyncServer`."""
    chosen = {name: value for name, value in given.items() if name not in OWN}
    if is_async:
        # It names where functions run.
        chosen.pop("async_mode", None)
    return {**chosen, "workers": group(given)}


def group(given: Mapping[str, Any]) -> Any:
    """Returns the option `workers`: by default the name of the project.

    All processes of a project on one machine then reach each other's clients: workers of a host, commands, the shell.
    """
    workers = given["workers"]
    if is_test():
        return False
    if workers != "auto" or os.environ.get(_workers.VARIABLE):
        return workers
    module = sys.modules.get(getattr(settings, "SETTINGS_MODULE", None) or "")
    if module is None:
        return workers
    parts = (getattr(module, "__file__", ""), module.__name__, settings.SECRET_KEY)
    return "django " + hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


def is_test() -> bool:
    """Returns whether this is a run of the project's tests, whose events are for themselves."""
    utils: Any = sys.modules.get("django.test.utils")
    return utils is not None and hasattr(utils._TestState, "saved_data")
