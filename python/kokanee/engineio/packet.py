"""Packets of Engine.IO."""

from __future__ import annotations

import base64
import binascii
from typing import Any, ClassVar

from . import json as _json

(OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP) = range(7)
packet_names = ["OPEN", "CLOSE", "PING", "PONG", "MESSAGE", "UPGRADE", "NOOP"]
binary_types = (bytes, bytearray)


class Packet:
    """Is a packet of Engine.IO: a type, and for messages a text, bytes, or what JSON can write."""

    json: ClassVar[Any] = _json

    def __init__(
        self, packet_type: int = NOOP, data: Any = None, encoded_packet: Any = None
    ) -> None:
        self.packet_type = packet_type
        self.data = data
        self.encode_cache: Any = None
        self.binary = isinstance(data, binary_types)
        if self.binary and packet_type != MESSAGE:
            raise ValueError("Binary packets can only be of type MESSAGE")
        if encoded_packet is not None:
            self.decode(encoded_packet)

    def encode(self, b64: bool = False) -> Any:
        """Returns the packet as text, or as bytes if its data are; with `b64` as text in either case.

        The result is kept, so later changes of the data have no effect.
        """
        if self.encode_cache is not None and not b64:
            return self.encode_cache
        if self.binary:
            if b64:
                return "b" + base64.b64encode(self.data).decode()
            self.encode_cache = self.data
            return self.data
        text = str(self.packet_type)
        if isinstance(self.data, str):
            text += self.data
        elif isinstance(self.data, (dict, list)):
            text += self.json.dumps(self.data, separators=(",", ":"))
        elif self.data is not None:
            text += str(self.data)
        if not b64:
            self.encode_cache = text
        return text

    def decode(self, encoded_packet: Any) -> None:
        """Reads a text or bytes. Raises `ValueError` if that is not a packet."""
        self.encode_cache = None
        self.binary = isinstance(encoded_packet, binary_types)
        if self.binary or (encoded_packet and encoded_packet[0] == "b"):
            self.packet_type = MESSAGE
            if not self.binary:
                self.binary = True
                try:
                    encoded_packet = base64.b64decode(encoded_packet[1:], validate=True)
                except binascii.Error as error:
                    raise ValueError(f"not base64: {error}") from None
            self.data = bytes(encoded_packet)
            return
        kind = encoded_packet[:1]
        if kind not in ("0", "1", "2", "3", "4", "5", "6"):
            raise ValueError(f"unknown packet type {kind!r}")
        self.packet_type = int(kind)
        self.data = None
        rest = encoded_packet[1:]
        if rest:
            self.data = rest
            if self.packet_type == MESSAGE and not rest[0].isdigit():
                # What is not JSON, and numbers, are texts.
                try:
                    self.data = self.json.loads(rest)
                except ValueError:
                    pass
