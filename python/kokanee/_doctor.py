"""`kokanee.doctor()` and `python -m kokanee doctor`: what runs here, which host would be chosen and why, what has no effect."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
from typing import Any

from . import _engine, _modes, _options, _workers, base_server

#: Hosts by their module, with the name of their distribution and their kind.
HOSTS: dict[str, tuple[str, str]] = {
    "werkzeug": ("Werkzeug", "WSGI"),
    "gunicorn": ("gunicorn", "WSGI"),
    "eventlet": ("eventlet", "WSGI"),
    "gevent": ("gevent", "WSGI"),
    "waitress": ("waitress", "WSGI"),
    "cheroot": ("cheroot", "WSGI"),
    "uwsgi": ("uWSGI", "WSGI"),
    "uvicorn": ("uvicorn", "ASGI"),
    "hypercorn": ("Hypercorn", "ASGI"),
    "daphne": ("daphne", "ASGI"),
    "granian": ("granian", "ASGI"),
}

#: The packages that this one is used in the place of. Both beside each other is a common mistake.
REPLACED = {"socketio": "python-socketio", "engineio": "python-engineio"}

USAGE = "usage: python -m kokanee doctor [module:server]\n"


class Report:
    """Says what was found, as text with `str`, and as data in `facts`."""

    def __init__(self) -> None:
        self.facts: dict[str, dict[str, str]] = {}

    def add(self, section: str, name: str, value: str) -> None:
        """Adds a fact."""
        self.facts.setdefault(section, {})[name] = value

    def __str__(self) -> str:
        lines: list[str] = []
        for section, facts in self.facts.items():
            width = max(map(len, facts))
            lines += [section, *(f"  {name:<{width}}  {value}" for name, value in facts.items())]
        return "\n".join(lines)

    __repr__ = __str__


def doctor(server: base_server.BaseServer | None = None) -> Report:
    """Returns a report about this process and, if one is given, about a server. Nothing is started, imported or changed."""
    report = Report()
    _add_versions(report)
    _add_hosts(report)
    name, reason = _choice()
    report.add("Server without async_mode", name, reason)
    if server is not None:
        _add_server(report, server)
        _add_clients(report, server)
    return report


def _add_versions(report: Report) -> None:
    report.add("Versions", "kokanee", _engine.__version__)
    report.add("Versions", "Python", f"{platform.python_implementation()} {sys.version.split()[0]}")
    report.add("Versions", "platform", platform.platform())
    for module, distribution in REPLACED.items():
        report.add("Versions", f"import {module}", _meaning(module, distribution))


def _meaning(module: str, distribution: str) -> str:
    """Says what an import of a name of python-socketio gives here."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        return "Kokanee" if loaded.__name__.startswith("kokanee") else f"{distribution}, not Kokanee"
    found = importlib.util.find_spec(module)
    if found is None:
        return "not there: call kokanee.install_as_socketio() first, or use import kokanee as socketio"
    if type(found.loader).__module__.startswith("kokanee"):
        return "Kokanee"
    version = _version(distribution)
    return f"{distribution} {version}, not Kokanee" if version else f"Kokanee, or else {found.origin}"


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _add_hosts(report: Report) -> None:
    own = f"{_engine.__version__} (WSGI and ASGI): kokanee.run(app), python -m kokanee serve module:app"
    report.add("Hosts that are installed", "kokanee", own)
    for module, (distribution, kind) in HOSTS.items():
        if module in sys.modules or importlib.util.find_spec(module) is not None:
            version = _version(distribution) or "of unknown version"
            loaded = ", imported" if module in sys.modules else ""
            report.add("Hosts that are installed", distribution, f"{version} ({kind}{loaded})")


def _choice() -> tuple[str, str]:
    """Returns the mode that a `Server` without `async_mode` gets, and the reason."""
    name, _ = _modes.choose(None)
    if name == "threading":
        return name, "neither eventlet nor gevent is imported: handlers run on threads"
    if name in sys.modules and not _is_patched(name):
        return name, (
            f"{name} is imported, but has not patched the standard library: a handler that blocks holds up all others"
        )
    return name, f"{name} is imported and has patched the standard library: handlers run on its greenlets"


def _is_patched(name: str) -> bool:
    if name == "gevent":
        monkey = sys.modules.get("gevent.monkey")
        return monkey is not None and bool(monkey.is_module_patched("socket"))
    patcher = sys.modules.get("eventlet.patcher")
    return patcher is not None and bool(patcher.is_monkey_patched("socket"))


def _add_server(report: Report, server: base_server.BaseServer) -> None:
    section = type(server).__name__
    report.add(section, "async_mode", str(getattr(server, "async_mode", "unknown")))
    namespaces = sorted({"/", *server.handlers, *server.namespace_handlers})
    report.add(section, "namespaces", ", ".join(namespaces))
    report.add(section, "manager", type(server.manager).__name__)
    group, reason = _workers.group_of(server._options["workers"])
    alone = "its clients stay in this process" if group is None else "one of several workers"
    report.add(section, "workers", f"{alone}: {reason}")
    without = without_effect(server)
    for name, reason in without.items():
        report.add(f"Options without effect: {len(without)}", name, reason)


def without_effect(server: base_server.BaseServer) -> dict[str, str]:
    """Returns the options of a server that change nothing, each with the reason."""
    options = server._options
    found: dict[str, str] = {}
    for name in options:
        if name not in _options.ENGINE_OPTIONS:
            found[name] = "no option has this name"
    if options["monitor_clients"] is not None:
        found["monitor_clients"] = "the engine watches every client"
    if isinstance(options["ping_interval"], tuple):
        found["ping_interval"] = "its second number: the engine needs no grace period"
    if not options["http_compression"] and _is_changed(options, "compression_threshold"):
        found["compression_threshold"] = "http_compression is off"
    if options["transports"] is not None:
        given = options["transports"]
        names = [given] if isinstance(given, str) else list(given)
        unknown = [name for name in names if name not in _options.TRANSPORTS]
        if unknown:
            found["transports"] = f"{', '.join(map(repr, unknown))}: not a transport of this server"
        if _is_changed(options, "allow_upgrades") and set(names) != {"polling", "websocket"}:
            found["allow_upgrades"] = "with one transport there is no upgrade"
    if options["cors_allowed_origins"] == [] and not options["cors_credentials"]:
        found["cors_credentials"] = "cors_allowed_origins=[] leaves CORS to the application"
    other, hosts = ("poll_takeover", "WSGI") if server.is_asyncio_based() else ("takeover", "ASGI")
    if _is_changed(options, other):
        found[other] = f"it is for {hosts} hosts"
    return found


def _is_changed(options: dict[str, Any], name: str) -> bool:
    return bool(name in options and options[name] != _options.ENGINE_OPTIONS.get(name))


def _add_clients(report: Report, server: base_server.BaseServer) -> None:
    environs = [environ for environ in list(server.environ.values()) if environ is not None]
    section = f"Connections: {len(environs)}"
    for environ in environs:
        host = str(environ.get("SERVER_SOFTWARE") or "unknown")
        count = int(report.facts.get(section, {}).get(host, "0").split()[0])
        report.add(section, host, f"{count + 1} by this host")
    transports: dict[str, int] = {}
    for sid in list(getattr(server.manager, "clients", {})):
        for namespace in server.manager.get_namespaces():
            try:
                transport = server.transport(sid, namespace)
            except KeyError:
                continue
            transports[transport] = transports.get(transport, 0) + 1
    for transport, number in transports.items():
        report.add(section, transport, f"{number} now over this transport")


def _server_of(found: Any) -> Any:
    """Returns a server; also that of an extension for Flask, or of an application that has one."""
    if isinstance(extensions := getattr(found, "extensions", None), dict):
        found = extensions.get("socketio")
    return found if isinstance(found, base_server.BaseServer) else getattr(found, "server", None)


def main(arguments: list[str]) -> int:
    """Prints the report; with `module:server` that about a server."""
    if len(arguments) > 1 or arguments[:1] in (["-h"], ["--help"]):
        sys.stderr.write(USAGE)
        return 2
    server = None
    if arguments:
        module, _, name = arguments[0].partition(":")
        sys.path.insert(0, os.getcwd())
        try:
            server = _server_of(getattr(importlib.import_module(module), name or "sio", None))
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            sys.stderr.write(f"kokanee: there is no module {error.name} here\n")
            return 2
        if not isinstance(server, base_server.BaseServer):
            sys.stderr.write(f"kokanee: {arguments[0]} is not a Server or AsyncServer\n")
            return 2
    print(doctor(server))
    return 0
