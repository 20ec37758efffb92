"""`MsgPackPacket`: packets as one binary message each, for clients with the package `socket.io-msgpack-parser`.

Needs the package `msgpack`. With the engine's own encoder it is not used, unless `configure` has given it hooks.
"""

from __future__ import annotations

from typing import Any, Callable, ClassVar

import msgpack

from . import packet


class MsgPackPacket(packet.Packet):
    """Is a packet of Socket.IO in msgpack."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # What a subclass changes happens in Python.
        cls.is_plain_msgpack = False

    uses_binary_events = False
    is_plain_msgpack: ClassVar[bool] = True
    dumps_default: ClassVar[Callable[[Any], Any] | None] = None
    ext_hook: ClassVar[Callable[[int, bytes], Any]] = msgpack.ExtType

    @classmethod
    def configure(
        cls,
        dumps_default: Callable[[Any], Any] | None = None,
        ext_hook: Callable[[int, bytes], Any] = msgpack.ExtType,
    ) -> type[MsgPackPacket]:
        """Returns a subclass that encodes other types with `dumps_default`, and decodes extensions with `ext_hook`."""
        # As static methods, so that they get no packet as first argument.
        hooks: dict[str, Any] = {
            "is_plain_msgpack": False,
            "dumps_default": None if dumps_default is None else staticmethod(dumps_default),
            "ext_hook": staticmethod(ext_hook),
        }
        return type(cls.__name__, (cls,), hooks)

    def encode(self) -> Any:
        """Returns the packet as bytes."""
        return msgpack.dumps(self._to_dict(), default=self.dumps_default)

    def decode(self, encoded_packet: Any) -> int:
        """Reads bytes. A packet in msgpack has no attachments after it."""
        parts = msgpack.loads(encoded_packet, ext_hook=type(self).ext_hook)
        if not isinstance(parts, dict) or "type" not in parts:
            raise ValueError("not a packet")
        self.packet_type = parts["type"]
        self.data = parts.get("data")
        self.id = parts.get("id")
        self.namespace = parts.get("nsp")
        return 0
