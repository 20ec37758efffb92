"""The test kit: clients in the same process, of each kind of server, in tests that are functions and in those that are coroutines."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import kokanee
from kokanee import exceptions, packet, testing
from kokanee.testing import AsyncTestClient, ConnectionRefused, Event, RequestRefused, TestClient

SERVERS = ["Server", "AsyncServer"]


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """Has exceptions of handlers not written to the log of the tests."""
    logging.getLogger("socketio.server").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("socketio.server").setLevel(logging.NOTSET)


def server(kind: str, seen: list[Any], **options: Any) -> Any:
    """Returns a server whose handlers do the same in both kinds."""
    if kind == "AsyncServer":
        return async_server(seen, **options)
    sio = kokanee.Server(namespaces=["/chat"], **options)

    @sio.event
    def connect(sid: str, environ: Any, auth: Any) -> None:
        seen.append(("connect", auth))
        if auth == {"user": "eve"}:
            raise exceptions.ConnectionRefusedError("not you", {"code": 7})

    @sio.event
    def disconnect(sid: str, reason: str) -> None:
        seen.append(("disconnect", reason))

    @sio.event
    def environ(sid: str, name: str) -> Any:
        return sio.get_environ(sid)[name]

    @sio.event
    def echo(sid: str, *args: Any) -> Any:
        return args

    @sio.event
    def slow(sid: str) -> None:
        sio.sleep(0.1)
        seen.append("slow")
        sio.emit("slept", to=sid)

    @sio.event
    def ask(sid: str) -> None:
        sio.emit("asked", sio.call("question", 1, to=sid), to=sid)

    @sio.event
    def fail(sid: str) -> None:
        raise LookupError("a fault of the handler")

    @sio.event
    def join(sid: str, room: str) -> None:
        sio.enter_room(sid, room)
        sio.emit("joined", sid, room=room)

    @sio.event(namespace="/chat")
    def say(sid: str, text: str) -> None:
        sio.emit("said", (text, len(text)), namespace="/chat")

    @sio.event
    def tick(sid: str, seconds: float) -> None:
        def run() -> None:
            for number in range(3):
                sio.sleep(seconds)
                sio.emit("tick", number, to=sid)

        sio.start_background_task(run)

    @sio.event
    def wait(sid: str, timeout: float) -> Any:
        try:
            return sio.call("question", to=sid, timeout=timeout)
        except exceptions.TimeoutError:
            return "no answer"

    return sio


def async_server(seen: list[Any], **options: Any) -> Any:
    sio = kokanee.AsyncServer(async_mode="asgi", namespaces=["/chat"], **options)

    @sio.event
    async def connect(sid: str, environ: Any, auth: Any) -> None:
        seen.append(("connect", auth))
        if auth == {"user": "eve"}:
            raise exceptions.ConnectionRefusedError("not you", {"code": 7})

    @sio.event
    async def disconnect(sid: str, reason: str) -> None:
        seen.append(("disconnect", reason))

    @sio.event
    async def environ(sid: str, name: str) -> Any:
        return sio.get_environ(sid)[name]

    @sio.event
    def echo(sid: str, *args: Any) -> Any:
        return args

    @sio.event
    async def slow(sid: str) -> None:
        await sio.sleep(0.1)
        seen.append("slow")
        await sio.emit("slept", to=sid)

    @sio.event
    async def ask(sid: str) -> None:
        await sio.emit("asked", await sio.call("question", 1, to=sid), to=sid)

    @sio.event
    async def fail(sid: str) -> None:
        raise LookupError("a fault of the handler")

    @sio.event
    async def join(sid: str, room: str) -> None:
        await sio.enter_room(sid, room)
        await sio.emit("joined", sid, room=room)

    @sio.event(namespace="/chat")
    async def say(sid: str, text: str) -> None:
        await sio.emit("said", (text, len(text)), namespace="/chat")

    @sio.event
    async def tick(sid: str, seconds: float) -> None:
        async def run() -> None:
            for number in range(3):
                await sio.sleep(seconds)
                await sio.emit("tick", number, to=sid)

        sio.start_background_task(run)

    @sio.event
    async def wait(sid: str, timeout: float) -> Any:
        try:
            return await sio.call("question", to=sid, timeout=timeout)
        except exceptions.TimeoutError:
            return "no answer"

    return sio


@pytest.mark.parametrize("kind", SERVERS)
class TestFunctions:
    def test_the_handler_has_run_when_emit_returns(self, kind: str) -> None:
        seen: list[Any] = []
        with TestClient(server(kind, seen)) as client:
            client.emit("slow")
            assert seen == [("connect", None), "slow"]
            assert client.received == [Event("slept")]
            client.disconnect()
            assert seen[-1] == ("disconnect", "client disconnect")
            assert not client.is_connected()

    def test_the_request_goes_through_the_application(self, kind: str) -> None:
        sio = server(kind, [])
        app = (kokanee.WSGIApp if kind == "Server" else kokanee.ASGIApp)(sio, socketio_path="ws")
        client = TestClient(app, auth={"token": "t"}, headers={"X-User": "ada"}, query={"room": "1 2"})
        with client:
            assert client.call("environ", "HTTP_X_USER") == "ada"
            assert client.call("environ", "PATH_INFO") == "/ws/"
            assert client.call("environ", "QUERY_STRING") == "EIO=4&transport=websocket&room=1+2"
            assert sio.rooms(client.sid()) == [client.sid()]

    def test_an_application_around_the_server_is_given_with_it(self, kind: str) -> None:
        sio = server(kind, [])
        paths: list[str] = []

        def wsgi(environ: Any, start_response: Any) -> Any:
            paths.append(environ["PATH_INFO"])
            return kokanee.WSGIApp(sio)(environ, start_response)

        async def asgi(scope: Any, receive: Any, send: Any) -> None:
            paths.append(scope["path"])
            await kokanee.ASGIApp(sio)(scope, receive, send)

        with TestClient(wsgi if kind == "Server" else asgi, server=sio) as client:
            assert client.call("echo", 1) == 1
        assert paths == ["/socket.io/"]
        with pytest.raises(TypeError, match="pass server="):
            TestClient(object())

    def test_a_refusal_has_its_data(self, kind: str) -> None:
        seen: list[Any] = []
        client = TestClient(server(kind, seen), auth={"user": "eve"})
        with pytest.raises(ConnectionRefused) as refused:
            client.connect()
        assert (refused.value.namespace, refused.value.message, refused.value.data) == ("/", "not you", {"code": 7})
        assert not client.is_connected()
        client.connect(auth={"user": "ada"})
        assert client.is_connected("/")
        with pytest.raises(ConnectionRefused, match="Invalid namespace"):
            client.connect("/unknown")
        assert client.is_connected("/")
        client.disconnect()
        with pytest.raises(TypeError, match="auth must be a dict"):
            client.connect(auth="a text")

    def test_a_request_of_another_origin_is_refused(self, kind: str) -> None:
        sio = server(kind, [], cors_allowed_origins=["http://good.example"])
        with pytest.raises(RequestRefused) as refused:
            TestClient(sio, headers={"Origin": "http://evil.example"}).connect()
        assert refused.value.status in (400, 403)
        with TestClient(sio, headers={"Origin": "http://good.example"}) as client:
            assert client.is_connected()

    def test_values_are_those_of_the_wire(self, kind: str) -> None:
        with TestClient(server(kind, [])) as client:
            assert client.call("echo") is None
            assert client.call("echo", (1, (2, 3))) == (1, [2, 3])
            assert client.call("echo", {"a": [b"\x00\xff", {"b": b""}], "ü": "🐟"}) == {
                "a": [b"\x00\xff", {"b": b""}],
                "ü": "🐟",
            }
            big = "x" * 300_000
            assert client.call("echo", big) == big

    def test_msgpack(self, kind: str) -> None:
        sio = server(kind, [], serializer="msgpack")
        with TestClient(sio, namespaces=["/", "/chat"]) as client:
            assert client.call("echo", [b"\x00", None, 1.5]) == [b"\x00", None, 1.5]
            client.emit("say", "hi", namespace="/chat")
            client.expect("said", ("hi", 2), namespace="/chat")

    def test_packets_of_an_application(self, kind: str) -> None:
        class Shouted(packet.Packet):
            def encode(self) -> Any:
                encoded = super().encode()
                return [encoded[0].swapcase(), *encoded[1:]] if isinstance(encoded, list) else encoded.swapcase()

            def decode(self, encoded_packet: Any) -> int:
                return super().decode(str(encoded_packet).swapcase())

        with TestClient(server(kind, [], serializer=Shouted), namespaces=["/", "/chat"]) as client:
            assert client.call("echo", {"a": [1, "b"]}) == {"a": [1, "b"]}
            client.emit("say", "hi", namespace="/chat")
            client.expect("said", ("hi", 2), namespace="/chat")
            client.emit("slow")
            client.expect("slept", timeout=0)
            client.on("question", lambda number: number + 1)
            client.emit("ask")
            client.expect("asked", 2, timeout=0)

    def test_events_of_a_client_in_turn(self, kind: str) -> None:
        with TestClient(server(kind, [], async_handlers=False)) as client:
            client.emit("slow")
            client.emit("slow")
            assert client.received == [Event("slept")] * 2

    def test_namespaces_share_a_connection(self, kind: str) -> None:
        sio = server(kind, [])
        with TestClient(sio) as client:
            with pytest.raises(exceptions.BadNamespaceError):
                client.emit("say", "hi", namespace="/chat")
            client.connect("/chat")
            client.emit("say", "hi", namespace="/chat")
            assert client.receive() == Event("said", ("hi", 2), "/chat")
            assert len(sio.environ) == 1
            client.disconnect("/chat")
            assert client.is_connected("/")
            assert not client.is_connected("/chat")

    def test_an_exception_of_a_handler_is_raised_in_the_test(self, kind: str) -> None:
        sio = server(kind, [])
        with TestClient(sio) as client:
            with pytest.raises(LookupError, match="a fault of the handler"):
                client.emit("fail")
            with pytest.raises(LookupError):
                client.call("fail")
            assert client.call("echo", 1) == 1
        with TestClient(sio, raise_exceptions=False) as client:
            client.emit("fail")

    def test_an_exception_of_a_life_cycle_handler_is_raised_in_the_test(self, kind: str) -> None:
        sio = server(kind, [])

        def connect(sid: str, environ: Any) -> None:
            raise LookupError("in connect")

        def disconnect(sid: str, reason: str) -> None:
            raise LookupError("in disconnect")

        sio.on("disconnect", disconnect)
        client = TestClient(sio)
        client.connect()
        with pytest.raises(LookupError, match="in disconnect"):
            client.disconnect()
        sio.on("connect", connect)
        with pytest.raises(LookupError, match="in connect"):
            client.connect()
        with pytest.raises(ConnectionRefused, match="internal error"):
            TestClient(sio, raise_exceptions=False).connect()

    def test_the_server_calls_the_client(self, kind: str) -> None:
        with TestClient(server(kind, [])) as client:
            # Nobody answers yet: the handler waits, and the test goes on.
            client.emit("ask")
            question = client.expect("question", 1)
            assert question.ack is not None
            question.ack("later")
            client.settle()
            client.expect("asked", "later")

            @client.on("question")
            def answer(number: int) -> int:
                return number + 41

            client.emit("ask")
            client.expect("asked", 42)
            client.expect_none()

    def test_what_is_expected_is_compared(self, kind: str) -> None:
        with TestClient(server(kind, []), namespaces=["/", "/chat"]) as client:
            client.emit("say", "a", namespace="/chat")
            client.emit("join", "red")
            with pytest.raises(AssertionError, match="'said' was not received in /; received: "):
                client.expect("said", timeout=0)
            with pytest.raises(AssertionError, match="instead of 'red'"):
                client.expect("joined", "red")
            assert client.expect("said", namespace="/chat").data == ("a", 1)
            with pytest.raises(exceptions.TimeoutError):
                client.receive(timeout=0.01)
            client.emit("join", "red")
            with pytest.raises(AssertionError, match="joined"):
                client.expect_none()
            client.received.clear()
            client.expect_none()

    def test_two_clients_of_a_room(self, kind: str) -> None:
        sio = server(kind, [])
        with TestClient(sio) as first, TestClient(sio) as second:
            first.emit("join", "red")
            second.emit("join", "red")
            assert [event.data for event in first.received] == [first.sid(), second.sid()]
            assert [event.data for event in second.received] == [second.sid()]

    def test_a_client_is_gone(self, kind: str) -> None:
        seen: list[Any] = []
        sio = server(kind, seen)
        client = TestClient(sio)
        client.connect()
        client.drop()
        assert seen[-1] == ("disconnect", "transport close")
        assert not sio.environ
        with pytest.raises(exceptions.BadNamespaceError):
            client.emit("echo")
        client.connect()
        assert client.call("echo", 2) == 2
        client.disconnect()

    def test_the_server_disconnects_the_client(self, kind: str) -> None:
        sio = server(kind, [])
        client = TestClient(sio)

        def leave(sid: str) -> Any:
            return sio.disconnect(sid)

        sio.on("leave", leave)
        client.connect()
        client.emit("leave")
        assert not client.is_connected()

    def test_a_handler_that_does_not_return_is_named(self, kind: str) -> None:
        sio = server(kind, [])
        end = threading.Event()

        def stuck(sid: str) -> None:
            end.wait(30)

        async def async_stuck(sid: str) -> None:
            while not end.is_set():
                await asyncio.sleep(0.01)

        sio.on("stuck", stuck if kind == "Server" else async_stuck)
        client = TestClient(sio, patience=0.2)
        client.connect()
        with pytest.raises(exceptions.TimeoutError, match="stuck"):
            client.emit("stuck")
        end.set()
        client.disconnect()

    def test_the_same_server_serves_after_tests(self, kind: str) -> None:
        sio = server(kind, [])
        for _ in range(2):
            with TestClient(sio) as client:
                assert client.call("echo", 1) == 1
            with testing.virtual_time() as clock, TestClient(sio) as client:
                assert client.call("echo", 1) == 1
                clock.advance(30)
                assert client.ping_count == 1


Scenario = Callable[[AsyncTestClient, Any, list[Any]], Awaitable[None]]


async def _returns(client: AsyncTestClient, sio: Any, seen: list[Any]) -> None:
    await client.emit("slow")
    assert seen[-1] == "slow"
    assert client.received == [Event("slept")]
    assert await client.call("echo", (b"\x00", 1)) == (b"\x00", 1)
    with pytest.raises(LookupError):
        await client.emit("fail")


async def _calls(client: AsyncTestClient, sio: Any, seen: list[Any]) -> None:
    await client.emit("ask")
    question = await client.expect("question", 1)
    assert question.ack is not None
    question.ack("later")
    await client.settle()
    await client.expect("asked", "later")
    client.on("question", lambda number: number + 41)
    await client.emit("ask")
    await client.expect("asked", 42)
    await client.expect_none()


async def _joins(client: AsyncTestClient, sio: Any, seen: list[Any]) -> None:
    await client.connect("/chat")
    await client.emit("say", "hi", namespace="/chat")
    assert await client.receive() == Event("said", ("hi", 2), "/chat")
    with pytest.raises(ConnectionRefused):
        await AsyncTestClient(sio, auth={"user": "eve"}).connect()
    others = [AsyncTestClient(sio) for _ in range(5)]
    await asyncio.gather(*(other.connect() for other in others))
    assert await asyncio.gather(*(other.call("echo", n) for n, other in enumerate(others))) == [0, 1, 2, 3, 4]
    await asyncio.gather(*(other.disconnect() for other in others))
    await client.drop()
    assert seen[-1] == ("disconnect", "transport close")


@pytest.mark.parametrize("scenario", [_returns, _calls, _joins])
@pytest.mark.parametrize("kind", SERVERS)
def test_coroutines(kind: str, scenario: Scenario) -> None:
    seen: list[Any] = []
    sio = server(kind, seen)

    async def main() -> None:
        async with AsyncTestClient(sio) as client:
            await scenario(client, sio, seen)

    # Each test of a suite has a loop of its own.
    asyncio.run(main())
    asyncio.run(main())


@pytest.mark.parametrize("kind", SERVERS)
def test_many_coroutines_connect_and_leave_at_once(kind: str) -> None:
    sio = server(kind, [])

    async def one(number: int) -> Any:
        answers = []
        for _ in range(3):
            async with AsyncTestClient(sio) as client:
                answers.append(await client.call("echo", number))
        return answers

    async def main() -> None:
        for _ in range(3):
            assert await asyncio.gather(*(one(number) for number in range(6))) == [[number] * 3 for number in range(6)]

    asyncio.run(main())


def test_a_handler_of_a_client_may_be_a_coroutine() -> None:
    sio = server("AsyncServer", [])

    async def main() -> None:
        async with AsyncTestClient(sio) as client:

            @client.on("question")
            async def answer(number: int) -> int:
                await asyncio.sleep(0.01)
                return number + 1

            await client.emit("ask")
            await client.expect("asked", 2)

    asyncio.run(main())


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_may_be_used_before_its_first_client(kind: str) -> None:
    sio = server(kind, [])
    for _ in range(3):
        # This starts an engine, which is not that of tests.
        sio.rooms("nobody")
        with TestClient(sio) as client:
            client.emit("slow")
            assert client.received == [Event("slept")]
            assert [client.call("echo", n) for n in range(100)] == list(range(100))


@pytest.mark.parametrize("kind", SERVERS)
def test_nothing_stays_of_servers_and_clients(kind: str) -> None:
    for count in range(20):
        sio = server(kind, [])
        with TestClient(sio) as client, TestClient(sio) as other:
            client.call("echo", 1)
            other.call("echo", 1)
        assert len(sio.environ) == 0
        assert len(sio.manager.clients) == 0
        if count == 0:
            threads = threading.active_count()
    assert threading.active_count() <= threads


def test_a_background_task_goes_on_after_the_last_client() -> None:
    sio = kokanee.Server()
    end, ended = threading.Event(), threading.Event()

    def worker() -> None:
        while not end.is_set():
            sio.sleep(0.01)
            sio.emit("tick")
        ended.set()

    sio.start_background_task(worker)
    for _ in range(3):
        with TestClient(sio) as client:
            assert client.receive(timeout=30) == Event("tick")
    end.set()
    assert ended.wait(30)


def test_a_client_that_the_server_has_disconnected_connects_again() -> None:
    sio = server("Server", [])
    client = TestClient(sio)
    for _ in range(3):
        client.connect()
        sio.eio.disconnect()
        client.settle()
        assert not client.is_open()
    client.disconnect()
    assert not testing._stage.known(sio)


def test_a_type_checker_knows_the_kit(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        """
from collections.abc import Callable

import kokanee
from kokanee.testing import AsyncTestClient, Event, LiveServer, TestClient, virtual_time

sio = kokanee.Server()


def test_it(kokanee_client: Callable[..., TestClient]) -> None:
    with virtual_time() as clock, TestClient(sio, auth={"user": "ada"}, namespaces=["/", "/chat"]) as client:

        @client.on("question")
        def answer(number: int) -> int:
            return number + 1

        answer(1)
        client.on("other", lambda: 2)
        clock.advance(25)
        event: Event = client.expect("joined", {"room": "tea"})
        assert event.data == client.call("echo", timeout=1)
        client.emit(3)
    with LiveServer(sio) as server:
        assert server.url


async def test_the_other() -> None:
    async with AsyncTestClient(kokanee.AsyncServer()) as client:
        await client.emit("echo", 1)
        reveal_type(await client.receive())
"""
    )
    package = Path(__file__).parent.parent
    # What other checks have found out of the package need not be found out again.
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(package / ".mypy_cache"), "program.py"]
    environ = {**os.environ, "MYPYPATH": str(package)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=180, env=environ)
    errors = [line for line in done.stdout.splitlines() if line.startswith("program.py") and ": error: " in line]
    assert len(errors) == 1, done.stdout + done.stderr
    assert 'Argument 1 to "emit" of "TestClient" has incompatible type "int"' in errors[0]
    assert 'Revealed type is "kokanee.testing._events.Event"' in done.stdout
