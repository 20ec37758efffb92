"""`Passage`: the middlewares of an application that the request which opens a connection goes through.

They are those that add to its scope what handlers ask for: `request.session`, `request.user`, `request.state`. The request goes
through them once, when the client joins its first namespace; what they have added stays with the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from starlette.middleware.authentication import AuthenticationMiddleware

from ._failure import Failure, http_phrase

#: A class of middleware, or the function of `@app.middleware("http")`.
Chosen = Callable[..., Any]

#: Where a connection has what was added to its scope, among what a server keeps of it.
ADDED = "fastapi"

#: Characters of a middleware's response that a refused client gets.
_MOST_TEXT = 200


def usual() -> tuple[Chosen, ...]:
    """Returns the middlewares that requests go through unless an application chooses others: for sessions and authentication."""
    try:
        from starlette.middleware.sessions import SessionMiddleware
    except ImportError:
        # It needs a package that is not installed, so that no application has it.
        return (AuthenticationMiddleware,)
    return SessionMiddleware, AuthenticationMiddleware


class Passage:
    """Is the way through the middlewares of an application that were chosen, in its order. Raises `ValueError` if it lacks one."""

    def __init__(self, app: Any, chosen: Sequence[Chosen] | None) -> None:
        stack = app.user_middleware if app is not None else []
        found = [(each, _chosen_by(each, usual() if chosen is None else chosen)) for each in stack]
        for choice in chosen or ():
            if all(by is not choice for _, by in found):
                name = getattr(choice, "__name__", repr(choice))
                raise ValueError(f"middleware={name}: the application has none of that kind; add it with app.add_middleware")
        self._app: Any = _end
        self.is_empty = True
        for (cls, args, kwargs), by in reversed(found):
            if by is not None:
                self._app = cls(self._app, *args, **kwargs)
                self.is_empty = False

    async def added_to(self, scope: dict[str, Any]) -> dict[str, Any] | Failure:
        """Returns what the middlewares add to a scope; a failure if one of them has answered the request by itself."""
        way = _Way()
        inner = {**scope, "state": dict(scope.get("state") or {}), _WAY: way}
        await self._app(inner, way.receive, way.send)
        if way.scope is None:
            return way.refusal()
        return {name: value for name, value in way.scope.items() if name != _WAY and scope.get(name) is not value}


def _chosen_by(middleware: Any, chosen: Sequence[Chosen]) -> Chosen | None:
    cls, _, kwargs = middleware
    for each in chosen:
        if (isinstance(each, type) and isinstance(cls, type) and issubclass(cls, each)) or kwargs.get("dispatch") is each:
            return each
    return None


#: Where the application at the end of the way finds it.
_WAY = "kokanee.way"


class _Way:
    """Takes what comes out at the end of the middlewares, and what they answer."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] | None = None
        self._status = 500
        self._text = b""
        self._is_text = False

    async def receive(self) -> dict[str, Any]:
        """Returns the body of the request, which is empty."""
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Any) -> None:
        """Keeps the beginning of a response."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._is_text = any(name == b"content-type" and b"text/plain" in value for name, value in message.get("headers", ()))
        elif self._is_text and len(self._text) < _MOST_TEXT:
            self._text += message.get("body", b"")[:_MOST_TEXT]

    def refusal(self) -> Failure:
        """Returns the text for a client whose request a middleware has answered."""
        return Failure(self._status, self._text.decode(errors="replace")[:_MOST_TEXT] or http_phrase(self._status))


async def _end(scope: Any, receive: Any, send: Any) -> None:
    """Is the application at the end of the way."""
    scope[_WAY].scope = scope
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
