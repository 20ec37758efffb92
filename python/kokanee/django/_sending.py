"""Who sends what this process emits: the server that has its clients, or one without any that knows other processes."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import TYPE_CHECKING

from .. import _workers
from . import _conf
from .exceptions import NotServing

if TYPE_CHECKING:
    from ._bridge import Bridge
    from ._registry import Sockets

logger = logging.getLogger("kokanee.django")

_making = threading.Lock()
#: What sends in a process that serves no clients.
_senders: weakref.WeakKeyDictionary[Sockets, Bridge] = weakref.WeakKeyDictionary()
_warned = False


def sender(sockets: Sockets, what: str) -> Bridge:
    """Returns what sends, for the process in which it is called. Raises `NotServing` if nothing can."""
    bridges = sockets.bridges
    if bridges:
        serving = [bridge for bridge in bridges if _is_started(bridge)]
        return (serving or bridges)[-1]
    if _conf.is_test():
        from .test import bridge_for_tests

        return bridge_for_tests(sockets)
    with _making:
        bridge = _senders.get(sockets)
        if bridge is None:
            bridge = _senders[sockets] = _make(what)
    bridge.server._start()
    _warn_if_alone(bridge, what)
    return bridge


def _is_started(bridge: Bridge) -> bool:
    server = bridge.server
    return server._loop._loop is not None if bridge.is_async else bool(server._is_started())


def _make(what: str) -> Bridge:
    from ..server import Server
    from ._bridge import Bridge
    from ._servers import in_group

    options = _conf.options()
    if _workers.group_of(_conf.group(options))[0] is None:
        raise NotServing(
            f"{what} reaches nobody: this process serves no clients, and KOKANEE['workers'] is {options['workers']!r}, "
            "so that it does not know the processes that do"
        )
    chosen = {**_conf.for_server(options, is_async=False), "async_mode": "threading"}
    return Bridge(in_group(Server(**chosen)))


def _warn_if_alone(bridge: Bridge, what: str) -> None:
    global _warned
    if not _warned and not bridge.server._engine.other_workers():
        _warned = True
        logger.warning("%s reaches nobody: no process of this project serves clients on this machine", what)
