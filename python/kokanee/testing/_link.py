"""The connection of a client in memory: what is between its protocol and the engine's channel."""

from __future__ import annotations

import threading
from typing import Any

from ._protocol import Protocol


class Link:
    """Carries messages between a protocol and a channel, on whichever thread finds some."""

    def __init__(self, channel: Any, protocol: Protocol) -> None:
        self.channel = channel
        self.protocol = protocol
        #: Why the engine has closed the WebSocket.
        self.close_code: int | None = None
        self.status: int | None = None
        self.body = b""
        self._lock = threading.RLock()

    def pump(self) -> int:
        """Hands over what has come and what is to be sent. Returns how many messages there were."""
        with self._lock:
            messages = self.channel.take()
            for message in messages:
                if isinstance(message, tuple):
                    self._say(*message)
                else:
                    self.protocol.handle(message)
            return len(messages) + self.send()

    def send(self) -> int:
        """Feeds the engine what is to be sent, which it reads when it is flushed. Returns how many messages there were."""
        with self._lock:
            outgoing = self.protocol.take_outgoing()
            for message in outgoing:
                self.channel.feed(message)
            return len(outgoing)

    def _say(self, kind: str, value: Any, *response: Any) -> None:
        if kind == "accept":
            return
        if kind == "close":
            self.close_code = value
        else:
            self.status, self.body = value, response[-1]
        self.protocol.end()
        self.channel.end()
