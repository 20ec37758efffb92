"""Failures of handlers: what a client is told of an exception, in the acknowledgement, in the refusal, or in an event."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import HTTPException, WebSocketException
from fastapi.exceptions import RequestValidationError
from starlette import exceptions

from .. import exceptions as own_exceptions
from ..async_server import AsyncServer
from ._payload import MOST_ERRORS, plain_error, sendable

#: Sends the values of an acknowledgement.
Answer = Callable[[tuple[Any, ...]], Awaitable[None]]

#: The event that says what failed to a client that has not asked for an acknowledgement.
ERROR_EVENT = "error"


#: Characters of an event's name that come back, as a client may have made it up.
MOST_NAME = 100

#: The status of what is a fault of the program.
UNKNOWN = 500


class Failure:
    """Says what failed: a status of HTTP, and a detail in the form of FastAPI's."""

    def __init__(self, status: int, detail: Any) -> None:
        self.status = status
        self.detail = detail

    @property
    def message(self) -> str:
        """A text for people: the reason of a refusal."""
        return self.detail if isinstance(self.detail, str) else http_phrase(self.status)

    def as_data(self) -> dict[str, Any]:
        """Returns it as a refused client gets it."""
        return {"status": self.status, "detail": self.detail}

    def as_answer(self) -> dict[str, Any]:
        """Returns it as an acknowledgement."""
        return {"error": self.as_data()}

    def as_event(self, event: str) -> dict[str, Any]:
        """Returns it as the data of an event, which names the one that failed."""
        return {"event": event[:MOST_NAME], **self.as_data()}


async def tell(
    failure: Failure, server: AsyncServer, client: tuple[str, str], event: str, answer: Answer | None, error_event: str | None
) -> None:
    """Tells a client (`sid` and namespace) what failed: by its answer, or if it has not asked for one, by the event for that."""
    if answer is not None:
        await answer((failure.as_answer(),))
    elif error_event is not None:
        sid, namespace = client
        await server.emit(error_event, failure.as_event(event), to=sid, namespace=namespace)


def http_phrase(status: int) -> str:
    """Returns the name of a status of HTTP."""
    return exceptions.HTTPException(status).detail if 100 <= status < 600 else "Error"


def invalid(errors: list[dict[str, Any]]) -> Failure:
    """Returns the failure for arguments that are not what a handler takes."""
    return Failure(422, [plain_error(error) for error in errors[:MOST_ERRORS]])


def failure_of(error: BaseException) -> Failure | None:
    """Returns what a client is told of an exception; `None` if it is a fault of the program, of which it is told nothing."""
    if isinstance(error, RequestValidationError):
        return invalid(list(error.errors()))
    if isinstance(error, (HTTPException, exceptions.HTTPException)):
        return Failure(error.status_code, sendable(error.detail))
    if isinstance(error, WebSocketException):
        return Failure(403, error.reason or http_phrase(403))
    if isinstance(error, own_exceptions.ConnectionRefusedError):
        detail = error.error_args.get("data")
        return Failure(403, error.error_args["message"] if detail is None else sendable(detail))
    return None


def unknown(logger: logging.Logger, event: str, sid: str, namespace: str, error: BaseException) -> Failure:
    """Logs an exception that is a fault of the program, and returns what the client is told."""
    logger.error('the handler of "%s" failed for %s [%s]', event, sid, namespace, exc_info=error)
    return Failure(UNKNOWN, http_phrase(UNKNOWN))
