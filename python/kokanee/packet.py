"""Packets of Socket.IO: types, and the class that encodes and decodes them.

The engine has its own encoder. This one is for applications that read or write packets themselves, for clients that live in
Python alone, and it is the base of serializers of an application.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .engineio import json as _json

(CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK) = range(7)
packet_names = [
    "CONNECT",
    "DISCONNECT",
    "EVENT",
    "ACK",
    "CONNECT_ERROR",
    "BINARY_EVENT",
    "BINARY_ACK",
]

#: The most digits of the number of attachments, and of an id.
_MOST_COUNT_DIGITS = 10
_MOST_ID_DIGITS = 100


class Packet:
    """Is a packet of Socket.IO.

    `encode` returns a text, or a list of a text and the binary attachments after it. A packet that is made from an encoded
    text waits for its attachments: `add_attachment` says with which it is complete.
    """

    uses_binary_events: ClassVar[bool] = True
    json: ClassVar[Any] = _json

    def __init__(
        self,
        packet_type: int = EVENT,
        data: Any = None,
        namespace: str | None = None,
        id: int | None = None,
        binary: bool | None = None,
        encoded_packet: Any = None,
    ) -> None:
        self.packet_type = packet_type
        self.data = data
        self.namespace = namespace
        self.id = id
        self.attachment_count = 0
        self.attachments: list[Any] = []
        if self.uses_binary_events and (
            binary or (binary is None and self.data_is_binary(data))
        ):
            binary_types = {EVENT: BINARY_EVENT, ACK: BINARY_ACK}
            if packet_type not in binary_types:
                raise ValueError("Packet does not support binary payload.")
            self.packet_type = binary_types[packet_type]
        if encoded_packet:
            self.attachment_count = self.decode(encoded_packet) or 0

    def encode(self) -> Any:
        """Returns the packet as text, or as a list of a text and its attachments."""
        data = self.data
        attachments: list[Any] | None = None
        text = str(self.packet_type)
        if self.packet_type in (BINARY_EVENT, BINARY_ACK):
            data, attachments = self.deconstruct_binary(data)
            text += f"{len(attachments)}-"
        if self.namespace is not None and self.namespace != "/":
            text += f"{self.namespace},"
        if self.id is not None:
            text += str(self.id)
        if data is not None:
            text += self.json.dumps(data, separators=(",", ":"))
        return text if attachments is None else [text, *attachments]

    def decode(self, encoded_packet: Any) -> int:
        """Reads a text, and returns how many attachments come after it. Raises `ValueError` if it is not a packet."""
        text = str(encoded_packet)
        try:
            self.packet_type = int(text[:1])
        except ValueError:
            raise ValueError(f"unknown packet type {text[:1]!r}") from None
        rest = text[1:]
        self.namespace = None
        self.data = None
        self.id = None
        count = 0
        digits = _leading_digits(rest)
        if digits and rest[len(digits) : len(digits) + 1] == "-":
            if len(digits) > _MOST_COUNT_DIGITS:
                raise ValueError("too many attachments")
            count = int(digits)
            rest = rest[len(digits) + 1 :]
        if rest.startswith("/"):
            # Clients may leave the query of the URL at the name.
            name, _, rest = rest.partition(",")
            self.namespace = name.partition("?")[0]
        digits = _leading_digits(rest)
        if digits:
            if len(digits) > _MOST_ID_DIGITS:
                raise ValueError("id field is too long")
            self.id = int(digits)
            rest = rest[len(digits) :]
        if rest:
            self.data = self.json.loads(rest)
        return count

    def add_attachment(self, attachment: Any) -> bool:
        """Adds the next attachment, and returns whether the packet is complete."""
        if len(self.attachments) >= self.attachment_count:
            raise ValueError("Unexpected binary attachment")
        self.attachments.append(attachment)
        if len(self.attachments) < self.attachment_count:
            return False
        self.data = self.reconstruct_binary(self.data, self.attachments)
        return True

    @classmethod
    def reconstruct_binary(cls, data: Any, attachments: list[Any]) -> Any:
        """Returns the data with the attachments in the places of their placeholders."""
        if isinstance(data, list):
            return [cls.reconstruct_binary(item, attachments) for item in data]
        if isinstance(data, dict):
            if data.get("_placeholder") is True and type(data.get("num")) is int:
                if not 0 <= data["num"] < len(attachments):
                    raise ValueError("placeholder without attachment")
                return attachments[data["num"]]
            return {
                key: cls.reconstruct_binary(item, attachments) for key, item in data.items()
            }
        return data

    @classmethod
    def deconstruct_binary(cls, data: Any) -> tuple[Any, list[Any]]:
        """Returns the data with placeholders, and the binary values that were in their places."""
        attachments: list[Any] = []
        return cls._take_out(data, attachments), attachments

    @classmethod
    def _take_out(cls, data: Any, attachments: list[Any]) -> Any:
        if isinstance(data, (bytes, bytearray)):
            attachments.append(data)
            return {"_placeholder": True, "num": len(attachments) - 1}
        if isinstance(data, (list, tuple)):
            return [cls._take_out(item, attachments) for item in data]
        if isinstance(data, dict):
            return {key: cls._take_out(item, attachments) for key, item in data.items()}
        return data

    @classmethod
    def data_is_binary(cls, data: Any) -> bool:
        """Returns whether there is a binary value in the data, at any depth."""
        if isinstance(data, (bytes, bytearray)):
            return True
        if isinstance(data, (list, tuple)):
            return any(cls.data_is_binary(item) for item in data)
        if isinstance(data, dict):
            return any(cls.data_is_binary(item) for item in data.values())
        return False

    def _to_dict(self) -> dict[str, Any]:
        parts = {"type": self.packet_type, "data": self.data, "nsp": self.namespace}
        if self.id is not None:
            parts["id"] = self.id
        return parts


def coding(packet_class: Any) -> str:
    """Returns who reads and writes packets of a class: the engine with its parser `"default"` or `"msgpack"`, or `"python"`.

    Classes that only change how binary values are found in data are for the engine, as it finds them in a way of its own.
    """
    wire = ("__init__", "add_attachment", "decode", "encode", "_to_dict")
    if all(getattr(packet_class, name, None) is getattr(Packet, name) for name in wire):
        return "default"
    return "msgpack" if getattr(packet_class, "is_plain_msgpack", False) else "python"


def is_usual_json(module: Any) -> bool:
    """Returns whether a module for JSON is the one that the engine stands for."""
    return module is _json or getattr(module, "__name__", None) == "json"


def _leading_digits(text: str) -> str:
    end = 0
    while end < len(text) and text[end] in "0123456789":
        end += 1
    return text[:end]
