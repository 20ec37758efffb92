"""What a client of a test has received, and why it could not join."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .. import exceptions


def data_of(args: tuple[Any, ...]) -> Any:
    """Returns arguments as the other end gave them: the only one, a tuple of several, or `None`."""
    return args if len(args) > 1 else args[0] if args else None


@dataclass(frozen=True)
class Event:
    """Is an event that a client has received."""

    name: str
    args: tuple[Any, ...] = ()
    namespace: str = "/"
    #: Answers the event, if the server has asked for that and no handler of the client did.
    ack: Callable[..., None] | None = field(default=None, compare=False, repr=False)

    @property
    def data(self) -> Any:
        """What the server has emitted: the only argument, a tuple of several, or `None`."""
        return data_of(self.args)


class ConnectionRefused(exceptions.ConnectionError):
    """Says that the server has refused a client: its message, and the data of the refusal."""

    def __init__(self, namespace: str, message: str, data: Any = None) -> None:
        super().__init__(f"{namespace}: {message}" if data is None else f"{namespace}: {message} {data!r}")
        self.namespace = namespace
        self.message = message
        self.data = data


class RequestRefused(exceptions.ConnectionError):
    """Says that the request was refused before the client could ask for a namespace: with which status and body."""

    def __init__(self, status: int | None, body: bytes) -> None:
        shown = body.decode(errors="replace")
        super().__init__(f"the request was refused with status {status}: {shown}" if status else "the request was refused")
        self.status = status
        self.body = body
