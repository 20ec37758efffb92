"""Several packets of Engine.IO in one body of long-polling."""

from __future__ import annotations

import urllib.parse
from typing import Any, ClassVar

from . import packet

SEPARATOR = "\x1e"


class Payload:
    """Is a body of long-polling."""

    #: The most packets that `decode` takes. The engine limits bodies by their size instead, so it does not ask for it.
    max_decode_packets: ClassVar[int] = 16

    def __init__(self, packets: list[Any] | None = None, encoded_payload: Any = None) -> None:
        self.packets = packets or []
        if encoded_payload is not None:
            self.decode(encoded_payload)

    def encode(self, jsonp_index: int | None = None) -> str:
        """Returns the packets as text; with an index as a call of a script."""
        text = SEPARATOR.join(each.encode(b64=True) for each in self.packets)
        if jsonp_index is None:
            return text
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        escaped = escaped.replace("\n", "\\n").replace("\r", "\\r")
        return f'___eio[{jsonp_index}]("{escaped}");'

    def decode(self, encoded_payload: str) -> None:
        """Reads a text. Raises `ValueError` for a broken packet, or more than `max_decode_packets`."""
        self.packets = []
        if not encoded_payload:
            return
        if encoded_payload.startswith("d="):
            encoded_payload = urllib.parse.parse_qs(encoded_payload).get("d", [""])[0]
        parts = encoded_payload.split(SEPARATOR)
        if len(parts) > self.max_decode_packets:
            raise ValueError(
                f"Too many packets in payload: {len(parts)}, at most {self.max_decode_packets}"
            )
        self.packets = [packet.Packet(encoded_packet=part) for part in parts]
