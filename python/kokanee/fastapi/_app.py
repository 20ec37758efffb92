"""`SocketIO`: a Socket.IO server inside an application of FastAPI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fastapi import FastAPI, params

from ..asgi import ASGIApp
from ._documents import Documents
from ._failure import ERROR_EVENT
from ._middleware import Chosen
from ._operation import ExceptionHandler
from ._router import NOTHING, SocketRouter
from ._server import Server
from ._socket import Target, arguments_of, target_of

H = TypeVar("H", bound=Callable[..., Any])


class SocketIO(SocketRouter):
    """Serves clients of Socket.IO beside the routes of a FastAPI application.

    ```python
    app = FastAPI()
    sio = SocketIO(app)

    @sio.on("message")
    async def message(socket: Socket, data: Message, user: Annotated[User, Depends(current_user)]) -> Receipt: ...
    ```

    `app` is served as before, by any ASGI host or `python -m kokanee serve main:app`. Requests below `socketio_path` do not pass
    through its middlewares, except that the request which opens a connection goes through those for sessions and authentication, or
    those that `middleware` names instead: what they add to its scope is there in handlers. `dependencies` are run for each event of
    all namespaces. `error_event` names the event that tells a client what failed if it did not ask for an acknowledgement; `None`
    is none.

    The application gets routes for documents of the events: AsyncAPI (`asyncapi_url`), a page for people (`asyncdocs_url`) and
    TypeScript (`typescript_url`); none where the address is `None`, or the application has no `openapi_url`.

    Other options are those of `AsyncServer`.
    """

    def __init__(
        self,
        app: FastAPI | None = None,
        *,
        socketio_path: str = "socket.io",
        dependencies: Sequence[params.Depends] = (),
        middleware: Sequence[Chosen] | None = None,
        error_event: str | None = ERROR_EVENT,
        asyncapi_url: str | None = "/asyncapi.json",
        asyncdocs_url: str | None = "/asyncdocs",
        typescript_url: str | None = "/asyncapi.d.ts",
        **options: Any,
    ) -> None:
        super().__init__("/", dependencies=dependencies)
        self._documents = Documents(self, error_event)
        self._urls = (asyncapi_url, asyncdocs_url, typescript_url)
        self._server = Server(error_event, **options)
        self._server.middleware = middleware
        self.app: Any = None
        self.socketio_path = socketio_path
        self.error_event = error_event
        self.exception_handlers: dict[type[Exception], ExceptionHandler] = {}
        self.entrances: dict[str, Any] = {}
        self._spaces: dict[str, SocketRouter] = {"/": self}
        self._attach(self, "/", ())
        if app is not None:
            self.init_app(app)

    @property
    def server(self) -> Server:
        """The `AsyncServer` behind it."""
        return self._server

    def auth_of(self, sid: str) -> Any:
        """Returns what a client sent when it joined its namespace, or `None`."""
        return self._server.auths.get(sid)

    # The application.

    def init_app(self, app: FastAPI) -> None:
        """Puts the server into an application, where it was not given to the constructor.

        Raises `RuntimeError` if the application has started.
        """
        if self.app is not None:
            raise RuntimeError("this SocketIO is in an application already")
        if app.middleware_stack is not None:
            raise RuntimeError("the application has started: make the SocketIO before")
        self.app = self._server.app = app
        build = app.build_middleware_stack

        def build_with_server() -> Any:
            # What is wrong with the choice is said when the application starts.
            _ = self._server.passage
            return ASGIApp(self._server, build(), socketio_path=self.socketio_path)

        app.build_middleware_stack = build_with_server  # type: ignore[method-assign]
        # By this the package's own host finds the server.
        app.__dict__["kokanee_site"] = ASGIApp(self._server, app, socketio_path=self.socketio_path)
        app.__dict__["kokanee_socketio"] = self
        if app.openapi_url is not None:
            self._documents.add_routes(app, self.socketio_path, *self._urls)

    # Documents.

    def asyncapi(self, server: dict[str, Any] | None = None) -> dict[str, Any]:
        """Returns the AsyncAPI 3 document of the events; `server` is a Server Object: where clients connect."""
        return self._documents.asyncapi(self.app, server)

    def typescript(self) -> str:
        """Returns a TypeScript declaration of the events and their models, for the generics of socket.io-client."""
        return self._documents.typescript()

    # Handlers of other namespaces.

    def on(
        self,
        event: str,
        *,
        namespace: str = "/",
        response_model: Any = NOTHING,
        dependencies: Sequence[params.Depends] = (),
        summary: str | None = None,
        description: str | None = None,
    ) -> Callable[[H], H]:
        """Registers the handler of an event in a namespace, as a decorator; see `SocketRouter.on`."""
        own = self.namespace_router(namespace)
        return SocketRouter.on(
            own,
            event,
            response_model=response_model,
            dependencies=dependencies,
            summary=summary,
            description=description,
        )

    def namespace_router(self, namespace: str) -> SocketRouter:
        """Returns the router for a namespace that has no module of its own."""
        found = self._spaces.get(namespace)
        if found is None:
            found = self._spaces[namespace] = SocketRouter(namespace)
            self.include_router(found)
        return found

    def exception_handler(self, kind: type[Exception]) -> Callable[[H], H]:
        """Registers a function `(socket, error)` for exceptions of handlers and dependencies, as a decorator.

        It returns or raises an `HTTPException`, of which the client gets status and detail.
        """

        def register(function: H) -> H:
            self.exception_handlers[kind] = function
            return function

        return register

    # Emitting without a declaration.

    async def emit(
        self, event: str, data: Any = None, *, to: Target = None, skip: Target = None, namespace: str = "/"
    ) -> None:
        """Emits an event: to a socket, a `sid` or a room, to several of them, or to all in the namespace.

        Models in the data are serialized; a tuple is several arguments.
        """
        await self._server.emit(
            event, arguments_of(data), to=target_of(to), skip_sid=target_of(skip), namespace=namespace
        )
