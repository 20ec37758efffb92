"""Packets of Socket.IO, for applications that encode or decode them themselves."""

from __future__ import annotations

import json as _json
from typing import Any, ClassVar

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = range(7)
packet_names = [
    "CONNECT",
    "DISCONNECT",
    "EVENT",
    "ACK",
    "CONNECT_ERROR",
    "BINARY_EVENT",
    "BINARY_ACK",
]


class Packet:
    """Is a packet of Socket.IO."""

    uses_binary_events: ClassVar[bool] = True
    json: ClassVar[Any] = _json
