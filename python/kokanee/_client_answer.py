"""The acknowledgement of an event that a client has emitted, while something waits for it."""

from __future__ import annotations

from typing import Any

from . import exceptions


def answer_value(args: tuple[Any, ...]) -> Any:
    """Returns the only argument of an acknowledgement, a tuple of several, or `None`."""
    return args if len(args) > 1 else args[0] if args else None


class Answer:
    """Waits for an acknowledgement in `call`."""

    def __init__(self, answered: Any) -> None:
        self._answered = answered
        self._args: tuple[Any, ...] | None = None
        self._error = ""

    def __call__(self, *args: Any) -> None:
        self._args = args
        self._answered.set()

    def failed(self, error: str | None) -> None:
        self._error = error or ""
        self._answered.set()

    def value(self) -> Any:
        """Returns the only argument, a tuple of several, or `None`. Raises `TimeoutError` if there was no answer."""
        if self._args is None:
            raise exceptions.TimeoutError(*([self._error] if self._error else []))
        return answer_value(self._args)
