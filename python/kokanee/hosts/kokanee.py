"""The package's own host: it has the request itself, which the engine answers in its place."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

#: Where the host puts the request into an environ, or into the extensions of a scope.
KEY = "kokanee.exchange"


def give(engine: Any, holder: MutableMapping[str, Any], environ: Callable[[], Any]) -> bool:
    """Gives a request to an engine. `False` if it is not of this host, or its body was read: then it is as any other.

    `environ` makes what a connect handler gets, `None` for a request that opens no session.
    """
    exchange = holder.pop(KEY, None)
    return exchange is not None and bool(exchange.give(engine, environ()))
