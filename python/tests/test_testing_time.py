"""Virtual time: heartbeats, timeouts and sleeping tasks follow the clock of a test, and nothing else does."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from typing import Any

import pytest
from test_testing import SERVERS, server

import kokanee
from kokanee import exceptions, testing
from kokanee.testing import AsyncTestClient, Event, TestClient, virtual_time


@pytest.mark.parametrize("kind", SERVERS)
class TestFunctions:
    def test_the_server_pings(self, kind: str) -> None:
        with virtual_time() as clock, TestClient(server(kind, [])) as client:
            clock.advance(24.999)
            assert client.ping_count == 0
            clock.advance(0.001)
            assert client.ping_count == 1
            clock.advance(3600)
            assert client.ping_count == 145
            assert client.is_connected()
            assert clock.time() == 3625

    def test_a_client_that_does_not_answer_is_gone_after_the_timeout(self, kind: str) -> None:
        seen: list[Any] = []
        with virtual_time() as clock:
            client = TestClient(server(kind, seen, ping_interval=2.5, ping_timeout=0.75))
            client.connect()
            client.answers_pings = False
            clock.advance(3.249)
            assert client.is_connected()
            clock.advance(0.001)
            assert not client.is_connected()
            assert seen[-1] == ("disconnect", "ping timeout")

    def test_background_tasks_sleep_on_the_clock(self, kind: str) -> None:
        with virtual_time() as clock, TestClient(server(kind, [])) as client:
            client.emit("tick", 10)
            clock.advance(9.999)
            client.expect_none()
            clock.advance(0.001)
            assert client.received == [Event("tick", (0,))]
            clock.advance(100)
            assert [event.data for event in client.received] == [0, 1, 2]

    def test_a_wait_of_the_test_lets_the_clock_run_as_far_as_it_needs(self, kind: str) -> None:
        begin = time.monotonic()
        with virtual_time() as clock, TestClient(server(kind, [])) as client:
            client.emit("tick", 7)
            assert client.receive(timeout=1000) == Event("tick", (0,))
            assert clock.time() == 7
            with pytest.raises(exceptions.TimeoutError):
                client.receive(timeout=3)
            assert clock.time() == 10
            client.expect("tick", 1, timeout=60)
            assert clock.time() == 14
            # The handler sleeps for 0.1 s.
            client.emit("slow")
            client.expect_none("slept")
            client.expect("slept")
            assert clock.time() == 14.1
        # Not a limit of the machine: in real time it would be 14 s.
        assert time.monotonic() - begin < 10

    def test_call_times_out_on_the_clock(self, kind: str) -> None:
        with virtual_time() as clock, TestClient(server(kind, [])) as client:
            assert client.call("wait", 8) == "no answer"
            assert clock.time() == 8
            client.on("question", lambda: "an answer")
            assert client.call("wait", 8) == "an answer"
            assert clock.time() == 8

    def test_a_connection_without_a_namespace_ends_at_the_connect_timeout(self, kind: str) -> None:
        sio = server(kind, [], connect_timeout=10)
        with virtual_time() as clock:
            client = TestClient(sio, namespaces=())
            client.connect()
            clock.advance(9.999)
            assert client.is_open()
            clock.advance(0.001)
            assert not client.is_open()

    def test_clients_of_two_servers_are_in_one_time(self, kind: str) -> None:
        with virtual_time() as clock:
            first, second = server(kind, []), server("Server", [])
            with TestClient(first) as one, TestClient(second) as other:
                one.emit("tick", 2)
                other.emit("tick", 3)
                clock.advance(6)
                assert [event.data for event in one.received] == [0, 1, 2]
                assert [event.data for event in other.received] == [0, 1]

    def test_after_the_block_nothing_of_it_is_left(self, kind: str) -> None:
        seen: list[Any] = []
        sio = server(kind, seen)
        threads = threading.active_count()
        for _ in range(3):
            with virtual_time():
                client = TestClient(sio)
                client.connect()
                client.emit("tick", 5)
        with TestClient(sio) as client:
            assert client.call("echo", 1) == 1
        assert len(sio.environ) == 0
        # The threads of the server, and those of the loop for tests.
        assert threading.active_count() <= threads + 4


def test_one_clock_at_a_time() -> None:
    with virtual_time(), pytest.raises(RuntimeError, match="in force already"), virtual_time():
        pass


@pytest.mark.parametrize("kind", SERVERS)
def test_coroutines(kind: str) -> None:
    seen: list[Any] = []

    async def main() -> None:
        sio = server(kind, seen)
        with virtual_time() as clock:
            async with AsyncTestClient(sio) as client:
                if kind == "AsyncServer":
                    with pytest.raises(RuntimeError, match="advance_async"):
                        clock.advance(1)
                await clock.advance_async(25)
                assert client.ping_count == 1
                await client.emit("tick", 10)
                assert await client.receive(timeout=1000) == Event("tick", (0,))
                assert clock.time() == 35
                assert await client.call("wait", 8) == "no answer"
                assert clock.time() == 43
                client.answers_pings = False
                await clock.advance_async(100)
                assert seen[-1] == ("disconnect", "ping timeout")
        # The time of the loop is real again.
        begin = asyncio.get_running_loop().time()
        await asyncio.sleep(0.01)
        assert asyncio.get_running_loop().time() - begin < 5
        async with AsyncTestClient(sio) as client:
            assert await client.call("echo", 1) == 1

    asyncio.run(main())


def test_the_tests_own_sleep_is_virtual_in_its_loop() -> None:
    async def main() -> None:
        sio = server("AsyncServer", [])
        with virtual_time() as clock:
            async with AsyncTestClient(sio):
                sleeping = asyncio.ensure_future(asyncio.sleep(1000, "slept"))
                await clock.advance_async(999)
                assert not sleeping.done()
                await clock.advance_async(1)
                assert await sleeping == "slept"

    asyncio.run(main())


def test_a_handler_that_waits_for_a_thread_is_waited_for() -> None:
    async def main() -> None:
        sio = kokanee.AsyncServer(async_mode="asgi")

        @sio.event
        async def work(sid: str) -> str:
            return await asyncio.wait_for(asyncio.to_thread(_work), 5)

        with virtual_time() as clock:
            async with AsyncTestClient(sio) as client:
                assert await client.call("work") == "done"
                assert clock.time() == 0

    asyncio.run(main())


def _work() -> str:
    time.sleep(0.05)
    return "done"


def test_a_background_task_that_waits_for_something_else_does_not_stop_the_clock() -> None:
    sio = kokanee.Server()
    jobs: queue.Queue[str | None] = queue.Queue()

    def worker() -> None:
        while (job := jobs.get()) is not None:
            sio.emit("done", job)

    @sio.event
    def start(sid: str) -> None:
        sio.start_background_task(worker)

    with virtual_time() as clock, TestClient(sio) as client:
        client.emit("start")
        clock.advance(25)
        assert client.ping_count == 1
        jobs.put(None)


def test_an_event_loop_that_is_not_of_asyncio_is_refused() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        sio = server("AsyncServer", [])
        async with AsyncTestClient(sio) as client:
            await client.emit("slow")
            assert client.received == [Event("slept")]
        with virtual_time():
            for _ in range(2):
                with pytest.raises(RuntimeError, match="virtual time needs an event loop of asyncio"):
                    await AsyncTestClient(sio).connect()
        async with AsyncTestClient(sio) as client:
            assert await client.call("echo", 1) == 1

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
