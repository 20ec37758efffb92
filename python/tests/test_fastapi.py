"""`kokanee.fastapi`: handlers with dependencies and models, on uvicorn, with python-socketio's client."""

import asyncio
import contextlib
import datetime
import enum
import functools
import json
import logging
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import anyio.from_thread
import pytest
from fastapi import BackgroundTasks, Body, Cookie, Depends, FastAPI, Header, HTTPException, Path, Query, Request, Response, Security
from fastapi import UploadFile, WebSocket
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from fastapi_app import running, settled
from pydantic import BaseModel, Field
from socketio import AsyncClient
from starlette.requests import HTTPConnection

from kokanee._run import site_of
from kokanee.exceptions import ConnectionRefusedError
from kokanee.fastapi import Event, Question, Sid, Socket, SocketIO, SocketRouter


class Colour(enum.Enum):
    red = "red"


class Message(BaseModel):
    text: str = Field(min_length=1, max_length=100)
    data: bytes = b""


class Receipt(BaseModel):
    text: str
    at: datetime.datetime = datetime.datetime(2030, 1, 2, 3, 4, 5)


class Stored(Receipt):
    secret: str = "s3cret"


def made(**options: Any) -> tuple[FastAPI, SocketIO]:
    app = FastAPI()
    return app, SocketIO(app, **options)


# Arguments and answers.


@pytest.mark.asyncio
async def test_a_model_is_validated_and_a_model_is_the_answer() -> None:
    app, sio = made()

    @sio.on("message")
    async def message(socket: Socket, data: Message) -> Receipt:
        return Receipt(text=data.text)

    async with running(app) as site, site.client() as client:
        assert await client.call("message", {"text": "tea"}) == {"text": "tea", "at": "2030-01-02T03:04:05"}


@pytest.mark.asyncio
async def test_what_is_wrong_with_an_argument_reaches_the_acknowledgement() -> None:
    app, sio = made()

    @sio.on("message")
    async def message(data: Message, count: int) -> Receipt:
        raise AssertionError("it is not called")

    async with running(app) as site, site.client() as client:
        answer = await client.call("message", ({"text": ""}, "many"))
    assert answer == {
        "error": {
            "status": 422,
            "detail": [
                {
                    "type": "string_too_short",
                    "loc": ["args", 0, "text"],
                    "msg": "String should have at least 1 character",
                    "ctx": {"min_length": 1},
                },
                {
                    "type": "int_parsing",
                    "loc": ["args", 1],
                    "msg": "Input should be a valid integer, unable to parse string as an integer",
                },
            ],
        }
    }


@pytest.mark.asyncio
async def test_without_an_acknowledgement_an_event_says_what_failed() -> None:
    app, sio = made()

    @sio.on("message")
    async def message(data: int) -> None: ...

    async with running(app) as site, site.client() as client:
        told: asyncio.Queue[Any] = asyncio.Queue()
        client.on("error", told.put)
        await client.emit("message", "x")
        error = await asyncio.wait_for(told.get(), 30)
    assert error["event"] == "message" and error["status"] == 422
    assert error["detail"][0]["loc"] == ["args", 0]


@pytest.mark.asyncio
async def test_the_event_for_failures_has_another_name_or_none() -> None:
    app, sio = made(error_event=None)

    @sio.on("message")
    async def message(data: int) -> None: ...

    @sio.on("ping me")
    async def ping_me(socket: Socket) -> None:
        await socket.emit("pinged")

    async with running(app) as site, site.client() as client:
        told: asyncio.Queue[str] = asyncio.Queue()
        client.on("*", lambda event, *args: told.put_nowait(event))
        await client.emit("message", "x")
        await client.emit("ping me")
        assert await asyncio.wait_for(told.get(), 30) == "pinged"


@pytest.mark.asyncio
async def test_several_arguments_primitives_lists_and_bytes() -> None:
    app, sio = made()

    @sio.on("all")
    async def all_of_them(
        a: int, b: list[Message], c: bytes, d: Colour, e: Annotated[float, Field(gt=0)] = 0.5, *rest: int
    ) -> tuple[int, list[bytes], bytes, Colour, float, list[int]]:
        return a, [each.data for each in b], c, d, e, list(rest)

    async with running(app) as site, site.client() as client:
        sent = (1, [{"text": "x", "data": b"\xff\x00"}], b"\xfe", "red")
        assert await client.call("all", sent) == (1, [b"\xff\x00"], b"\xfe", "red", 0.5, [])
        assert await client.call("all", (*sent, 2.5, 3, 4)) == (1, [b"\xff\x00"], b"\xfe", "red", 2.5, [3, 4])
        wrong = await client.call("all", (*sent, -1, 3, "x"))
        assert [each["loc"] for each in wrong["error"]["detail"]] == [["args", 4], ["args", 6]]


@pytest.mark.asyncio
async def test_too_few_and_too_many_arguments() -> None:
    app, sio = made()

    @sio.on("pair")
    async def pair(a: int, b: int) -> int:
        return a + b

    async with running(app) as site, site.client() as client:
        assert await client.call("pair", (1, 2)) == 3
        few = await client.call("pair", 1)
        many = await client.call("pair", (1, 2, 3))
    assert few["error"]["detail"] == [{"type": "missing", "loc": ["args", 1], "msg": "Field required"}]
    assert many["error"]["detail"] == [
        {"type": "unexpected_argument", "loc": ["args", 2], "msg": "Unexpected argument: the event takes 2"}
    ]


@pytest.mark.asyncio
async def test_an_answer_lists_a_bounded_number_of_errors() -> None:
    app, sio = made()

    @sio.on("numbers")
    async def numbers(data: list[int]) -> None: ...

    async with running(app) as site, site.client() as client:
        answer = await client.call("numbers", ["x" * 1000] * 500)
    assert len(answer["error"]["detail"]) == 50
    # What the client has sent does not come back.
    assert "xxx" not in str(answer)


@pytest.mark.asyncio
async def test_the_annotation_decides_what_of_a_result_is_sent() -> None:
    app, sio = made()

    @sio.on("public")
    async def public() -> Receipt:
        return Stored(text="x")

    @sio.on("declared", response_model=list[Receipt])
    async def declared() -> Any:
        return [{"text": "x", "secret": "y"}]

    @sio.on("wrong")
    async def wrong() -> Receipt:
        return "not a receipt"  # type: ignore[return-value]

    @sio.on("unsaid")
    async def unsaid():  # type: ignore[no-untyped-def]
        return {"at": datetime.date(2030, 1, 2), "model": Message(text="x", data=b"\xff"), "set": {1}}

    @sio.on("nothing")
    async def nothing() -> None: ...

    async with running(app) as site, site.client() as client:
        expected = {"text": "x", "at": "2030-01-02T03:04:05"}
        assert await client.call("public") == expected
        assert await client.call("declared") == [expected]
        assert await client.call("wrong") == {"error": {"status": 500, "detail": "Internal Server Error"}}
        assert await client.call("unsaid") == {
            "at": "2030-01-02",
            "model": {"text": "x", "data": b"\xff"},
            "set": [1],
        }
        assert await client.call("nothing") is None


@pytest.mark.asyncio
async def test_a_function_runs_on_a_thread_and_a_coroutine_on_the_loop() -> None:
    app, sio = made()

    def has_loop() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    news: Event[int] = sio.emits("news", int)

    @sio.on("function")
    def function(socket: Socket, a: int) -> tuple[int, bool]:
        anyio.from_thread.run(functools.partial(news.emit, a, to=socket))
        return a, has_loop()

    @sio.on("coroutine")
    async def coroutine(a: int) -> tuple[int, bool]:
        return a, has_loop()

    async with running(app) as site, site.client() as client:
        came: list[int] = []
        client.on("news", came.append)
        assert await client.call("function", 1) == (1, False)
        assert came == [1]
        assert await client.call("coroutine", 1) == (1, True)


# Failures.


@pytest.mark.asyncio
async def test_an_exception_of_http_is_the_answer_and_another_one_is_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    app, sio = made()

    @sio.on("gone")
    async def gone() -> None:
        raise HTTPException(410, {"room": "tea"})

    @sio.on("broken")
    async def broken() -> int:
        raise RuntimeError("password")

    @sio.on("odd")
    async def odd() -> int:
        raise HTTPException(409, detail=object())

    async with running(app) as site, site.client() as client:
        assert await client.call("gone") == {"error": {"status": 410, "detail": {"room": "tea"}}}
        with caplog.at_level(logging.ERROR):
            answer = await client.call("broken")
        assert answer == {"error": {"status": 500, "detail": "Internal Server Error"}}
        assert "RuntimeError: password" in caplog.text
        assert await client.call("odd") == answer


@pytest.mark.asyncio
async def test_an_event_that_nothing_handles_is_answered() -> None:
    app, sio = made()

    @sio.on("known")
    async def known() -> None: ...

    @sio.on("anything", namespace="/other")
    async def anything() -> None: ...

    detail = {"status": 404, "detail": "There is no handler for this event"}
    async with running(app) as site, site.client(namespaces=["/", "/other"]) as client:
        told: asyncio.Queue[Any] = asyncio.Queue()
        client.on("error", told.put, namespace="/other")
        assert await client.call("unknown", 1) == {"error": detail}
        await client.emit("u" * 1000, 1, namespace="/other")
        assert await asyncio.wait_for(told.get(), 30) == {"event": "u" * 100, **detail}


@pytest.mark.asyncio
async def test_what_is_for_nobody_reaches_nobody() -> None:
    app, sio = made()
    news: Event[int] = sio.emits("news", int)

    @sio.on("go")
    async def go(socket: Socket) -> None:
        await news.emit(1, to=[])
        await news.emit(2, to="")
        await sio.emit("news", 3, to=[])
        await news.emit(4, to=[socket])

    async with running(app) as site, site.client() as client:
        came: list[int] = []
        client.on("news", came.append)
        await client.call("go")
        assert came == [4]


@pytest.mark.asyncio
async def test_an_exception_handler_says_what_a_client_is_told() -> None:
    app, sio = made()

    class SoldOut(Exception): ...

    @sio.exception_handler(SoldOut)
    async def sold_out(socket: Socket, error: SoldOut) -> HTTPException:
        return HTTPException(409, f"{error} [{socket.event}]")

    @sio.on("buy")
    async def buy(what: str) -> None:
        raise SoldOut(what)

    async with running(app) as site, site.client() as client:
        assert await client.call("buy", "tea") == {"error": {"status": 409, "detail": "tea [buy]"}}


async def cancelled() -> None:
    """Is a dependency that does not come to its end, as what it waits for is cancelled."""
    other = asyncio.create_task(asyncio.sleep(30))
    other.cancel()
    await other


@pytest.mark.asyncio
async def test_what_a_handler_waits_for_may_be_cancelled() -> None:
    app, sio = made()
    failure = {"status": 500, "detail": "Internal Server Error"}

    @sio.on("wait")
    async def wait() -> None:
        await cancelled()

    @sio.on("connect", namespace="/guarded")
    async def connect(checked: Annotated[None, Depends(cancelled)]) -> None: ...

    async with running(app) as site:
        async with site.client() as client:
            assert await client.call("wait") == {"error": failure}
        assert (await site.refusal("/guarded"))["data"] == failure


# Dependencies.


@pytest.mark.asyncio
async def test_dependencies_read_the_request_of_the_connection() -> None:
    app, sio = made()

    async def query(token: str, page: Annotated[int, Query(ge=1)] = 1) -> tuple[str, int]:
        return token, page

    def header(x_team: Annotated[str, Header()]) -> str:
        return x_team

    class Common:
        def __init__(self, request: Request, connection: HTTPConnection, session: Annotated[str, Cookie()] = "") -> None:
            self.session = session
            self.path = request.url.path
            self.is_socket = isinstance(connection, Socket)

    @sio.on("read")
    async def read(
        sid: Sid,
        socket: Socket,
        query: Annotated[tuple[str, int], Depends(query)],
        team: str = Depends(header),
        common: Common = Depends(),
        user_agent: Annotated[str, Header()] = "",
    ) -> dict[str, Any]:
        return {
            "query": query,
            "team": team,
            "session": common.session,
            "path": common.path,
            "is_socket": common.is_socket,
            "sid": sid == socket.sid,
            "agent": user_agent,
            "app": socket.app is app,
        }

    async with running(app) as site:
        headers = {"X-Team": "blue", "Cookie": "session=abc", "User-Agent": "test"}
        async with site.client("token=t&page=2", headers=headers) as client:
            assert await client.call("read") == {
                "query": ["t", 2],
                "team": "blue",
                "session": "abc",
                "path": "/socket.io/",
                "is_socket": True,
                "sid": True,
                "agent": "test",
                "app": True,
            }
        async with site.client("token=t&page=0") as client:
            answer = await client.call("read")
            assert [each["loc"] for each in answer["error"]["detail"]] == [["query", "page"], ["header", "x-team"]]


@pytest.mark.asyncio
async def test_a_dependency_runs_once_for_each_event() -> None:
    app, sio = made()
    calls: list[str] = []

    async def base() -> int:
        calls.append("base")
        return len(calls)

    async def first(base: Annotated[int, Depends(base)]) -> int:
        return base

    async def second(base: Annotated[int, Depends(base)]) -> int:
        return base

    @sio.on("count")
    async def count(
        a: Annotated[int, Depends(first)],
        b: Annotated[int, Depends(second)],
        c: Annotated[int, Depends(base, use_cache=False)],
    ) -> tuple[int, int, int]:
        return a, b, c

    async with running(app) as site, site.client() as client:
        assert await client.call("count") == (1, 1, 2)
        assert await client.call("count") == (3, 3, 4)


@pytest.mark.asyncio
async def test_a_dependency_that_yields_ends_after_the_answer_and_sees_exceptions() -> None:
    app, sio = made()
    log: list[str] = []
    may_end = asyncio.Event()

    async def database() -> AsyncIterator[str]:
        log.append("open")
        try:
            yield "db"
        except HTTPException as error:
            log.append(f"rollback {error.status_code}")
            raise
        finally:
            if "hold" in log:
                await may_end.wait()
            log.append("close")

    def on_thread() -> Iterator[str]:
        yield "thread"
        log.append("thread ended")

    @sio.on("hold")
    async def hold(
        db: Annotated[str, Depends(database)], other: Annotated[str, Depends(on_thread)], tasks: BackgroundTasks
    ) -> str:
        log.append("hold")
        tasks.add_task(log.append, "background")
        return db + other

    @sio.on("fail")
    async def fail(db: Annotated[str, Depends(database)]) -> str:
        raise HTTPException(418)

    async with running(app) as site, site.client() as client:
        answer = await client.call("hold")
        assert answer == "dbthread"
        assert "close" not in log
        may_end.set()
        await settled(lambda: "close" in log)
        assert log == ["open", "hold", "background", "thread ended", "close"]
        log.clear()
        assert await client.call("fail") == {"error": {"status": 418, "detail": "I'm a Teapot"}}
        assert log == ["open", "rollback 418", "close"]


@pytest.mark.asyncio
async def test_a_failure_of_a_function_scope_reaches_the_answer() -> None:
    app, sio = made()

    async def transaction() -> AsyncIterator[None]:
        yield
        raise HTTPException(409, "the commit failed")

    @sio.on("save")
    async def save(nothing: Annotated[None, Depends(transaction, scope="function")]) -> str:
        return "saved"

    async with running(app) as site, site.client() as client:
        assert await client.call("save") == {"error": {"status": 409, "detail": "the commit failed"}}


@pytest.mark.asyncio
async def test_dependencies_are_overridden_as_those_of_routes_are() -> None:
    app, sio = made()

    async def user() -> str:
        return "ada"

    @app.get("/me")
    async def route(user: Annotated[str, Depends(user)]) -> str:
        return user

    @sio.on("me")
    async def me(user: Annotated[str, Depends(user)]) -> str:
        return user

    app.dependency_overrides[user] = lambda: "test"
    async with running(app) as site, site.client() as client:
        assert await client.call("me") == "test"
        app.dependency_overrides.clear()
        assert await client.call("me") == "ada"


@pytest.mark.asyncio
async def test_a_dependency_takes_an_argument_of_the_event_by_its_name() -> None:
    app, sio = made()

    async def room_of(data: Message) -> str:
        return f"room {data.text}"

    async def doubled(count: Annotated[int, Body()]) -> int:
        return count * 2

    @sio.on("enter")
    async def enter(
        data: Message, count: int, room: Annotated[str, Depends(room_of)], twice: Annotated[int, Depends(doubled)]
    ) -> tuple[str, int]:
        return room, twice

    async with running(app) as site, site.client() as client:
        assert await client.call("enter", ({"text": "tea"}, 2)) == ("room tea", 4)
        answer = await client.call("enter", ({}, 2))
        assert answer["error"]["detail"] == [{"type": "missing", "loc": ["args", 0, "text"], "msg": "Field required"}]


@pytest.mark.asyncio
async def test_a_dependency_that_refuses_comes_before_what_is_wrong_with_the_arguments() -> None:
    app, sio = made()

    async def refuse() -> None:
        raise HTTPException(403, "not yours")

    @sio.on("secret", dependencies=[Depends(refuse)])
    async def secret(data: Message) -> None: ...

    async with running(app) as site, site.client() as client:
        assert await client.call("secret", 5) == {"error": {"status": 403, "detail": "not yours"}}


# Joining and leaving.

bearer = HTTPBearer()
api_key = APIKeyHeader(name="X-Key")


async def bearer_user(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
    if credentials.credentials != "good":
        raise HTTPException(401, "wrong token")
    return "ada"


@pytest.mark.asyncio
async def test_a_security_dependency_refuses_a_client_with_data() -> None:
    app, sio = made()

    @sio.on("connect")
    async def connect(socket: Socket, user: Annotated[str, Depends(bearer_user)]) -> None:
        socket.data["user"] = user

    @sio.on("who")
    async def who(socket: Socket, key: Annotated[str | None, Security(APIKeyHeader(name="X-Key", auto_error=False))]) -> Any:
        return socket.data["user"], key

    async with running(app) as site:
        assert await site.refusal() == {
            "message": "Not authenticated",
            "data": {"status": 401, "detail": "Not authenticated"},
        }
        assert await site.refusal(headers={"Authorization": "Bearer bad"}) == {
            "message": "wrong token",
            "data": {"status": 401, "detail": "wrong token"},
        }
        async with site.client(headers={"Authorization": "Bearer good", "X-Key": "k"}) as client:
            assert await client.call("who") == ("ada", "k")


@pytest.mark.asyncio
async def test_what_a_client_sends_to_join_is_validated() -> None:
    app, sio = made()

    class Credentials(BaseModel):
        token: str

    @sio.on("connect")
    async def connect(socket: Socket, auth: Credentials) -> None:
        socket.data["token"] = auth.token

    @sio.on("token")
    async def token(socket: Socket) -> tuple[str, Any]:
        return socket.data["token"], socket.auth

    async with running(app) as site:
        error = {"type": "missing", "loc": ["auth"], "msg": "Field required"}
        expected = {"message": "Unprocessable Entity", "data": {"status": 422, "detail": [error]}}
        told = await site.refusal()
        assert told["data"] == expected["data"]
        told = await site.refusal(auth={"tokn": "x"})
        assert told["data"]["detail"] == [{**error, "loc": ["auth", "token"]}]
        async with site.client(auth={"token": "t"}) as client:
            assert await client.call("token") == ("t", {"token": "t"})


@pytest.mark.asyncio
async def test_connect_may_return_false_and_disconnect_gets_the_reason() -> None:
    app, sio = made()
    log: list[Any] = []

    @sio.on("connect")
    async def connect(auth: dict[str, bool] | None = None) -> bool:
        return auth != {"wanted": False}

    @sio.on("disconnect")
    async def disconnect(socket: Socket, reason: str, agent: Annotated[str, Header(alias="user-agent")]) -> None:
        log.append((reason, agent, socket.data))

    @sio.on("bye")
    async def bye(socket: Socket) -> None:
        socket.data["said"] = "bye"
        await socket.disconnect()

    async with running(app) as site:
        told = await site.refusal(auth={"wanted": False})
        assert told == {"message": "Connection rejected by server"}
        async with site.client(headers={"User-Agent": "test"}) as client:
            await client.emit("bye")
            await settled(lambda: log)
    assert log == [("server disconnect", "test", {"said": "bye"})]
    assert sio.server.auths == {}


@pytest.mark.asyncio
async def test_nothing_is_kept_of_clients_that_have_left() -> None:
    app, sio = made()

    @sio.on("connect")
    async def connect(auth: Any = None) -> bool:
        return auth != {"wanted": False}

    async with running(app) as site:
        for _ in range(5):
            await site.refusal(auth={"wanted": False})
            async with site.client(auth={"wanted": True}):
                assert list(sio.server.auths.values()) == [{"wanted": True}]
            await settled(lambda: not sio.server.manager.clients)
        await settled(lambda: not (sio.server.auths or sio.server._sessions or sio.server.environ))


# Routers and namespaces.


@pytest.mark.asyncio
async def test_a_router_is_included_below_a_prefix_with_its_dependencies() -> None:
    app, sio = made()
    calls: list[str] = []

    def noted(name: str) -> Any:
        async def note(socket: Socket) -> None:
            calls.append(f"{name} {socket.event}")
            if socket.auth == {"refused by": name}:
                raise HTTPException(403, name)

        return Depends(note)

    router = SocketRouter("/chat", dependencies=[noted("router")])
    inner = SocketRouter("/rooms")
    router.include_router(inner)
    sio.include_router(router, prefix="/v1", dependencies=[noted("include")])

    @inner.on("here")
    async def here(socket: Socket) -> str:
        return socket.namespace

    @router.on("disconnect")
    async def disconnect() -> None:
        calls.append("disconnect")

    async with running(app) as site:
        async with site.client(namespaces=["/v1/chat/rooms", "/v1/chat"]) as client:
            assert await client.call("here", namespace="/v1/chat/rooms") == "/v1/chat/rooms"
            assert calls[-2:] == ["include here", "router here"]
            assert calls[:-2] == ["include connect", "router connect"] * 2
        # One that has no handler of its own for it refuses, too.
        assert (await site.refusal("/v1/chat", auth={"refused by": "include"}))["data"] == {"status": 403, "detail": "include"}
        await settled(lambda: "disconnect" in calls)


@pytest.mark.asyncio
async def test_the_dependencies_of_all_routers_of_a_namespace_decide_who_joins() -> None:
    app, sio = made()

    def refusing(name: str) -> Any:
        async def refuse(socket: Socket) -> None:
            if socket.auth == {"refused by": name}:
                raise HTTPException(403, name)

        return Depends(refuse)

    @sio.on("connect", namespace="/chat")
    async def before(own: Annotated[None, refusing("own")]) -> None: ...

    sio.include_router(SocketRouter("/chat", dependencies=[refusing("first")]))
    second = SocketRouter("/chat", dependencies=[refusing("second")])
    sio.include_router(second)

    async with running(app) as site:
        for name in ("own", "first", "second"):
            told = await site.refusal("/chat", auth={"refused by": name})
            assert told["data"] == {"status": 403, "detail": name}

        @second.on("connect")
        async def after(socket: Socket) -> None: ...

        assert (await site.refusal("/chat", auth={"refused by": "first"}))["data"]["detail"] == "first"
        async with site.client(namespaces=["/chat"], auth={"refused by": "nobody"}):
            pass


@pytest.mark.parametrize("first", ["handler", "dependencies"])
@pytest.mark.asyncio
async def test_the_handler_of_all_namespaces_decides_where_there_are_only_dependencies(first: str) -> None:
    async def let_in() -> None: ...

    app, sio = made()

    async def connect(socket: Socket) -> None:
        if socket.auth != {"token": 1}:
            raise HTTPException(401, "no token")

    if first == "handler":
        sio.on("connect", namespace="*")(connect)
    sio.include_router(SocketRouter("/chat", dependencies=[Depends(let_in)]))
    if first == "dependencies":
        sio.on("connect", namespace="*")(connect)

    async with running(app) as site:
        assert (await site.refusal("/chat"))["data"] == {"status": 401, "detail": "no token"}
        async with site.client(namespaces=["/chat"], auth={"token": 1}):
            pass


@pytest.mark.asyncio
async def test_handlers_of_other_namespaces_and_catch_all() -> None:
    app, sio = made()

    @sio.on("where", namespace="/other")
    async def where(socket: Socket) -> str:
        return socket.namespace

    @sio.on("*")
    async def anything(socket: Socket, *args: int) -> tuple[str, list[int]]:
        return socket.event, list(args)

    @sio.event(namespace="*")
    async def everywhere(socket: Socket) -> str:
        return socket.namespace

    async with running(app) as site, site.client(namespaces=["/", "/other"]) as client:
        assert await client.call("where", namespace="/other") == "/other"
        assert await client.call("what", (1, 2)) == ("what", [1, 2])
        assert (await client.call("what", "x"))["error"]["status"] == 422
        assert await client.call("everywhere", namespace="/other") == "/other"


# Typed events of the server.


@pytest.mark.asyncio
async def test_a_declared_event_is_validated_and_serialized() -> None:
    app, sio = made()
    router = SocketRouter("/chat")
    news: Event[Message, int] = router.emits("news", Message, int)
    asked: Question[Receipt, Message] = router.asks("asked", Message, answer=Receipt)
    sio.include_router(router)

    @router.on("go")
    async def go(socket: Socket) -> str:
        await news.emit(Message(text="to all", data=b"\xff"), 1)
        await news.emit(Message(text="to me"), 2, to=socket)
        await news.emit(Message(text="to others"), 3, skip=[socket])
        with pytest.raises(ValueError, match="String should have at least 1 character"):
            await news.emit({"text": ""}, 1)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="the event 'news': 2 values are to be sent, not 1"):
            await news.emit(Message(text="x"))  # type: ignore[call-arg]
        receipt = await asked.call(Message(text="?"), to=socket)
        return receipt.text

    async with running(app) as site, site.client(namespaces=["/chat"]) as client:
        came: list[Any] = []
        client.on("news", lambda *args: came.append(args), namespace="/chat")
        client.on("asked", lambda message: {"text": message["text"] + "!"}, namespace="/chat")
        assert await client.call("go", namespace="/chat") == "?!"
    assert came == [({"text": "to all", "data": b"\xff"}, 1), ({"text": "to me", "data": b""}, 2)]


@pytest.mark.asyncio
async def test_a_socket_emits_calls_and_enters_rooms() -> None:
    app, sio = made()

    @sio.on("go")
    async def go(socket: Socket) -> Any:
        await socket.enter_room("tea")
        rooms = sorted(socket.rooms)
        await socket.emit("back", (Message(text="x"), 1))
        await socket.broadcast("others", Message(text="y"))
        await sio.emit("back", Receipt(text="z"), to="tea")
        answer = await socket.call("ask", Colour.red)
        await socket.leave_room("tea")
        return rooms == sorted([socket.sid, "tea"]), answer, socket.transport

    async with running(app) as site, site.client() as client, site.client() as other:
        came: list[Any] = []
        heard: list[Any] = []
        client.on("*", lambda *args: came.append(args) or 5)
        other.on("*", lambda *args: heard.append(args))
        assert await client.call("go") == (True, 5, "websocket")
        await settled(lambda: heard)
    assert heard == [("others", {"text": "y", "data": b""})]
    assert came == [
        ("back", {"text": "x", "data": b""}, 1),
        ("back", {"text": "z", "at": "2030-01-02T03:04:05"}),
        ("ask", "red"),
    ]


# The application around it.


@pytest.mark.asyncio
async def test_the_application_keeps_its_routes_and_its_lifespan() -> None:
    log: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        log.append("start")
        yield {"from": "lifespan"}
        log.append("end")

    app = FastAPI(lifespan=lifespan)
    sio = SocketIO(app)

    @app.get("/")
    async def root() -> str:
        return "root"

    @sio.on("state")
    async def state(socket: Socket) -> str:
        value: str = socket.state["from"]
        return value

    @sio.on("disconnect")
    async def disconnect(reason: str) -> None:
        log.append(reason)

    async with running(app) as site:
        read = await asyncio.to_thread(lambda: urllib.request.urlopen(site.url).read())
        assert read == b'"root"'
        client_context = site.client()
        client = await client_context.__aenter__()
        assert await client.call("state") == "lifespan"
    # Handlers of clients run before the application ends.
    assert log[0] == "start" and log[2:] == ["end"]
    await client.disconnect()


@pytest.mark.asyncio
async def test_the_packages_own_host_finds_the_server() -> None:
    app, sio = made(socketio_path="/events/")
    assert site_of(app) == (sio.server, "/events/")


@pytest.mark.asyncio
async def test_an_application_that_has_started_takes_no_server() -> None:
    app = FastAPI()
    app.middleware_stack = app.build_middleware_stack()
    with pytest.raises(RuntimeError, match="has started"):
        SocketIO(app)
    sio = SocketIO()
    sio.init_app(FastAPI())
    with pytest.raises(RuntimeError, match="already"):
        sio.init_app(FastAPI())


# What cannot work is said when a handler is registered.


class NoModel:
    pass


def takes_socket(websocket: WebSocket) -> None: ...


def takes_data(data: Message) -> None: ...


def takes_path(id: Annotated[int, Path()]) -> None: ...


def takes_two(request: Request, socket: Socket) -> None: ...


def takes_maybe(request: Request | None = None) -> None: ...


def test_a_handler_that_can_never_be_called_is_refused() -> None:
    sio = SocketIO()

    def refused(event: str, handler: Any) -> str:
        with pytest.raises(TypeError) as info:
            sio.on(event)(handler)
        assert event not in sio.handlers and event not in sio.server.handlers.get("/", {})
        return str(info.value).replace("test_a_handler_that_can_never_be_called_is_refused.<locals>.", "")

    async def a(data: NoModel) -> None: ...

    assert refused("e", a).startswith("the handler a of 'e': the argument 'data' has the type <class ")

    async def b(*, data: int) -> None: ...

    assert "nothing can fill the keyword-only 'data'" in refused("e", b)

    async def c(**data: int) -> None: ...

    assert "nothing can fill **data" in refused("e", c)

    async def d(websocket: WebSocket) -> None: ...

    assert "'websocket' is a WebSocket, but an event has none" in refused("e", d)

    async def e(response: Response) -> None: ...

    assert "'response' is a Response, but an event has none" in refused("e", e)

    async def f(id: Annotated[int, Path()]) -> None: ...

    assert "'id' is Path, but an event has none" in refused("e", f)

    async def g(x: Annotated[None, Depends(takes_socket)]) -> None: ...

    assert "the dependency takes_socket takes a WebSocket" in refused("e", g)

    async def h(message: Message, x: Annotated[None, Depends(takes_data)]) -> None: ...

    expected = "the dependency takes_data takes 'data' out of the event, but the handler has no argument of that name"
    assert expected in refused("e", h)

    async def i(sid: str, environ: Any, auth: Any) -> None: ...

    assert "takes 3 arguments (sid, environ, auth), but there is only 'auth'" in refused("connect", i)

    async def j() -> NoModel:
        return NoModel()

    assert "the handler j of 'e': what it returns has the type" in refused("e", j)

    async def k(data: "Unknown") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert "'Unknown'" in refused("e", k)

    async def m() -> AsyncIterator[int]:
        yield 1

    assert "the handler m of 'e' yields, but an event has one answer" in refused("e", m)

    async def n(x: Annotated[None, Depends(takes_path)]) -> None: ...

    assert "the dependency takes_path takes 'id' out of the path, but an event has none" in refused("e", n)

    async def o(x: Annotated[None, Depends(takes_two)]) -> None: ...

    assert "the dependency takes_two takes the connection as 'request' and 'socket'" in refused("e", o)

    async def p(x: Annotated[None, Depends(takes_maybe)]) -> None: ...

    assert "the handler p of 'e': FastAPI cannot read its dependencies: Invalid args" in refused("e", p)

    async def q(request: Request | None = None) -> None: ...

    assert "of which FastAPI fills none: take Request alone, or leave it out" in refused("e", q)

    async def r(websocket: WebSocket | None = None) -> None: ...

    assert "'websocket' is a WebSocket, but an event has none: take Socket" in refused("e", r)

    async def s(file: UploadFile) -> None: ...

    assert "'file' is an UploadFile, but an event has none: take bytes" in refused("e", s)

    for event in ("connect_error", "disconnecting"):
        with pytest.raises(ValueError, match="reserved"):
            sio.on(event)
        with pytest.raises(ValueError, match="reserved"):
            sio.emits(event)


def test_a_router_is_included_once_and_its_namespace_has_a_form() -> None:
    sio = SocketIO()
    router = SocketRouter("/chat")
    sio.include_router(router)
    with pytest.raises(ValueError, match="'/chat' is included already"):
        sio.include_router(router)
    with pytest.raises(ValueError, match="begins with '/'"):
        SocketRouter("chat")
    with pytest.raises(RuntimeError, match="'/other' is not included"):
        SocketRouter("/other").server  # noqa: B018
    router.emits("news", int)
    with pytest.raises(ValueError, match="'news' of '/chat' is declared already"):
        router.emits("news", str)


# Where something may go wrong at the edge.


@pytest.mark.asyncio
async def test_of_very_many_errors_only_the_number_is_said() -> None:
    app, sio = made()

    @sio.on("numbers")
    async def numbers(data: list[int], more: int) -> None: ...

    async with running(app) as site, site.client() as client:
        answer = await client.call("numbers", (["x"] * 100_000, "y"))
    first, second = answer["error"]["detail"]
    assert first == {"type": "too_many_errors", "loc": ["args", 0], "msg": "100000 values are not valid"}
    assert second["loc"] == ["args", 1]


@pytest.mark.asyncio
async def test_a_failure_after_the_answer_is_logged_and_answers_nothing(caplog: pytest.LogCaptureFixture) -> None:
    app, sio = made()
    told: list[Any] = []

    async def late() -> AsyncIterator[None]:
        yield
        raise HTTPException(409, "too late")

    def task() -> None:
        raise RuntimeError("in the background")

    @sio.on("late")
    async def handle_late(nothing: Annotated[None, Depends(late)]) -> int:
        return 1

    @sio.on("task")
    async def handle_task(tasks: BackgroundTasks) -> int:
        tasks.add_task(task)
        return 2

    async with running(app) as site, site.client() as client:
        client.on("error", told.append)
        assert await client.call("late") == 1
        assert await client.call("task") == 2
        await settled(lambda: "too late" in caplog.text and "in the background" in caplog.text)
        assert await client.call("late") == 1
    assert told == []


@pytest.mark.asyncio
async def test_an_answer_that_cannot_be_encoded_is_a_failure() -> None:
    app, sio = made()

    @sio.on("odd")
    async def odd() -> Any:
        return object()

    async with running(app) as site, site.client() as client:
        assert await client.call("odd") == {"error": {"status": 500, "detail": "Internal Server Error"}}


@pytest.mark.asyncio
async def test_a_refusal_of_the_package_keeps_its_message_and_data() -> None:
    app, sio = made()

    @sio.on("connect")
    async def connect() -> None:
        raise ConnectionRefusedError("no", {"why": 5})

    async with running(app) as site:
        assert await site.refusal() == {"message": "no", "data": {"why": 5}}


@pytest.mark.asyncio
async def test_background_tasks_of_connect_run_for_a_client_that_is_there() -> None:
    app, sio = made()

    @sio.on("connect")
    async def connect(socket: Socket, tasks: BackgroundTasks) -> None:
        tasks.add_task(socket.emit, "welcome", 1)

    came: asyncio.Queue[Any] = asyncio.Queue()
    async with running(app) as site:
        client = AsyncClient(reconnection=False)
        client.on("welcome", came.put)
        await client.connect(site.url, transports=["websocket"], wait_timeout=30)
        assert await asyncio.wait_for(came.get(), 30) == 1
        await client.disconnect()


@pytest.mark.asyncio
async def test_events_reach_handlers_through_what_an_application_puts_in_between() -> None:
    app, sio = made()
    seen: list[str] = []
    trigger = sio.server._trigger_event

    async def between(event: str, namespace: str, *args: Any) -> Any:
        seen.append(event)
        return await trigger(event, namespace, *args)

    sio.server._trigger_event = between  # type: ignore[method-assign]

    @sio.on("add")
    async def add(a: int, b: int) -> tuple[int, int]:
        return b, a

    async with running(app) as site, site.client() as client:
        told: asyncio.Queue[Any] = asyncio.Queue()
        client.on("error", told.put)
        assert await client.call("add", (1, 2)) == (2, 1)
        assert (await client.call("add", 1))["error"]["status"] == 422
        await client.emit("add", 1)
        assert (await asyncio.wait_for(told.get(), 30))["event"] == "add"
    assert seen[:4] == ["connect", "add", "add", "add"]


@pytest.mark.asyncio
async def test_the_request_is_not_unpacked_for_a_handler_that_does_not_look() -> None:
    app, sio = made()

    @sio.on("plain")
    async def plain(socket: Socket, data: int) -> bool:
        return getattr(sio.server.get_environ(socket.sid), "_source") is not None

    @sio.on("looks")
    async def looks(socket: Socket) -> str:
        return socket.headers["host"]

    async with running(app) as site, site.client() as client:
        assert await client.call("plain", 1) is True
        assert await client.call("looks") == f"127.0.0.1:{site.port}"
        assert await client.call("plain", 1) is False


@pytest.mark.asyncio
async def test_an_application_may_be_mounted_in_another() -> None:
    inner, sio = made()
    outer = FastAPI()
    outer.mount("/inner", inner)

    @sio.on("path")
    async def path(socket: Socket) -> str:
        return socket.url.path

    async with running(outer) as site, site.client(socketio_path="/inner/socket.io") as client:
        assert await client.call("path") == "/inner/socket.io/"
        document = await asyncio.to_thread(lambda: urllib.request.urlopen(f"{site.url}/inner/asyncapi.json").read())
        assert json.loads(document)["servers"]["default"]["pathname"] == "/inner/socket.io/"
    await sio.server.shutdown()
