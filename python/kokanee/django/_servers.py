"""The servers of a project: a `Server` for WSGI, an `AsyncServer` for ASGI, with the same handlers and options."""

from __future__ import annotations

import threading
from typing import Any

from .. import _workers
from . import _conf
from ._bridge import Bridge
from ._registry import Sockets, sockets

_making = threading.Lock()


def server_of(registry: Sockets, is_async: bool) -> Any:
    """Returns the server of the project for a kind of host. There is one of each kind in a process."""
    with _making:
        for bridge in registry.bridges:
            if bridge.is_async == is_async and not bridge.in_test:
                return bridge.server
        bridge = _make(is_async)
        registry.attach(bridge)
        return bridge.server


def _make(is_async: bool) -> Bridge:
    from ..async_server import AsyncServer
    from ..server import Server

    options = _conf.options()
    chosen = _conf.for_server(options, is_async)
    server: Any = AsyncServer(**chosen) if is_async else Server(**chosen)
    return Bridge(in_group(server), options["threads"])


def in_group(server: Any) -> Any:
    """Returns a server that meets those of other processes of the project, whatever other servers each of them has."""
    server._engine_dict["meet"] = _workers.Meeting(server._options, number=0)
    return server


def path() -> str:
    """Returns the path of clients, without slashes around it."""
    return str(_conf.options()["path"]).strip("/")


def wsgi(application: Any, registry: Sockets = sockets) -> Any:
    """Returns an application of WSGI that serves clients beside another one."""
    from ..middleware import WSGIApp

    return WSGIApp(server_of(registry, is_async=False), application, socketio_path=path())


def asgi(application: Any, registry: Sockets = sockets, starts: bool = False) -> Any:
    """Returns an application of ASGI that serves clients beside another one.

    `starts`: the server starts with the host, and not with its first client, as the other one does not know when that is.
    """
    from ..asgi import ASGIApp

    server = server_of(registry, is_async=True)
    on_startup = server._loop.start if starts else None
    return ASGIApp(server, application, socketio_path=path(), on_startup=on_startup)
