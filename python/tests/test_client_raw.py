"""Clients whose packets are read and written in Python, by a packet class of the application."""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hostile import frame, hostile, texts, websocket
from reversed_packets import Reversed
from support import LIMIT, Program, program, until
from test_client import connected, url_of

import kokanee
from kokanee import exceptions, packet


@pytest.fixture(scope="module")
def reversing() -> Iterator[Program]:
    """Returns a server with the packet class `Reversed`."""
    with program("serving_clients.py", PACKAGE="kokanee", SERIALIZER="reversed") as running:
        yield running


def test_a_packet_class_of_the_application(reversing: Program) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    with connected(url_of(reversing), namespaces=["/", "/other"], client={"serializer": Reversed}) as sio:
        assert sio.call("echo", ("abc", {"b": b"\x01"})) == ("abc", {"b": b"\x01"})
        assert sio.call("where", namespace="/other") == "/other"
        sio.on("question", lambda *args: (sio.call("echo", 1), *args[::-1]))
        sio.on("answered", lambda *args: answers.put(args))
        sio.emit("ask_me", (1, b"two"))
        assert answers.get(timeout=LIMIT) == (1, b"two", 1)
        with pytest.raises(exceptions.TimeoutError):
            sio.call("silence", timeout=0.05)
        with pytest.raises(exceptions.ConnectionError, match="no entry"):
            sio.join("/locked")
        sio.on("disconnect", lambda reason: answers.put(str(reason)))
        sio.emit("kick")
        assert answers.get(timeout=LIMIT) == "server disconnect"
        sio.leave("/other")
        sio.wait()
        assert not sio.connected


def test_a_packet_class_of_the_application_for_asyncio(reversing: Program) -> None:
    async def main() -> None:
        sio = kokanee.AsyncClient(serializer=Reversed, reconnection_delay=0.01)
        again = asyncio.Event()
        await sio.connect(url_of(reversing))
        assert await sio.call("echo", (1, b"\x00\xff")) == (1, b"\x00\xff")
        sio.on("connect", again.set)
        sio._engine.reconnect()
        await asyncio.wait_for(again.wait(), LIMIT)
        assert await sio.call("echo", 2) == 2
        await sio.disconnect()

    asyncio.run(main())


@pytest.mark.parametrize("async_handlers", [True, False])
def test_handlers_of_all_kinds_may_wait_for_an_answer(reversing: Program, async_handlers: bool) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    sio = kokanee.Client(serializer=Reversed, async_handlers=async_handlers)

    def ask(*args: Any) -> None:
        answers.put(sio.call("echo", args, timeout=LIMIT))

    sio.on("connect", lambda: ask("connect"))
    sio.on("number", ask)
    sio.connect(url_of(reversing), wait_timeout=3 * LIMIT)
    assert answers.get(timeout=LIMIT) == "connect"
    sio.emit("echo", "callback", callback=ask)
    assert answers.get(timeout=LIMIT) == "callback"
    sio.emit("send_me", 3)
    assert sorted(answers.get(timeout=LIMIT) for _ in range(3)) == [0, 1, 2]
    sio.on("disconnect", lambda reason: answers.put(sio.call("where", namespace="/other", timeout=LIMIT)))
    sio.join("/other")
    sio.emit("kick")
    assert answers.get(timeout=LIMIT) == "/other"
    sio.disconnect()


def test_a_handler_that_waits_does_not_hold_up_those_of_other_namespaces(reversing: Program) -> None:
    go, others = threading.Event(), queue.Queue()  # type: ignore[var-annotated]
    sio = kokanee.Client(serializer=Reversed)
    sio.on("connect", lambda: go.wait(3 * LIMIT))
    sio.on("connect", lambda: others.put("connected"), namespace="/other")
    connecting = threading.Thread(
        target=sio.connect, args=[url_of(reversing)], kwargs={"namespaces": ["/", "/other"], "wait_timeout": 3 * LIMIT}
    )
    connecting.start()
    try:
        assert others.get(timeout=LIMIT) == "connected"
        assert sio.call("where", namespace="/other", timeout=LIMIT) == "/other"
    finally:
        go.set()
        connecting.join(LIMIT)
    sio.disconnect()


def test_handlers_one_after_the_other(reversing: Program) -> None:
    seen: list[tuple[str, int]] = []
    with connected(url_of(reversing), client={"serializer": Reversed, "async_handlers": False}) as sio:

        @sio.event
        def number(value: int) -> None:
            seen.append(("begin", value))
            sio.call("echo", value, timeout=LIMIT)
            seen.append(("end", value))

        sio.emit("send_me", 20)
        until(lambda: len(seen) == 40)
    assert seen == [(what, value) for value in range(20) for what in ("begin", "end")]


def test_handlers_one_after_the_other_for_asyncio(reversing: Program) -> None:
    async def main() -> None:
        seen: list[tuple[str, int]] = []
        done = asyncio.Event()
        sio = kokanee.AsyncClient(serializer=Reversed, async_handlers=False)

        @sio.event
        async def number(value: int) -> None:
            seen.append(("begin", value))
            await asyncio.sleep(0)
            seen.append(("end", value))
            if value == 1999:
                done.set()

        await sio.connect(url_of(reversing))
        # More than may wait before the next message waits, too.
        await sio.emit("send_me", 2000)
        await asyncio.wait_for(done.wait(), LIMIT)
        assert seen == [(what, value) for value in range(2000) for what in ("begin", "end")]
        await sio.disconnect()

    asyncio.run(main())


def failure_of(*args: Any) -> queue.Queue[Any]:
    """Returns a queue in which the exception of a function comes, which runs on a thread of its own."""
    failures: queue.Queue[Any] = queue.Queue()

    def run() -> None:
        try:
            args[0](*args[1:])
        except Exception as error:
            failures.put(error)
        else:
            failures.put(None)

    threading.Thread(target=run, daemon=True).start()
    return failures


def test_calls_end_with_their_namespace(reversing: Program) -> None:
    with connected(url_of(reversing), namespaces=["/", "/other"], client={"serializer": Reversed}) as sio:
        failures = failure_of(sio.call, "kick", None, None, None)
        error = failures.get(timeout=LIMIT)
        assert isinstance(error, exceptions.TimeoutError) and "disconnected" in str(error)
        failures = failure_of(sio.call, "no handler", None, "/other", None)
        until(lambda: sio._callbacks)
        sio.leave("/other")
        error = failures.get(timeout=LIMIT)
        assert isinstance(error, exceptions.TimeoutError) and "left" in str(error)


class Picky(Reversed):
    """Refuses to read some packets."""

    def decode(self, encoded_packet: Any) -> Any:
        count = super().decode(encoded_packet)
        if "poison" in str(self.data):
            raise ValueError("poison")
        return count


def test_calls_end_when_a_packet_cannot_be_read(reversing: Program) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    with connected(url_of(reversing), client={"serializer": Picky}) as sio:
        sio.emit("echo", 1, callback=answers.put)
        failures = failure_of(sio.call, "echo", "poison", None, None)
        error = failures.get(timeout=LIMIT)
        assert isinstance(error, exceptions.TimeoutError)
        assert str(error) == "the acknowledgement cannot be read: ValueError: poison"
        assert answers.get(timeout=LIMIT) == 1
        assert sio.call("echo", 2, timeout=LIMIT) == 2


def test_handlers_that_wait_for_answers_take_no_thread_from_those(reversing: Program) -> None:
    # More than there are threads for handlers.
    count, answers = 400, queue.Queue()  # type: ignore[var-annotated]
    with connected(url_of(reversing), client={"serializer": Reversed}) as sio:
        sio.on("number", lambda number: answers.put(sio.call("echo", number, timeout=LIMIT)))
        sio.emit("send_me", count)
        assert sorted(answers.get(timeout=LIMIT) for _ in range(count)) == list(range(count))


OPEN = '0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000}'


class Slow(packet.Packet):
    """Takes as long to read a certain packet as the test says."""

    go = threading.Event()

    def decode(self, encoded_packet: Any) -> Any:
        if "slow" in encoded_packet:
            assert self.go.wait(LIMIT)
        return super().decode(encoded_packet)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_messages_of_a_lost_connection_are_not_taken_for_those_of_the_next_one(kind: str) -> None:
    Slow.go.clear()
    numbers = iter((1, 2, 3))
    received: list[str] = []
    seen: queue.Queue[Any] = queue.Queue()

    def hanging_up(connection: socket.socket) -> None:
        next(texts(connection))
        connection.shutdown(socket.SHUT_RDWR)

    def staying(connection: socket.socket) -> None:
        Slow.go.set()
        received.extend(texts(connection))

    #: What of the first connection is read when the second one is open.
    old = ['42["old",1]', '421["ask"]', '40{"sid":"old"}', "41", '451-["half",{"_placeholder":true,"num":0}]']
    first = websocket(OPEN, '40{"sid":"one"}', '42["slow"]', *old, then=hanging_up)
    second = websocket(OPEN, '40{"sid":"two"}', '42["new"]', then=staying)

    def answer(connection: socket.socket) -> None:
        (first if next(numbers) == 1 else second)(connection)

    options: dict[str, Any] = {"serializer": Slow, "reconnection_delay": 0.01, "async_handlers": False}

    def check(sio: Any) -> None:
        assert [seen.get(timeout=LIMIT) for _ in range(4)] == [("slow",), ("old", 1), ("ask",), ("new",)]
        assert seen.empty() and sio.get_sid() == "two"

    async def run(url: str) -> None:
        sio = kokanee.AsyncClient(**options)
        sio.on("*", lambda *args: seen.put(args))
        await sio.connect(url, transports="websocket")
        await asyncio.to_thread(check, sio)
        await sio.disconnect()

    with hostile(answer) as port:
        url = f"http://127.0.0.1:{port}"
        if kind == "async":
            asyncio.run(run(url))
        else:
            sio = kokanee.Client(**options)
            sio.on("*", lambda *args: seen.put(args))
            sio.connect(url, transports="websocket")
            check(sio)
            sio.disconnect()
        # Nothing is answered that was asked on the first connection.
        until(lambda: received == ["40{}", "41"])


def test_what_handlers_have_no_time_for_stays_with_the_server() -> None:
    count, go, seen = 6_000, threading.Event(), queue.Queue()  # type: ignore[var-annotated]
    events = b"".join(frame(f'42["number",{number}]') for number in range(count))

    def flood(connection: socket.socket) -> None:
        connection.sendall(events)
        seen.put("all is sent")
        for _ in texts(connection):
            pass

    def number(value: int) -> None:
        go.wait(8 * LIMIT)
        seen.put(value)

    sio = kokanee.Client(serializer=Slow)
    sio.on("number", number)
    with hostile(websocket(OPEN, '40{"sid":"one"}', then=flood)) as port:
        sio.connect(f"http://127.0.0.1:{port}", transports="websocket")
        # When 1,024 events wait, no more is read; the threads for handlers, at most 256, may take some of them after that.
        waiting = until(lambda: unchanged(lambda: sio._hub._queue.load()[0], least=1024 - 256), seconds=6 * LIMIT)
        assert waiting < 2 * 1024
        go.set()
        # At its pace, all come.
        numbers = [got for got in (seen.get(timeout=LIMIT) for _ in range(count + 1)) if got != "all is sent"]
        assert sorted(numbers) == list(range(count))
        sio.disconnect()


def unchanged(question: Callable[[], int], least: int) -> int:
    """Returns a number that stays the same for a while and is not smaller, or 0."""
    number = question()
    time.sleep(0.5)
    return number if question() == number >= least else 0


def test_the_offset_of_a_server_that_recovers() -> None:
    seen: queue.Queue[Any] = queue.Queue()
    with hostile(websocket(OPEN, '40{"sid":"one","pid":"two"}', '42["said",1,"an-offset"]', '42["said",2]')) as port:
        sio = kokanee.Client(serializer=Slow, async_handlers=False)
        sio.on("said", lambda value: seen.put(value))
        sio.connect(f"http://127.0.0.1:{port}", transports="websocket")
        assert [seen.get(timeout=LIMIT) for _ in range(2)] == [1, 2]
        sio.disconnect()
