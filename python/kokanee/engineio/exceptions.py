"""The exceptions of Engine.IO."""

from __future__ import annotations


class EngineIOError(Exception):
    """Is the base of all exceptions here."""


class ContentTooLongError(EngineIOError):
    """Says that a message is longer than allowed."""


class UnknownPacketError(EngineIOError):
    """Says that a packet is of no known type."""


class QueueEmpty(EngineIOError):
    """Says that nothing waits to be sent."""


class SocketIsClosedError(EngineIOError):
    """Says that a connection is closed."""


class ConnectionError(EngineIOError):
    """Says that a connection could not be made."""
