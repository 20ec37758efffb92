"""The name of connections of Engine.IO, as programs import it; the engine has its own."""

from .._eio import Connection


class Socket(Connection):
    """Shows one connection: `server.eio.sockets[eio_sid]`."""

    def schedule_ping(self) -> None:
        """Does nothing: the engine pings."""
