"""The acknowledgement of an event that a client has emitted, or room for one, while something waits for it."""

from __future__ import annotations

from typing import Any

from . import exceptions


def answer_value(args: tuple[Any, ...]) -> Any:
    """Returns the only argument of an acknowledgement, a tuple of several, or `None`."""
    return args if len(args) > 1 else args[0] if args else None


def no_answer(error: str | BaseException | None) -> exceptions.TimeoutError:
    """Returns the exception of a call without an answer: it says why, if that is known."""
    if not isinstance(error, BaseException):
        return exceptions.TimeoutError(*([error] if error else []))
    failure = exceptions.TimeoutError(f"the acknowledgement cannot be read: {type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure


class Answer:
    """Is what somebody waits for until `answered` is set: an acknowledgement, or that an event has left."""

    def __init__(self, answered: Any) -> None:
        self._answered = answered
        self._args: tuple[Any, ...] | None = None
        self._error: str | BaseException | None = None

    def __call__(self, *args: Any) -> None:
        self._args = args
        self._answered.set()

    def failed(self, error: str | BaseException | None) -> None:
        """Says that it does not come, and why."""
        self._error = error
        self._answered.set()

    def value(self) -> Any:
        """Returns the only argument, a tuple of several, or `None`. Raises `TimeoutError` if there was no answer."""
        if self._args is None:
            raise no_answer(self._error)
        return answer_value(self._args)

    def check(self) -> None:
        """Raises `SocketIOError` if it has failed."""
        if self._error is not None:
            raise exceptions.SocketIOError(str(self._error))
