"""`ASGIApp` and `AsyncServer` without a host: the messages of ASGI that they take and send, and the loops they live on."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import json
import pickle
import threading
from pathlib import Path
from typing import Any

import kokanee
import pytest
from kokanee import _environ

OPEN = b"EIO=4&transport=polling"


class Host:
    """Plays a host towards an application."""

    def __init__(self, app: Any, **scope: Any) -> None:
        self.app = app
        self.scope = scope
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: asyncio.Queue[Any] = asyncio.Queue()
        self.task = asyncio.ensure_future(app(scope, self.incoming.get, self.sent.put))

    def say(self, kind: str, **message: Any) -> None:
        self.incoming.put_nowait({"type": kind, **message})

    async def hear(self, seconds: float = 10) -> Any:
        hears = asyncio.ensure_future(self.sent.get())
        await asyncio.wait([hears, self.task], timeout=seconds, return_when="FIRST_COMPLETED")
        if not hears.done():
            hears.cancel()
            assert self.task.done(), "nothing was sent"
            self.task.result()
            raise AssertionError("the application returned")
        return hears.result()


def http(app: Any, path: str, query: bytes = b"", method: str = "GET", **more: Any) -> Host:
    scope = {"path": path, "query_string": query, "method": method, "headers": [], **more}
    return Host(app, type="http", scheme="http", http_version="1.1", **scope)


async def response(host: Host, body: bytes = b"") -> tuple[int, dict[bytes, bytes], bytes]:
    host.say("http.request", body=body)
    start = await host.hear()
    text = b""
    while True:
        message = await host.hear()
        text += message.get("body", b"")
        if not message.get("more_body"):
            return start["status"], dict(start["headers"]), text


async def opened(app: Any, path: str = "/socket.io/") -> str:
    status, _, body = await response(http(app, path, OPEN))
    assert status == 200, body
    return str(json.loads(body[1:])["sid"])


async def websocket(app: Any, **more: Any) -> Host:
    scope = {"path": "/socket.io/", "query_string": b"EIO=4&transport=websocket", "headers": []}
    host = Host(app, type="websocket", scheme="ws", http_version="1.1", **{**scope, **more})
    host.say("websocket.connect")
    return host


async def joined(app: Any) -> tuple[Host, str]:
    host = await websocket(app)
    assert (await host.hear())["type"] == "websocket.accept"
    assert (await host.hear())["text"].startswith("0{")
    host.say("websocket.receive", text="40")
    answer = (await host.hear())["text"]
    assert answer.startswith("40"), answer
    return host, json.loads(answer[2:])["sid"]


def server(**options: Any) -> kokanee.AsyncServer:
    return kokanee.AsyncServer(async_mode="asgi", **options)


# Paths, files and what is not ours.


@pytest.mark.parametrize(
    "socketio_path, path, root_path",
    [
        ("socket.io", "/socket.io/", ""),
        ("socket.io", "/socket.io", ""),
        ("/ws/socket.io/", "/ws/socket.io/", "/ws"),
        ("socket.io", "/ws/socket.io/", "/ws"),
        ("", "/anything", ""),
        (None, "/anything/", ""),
    ],
)
def test_requests_below_the_path_are_the_servers(
    socketio_path: str | None, path: str, root_path: str
) -> None:
    async def run() -> None:
        app = kokanee.ASGIApp(server(), socketio_path=socketio_path)
        status, headers, body = await response(http(app, path, OPEN, root_path=root_path))
        assert (status, body[:1]) == (200, b"0")
        assert headers[b"content-type"].startswith(b"text/plain")

    asyncio.run(run())


def test_other_paths_are_not() -> None:
    async def run() -> None:
        app = kokanee.ASGIApp(server())
        for path in ("/", "/socket.iox/", "/other/socket.io/"):
            status, _, body = await response(http(app, path, OPEN))
            assert (status, body) == (404, b"Not Found")
        host = await websocket(app, path="/other")
        assert (await host.hear())["type"] == "websocket.close"
        await host.task

    asyncio.run(run())


def test_a_starlette_mount_needs_only_the_path_within_it() -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    async def run() -> None:
        app = Starlette(routes=[Mount("/ws", kokanee.ASGIApp(server()))])
        await opened(app, "/ws/socket.io/")

    asyncio.run(run())


def test_a_subclass_may_change_the_scope() -> None:
    class Stripping(kokanee.ASGIApp):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await super().__call__({**scope, "path": scope["path"][4:]}, receive, send)

    asyncio.run(opened(Stripping(server()), "/api/socket.io/"))


def test_static_files(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_bytes(b"x" * 200_000)
    files = {"/static": str(tmp_path)}

    async def run() -> None:
        app = kokanee.ASGIApp(server(), static_files=files)
        status, headers, body = await response(http(app, "/static/a.css"))
        assert (status, headers[b"content-type"], len(body)) == (200, b"text/css", 200_000)
        status, headers, body = await response(http(app, "/static/a.css", method="HEAD"))
        assert (status, headers[b"content-length"], body) == (200, b"200000", b"")
        for path in ("/static/none.css", "/static", "/static/", "/static/../a.css"):
            assert (await response(http(app, path)))[0] == 404

    asyncio.run(run())


# Lifespan.


async def lifespan(app: Any) -> list[str]:
    host = Host(app, type="lifespan")
    answers = []
    for kind in ("lifespan.startup", "lifespan.shutdown"):
        host.say(kind)
        answers.append((await host.hear())["type"])
        if answers[-1].endswith("failed"):
            break
    await host.task
    return answers


COMPLETE = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_hooks_are_called_and_may_fail() -> None:
    calls = []

    async def shutdown() -> None:
        calls.append("shutdown")

    def fails() -> None:
        raise RuntimeError("expected by the test")

    app = kokanee.ASGIApp(server(), on_startup=lambda: calls.append("startup"), on_shutdown=shutdown)
    assert asyncio.run(lifespan(app)) == COMPLETE
    assert calls == ["startup", "shutdown"]
    assert asyncio.run(lifespan(kokanee.ASGIApp(server()))) == COMPLETE
    app = kokanee.ASGIApp(server(), on_startup=fails)
    assert asyncio.run(lifespan(app)) == ["lifespan.startup.failed"]


def test_the_other_application_has_its_lifespan_unless_there_are_hooks() -> None:
    from starlette.applications import Starlette

    calls = []

    def other() -> Any:
        import contextlib

        @contextlib.asynccontextmanager
        async def span(app: Any) -> Any:
            calls.append("begin")
            yield
            calls.append("end")

        return Starlette(lifespan=span)

    assert asyncio.run(lifespan(kokanee.ASGIApp(server(), other()))) == COMPLETE
    assert calls == ["begin", "end"]
    app = kokanee.ASGIApp(server(), other(), on_startup=lambda: calls.append("hook"))
    assert asyncio.run(lifespan(app)) == COMPLETE
    assert calls == ["begin", "end", "hook"]


@pytest.mark.parametrize("asks_first", [False, True])
def test_another_application_without_lifespan_does_not_hinder_the_start(asks_first: bool) -> None:
    async def other(scope: Any, receive: Any, send: Any) -> None:
        if asks_first:
            await receive()
        raise ValueError("only HTTP")

    assert asyncio.run(lifespan(kokanee.ASGIApp(server(), other))) == COMPLETE


def test_clients_are_disconnected_before_the_other_application_ends_and_it_may_start_again() -> None:
    sio = server()
    order: list[str] = []
    sio.on("disconnect", lambda sid, reason: order.append(reason))

    async def other(scope: Any, receive: Any, send: Any) -> None:
        while True:
            kind = (await receive())["type"]
            order.append(kind)
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return

    app = kokanee.ASGIApp(sio, other)

    async def run() -> None:
        span = Host(app, type="lifespan")
        span.say("lifespan.startup")
        await span.hear()
        client, _ = await joined(app)
        span.say("lifespan.shutdown")
        await span.hear()
        assert (await client.hear())["type"] in ("websocket.send", "websocket.close")

    for _ in range(2):
        asyncio.run(run())
        assert order == ["lifespan.startup", "server disconnect", "lifespan.shutdown"]
        order.clear()


# environ.


def test_after_a_shutdown_only_a_request_starts_an_async_server_again() -> None:
    async def use() -> None:
        sio = server()
        first, _ = await joined(kokanee.ASGIApp(sio))
        await sio.shutdown()
        await first.task
        await sio.emit("event")
        await sio.send("text", to="room")
        await sio.close_room("room")
        await sio.disconnect("nobody")
        assert sio.rooms("nobody") == []
        await sio.shutdown()
        assert sio._engine.is_closed()
        second, _ = await joined(kokanee.ASGIApp(sio))
        await sio.emit("event", 1)
        assert (await second.hear())["text"] == '42["event",1]'
        await sio.shutdown()
        await second.task

    asyncio.run(use())


def test_environ_is_a_dict_that_is_filled_when_it_is_read() -> None:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/socket.io/",
        "query_string": b"a=b",
        "scheme": "https",
        "client": ("10.0.0.1", 4000),
        "server": ("example.org", 443),
        "headers": [(b"x-a", b"1"), (b"x-a", b"2"), (b"content-type", b"t"), (b"cookie", b"c=d")],
    }

    def environ() -> Any:
        return _environ.of_scope(scope, "receive", "send", None)

    one = environ()
    assert isinstance(one, dict)
    assert one._source is not None
    assert one["HTTP_X_A"] == "1,2"
    assert one._source is None
    expected = dict(one)
    assert expected["REMOTE_ADDR"] == "10.0.0.1" and expected["REMOTE_PORT"] == "4000"
    assert expected["SERVER_NAME"] == "example.org" and expected["SERVER_PORT"] == "443"
    assert expected["CONTENT_TYPE"] == "t" and expected["HTTP_COOKIE"] == "c=d"
    assert expected["asgi.scope"] is scope and expected["wsgi.url_scheme"] == "https"
    assert expected["QUERY_STRING"] == "a=b" and expected["RAW_URI"] == "/socket.io/?a=b"
    comparable = {key: value for key, value in expected.items() if key != "wsgi.input"}
    for look in (
        lambda e: dict(e),
        lambda e: {**e},
        lambda e: dict(e.items()),
        lambda e: e.copy(),
        lambda e: copy.copy(e),
        lambda e: e | {},
        lambda e: {} | e,
        lambda e: {key: e[key] for key in e},
        lambda e: dict(zip(e.keys(), e.values(), strict=True)),
        lambda e: (lambda **given: given)(**e),
    ):
        seen = look(environ())
        assert {key: value for key, value in seen.items() if key != "wsgi.input"} == comparable
    assert len(environ()) == len(expected) and "PATH_INFO" in environ() and environ()
    assert environ().get("PATH_INFO") == "/socket.io/" == environ().pop("PATH_INFO")
    changed = environ()
    changed["mine"] = 1
    changed.update(more=2)
    assert changed["mine"] == 1 and changed["PATH_INFO"] == "/socket.io/"
    assert "PATH_INFO" in repr(environ())
    assert json.loads(json.dumps(environ(), default=str))["PATH_INFO"] == "/socket.io/"
    with pytest.raises((TypeError, pickle.PicklingError, AttributeError)):
        pickle.dumps(environ())  # As any dict with standard error in it.


def test_handlers_of_a_connection_get_the_same_environ() -> None:
    sio = server()
    seen = []

    @sio.event
    async def connect(sid: str, environ: Any) -> None:
        environ["mine"] = sid
        seen.append(environ)

    async def run() -> None:
        _, sid = await joined(kokanee.ASGIApp(sio))
        assert sio.get_environ(sid) is seen[0]
        assert sio.get_environ(sid)["mine"] == sid

    asyncio.run(run())


# Feeding.


def test_a_refused_websocket_gets_its_response_where_the_host_can_send_it() -> None:
    async def run() -> None:
        app = kokanee.ASGIApp(server())
        bad = {"query_string": b"EIO=4&transport=websocket&sid=unknown"}
        host = await websocket(app, extensions={"websocket.http.response": {}}, **bad)
        start = await host.hear()
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 400)
        assert b"content-length" not in dict(start["headers"])
        assert (await host.hear())["body"]
        host = await websocket(app, **bad)
        assert (await host.hear())["type"] == "websocket.close"
        await host.task

    asyncio.run(run())


def test_a_client_that_sends_faster_than_handlers_work_is_not_read() -> None:
    sio = server(async_handlers=False)
    release = asyncio.Event()
    handled = 0

    @sio.event
    async def slow(sid: str, text: str) -> None:
        nonlocal handled
        await release.wait()
        handled += 1

    async def run() -> None:
        client, _ = await joined(kokanee.ASGIApp(sio))
        packet = "42" + json.dumps(["slow", "x" * 100_000])
        for _ in range(400):
            client.say("websocket.receive", text=packet)
        left = -1
        while left != client.incoming.qsize():
            left = client.incoming.qsize()
            await asyncio.sleep(0.2)
        # 40 MB were offered.
        assert left > 200, left
        release.set()
        for _ in range(500):
            if handled == 400:
                break
            await asyncio.sleep(0.02)
        assert handled == 400

    asyncio.run(run())


def test_a_slow_reader_gets_everything() -> None:
    sio = server()

    async def run() -> None:
        app = kokanee.ASGIApp(sio)
        client, sid = await joined(app)
        sent = client.sent
        taken = 0

        # A host whose `send` waits: the queue of this one is full from now on.
        client.sent._maxsize = 1  # type: ignore[attr-defined]
        for _ in range(40):
            await sio.emit("big", "x" * 20_000, to=sid)
        await asyncio.sleep(0.3)
        for _ in range(40):
            message = await asyncio.wait_for(sent.get(), 10)
            taken += message["type"] == "websocket.send"
        assert taken == 40

    asyncio.run(run())


def test_a_body_that_is_too_large_is_answered_with_413_and_not_kept() -> None:
    async def run() -> None:
        app = kokanee.ASGIApp(server(max_http_buffer_size=1000))
        sid = await opened(app)
        query = OPEN + b"&sid=" + sid.encode()
        host = http(app, "/socket.io/", query, "POST")
        for _ in range(100):
            host.say("http.request", body=b"4" + b"x" * 100_000, more_body=True)
        status, _, _ = await response(host)
        assert status == 413

    asyncio.run(run())


def test_a_body_in_pieces_arrives() -> None:
    sio = server()
    seen = []
    sio.on("m", lambda sid, text: seen.append(text))

    async def run() -> None:
        app = kokanee.ASGIApp(sio)
        query = OPEN + b"&sid=" + (await opened(app)).encode()
        assert (await response(http(app, "/socket.io/", query, "POST"), b"40"))[0] == 200
        assert (await response(http(app, "/socket.io/", query)))[2].startswith(b"40")
        host = http(app, "/socket.io/", query, "POST")
        for piece in (b'42["m"', b',"te', b""):
            host.say("http.request", body=piece, more_body=True)
        assert (await response(host, b'xt"]'))[0] == 200
        for _ in range(100):
            if seen:
                break
            await asyncio.sleep(0.01)
        assert seen == ["text"]

    asyncio.run(run())


def test_a_poll_ends_with_its_client_and_nothing_is_lost() -> None:
    sio = server()

    async def run() -> None:
        app = kokanee.ASGIApp(sio)
        query = OPEN + b"&sid=" + (await opened(app)).encode()
        await response(http(app, "/socket.io/", query, "POST"), b"40")
        joining = (await response(http(app, "/socket.io/", query)))[2]
        sid = json.loads(joining[2:])["sid"]
        poll = http(app, "/socket.io/", query)
        poll.say("http.request", body=b"")
        await asyncio.sleep(0.1)
        assert not poll.task.done()
        poll.say("http.disconnect")
        await asyncio.wait_for(poll.task, 5)
        assert poll.sent.empty()
        await sio.emit("m", 1, to=sid)
        status, _, body = await response(http(app, "/socket.io/", query))
        assert (status, body) == (200, b'42["m",1]')

    asyncio.run(run())


# Tasks, loops and threads.


def test_each_event_has_a_task_and_a_context_of_its_own_that_begins_as_that_of_the_connection() -> None:
    sio = server()
    of_request: contextvars.ContextVar[str] = contextvars.ContextVar("of_request", default="none")
    of_event: contextvars.ContextVar[str] = contextvars.ContextVar("of_event", default="none")
    seen: list[Any] = []

    @sio.event
    async def m(sid: str, name: str) -> None:
        seen.append((name, of_request.get(), of_event.get(), asyncio.current_task()))
        of_event.set(name)

    async def run() -> None:
        app = kokanee.ASGIApp(sio)
        clients = []
        for name in ("a", "b"):
            of_request.set(name)
            clients.append(await joined(app))
        of_request.set("other")
        for name, (client, _) in zip(("a", "b", "a"), (*clients, clients[0]), strict=True):
            client.say("websocket.receive", text=f'42["m","{name}"]')
            while len(seen) < 1 or seen[-1][0] != name or (name == "a" and len(seen) == 2):
                await asyncio.sleep(0.005)
        assert [entry[:3] for entry in seen] == [(n, n, "none") for n in ("a", "b", "a")]
        assert None not in [entry[3] for entry in seen]
        assert len({id(entry[3]) for entry in seen}) == 3

    asyncio.run(asyncio.wait_for(run(), 20))


def test_handlers_that_wait_hold_up_others_only_without_async_handlers() -> None:
    for async_handlers, expected in ((True, ["begin 1", "begin 2"]), (False, ["begin 1", "end 1"])):
        sio = server(async_handlers=async_handlers)
        order: list[str] = []

        @sio.event
        async def m(sid: str, number: int) -> None:
            order.append(f"begin {number}")
            await asyncio.sleep(0.05)
            order.append(f"end {number}")

        async def run() -> None:
            client, _ = await joined(kokanee.ASGIApp(sio))
            for number in (1, 2):
                client.say("websocket.receive", text=f'42["m",{number}]')
            while len(order) < 4:
                await asyncio.sleep(0.01)

        asyncio.run(asyncio.wait_for(run(), 20))
        assert order[:2] == expected


def test_a_loop_after_another() -> None:
    sio = server()
    left = []
    sio.on("disconnect", lambda sid, reason: left.append(reason))

    async def run() -> None:
        client, sid = await joined(kokanee.ASGIApp(sio))
        await sio.emit("m", to=sid)
        assert (await client.hear())["text"] == '42["m"]'

    for turn in range(3):
        asyncio.run(run())
        assert left == ["server disconnect"] * (turn + 1) or len(left) == turn + 1
    # Loops that are only closed.
    for _ in range(2):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(run())
        loop.close()
    asyncio.run(run())


def test_two_loops_at_once_are_refused() -> None:
    sio = server()
    app = kokanee.ASGIApp(sio)

    async def run() -> None:
        await opened(app)

        def other() -> None:
            try:
                asyncio.run(opened(app))
            except RuntimeError as error:
                errors.append(str(error))

        errors: list[str] = []
        await asyncio.get_running_loop().run_in_executor(None, other)
        assert "another event loop" in errors[0]

    asyncio.run(run())


def test_emit_from_another_thread() -> None:
    sio = server()

    async def run() -> None:
        client, sid = await joined(kokanee.ASGIApp(sio))
        thread = threading.Thread(target=lambda: asyncio.run(sio.emit("m", "t", to=sid)))
        thread.start()
        assert (await client.hear())["text"] == '42["m","t"]'
        thread.join()

    asyncio.run(run())


def test_what_a_handler_awaits_may_be_cancelled() -> None:
    sio = server()

    @sio.event
    async def m(sid: str) -> None:
        cancelled = asyncio.get_running_loop().create_future()
        cancelled.cancel()
        await cancelled

    async def run() -> None:
        client, _ = await joined(kokanee.ASGIApp(sio))
        client.say("websocket.receive", text='421["m"]')
        assert (await client.hear())["text"] == "431[]"

    asyncio.run(run())
