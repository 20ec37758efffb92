"""`Server`: the `AsyncServer` behind a `SocketIO`, which gives events with their answers to operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from .. import base_server
from .._handlers import Handler
from .._steps import settle
from ..async_server import AsyncServer
from ._failure import Failure, tell
from ._operation import Operation, asks


class Server(AsyncServer):
    """Is an `AsyncServer` whose operations answer by themselves: before their dependencies end, and also if they fail."""

    def __init__(self, error_event: str | None, **options: Any) -> None:
        # What is for nobody must not reach everybody.
        super().__init__(**{"strict_targets": True, **options})
        #: The event that says what failed to a client that has not asked for an acknowledgement.
        self.error_event = error_event
        #: What clients sent when they joined their namespaces.
        self.auths: dict[str, Any] = {}

    async def _handle_event(
        self,
        event: tuple[Any, ...],
        handlers: Mapping[str, Mapping[str, Handler]] = MappingProxyType({}),
        is_logged: bool = True,
        on_error: Callable[..., None] = base_server.report,
    ) -> None:
        _, sid, namespace, name, args, answer = event
        direct = handlers or self._direct_handlers()
        operation = _operation(direct, namespace, name)
        if operation is None and direct is self.handlers and not self._is_handled(namespace, name):
            await self._miss(sid, namespace, name, answer)
        elif operation is None:
            # An application may have put something in between that calls operations: they learn it by this.
            asks.set(answer is not None)
            await super()._handle_event(event, handlers, is_logged, on_error)
        else:
            if is_logged:
                self.logger.info('received event "%s" from %s [%s]', name, sid, namespace)
            await operation.handle(name, namespace, sid, args, answer)

    async def _miss(self, sid: str, namespace: str, name: str, answer: Any) -> None:
        """Tells a client that an event has no handler: it would wait for an answer forever."""
        failure = Failure(404, "There is no handler for this event")

        async def send(values: tuple[Any, ...]) -> None:
            await settle(answer.send_result(values))

        await tell(failure, self, (sid, namespace), name, None if answer is None else send, self.error_event)

    def _is_handled(self, namespace: str, name: str) -> bool:
        """Returns whether a function or an object of python-socketio's kind handles an event."""
        handler, _ = self._get_event_handler(name, namespace, ())
        return handler is not None or self._get_namespace_handler(namespace, ())[0] is not None

    async def _join(self, sid: str, namespace: str, environ: Any, auth: Any, connecting: Any) -> None:
        if auth:
            self.auths[sid] = auth
        try:
            await super()._join(sid, namespace, environ, auth, connecting)
        finally:
            if sid not in self.manager.clients:
                self.auths.pop(sid, None)

    async def _leave(self, sid: str, namespace: str, reason: str, marked: bool = False) -> None:
        try:
            await settle(super()._leave(sid, namespace, reason, marked))
        finally:
            if sid not in self.manager.clients:
                self.auths.pop(sid, None)


def _operation(handlers: Mapping[str, Mapping[str, Handler]], namespace: str, name: str) -> Operation | None:
    """Returns the operation for an event, if that is what handles it."""
    for space in (namespace, "*"):
        own = handlers.get(space)
        if own is None:
            continue
        handler = own.get(name) or own.get("*")
        if handler is not None:
            return handler if isinstance(handler, Operation) else None
    return None
