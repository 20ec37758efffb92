"""The name of servers of Engine.IO, as programs import it; the engine has its own, which serves Socket.IO alone."""

from __future__ import annotations

from typing import Any, NoReturn


class Server:
    """Refuses to be made: there is no server of Engine.IO without Socket.IO."""

    #: The server of Socket.IO whose `eio` is what programs use of this class.
    _instead = "kokanee.Server"

    def __init__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            f"Kokanee has no servers of Engine.IO alone: use {self._instead}, whose eio.on('connect' | 'message' | 'disconnect') "
            "takes handlers of connections"
        )
