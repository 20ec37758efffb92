"""`Server`: the `AsyncServer` behind a `SocketIO`, which gives events with their answers to operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from .. import base_server
from .._handlers import Handler
from .._steps import settle
from ..async_server import AsyncServer
from ..exceptions import ConnectionRefusedError
from ._failure import Failure, tell, unknown
from ._middleware import ADDED, Chosen, Passage
from ._operation import Operation, asks
from ._socket import scope_of


class Server(AsyncServer):
    """Is an `AsyncServer` whose operations answer by themselves: before their dependencies end, and also if they fail."""

    def __init__(self, error_event: str | None, **options: Any) -> None:
        # What is for nobody must not reach everybody.
        super().__init__(**{"strict_targets": True, **options})
        #: The event that says what failed to a client that has not asked for an acknowledgement.
        self.error_event = error_event
        #: The application, and which of its middlewares requests go through.
        self.app: Any = None
        self.middleware: Sequence[Chosen] | None = None
        self._passage: Passage | None = None
        #: What clients sent when they joined their namespaces.
        self.auths: dict[str, Any] = {}

    @property
    def passage(self) -> Passage:
        """The way through the application's middlewares, which is complete when that has started."""
        if self._passage is None:
            self._passage = Passage(self.app, self.middleware)
        return self._passage

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

    async def _ask_to_join(self, sid: str, namespace: str, environ: Any, auth: Any) -> Any:
        await self._pass_middlewares(sid, namespace, environ)
        return await settle(super()._ask_to_join(sid, namespace, environ, auth))

    async def _pass_middlewares(self, sid: str, namespace: str, environ: Any) -> None:
        """Has the request of a connection go through the application's middlewares, if it has not yet."""
        eio_sid = self.manager.eio_sid_from_sid(sid, namespace)
        passage = self.passage
        if passage.is_empty or ADDED in self._sessions.get(eio_sid, ()):
            return
        try:
            added = await passage.added_to(scope_of(environ, self.app))
        except Exception as error:
            added = unknown(self.logger, "connect", sid, namespace, error)
        if isinstance(added, Failure):
            raise ConnectionRefusedError(added.message, added.as_data())
        if eio_sid in self.environ:
            # Otherwise the connection has ended meanwhile.
            self._sessions.setdefault(eio_sid, {}).setdefault(ADDED, added)

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
