"""The middlewares of a FastAPI application, of which sockets see what those for sessions and authentication have found out."""

import asyncio
import urllib.request
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi_app import running
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection

pytest.importorskip("itsdangerous")

from starlette.middleware.sessions import SessionMiddleware

from kokanee.fastapi import Socket, SocketIO


class OfSession(AuthenticationBackend):
    """Finds the user of the session."""

    def __init__(self) -> None:
        self.asked = 0

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        self.asked += 1
        if "bad" in conn.query_params:
            raise AuthenticationError("a bad token")
        if "fail" in conn.query_params:
            raise LookupError("a fault of the backend")
        name = conn.session.get("name")
        return (AuthCredentials(["authenticated"]), SimpleUser(name)) if name else None


class Tenant:
    """Is a middleware of ASGI that adds to the scope."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            scope = {**scope, "tenant": dict(scope["headers"]).get(b"x-tenant", b"").decode()}
        await self.app(scope, receive, send)


def made(**options: Any) -> tuple[FastAPI, SocketIO, OfSession, list[str]]:
    app = FastAPI()
    # It may be there before the middlewares are.
    sio = SocketIO(app, namespaces=["/other"], **options)
    backend, paths = OfSession(), []

    @app.middleware("http")
    async def see(request: Request, call_next: Any) -> Any:
        paths.append(request.url.path)
        request.state.seen = request.query_params.get("seen", "nothing")
        return await call_next(request)

    app.add_middleware(AuthenticationMiddleware, backend=backend)
    app.add_middleware(SessionMiddleware, secret_key="secret")
    app.add_middleware(Tenant)

    @app.get("/login/{name}")
    async def login(request: Request, name: str) -> str:
        request.session["name"] = name
        return name

    return app, sio, backend, paths


async def cookie_of(url: str) -> str:
    def get() -> str:
        with urllib.request.urlopen(url) as answer:
            return str(answer.headers["Set-Cookie"]).split(";")[0]

    return await asyncio.to_thread(get)


def user_of(request: Request) -> str:
    if not request.user.is_authenticated:
        raise HTTPException(401, "log in")
    name: str = request.user.display_name
    return name


@pytest.mark.asyncio
async def test_session_and_user_are_those_of_the_page() -> None:
    app, sio, backend, paths = made()
    User = Annotated[str, Depends(user_of)]

    @sio.on("connect")
    async def connect(user: User) -> None: ...

    @sio.on("who")
    async def who(socket: Socket, user: User, request: Request) -> list[Any]:
        return [user, socket.session["name"], request.session == socket.session, request.scope["auth"].scopes, "tenant" in socket.scope]

    @sio.on("put")
    def put(socket: Socket, value: str) -> None:
        socket.session["value"] = value

    @sio.on("get", namespace="/other")
    async def get(socket: Socket) -> Any:
        return socket.session.get("value")

    async with running(app) as site:
        cookie = await cookie_of(f"{site.url}/login/ada")
        asked = backend.asked
        async with site.client(headers={"Cookie": cookie}, namespaces=["/", "/other"]) as client:
            assert await client.call("who") == ["ada", "ada", True, ["authenticated"], False]
            assert await client.call("who") == ["ada", "ada", True, ["authenticated"], False]
            await client.call("put", "tea")
            # It stays with the connection, in all its namespaces.
            assert await client.call("get", namespace="/other") == "tea"
            # The request went through them once.
            assert backend.asked == asked + 1
        async with site.client(headers={"Cookie": cookie}) as client:
            assert await client.call("who") == ["ada", "ada", True, ["authenticated"], False]
        assert await site.refusal() == {"message": "log in", "data": {"status": 401, "detail": "log in"}}
        assert paths == ["/login/ada"]
    assert not sio.server._sessions


@pytest.mark.asyncio
async def test_a_middleware_that_answers_by_itself_refuses_the_client(caplog: pytest.LogCaptureFixture) -> None:
    app, sio, _, _ = made()

    @sio.on("connect")
    async def connect() -> None:
        raise AssertionError("it is refused before")

    async with running(app) as site:
        assert await site.refusal(query="bad=1") == {"message": "a bad token", "data": {"status": 400, "detail": "a bad token"}}
        text = "Internal Server Error"
        assert await site.refusal(query="fail=1") == {"message": text, "data": {"status": 500, "detail": text}}
    assert "a fault of the backend" in caplog.text
    assert not sio.server._sessions and not sio.server.manager.clients


@pytest.mark.asyncio
async def test_an_application_chooses_its_middlewares() -> None:
    app, sio, backend, paths = made(middleware=[Tenant, BaseHTTPMiddleware])
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["other.example"])

    @sio.on("read")
    async def read(request: Request) -> list[Any]:
        return [request.scope["tenant"], request.state.seen, "user" in request.scope, "session" in request.scope]

    async with running(app) as site, site.client("seen=tea", headers={"X-Tenant": "acme"}) as client:
        assert await client.call("read") == ["acme", "tea", False, False]
        assert paths == ["/socket.io/"] and backend.asked == 0


@pytest.mark.asyncio
async def test_a_function_is_chosen_and_none_at_all() -> None:
    app = FastAPI()

    @app.middleware("http")
    async def see(request: Request, call_next: Any) -> Any:
        request.state.seen = True
        return await call_next(request)

    @app.middleware("http")
    async def refuse(request: Request, call_next: Any) -> Any:
        raise AssertionError("not chosen")

    sio = SocketIO(app, middleware=[see])

    @sio.on("read")
    async def read(socket: Socket) -> bool:
        return bool(socket.state.seen)

    async with running(app) as site, site.client() as client:
        assert await client.call("read") is True

    app, sio, backend, _ = made(middleware=())

    @sio.on("has")
    async def has(socket: Socket) -> bool:
        return "user" in socket.scope

    async with running(app) as site, site.client("bad=1") as client:
        assert await client.call("has") is False
    assert backend.asked == 0


@pytest.mark.asyncio
async def test_a_middleware_that_the_application_lacks_is_named_when_it_starts() -> None:
    app = FastAPI()
    SocketIO(app, middleware=[Tenant])
    with pytest.raises(ValueError, match="middleware=Tenant: the application has none of that kind"):
        app.build_middleware_stack()
