"""The name of connections of Engine.IO, as programs for asyncio import it; the engine has its own."""

from .socket import Socket


class AsyncSocket(Socket):
    """Shows one connection: `server.eio.sockets[eio_sid]`."""
