"""Typed events of the server: `Event` is emitted, `Question` is emitted and answered. Routers declare them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from typing_extensions import TypeVarTuple, Unpack

from ..async_server import AsyncServer
from ._payload import Result
from ._socket import Target, target_of

Ts = TypeVarTuple("Ts")
R = TypeVar("R")


class Place(Protocol):
    """Is where an event is emitted: the namespace of a server."""

    @property
    def server(self) -> AsyncServer:
        """The server. Raises `RuntimeError` if there is none yet."""

    @property
    def full_namespace(self) -> str:
        """The name of the namespace on that server."""


class Declared:
    """Is an event that the server emits, with the types of its arguments."""

    def __init__(self, place: Place, name: str, types: Sequence[Any], description: str) -> None:
        self.place = place
        self.name = name
        self.types = tuple(types)
        self.description = description
        #: The type of the client's answer; `None` if there is none.
        self.answer: Result | None = None
        self.arguments = Result(self.types, f"the event {name!r}")

    def _sent(self, args: Sequence[Any]) -> tuple[Any, ...]:
        try:
            return self.arguments.serialize(args)
        except TypeError as error:
            raise TypeError(f"the event {self.name!r}: {error}") from None


class Event(Declared, Generic[Unpack[Ts]]):
    """Is an event that the server emits to clients.

    ```python
    token: Event[Token] = sio.emits("token", Token)
    await token.emit(Token(text="hello"), to=socket)
    ```
    """

    async def emit(self, *args: Unpack[Ts], to: Target = None, skip: Target = None) -> None:
        """Emits the event: to a socket, a `sid` or a room (`to`), to several of them (a list), or to all in the namespace.

        `skip` does not get it. Raises pydantic's `ValidationError` if an argument is not of its type.
        """
        await self.place.server.emit(
            self.name,
            self._sent(args),
            to=target_of(to),
            skip_sid=target_of(skip),
            namespace=self.place.full_namespace,
        )


class Question(Declared, Generic[R, Unpack[Ts]]):
    """Is an event that one client is asked to answer.

    ```python
    confirm: Question[bool, Order] = sio.asks("confirm", Order, answer=bool)
    is_confirmed = await confirm.call(order, to=socket)
    ```
    """

    def __init__(self, place: Place, name: str, types: Sequence[Any], answer: Any, description: str) -> None:
        super().__init__(place, name, types, description)
        self.answer = Result([answer], f"the answer to {name!r}")

    async def call(self, *args: Unpack[Ts], to: Target, timeout: float | None = 60) -> R:
        """Emits the event to a client, and returns its answer.

        Raises `kokanee.exceptions.TimeoutError` after `timeout` seconds, or when the client leaves, and pydantic's
        `ValidationError` if the answer is not of its type.
        """
        assert self.answer is not None
        answer = await self.place.server.call(
            self.name, self._sent(args), to=target_of(to), namespace=self.place.full_namespace, timeout=timeout
        )
        value: R = self.answer.codecs[0].adapter.validate_python(answer)
        return value
