"""A packet class of an application, which encodes and decodes in a way of its own."""

from __future__ import annotations

from typing import Any

import kokanee


class Reversed(kokanee.packet.Packet):
    """Writes packets from the end to the beginning."""

    uses_binary_events = True

    def encode(self) -> Any:
        encoded = super().encode()
        return [encoded[0][::-1], *encoded[1:]] if isinstance(encoded, list) else encoded[::-1]

    def decode(self, encoded_packet: Any) -> Any:
        return super().decode(encoded_packet[::-1])
