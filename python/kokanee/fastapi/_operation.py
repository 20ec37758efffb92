"""`Operation`: one handler of a namespace, and how it is called for an event: dependencies, arguments, result, failure."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Protocol

from fastapi import BackgroundTasks, HTTPException, params
from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.utils import solve_dependencies
from fastapi.exceptions import RequestValidationError

from .. import exceptions
from .._steps import settle
from ..async_server import AsyncServer, is_cancelled
from ._failure import UNKNOWN, Failure, failure_of, tell, unknown
from ._payload import Result, sendable
from ._signature import Signature
from ._socket import Socket

#: Whether the client waits for an acknowledgement, where `AsyncServer` calls the handler by itself.
asks: contextvars.ContextVar[bool] = contextvars.ContextVar("asks", default=True)

#: What turns an exception of an application into one that clients are told of.
ExceptionHandler = Callable[[Socket, Any], Any]


class Site(Protocol):
    """Is what operations need of the `SocketIO` that they belong to."""

    app: Any
    error_event: str | None
    exception_handlers: dict[type[Exception], ExceptionHandler]
    #: Who may join: for each namespace an `Entrance`.
    entrances: dict[str, Any]

    @property
    def server(self) -> AsyncServer:
        """The server behind it."""

    def auth_of(self, sid: str) -> Any:
        """Returns what a client sent when it joined its namespace."""


class Handler:
    """Is a function that handles an event, with what its signature means. Raises `TypeError` if that means nothing."""

    def __init__(
        self,
        event: str,
        function: Callable[..., Any],
        dependencies: Sequence[params.Depends] = (),
        response_model: Any = inspect.Signature.empty,
        summary: str | None = None,
        description: str | None = None,
    ) -> None:
        self.event = event
        self.function = function
        self.dependencies = tuple(dependencies)
        self.signature = Signature(event, function)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{self.signature.where} yields, but an event has one answer: emit what comes before it")
        # What is wrong with them is said here, where the handler is.
        self.signature.dependant(self.dependencies)
        self.summary = summary or getattr(function, "__name__", event).replace("_", " ").capitalize()
        self.description = description if description is not None else inspect.getdoc(function) or ""
        self.is_coroutine = inspect.iscoroutinefunction(inspect.unwrap(function)) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004
        )
        #: Serializes what it returns; `None` if it does not say what that is.
        self.result: Result | None = None
        annotation = self.signature.returns if response_model is inspect.Signature.empty else response_model
        says = self.signature.says_what_it_returns or response_model is not inspect.Signature.empty
        if says and annotation is not Any and event not in ("connect", "disconnect"):
            self.result = Result(_types_of(annotation), f"{self.signature.where}: what it returns")


def _types_of(annotation: Any) -> list[Any]:
    """Returns the types of the values in an acknowledgement: a tuple is several, `None` is none."""
    if annotation is None or annotation is type(None):
        return []
    if getattr(annotation, "__origin__", None) is tuple and Ellipsis not in annotation.__args__:
        return list(annotation.__args__)
    return [annotation]


class _Kept:
    """Keeps the result of a handler, where something else sends it or decides by it."""

    def __init__(self) -> None:
        self.values: tuple[Any, ...] = ()

    def send_result(self, values: tuple[Any, ...]) -> bool:
        """Keeps the values."""
        self.values = values
        return True


class _Call:
    """Is one call of a handler."""

    __slots__ = ("args", "errors", "is_answered", "is_connect", "reply", "socket", "values")

    def __init__(self, socket: Socket, args: Sequence[Any], reply: Any, is_connect: bool = False) -> None:
        self.socket = socket
        self.args = args
        #: What sends the result; `None` if nobody waits for it.
        self.reply = reply
        self.is_connect = is_connect
        self.is_answered = False
        #: The values of parameters, by their names.
        self.values: dict[str, Any] = {}
        #: What is wrong with the arguments, and with what dependencies take.
        self.errors: list[dict[str, Any]] = []

    async def answer(self, values: tuple[Any, ...]) -> None:
        """Sends what the handler has returned."""
        if self.reply is not None:
            sent = self.reply.send_result(values)
            if sent is not True and sent is not False:
                await settle(sent)
        self.is_answered = True


class Operation:
    """Is a handler in the namespace of a server."""

    def __init__(self, site: Site, namespace: str, handler: Handler, dependencies: Sequence[params.Depends]) -> None:
        self._site = site
        self.namespace = namespace
        self.handler = handler
        #: What FastAPI provides.
        self.dependant = handler.signature.dependant((*dependencies, *handler.dependencies))
        own = self.dependant
        #: Whether FastAPI has nothing to provide but the socket.
        self._is_simple = not (
            own.dependencies
            or own.query_params
            or own.header_params
            or own.cookie_params
            or own.background_tasks_param_name
            or own.security_scopes_param_name
        )

    def __call__(self, *args: Any) -> Coroutine[Any, Any, Any]:
        """Handles what an `AsyncServer` gives to its handlers: `sid` and the arguments, after the names that are not known before."""
        event, namespace, rest = self.handler.event, self.namespace, list(args)
        if event == "*":
            event = rest.pop(0)
        if namespace == "*":
            namespace = rest.pop(0)
        sid, *given = rest
        if event == "connect":
            environ, auth = given[0], given[1] if len(given) > 1 else None
            return self._connect(self._socket(event, namespace, sid, environ), auth)
        if event == "disconnect":
            return self._disconnect(self._socket(event, namespace, sid), given)
        return self._answered(self._socket(event, namespace, sid), given)

    def _socket(self, event: str, namespace: str, sid: str, environ: Any = None) -> Socket:
        site = self._site
        return Socket(site.server, sid, namespace, event, site.app, site.auth_of(sid), environ)

    async def handle(self, event: str, namespace: str, sid: str, args: Sequence[Any], answer: Any) -> None:
        """Handles an event of a client, and answers it: with the result, or with what failed."""
        call = _Call(self._socket(event, namespace, sid), args, answer)
        try:
            failure = await self._run(call)
            if failure is not None:
                await self._tell(call, failure, answer is not None)
        finally:
            if not call.is_answered and answer is not None:
                answer.done()

    async def _tell(self, call: _Call, failure: Failure, is_asked: bool) -> None:
        """Tells a client what failed; `is_asked`: it waits for an acknowledgement."""
        socket = call.socket
        if call.is_answered:
            # Only the log is left, where what is unknown is already.
            if failure.status != UNKNOWN:
                self._site.server.logger.error(
                    'the handler of "%s" failed for %s [%s], which is not told: %s',
                    *(socket.event, socket.sid, socket.namespace, failure.as_data()),
                )
        else:
            answer = call.answer if is_asked else None
            client = (socket.sid, socket.namespace)
            await tell(failure, self._site.server, client, socket.event, answer, self._site.error_event)

    async def _answered(self, socket: Socket, args: Sequence[Any]) -> Any:
        """Handles an event, and returns its answer: where something else sends it."""
        kept = _Kept()
        call = _Call(socket, args, kept)
        failure = await self._run(call)
        if failure is not None:
            await self._tell(call, failure, asks.get())
        return kept.values

    async def _connect(self, socket: Socket, auth: Any) -> bool:
        """Handles a client that asks to join, and returns whether it may."""
        kept = _Kept()
        # A handler that does not take it leaves it to dependencies, which find it in the socket.
        takes = auth is not None and self.handler.signature.arguments.named
        failure = await self._run(_Call(socket, (auth,) if takes else (), kept, is_connect=True))
        if failure is not None:
            raise exceptions.ConnectionRefusedError(failure.message, failure.as_data())
        return kept.values != (False,)

    async def _disconnect(self, socket: Socket, args: Sequence[Any]) -> None:
        call = _Call(socket, args[: len(self.handler.signature.arguments.named)], None)
        failure = await self._run(call)
        if failure is not None:
            call.is_answered = True
            await self._tell(call, failure, is_asked=False)

    async def _run(self, call: _Call) -> Failure | None:
        """Calls the handler, and sends what it returns; returns what failed."""
        try:
            call.values = self.handler.signature.arguments.validate(call.args, call.errors)
            if self._is_simple:
                call.values.update(dict.fromkeys(self.handler.signature.sockets, call.socket))
                await call.answer(self._serialized(await self._call(call)))
            else:
                await self._run_with_dependencies(call)
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            # What the handler or a dependency waited for was cancelled, so that it has not come to its end: a client that
            # asks to join must not be let in.
            socket = call.socket
            return unknown(self._site.server.logger, socket.event, socket.sid, socket.namespace, error)
        except Exception as error:
            if call.is_connect and isinstance(error, exceptions.ConnectionRefusedError):
                raise
            return await self._failure(call.socket, error)
        return None

    async def _run_with_dependencies(self, call: _Call) -> None:
        """Calls the handler among its dependencies: they end, and background tasks run, after the answer was sent."""
        background = BackgroundTasks()
        scope = call.socket.scope
        async with AsyncExitStack() as outer:
            scope["fastapi_inner_astack"] = outer
            async with AsyncExitStack() as inner:
                scope["fastapi_function_astack"] = inner
                # A dependency that refuses the client comes before what is said about its arguments.
                await self._solve(call, background)
                result = self._serialized(await self._call(call))
            await call.answer(result)
            if not call.is_connect:
                await background()
        if call.is_connect and background.tasks:
            # After this the client is let in.
            self._site.server.start_background_task(background)

    async def _call(self, call: _Call) -> Any:
        if call.errors:
            raise RequestValidationError(call.errors)
        positional, named = self.handler.signature.call_arguments(call.values)
        if self.handler.is_coroutine:
            return await self.handler.function(*positional, **named)
        result = await run_in_threadpool(self.handler.function, *positional, **named)
        return await settle(result)

    async def _solve(self, call: _Call, background: BackgroundTasks) -> None:
        """Adds what FastAPI provides to the values, and what is wrong with that to the errors."""
        signature = self.handler.signature
        given = signature.arguments.by_name(call.args)
        solved = await solve_dependencies(
            request=call.socket,
            dependant=self.dependant,
            body={name: value for name, value in given.items() if name in call.values},
            background_tasks=background,
            dependency_overrides_provider=self._site.app,
            async_exit_stack=call.socket.scope["fastapi_inner_astack"],
            embed_body_fields=True,
        )
        for error in solved.errors:
            # What is wrong with an argument is known already.
            if error["loc"][0] != "body" or error["loc"][1] in call.values:
                call.errors.append({**error, "loc": self._location(error["loc"])})
        call.values.update({name: value for name, value in solved.values.items() if signature.has(name)})
        call.values.update(dict.fromkeys(signature.sockets, call.socket))

    def _location(self, location: Sequence[int | str]) -> list[int | str]:
        """Returns where an error is: what FastAPI takes for a field of the body is an argument of the event."""
        if len(location) < 2 or location[0] != "body":
            return list(location)
        arguments = self.handler.signature.arguments
        names = [argument.name for argument in arguments.named]
        return [*arguments.location(names.index(str(location[1]))), *location[2:]]

    def _serialized(self, result: Any) -> tuple[Any, ...]:
        codec = self.handler.result
        if codec is None:
            # It does not say what it returns.
            values = result if isinstance(result, tuple) else () if result is None else (result,)
            return tuple(map(sendable, values))
        count = len(codec.codecs)
        if count == 1:
            return codec.serialize((result,))
        if count == 0 and result not in (None, ()):
            raise TypeError(f"{self.handler.signature.where} says that it returns nothing, and returned {result!r}")
        return codec.serialize(result or ())

    async def _failure(self, socket: Socket, error: Exception) -> Failure:
        error = await self._translated(socket, error)
        try:
            failure = failure_of(error)
        except Exception as other:
            # The detail of it cannot be sent.
            failure, error = None, other
        if failure is not None:
            return failure
        return unknown(self._site.server.logger, socket.event, socket.sid, socket.namespace, error)

    async def _translated(self, socket: Socket, error: Exception) -> Exception:
        """Returns what the application's handler for such exceptions makes of one."""
        handlers = self._site.exception_handlers
        found = next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)
        if found is None:
            return error
        try:
            made = await settle(found(socket, error))
        except Exception as raised:
            return raised
        if not isinstance(made, HTTPException):
            name = getattr(found, "__qualname__", repr(found))
            return TypeError(f"the exception handler {name} must return or raise an HTTPException, not {made!r}")
        return made

