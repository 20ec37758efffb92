"""`python -m kokanee serve module:app`: an application under the package's own host."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from typing import Any

from . import _run
from ._serve_options import ListenError, Options, StartError, report

#: What each option is for; the rest of it is that of `Options`.
HELP = {
    "host": "the address to listen on; 0.0.0.0 is all interfaces",
    "port": "the port; 0 is any free one",
    "uds": "listen on a Unix socket with this path, not on host and port",
    "workers": "processes that share the socket",
    "threads": "threads for a WSGI application, at most",
    "loop": "event loop for an ASGI application: auto, asyncio or uvloop",
    "interface": "what the application is: auto, wsgi or asgi",
    "lifespan": "tell an ASGI application of start and end: auto, on or off",
    "certfile": "certificate chain for TLS, a PEM file",
    "keyfile": "key for TLS, a PEM file",
    "root_path": "path at which a proxy has mounted the application",
    "trusted_proxies": "proxies whose X-Forwarded-* is believed, with commas: 10.0.0.0/8, loopback, private, unix",
    "max_request_size": "largest body of a request, in bytes",
    "body_timeout": "seconds without any progress of a request's body",
    "backlog": "requests that may wait for the application",
    "graceful_timeout": "seconds that requests may take after SIGTERM or SIGINT",
    "access_log": "log each request to the logger kokanee.access",
    "reload": "start anew when a file of the program changes",
    "factory": "the name is that of a function that makes the application",
}


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m kokanee serve",
        description="Serves a WSGI or ASGI application, or a Server or AsyncServer of Kokanee.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("app", help="module:attribute, or module:function() for one that makes the application")
    made.add_argument("--app-dir", default=".", help="folder of the module", metavar="…")
    for field in dataclasses.fields(Options):
        name = f"--{field.name.replace('_', '-')}"
        if field.default is False:
            made.add_argument(name, action="store_true", help=HELP[field.name])
            continue
        kinds: dict[str, Any] = {"int": int, "float": float}
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        made.add_argument(
            name, type=kinds.get(str(field.type), str), default=default, help=HELP[field.name], metavar="…"
        )
    return made


def main(arguments: list[str]) -> int:
    """Serves until a signal, and returns the exit code."""
    given = vars(parser().parse_args(arguments))
    app = given.pop("app")
    sys.path.insert(0, os.path.abspath(given.pop("app_dir")))
    given["trusted_proxies"] = tuple(
        name.strip() for name in given["trusted_proxies"].split(",") if name.strip()
    )
    try:
        return _run.serve(app, Options(**given))
    except (StartError, ListenError) as error:
        return report(error)
