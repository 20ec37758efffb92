"""The exceptions of servers and clients."""

from __future__ import annotations

from typing import Any


class SocketIOError(Exception):
    """Is the base of all exceptions here."""


class ConnectionError(SocketIOError):
    """Says that a connection could not be made.

    Of a client, `reason` says why in one word: `"refused"`, `"unreachable"`, `"dns"`, `"timeout"`, `"tls"`, `"proxy"`,
    `"not socket.io"`, `"wrong revision"`, `"rejected"`, `"unavailable"`, `"transport"`, `"no upgrade"`, `"interrupted"`,
    `"url"` or `"given up"`. `data` is what the server has said, if it has.
    """

    reason: str | None = None
    data: Any = None


class ConnectionRefusedError(ConnectionError):
    """Refuses a client, when a connect handler raises it.

    The first argument is the message that the client gets, the others are data for it.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        message = str(args[0]) if args else "Connection rejected by server"
        self.error_args: dict[str, Any] = {"message": message}
        if len(args) == 2:
            self.error_args["data"] = args[1]
        elif len(args) > 2:
            self.error_args["data"] = args[1:]


class TimeoutError(SocketIOError):
    """Says that an answer did not come in time."""


class BadNamespaceError(SocketIOError):
    """Says that a namespace is not connected."""


class DisconnectedError(SocketIOError):
    """Says that a client is disconnected, and will not reconnect."""
