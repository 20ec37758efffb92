"""The name of servers of Engine.IO for asyncio, as programs import it."""

from .server import Server


class AsyncServer(Server):
    """Refuses to be made: there is no server of Engine.IO without Socket.IO."""

    _instead = "kokanee.AsyncServer"
